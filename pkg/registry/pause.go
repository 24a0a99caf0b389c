package registry

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// defaultPause is for a registry that asks for fewer requests and does not
	// say for how long; the others bound what it says.
	defaultPause = 30 * time.Second
	minPause     = time.Second
	maxPause     = 15 * time.Minute
	// maxPauses bounds memory.
	maxPauses = 4096
)

// asker is one that an endpoint counts the requests of. Registries count those
// of an account apart from those of an address.
type asker struct {
	endpoint string
	// account is zero for anonymous ones.
	account [sha256.Size]byte
}

// pauses holds who was asked, by which endpoint, to leave it alone.
type pauses struct {
	*lapsing[asker, struct{}]
	// key of this process, so that an account stands for a credential here only
	// and gives none away.
	key [sha256.Size]byte
}

func newPauses() pauses {
	p := pauses{lapsing: newLapsing[asker, struct{}](maxPauses)}
	_, _ = rand.Read(p.key[:]) // never fails
	return p
}

// asker tells credentials apart without keeping them.
func (p *pauses) asker(endpoint string, credential *Credential) asker {
	a := asker{endpoint: canonical(endpoint)}
	if credential == nil || *credential == (Credential{}) {
		return a
	}
	sum := hmac.New(sha256.New, p.key[:])
	for _, part := range []string{credential.Username, credential.Password, credential.IdentityToken, credential.RegistryToken} {
		// With its length, so that no part can pass for the end of another.
		_ = binary.Write(sum, binary.BigEndian, uint64(len(part)))
		_, _ = sum.Write([]byte(part))
	}
	sum.Sum(a.account[:0])
	return a
}

func (p *pauses) pause(who asker, until, now time.Time) { p.put(who, struct{}{}, until, now) }

// left is how long the asker is to leave the endpoint alone.
func (p *pauses) left(who asker, now time.Time) time.Duration {
	_, left := p.get(who, now)
	return left
}

// visit is one attempt at one endpoint, as the guard sees it.
type visit struct {
	// host is the URL's host of the endpoint.
	host   string
	who    asker
	pauses *pauses
	// wait is the longest that an answer asked to be left alone.
	wait atomic.Int64
}

// hears heeds what an answer says of being asked again, wherever it is from: a
// token server at its limit keeps us from the registry, too.
func (v *visit) hears(resp *http.Response, now time.Time) {
	wait, overLimit := asked(resp.StatusCode, resp.Header, now)
	if overLimit {
		v.pauses.pause(v.who, now.Add(wait), now)
	}
	if wait > 0 {
		v.wait.Store(max(v.wait.Load(), int64(wait)))
	}
}

// asked reads how long an answer asks to be left alone, and whether that is
// because too much was asked: status 429, or RateLimit-Remaining of 0.
//
// Retry-After goes first, then RateLimit-Reset. A registry that names only a
// window, as Docker Hub does (100;w=21600), wins one request back per share of
// the window, 216 s; without a limit, a tenth of the window is waited for.
func asked(status int, h http.Header, now time.Time) (wait time.Duration, overLimit bool) {
	remaining, window, counted := limitHeader(h, "RateLimit-Remaining")
	overLimit = status == http.StatusTooManyRequests || counted && remaining == 0
	if !overLimit && status != http.StatusServiceUnavailable {
		return 0, false
	}
	if wait, found := retryAfter(h, now); found {
		return wait, overLimit
	}
	if !overLimit {
		return 0, false
	}
	if reset, _, found := limitHeader(h, "RateLimit-Reset"); found {
		return seconds(reset), true
	}
	limit, limitWindow, found := limitHeader(h, "RateLimit-Limit")
	window = max(window, limitWindow)
	switch {
	case !counted || window == 0:
		return defaultPause, true
	case found && limit > 0:
		return seconds(window / limit), true
	}
	return seconds(window / 10), true
}

// retryAfter reads seconds or a date.
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	text := h.Get("Retry-After")
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
		return seconds(n), true
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), minPause), maxPause), true
	}
	return 0, false
}

// seconds is within the bounds of a pause, and does not overflow.
func seconds(n int64) time.Duration {
	return time.Duration(min(max(n, int64(minPause/time.Second)), int64(maxPause/time.Second))) * time.Second
}

// limitHeader reads "76;w=21600": a number and, if there is one, its window in
// seconds.
func limitHeader(h http.Header, name string) (n, window int64, found bool) {
	value, parameters, _ := strings.Cut(h.Get(name), ";")
	n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	if err != nil || n < 0 {
		return 0, 0, false
	}
	for parameter := range strings.SplitSeq(parameters, ";") {
		if text, is := strings.CutPrefix(strings.TrimSpace(parameter), "w="); is {
			if w, err := strconv.ParseInt(text, 10, 64); err == nil && w > 0 {
				window = w
			}
		}
	}
	return n, window, true
}
