package registry

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTheWayToLogInIsAskedOnceInTenMinutes(t *testing.T) {
	f := newFake(t)
	f.index(t, "app", "v1", "amd64")
	f.index(t, "other", "v1", "amd64")
	f.wantBearer(f.URL + "/token")
	f.issue(true)
	h := newHarness(t, nil, f)
	asksForWay := func(image string, credential *Credential) bool {
		t.Helper()
		if _, err := h.resolve(t, f.host()+image, credential); err != nil {
			t.Fatal(err)
		}
		requests := f.asked()
		if !slices.Contains(requests, "GET /token") {
			t.Errorf("%q, want a token for each inspection", requests)
		}
		return slices.Contains(requests, "GET /v2/")
	}
	if !asksForWay("/app:v1", nil) {
		t.Error("the first did not ask how to log in")
	}
	h.clock.Step(wayTTL - time.Second)
	if asksForWay("/other:v1", nil) || asksForWay("/app:v1", ann) {
		t.Error("asked how to log in, want that to be remembered of the endpoint")
	}
	h.clock.Step(time.Second)
	if !asksForWay("/app:v1", nil) {
		t.Error("did not ask how to log in after ten minutes")
	}
}

func TestANewWayToLogInIsFoundWhenTheOldOneFails(t *testing.T) {
	f := newFake(t)
	f.index(t, "app", "v1", "amd64")
	f.wantBearer(f.URL + "/token")
	f.issue(false)
	h := newHarness(t, nil, f)
	for range 2 {
		if m, err := h.resolve(t, f.host()+"/app:v1", ann); err != nil || drawn(m) != "index linux/amd64" {
			t.Fatalf("got %v, %v, want the image", drawn(m), err)
		}
		f.mu.Lock()
		f.intercept = nil
		f.mu.Unlock()
		f.on("/new", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"token":"new"}`) })
		f.guardedBy(func(shown string) bool { return shown == "Bearer new" }, fmt.Sprintf(`Bearer realm=%q`, f.URL+"/new"))
	}
}

func TestAWayByWhichLoggingInFailsIsForgotten(t *testing.T) {
	f := newFake(t)
	f.on("/token", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	f.wantBearer(f.URL + "/token")
	h := newHarness(t, nil, f)
	for range 2 {
		h.wantProblem(t, f.host()+"/app:v1", ann, ServerError)
		if got := f.asked(); !slices.Contains(got, "GET /v2/") {
			t.Errorf("%q, want to ask anew how to log in", got)
		}
	}
}

func TestAWayToWhatCannotBeReachedIsForgotten(t *testing.T) {
	f := newFake(t)
	f.index(t, "app", "v1", "amd64")
	h := newHarness(t, nil, f)
	h.platforms(t, f.host()+"/app:v1")
	f.on("/manifests/v1", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	h.wantProblem(t, f.host()+"/app:v1", nil, Unreachable)
	f.asked()
	h.wantProblem(t, f.host()+"/app:v1", nil, Unreachable)
	if got := f.asked(); !slices.Contains(got, "GET /v2/") {
		t.Errorf("%q, want to ask anew how to log in: it may speak another scheme by now", got)
	}
}

func TestA404OfWhatHasTakenTheRegistrysPlaceIsNoAnswerOfIt(t *testing.T) {
	f := newFake(t)
	f.index(t, "app", "v1", "amd64")
	h := newHarness(t, nil, f)
	h.platforms(t, f.host()+"/app:v1")
	f.asked()
	h.wantProblem(t, f.host()+"/app:v2", nil, NotFound)
	wantRequests(t, f, "HEAD /v2/app/manifests/v2", "GET /v2/") // is it still a registry?

	f.on("", http.NotFound) // as from a default backend
	h.wantProblem(t, f.host()+"/app:v1", nil, Malformed)
	h.wantProblem(t, f.host()+"/app:v1", nil, Malformed)
	f.on("", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	h.wantProblem(t, f.host()+"/app:v1", nil, ServerError)

	f.mu.Lock()
	f.intercept = nil
	f.mu.Unlock()
	h.platforms(t, f.host()+"/app:v1")
	h.wantProblem(t, f.host()+"/app:v2", nil, NotFound)
}

func TestA404BesideAWebPageIsNoAnswerOfARegistry(t *testing.T) {
	f := newFake(t)
	page := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<html>Sorry, back soon")
	}
	f.on("/v2/", page)
	h := newHarness(t, nil, f)
	for range 2 {
		h.wantProblem(t, f.host()+"/app:v1", nil, Malformed)
		wantRequests(t, f, "GET /v2/", "HEAD /v2/app/manifests/v1")
	}
	f.on("/manifests/v1", page)
	h.wantProblem(t, f.host()+"/app:v1", nil, Malformed)
}

func TestA404OfATokenServerSaysNothingOfTheImage(t *testing.T) {
	f := newFake(t)
	f.on("/token", http.NotFound)
	f.wantBearer(f.URL + "/token")
	h := newHarness(t, nil, f)
	h.wantProblem(t, f.host()+"/app:v1", ann, Malformed)

	// Nor does it when the first token is not enough.
	fetched := 0
	f.on("/token", func(w http.ResponseWriter, r *http.Request) {
		if fetched++; fetched > 1 {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, `{"token":"weak"}`)
	})
	h.wantProblem(t, f.host()+"/app:v1", ann, Malformed)
	if fetched < 2 {
		t.Errorf("%d tokens were asked for, want a second", fetched)
	}
}

func TestALongWayIsNotRemembered(t *testing.T) {
	f := newFake(t)
	f.index(t, "app", "v1", "amd64")
	f.guardedBy(func(shown string) bool { return shown != "" }, `Basic realm="`+strings.Repeat("x", maxWaySize)+`"`)
	h := newHarness(t, nil, f)
	for range 2 {
		if _, err := h.resolve(t, f.host()+"/app:v1", ann); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(h.ways.entries); got != 0 {
		t.Errorf("%d ways are remembered, want none of that length", got)
	}
}

func TestOfTooManyWhatWouldLapseFirstGoes(t *testing.T) {
	l := newLapsing[int, bool](10)
	for key, minutes := range []int{7, 3, 9, 5, 1, 8, 2, 10, 6, 4} {
		l.put(key, true, noon.Add(time.Duration(minutes)*time.Minute), noon)
	}
	for i := range 5 {
		l.put(100+i, true, noon.Add(time.Hour), noon)
	}
	for key, minutes := range []int{7, 3, 9, 5, 1, 8, 2, 10, 6, 4} {
		if kept, _ := l.get(key, noon); kept != (minutes > 5) {
			t.Errorf("what lapses in %d minutes is kept: %v, want the five that are soonest to go", minutes, kept)
		}
	}
}

func TestWhatLapsesIsBoundedAndKeptUntilThen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 5).Draw(t, "most")
		l := newLapsing[int, int](most)
		now, model := noon, map[int]lapse[int]{}
		for step := range rapid.IntRange(0, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "later")) * time.Second)
			key := rapid.IntRange(0, 7).Draw(t, "key")
			until := now.Add(time.Duration(rapid.IntRange(1, 9).Draw(t, "for")) * time.Second)
			if before := model[key].until; before.After(until) {
				until = before
			}
			if rapid.Bool().Draw(t, "forget") {
				l.forget(key)
				delete(model, key)
				continue
			}
			l.put(key, step, until, now)
			model[key] = lapse[int]{step, until}
			if value, left := l.get(key, now); value != step || left != until.Sub(now) {
				t.Fatalf("got %d for %v, want %d for %v", value, left, step, until.Sub(now))
			}
			if len(l.entries) > most {
				t.Fatalf("%d entries, want at most %d", len(l.entries), most)
			}
			alive := 0
			for key, want := range model {
				if !want.until.After(now) {
					delete(model, key)
				} else if value, left := l.get(key, now); left > 0 {
					alive++
					if value != want.value {
						t.Fatalf("%d is %d, want %d", key, value, want.value)
					}
				}
			}
			if want := min(most, len(model)); alive < want {
				t.Fatalf("%d are left, want %d: no more may go than must", alive, want)
			}
			for key := range model {
				if _, left := l.get(key, now); left == 0 {
					delete(model, key)
				}
			}
		}
	})
}
