package registry

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func TestHowLongARegistryAsksToBeLeftAlone(t *testing.T) {
	for name, tc := range map[string]struct {
		status    int
		headers   string
		wait      time.Duration
		overLimit bool
	}{
		"200":                            {200, "", 0, false},
		"200 with a meaningless header":  {200, "Retry-After: 60", 0, false},
		"429":                            {429, "", defaultPause, true},
		"429 in seconds":                 {429, "Retry-After: 60", time.Minute, true},
		"429 at once":                    {429, "Retry-After: 0", minPause, true},
		"429 for a year":                 {429, "Retry-After: 31536000", maxPause, true},
		"429 overflowing":                {429, "Retry-After: 9223372036854775807", maxPause, true},
		"429 until a date":               {429, "Retry-After: Fri, 02 Jan 2026 12:02:00 GMT", 2 * time.Minute, true},
		"429 until a date gone by":       {429, "Retry-After: Fri, 02 Jan 2015 12:02:00 GMT", minPause, true},
		"429 until nonsense":             {429, "Retry-After: soon", defaultPause, true},
		"429 with a reset":               {429, "RateLimit-Reset: 45", 45 * time.Second, true},
		"some left":                      {200, "ratelimit-limit: 100;w=21600\nratelimit-remaining: 76;w=21600", 0, false},
		"none left of Docker Hub's":      {200, "ratelimit-limit: 100;w=21600\nratelimit-remaining: 0;w=21600", 216 * time.Second, true},
		"429 of Docker Hub":              {429, "ratelimit-limit: 100;w=21600\nratelimit-remaining: 0;w=21600", 216 * time.Second, true},
		"none left, no limit":            {200, "ratelimit-remaining: 0;w=3600", 6 * time.Minute, true},
		"none left, no limit, long":      {200, "ratelimit-remaining: 0;w=86400", maxPause, true},
		"none left, no window":           {200, "ratelimit-remaining: 0", defaultPause, true},
		"none left, retry":               {200, "ratelimit-remaining: 0;w=3600\nRetry-After: 7", 7 * time.Second, true},
		"none left, reset":               {200, "RateLimit-Remaining: 0\nRateLimit-Reset: 9\nRateLimit-Limit: 5;w=60", 9 * time.Second, true},
		"503 in seconds":                 {503, "Retry-After: 20", 20 * time.Second, false},
		"503":                            {503, "", 0, false},
		"a limit of nothing, no divisor": {200, "ratelimit-limit: 0;w=60\nratelimit-remaining: 0;w=60", 6 * time.Second, true},
	} {
		wait, overLimit := asked(tc.status, headersOf(tc.headers), noon)
		if wait != tc.wait || overLimit != tc.overLimit {
			t.Errorf("%s: got %v, over limit %v, want %v, %v", name, wait, overLimit, tc.wait, tc.overLimit)
		}
	}
}

func headersOf(lines string) http.Header {
	h := http.Header{}
	for line := range strings.Lines(lines) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		h.Set(name, value)
	}
	return h
}

func FuzzAsked(f *testing.F) {
	f.Add(429, "Retry-After: 60")
	f.Add(200, "ratelimit-limit: 100;w=21600\nratelimit-remaining: 0;w=21600")
	f.Add(429, "RateLimit-Reset: -9223372036854775808;w=;w=-1;;")
	f.Fuzz(func(t *testing.T, status int, headers string) {
		wait, overLimit := asked(status, headersOf(headers), noon)
		if overLimit && wait == 0 || wait != 0 && (wait < minPause || wait > maxPause) {
			t.Fatalf("got %v, over limit %v, want a pause within its bounds", wait, overLimit)
		}
	})
}

func TestARegistryThatAsksForFewerRequestsIsLeftAloneFor(t *testing.T) {
	for name, tc := range map[string]struct {
		at     string
		answer http.HandlerFunc
		wait   time.Duration
	}{
		"429 on a manifest": {"/manifests/v1", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "60")
			w.WriteHeader(http.StatusTooManyRequests)
		}, time.Minute},
		"429 at login": {"/v2/", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("RateLimit-Limit", "100;w=21600")
			w.Header().Set("RateLimit-Remaining", "0;w=21600")
			w.WriteHeader(http.StatusTooManyRequests)
		}, 216 * time.Second},
		"a code": {"/manifests/v1", func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				w.WriteHeader(http.StatusMethodNotAllowed)
				return
			}
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"errors":[{"code":"TOOMANYREQUESTS"}]}`))
		}, defaultPause},
	} {
		t.Run(name, func(t *testing.T) {
			f, other := newFake(t), newFake(t)
			f.index(t, "app", "v1", "amd64")
			other.index(t, "app", "v1", "amd64")
			f.on(tc.at, tc.answer)
			h := newHarness(t, nil, f, other)
			if e := h.problem(t, f.host()+"/app:v1", nil, RateLimited); e.RetryAfter != tc.wait {
				t.Errorf("retry after %v, want %v", e.RetryAfter, tc.wait)
			}
			f.asked()
			f.mu.Lock()
			f.intercept = nil // it would answer now
			f.mu.Unlock()

			h.clock.SetTime(h.clock.Now().Add(tc.wait - time.Second))
			if e := h.problem(t, f.host()+"/app:other", nil, RateLimited); e.RetryAfter != time.Second {
				t.Errorf("retry after %v, want the second that is left", e.RetryAfter)
			}
			wantRequests(t, f)
			h.platforms(t, other.host()+"/app:v1") // is another registry

			h.clock.SetTime(h.clock.Now().Add(time.Second))
			h.platforms(t, f.host()+"/app:v1")
		})
	}
}

func TestTheLastRequestThatIsGrantedIsAnsweredAndThenThereIsAPause(t *testing.T) {
	f := newFake(t)
	f.index(t, "app", "v1", "amd64")
	f.on("/manifests/v1", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("RateLimit-Limit", "100;w=21600")
		w.Header().Set("RateLimit-Remaining", "0;w=21600")
		f.content.ServeHTTP(w, r)
	})
	h := newHarness(t, nil, f)
	h.platforms(t, f.host()+"/app:v1")
	h.wantProblem(t, f.host()+"/app:v1", nil, RateLimited)
}

func TestAFailingRegistryMaySayWhenToComeBack(t *testing.T) {
	f := newFake(t)
	f.on("/manifests/v1", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "20")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	h := newHarness(t, nil, f)
	for range 2 { // it is for the caller to heed
		if e := h.problem(t, f.host()+"/app:v1", nil, ServerError); e.RetryAfter != 20*time.Second {
			t.Errorf("retry after %v, want 20s", e.RetryAfter)
		}
	}
}

func TestAPauseIsNeverShortened(t *testing.T) {
	p := newPauses()
	who := p.asker("registry", nil)
	p.pause(who, noon.Add(time.Minute), noon)
	p.pause(who, noon.Add(time.Second), noon)
	if got := p.left(who, noon); got != time.Minute {
		t.Errorf("paused for %v, want 1m", got)
	}
	if got := p.left(who, noon.Add(time.Hour)); got != 0 {
		t.Errorf("an hour later paused for %v, want 0", got)
	}
}

func TestALimitOfAnonymousRequestsDoesNotStopALogin(t *testing.T) {
	f := newFake(t)
	f.index(t, "app", "v1", "amd64")
	f.on("/manifests/v1", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer token-of-" {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		f.content.ServeHTTP(w, r)
	})
	f.wantBearer(f.URL + "/token")
	f.issue(true)
	h := newHarness(t, nil, f)
	image := f.host() + "/app:v1"
	h.wantProblem(t, image, nil, RateLimited)
	f.asked()
	h.wantProblem(t, image, nil, RateLimited)
	h.wantProblem(t, image, &Credential{}, RateLimited) // shows nothing, either
	wantRequests(t, f)
	if m, err := h.resolve(t, image, ann); err != nil || drawn(m) != "index linux/amd64" {
		t.Errorf("got %v, %v, want the image: the limit is not ann's", drawn(m), err)
	}
}

func TestALimitOfALoginDoesNotStopOthers(t *testing.T) {
	f := newFake(t)
	f.index(t, "app", "v1", "amd64")
	f.on("/manifests/v1", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == annBasic {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		f.content.ServeHTTP(w, r)
	})
	h := newHarness(t, nil, f)
	h.wantProblem(t, f.host()+"/app:v1", ann, RateLimited)
	h.platforms(t, f.host()+"/app:v1")
	if _, err := h.resolve(t, f.host()+"/app:v1", &Credential{Username: "bob", Password: password}); err != nil {
		t.Errorf("got %v, want the image for bob", err)
	}
	f.asked()
	same := *ann
	h.wantProblem(t, f.host()+"/app:v1", &same, RateLimited)
	wantRequests(t, f)
}

func TestAnAccountStandsForACredentialAndGivesNothingAway(t *testing.T) {
	p, other := newPauses(), newPauses()
	accounts := map[asker]*Credential{}
	for _, c := range []*Credential{
		nil, {Username: "a", Password: "bc"}, {Username: "ab", Password: "c"}, {Username: "abc"}, {Password: "abc"}, {IdentityToken: "abc"}, {RegistryToken: "abc"},
	} {
		who := p.asker("registry", c)
		if same, found := accounts[who]; found {
			t.Errorf("%+v and %+v count as one", c, same)
		}
		accounts[who] = c
		if c != nil && who == other.asker("registry", c) {
			t.Error("another process would know the credential by the same sum")
		}
	}
	if p.asker("Index.docker.io", ann) != p.asker("docker.io", ann) {
		t.Error("two names of an endpoint count as two")
	}
}
