package registry

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

const (
	// defaultPause is for a registry that asks for fewer requests and does not
	// say for how long; the others bound what it says.
	defaultPause = 30 * time.Second
	minPause     = time.Second
	maxPause     = 15 * time.Minute
	// maxPaces bounds memory: whoever names images chooses endpoints.
	maxPaces = 4096
)

// paces holds how fast each endpoint may be asked.
type paces struct {
	clock clock.PassiveClock
	limit rate.Limit
	burst int

	mu     sync.Mutex
	byHost map[string]*pace
}

// of returns the pace of the endpoint. If there are too many, those that hold
// nothing up are forgotten; if that is not enough, all are.
func (p *paces) of(host string) *pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	host = canonical(host)
	if found := p.byHost[host]; found != nil {
		return found
	}
	if len(p.byHost) >= maxPaces {
		now := p.clock.Now()
		for name, one := range p.byHost {
			if one.pausedFor(now) == 0 && one.bucket.TokensAt(now) >= float64(p.burst) {
				delete(p.byHost, name)
			}
		}
		if len(p.byHost) >= maxPaces {
			clear(p.byHost)
		}
	}
	made := &pace{bucket: rate.NewLimiter(p.limit, p.burst)}
	p.byHost[host] = made
	return made
}

// pace is how fast one endpoint may be asked: a token for each request, and
// none at all while it asked to be left alone.
type pace struct {
	// mu also keeps the taking and giving back of a token in one.
	mu     sync.Mutex
	bucket *rate.Limiter
	// until only ever moves later.
	until time.Time
}

// admit takes the token of a first request. Otherwise it says how long to wait.
func (p *pace) admit(now time.Time) (wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if wait := p.until.Sub(now); wait > 0 {
		return wait
	}
	r := p.bucket.ReserveN(now, 1)
	wait = r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// charge takes the token of a request that will not wait, on credit if need be:
// half an answer would cost as much and be asked for again.
func (p *pace) charge(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bucket.ReserveN(now, 1)
}

func (p *pace) pause(until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until.After(p.until) {
		p.until = until
	}
}

func (p *pace) pausedFor(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(p.until.Sub(now), 0)
}

// visit is one attempt at one endpoint, as the guard sees it.
type visit struct {
	// host is the URL's host of the endpoint.
	host string
	pace *pace
	// prepaid says that the first request has been charged.
	prepaid atomic.Bool
	// wait is the longest that an answer asked to be left alone.
	wait atomic.Int64
}

// sends charges a request to the endpoint; elsewhere, others keep count.
func (v *visit) sends(req *http.Request, now time.Time) {
	if strings.EqualFold(req.URL.Host, v.host) && !v.prepaid.CompareAndSwap(true, false) {
		v.pace.charge(now)
	}
}

// hears heeds what an answer says of being asked again, wherever it is from: a
// token server at its limit keeps us from the registry, too.
func (v *visit) hears(resp *http.Response, now time.Time) {
	switch wait, overLimit := asked(resp.StatusCode, resp.Header, now); {
	case overLimit:
		v.pace.pause(now.Add(wait))
		fallthrough
	case wait > 0:
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
