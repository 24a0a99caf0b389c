package registry

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
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

func TestRequestsAreNoMoreThanTheRateButAResolveThatBeganEnds(t *testing.T) {
	f := newFake(t)
	f.image(t, "app", "v1", config("linux", "amd64", ""))
	h := newHarness(t, func(o *Options) { o.RequestsPerSecond, o.Burst = 2, 1 }, f)
	h.platforms(t, f.host()+"/app:v1") // login, HEAD, GET, config: four, three of them on credit
	f.asked()
	if e := h.problem(t, f.host()+"/app:v1", nil, RateLimited); e.RetryAfter != 2*time.Second {
		t.Errorf("retry after %v, want 2s: three requests back, and one more", e.RetryAfter)
	}
	wantRequests(t, f)
	h.clock.SetTime(h.clock.Now().Add(2 * time.Second))
	h.platforms(t, f.host()+"/app:v1")
}

func TestRequestsNeverExceedBurstAndRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		burst := rapid.IntRange(1, 20).Draw(t, "burst")
		perSecond := rapid.IntRange(1, 50).Draw(t, "per second")
		h, err := newClient(Options{RequestsPerSecond: float64(perSecond), Burst: burst}, network{})
		if err != nil {
			t.Fatal(err)
		}
		p, now, granted := h.paces.of("registry"), noon, 0
		for range rapid.IntRange(0, 200).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.IntRange(0, 200).Draw(t, "later in ms")) * time.Millisecond)
			if p.admit(now) == 0 {
				granted++
			}
		}
		if most := float64(burst) + now.Sub(noon).Seconds()*float64(perSecond) + 1e-6; float64(granted) > most {
			t.Fatalf("%d granted within %v, want at most %v", granted, now.Sub(noon), most)
		}
	})
}

func TestAPauseIsNeverShortened(t *testing.T) {
	p := &pace{}
	p.pause(noon.Add(time.Minute))
	p.pause(noon.Add(time.Second))
	if got := p.pausedFor(noon); got != time.Minute {
		t.Errorf("paused for %v, want 1m", got)
	}
	if got := p.pausedFor(noon.Add(time.Hour)); got != 0 {
		t.Errorf("an hour later paused for %v, want 0", got)
	}
}

func TestEndpointsAreForgottenWhenThereAreTooMany(t *testing.T) {
	h := newHarness(t, nil)
	h.paces.of("paused").pause(h.clock.Now().Add(time.Hour))
	for i := range 3 * maxPaces {
		h.paces.of(fmt.Sprint("host-", i))
	}
	if got := len(h.paces.byHost); got > maxPaces {
		t.Errorf("%d endpoints, want at most %d", got, maxPaces)
	}
	if h.paces.of("paused").pausedFor(h.clock.Now()) == 0 {
		t.Error("the paused endpoint was forgotten before those that are not")
	}
	for i := range 3 * maxPaces {
		h.paces.of(fmt.Sprint("host-", i)).pause(h.clock.Now().Add(time.Hour))
	}
	if got := len(h.paces.byHost); got > maxPaces {
		t.Errorf("%d endpoints, all paused, want at most %d", got, maxPaces)
	}
}
