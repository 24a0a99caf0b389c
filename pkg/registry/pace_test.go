package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/util/wait"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"
)

// eventually polls; what it waits for is done by other goroutines.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, 20*time.Second, true, func(context.Context) (bool, error) { return is(), nil })
	if err != nil {
		t.Fatalf("not in time: %s: %v", what, err)
	}
}

func TestABurstOfNewImagesIsAnsweredToTheLast(t *testing.T) {
	f := newFake(t)
	f.image(t, "app", "v1", config("linux", "amd64", ""))
	h := newHarness(t, func(o *Options) { o.Clock = hasty{o.Clock.(*clocktesting.FakeClock)} }, f)
	begin := h.clock.Now()
	var done sync.WaitGroup
	ref, _ := Parse(f.host() + "/app:v1")
	for range 120 {
		done.Go(func() {
			if m, err := h.Resolve(context.Background(), ref, nil, nil); err != nil || drawn(m) != "image linux/amd64" {
				t.Errorf("got %v, %v, want the image", drawn(m), err)
			}
		})
	}
	done.Wait()
	if took := h.clock.Now().Sub(begin).Round(time.Millisecond); took != time.Second {
		t.Errorf("took %v, want 1s: 100 at once, 20 at 20 a second", took)
	}
}

func TestAnInspectionTakesOneTurnHoweverManyRequestsItSends(t *testing.T) {
	f := newFake(t)
	f.image(t, "app", "v1", config("linux", "amd64", ""))
	h := newHarness(t, func(o *Options) { o.InspectionsPerSecond, o.Burst = 2, 1 }, f)
	h.platforms(t, f.host()+"/app:v1") // login, HEAD, GET, config
	f.asked()
	ref, _ := Parse(f.host() + "/app:v1")
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_, err := h.Resolve(ctx, ref, nil, nil)
		done <- err
	}()
	eventually(t, "the second is in line", h.clock.HasWaiters)
	h.clock.Step(499 * time.Millisecond)
	if !h.clock.HasWaiters() {
		t.Error("the second did not wait for half a second")
	}
	wantRequests(t, f)
	h.clock.Step(time.Millisecond)
	if err := <-done; err != nil {
		t.Errorf("got %v, want the image after half a second", err)
	}
}

func TestTheTimeoutBeginsWhenTheTurnHasCome(t *testing.T) {
	h := newHarness(t, func(o *Options) { o.InspectionsPerSecond, o.Burst, o.Timeout = 1, 1, time.Minute })
	deadlines := make(chan time.Time, 1)
	h.instead(func(req *http.Request) (*http.Response, error) {
		deadline, _ := req.Context().Deadline()
		deadlines <- deadline
		return nil, errors.New("no network")
	})
	h.wantProblem(t, "quay.io/app", nil, Unreachable)
	<-deadlines
	ref, _ := Parse("quay.io/app")
	go func() { _, _ = h.Resolve(context.Background(), ref, nil, nil) }()
	eventually(t, "the second is in line", h.clock.HasWaiters)
	turn := time.Now()
	h.clock.Step(time.Second)
	if got := <-deadlines; got.Before(turn.Add(time.Minute)) {
		t.Errorf("ends %v after the turn came, want the whole minute", got.Sub(turn))
	}
}

func TestThoseWhoGiveUpWaitingLeaveNoDebt(t *testing.T) {
	f := newFake(t)
	f.index(t, "app", "v1", "amd64")
	h := newHarness(t, func(o *Options) { o.InspectionsPerSecond, o.Burst = 1, 1 }, f)
	h.platforms(t, f.host()+"/app:v1")
	f.asked()
	ref, _ := Parse(f.host() + "/app:v1")
	ctx, cancel := context.WithCancel(context.Background())
	var left sync.WaitGroup
	for range 50 {
		left.Go(func() {
			_, err := h.Resolve(ctx, ref, nil, nil)
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Problem != TimedOut || !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want %s and %v", err, TimedOut, context.Canceled)
			}
		})
	}
	eventually(t, "one is first in line", h.clock.HasWaiters)
	cancel()
	left.Wait()
	wantRequests(t, f)

	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_, err := h.Resolve(ctx, ref, nil, nil)
		done <- err
	}()
	eventually(t, "the next is in line", h.clock.HasWaiters)
	h.clock.Step(time.Second)
	if err := <-done; err != nil {
		t.Errorf("got %v, want the image after one second", err)
	}
}

func TestAPauseEndsTheWaitOfThoseInLine(t *testing.T) {
	h := newHarness(t, func(o *Options) { o.Burst = 3 })
	p := h.paces.of("registry")
	p.head <- struct{}{} // somebody is first
	looked := make(chan struct{}, 3)
	pauses := make(chan time.Duration, 3)
	pauses <- 0
	done := make(chan time.Duration)
	go func() {
		left, _ := p.turn(context.Background(), func() time.Duration { looked <- struct{}{}; return <-pauses })
		done <- left
	}()
	<-looked // and gets in line
	pauses <- time.Minute
	pauses <- 0 // must not be asked for
	<-p.head
	if got := <-done; got != time.Minute {
		t.Errorf("got a pause of %v, want the minute that began meanwhile", got)
	}
	if got := p.bucket.TokensAt(h.clock.Now()); got != 3 {
		t.Errorf("%v tokens left, want all 3: nothing was asked", got)
	}
}

func TestTurnsComeAtTheRateNeitherBeforeNorLater(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		burst := rapid.IntRange(1, 20).Draw(t, "burst")
		perSecond := rapid.IntRange(1, 50).Draw(t, "per second")
		now := hasty{clocktesting.NewFakeClock(noon)}
		paces := paces{clock: now, limit: rate.Limit(perSecond), burst: burst, byHost: map[string]*pace{}}
		p := paces.of("registry")
		idle := time.Duration(0)
		turns := rapid.IntRange(1, 200).Draw(t, "turns")
		for range turns {
			gap := time.Duration(rapid.IntRange(0, 200).Draw(t, "later in ms")) * time.Millisecond
			now.Step(gap)
			idle += gap
			if _, err := p.turn(context.Background(), func() time.Duration { return 0 }); err != nil {
				t.Fatal(err)
			}
		}
		took := now.Since(noon)
		if most := float64(burst) + took.Seconds()*float64(perSecond) + 1e-3; float64(turns) > most {
			t.Fatalf("%d turns within %v, want at most %v", turns, took, most)
		}
		needed := time.Duration(float64(max(turns-burst, 0)) / float64(perSecond) * float64(time.Second))
		if most := idle + needed + time.Millisecond; took > most {
			t.Fatalf("%d turns took %v, want at most %v", turns, took, most)
		}
	})
}

func TestEndpointsAreForgottenWhenThereAreTooMany(t *testing.T) {
	h := newHarness(t, nil)
	h.paces.of("busy").bucket.ReserveN(h.clock.Now(), 100)
	for i := range 3 * maxPaces {
		h.paces.of(fmt.Sprint("host-", i))
	}
	if got := len(h.paces.byHost); got > maxPaces {
		t.Errorf("%d endpoints, want at most %d", got, maxPaces)
	}
	if h.paces.of("busy").bucket.TokensAt(h.clock.Now()) != 0 {
		t.Error("the busy endpoint was forgotten before those that are not")
	}
	for i := range 3 * maxPaces {
		h.paces.of(fmt.Sprint("host-", i)).bucket.ReserveN(h.clock.Now(), 100)
	}
	if got := len(h.paces.byHost); got > maxPaces {
		t.Errorf("%d endpoints, all busy, want at most %d", got, maxPaces)
	}
}
