package images

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"plimsoll.dev/scheduler/pkg/registry"
)

// hosts is a resolver with registries of three kinds, by the host's first
// letters: those that are dead answer nothing for 10 seconds, those that are
// refused nothing at all, others at once.
type hosts struct {
	clock *clocktesting.FakeClock

	mu sync.Mutex
	// revived hosts answer after all.
	revived bool
	// attempts are when each host was asked; atOnce is the most at a time.
	attempts map[string][]time.Time
	inFlight map[string]int
	atOnce   map[string]int
	// gate, if not nil, keeps quick hosts from answering until it is closed.
	gate chan struct{}
}

func (h *hosts) Resolve(ctx context.Context, ref registry.Reference, _ *registry.Credential, _ func(string) (registry.Manifest, bool)) (registry.Manifest, error) {
	host := ref.Registry
	h.mu.Lock()
	h.attempts[host] = append(h.attempts[host], h.clock.Now())
	h.inFlight[host]++
	h.atOnce[host] = max(h.atOnce[host], h.inFlight[host])
	dead := !h.revived && strings.HasPrefix(host, "dead")
	refused := !h.revived && strings.HasPrefix(host, "refused")
	gate := h.gate
	var over <-chan time.Time
	if dead {
		over = h.clock.After(10 * time.Second)
	}
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.inFlight[host]--
	}()
	fail := func(p registry.Problem) (registry.Manifest, error) {
		return registry.Manifest{}, &registry.Error{Image: ref.String(), Problem: p, Err: fmt.Errorf("no answer from %s", host)}
	}
	switch {
	case dead:
		select {
		case <-over:
			return fail(registry.TimedOut)
		case <-ctx.Done():
			return fail(registry.TimedOut)
		}
	case refused:
		return fail(registry.Unreachable)
	case gate != nil:
		select {
		case <-gate:
		case <-ctx.Done():
		}
	}
	return index(1, amd64), nil
}

func (h *hosts) count(host string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.attempts[host])
}

func newHosts(t *testing.T, change func(*Options)) (*world, *hosts) {
	h := &hosts{attempts: map[string][]time.Time{}, inFlight: map[string]int{}, atOnce: map[string]int{}}
	w := newWorld(t, func(o *Options) {
		h.clock = o.Clock.(*clocktesting.FakeClock)
		o.Resolver = h
		if change != nil {
			change(o)
		}
	})
	return w, h
}

func (w *world) expectAll(what string, images []string, state State) {
	w.t.Helper()
	w.eventually(what, func() bool {
		for _, image := range images {
			if w.Lookup(nobody, image).State != state {
				return false
			}
		}
		return true
	})
}

func some(host string, from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprintf("%s/app:%d", host, i))
	}
	return all
}

func TestDeadRegistriesDoNotStarveAHealthyOne(t *testing.T) {
	w, h := newHosts(t, nil)
	var dead []string
	for i := range 40 {
		dead = append(dead, some(fmt.Sprintf("dead-%d.example", i), 0, 5)...)
	}
	for _, image := range dead {
		w.Want(nobody, image)
	}
	early, late := some("healthy.example", 0, 20), some("healthy.example", 20, 40)
	for _, image := range early {
		w.Want(nobody, image)
	}
	// The clock stands still: no attempt at a dead host has ended by then.
	w.expectAll("the healthy registry is asked beside the dead ones", early, Known)

	w.eventually("all dead registries are asked", func() bool {
		for i := range 40 {
			if h.count(fmt.Sprintf("dead-%d.example", i)) != 1 {
				return false
			}
		}
		return true
	})
	w.clock.Step(10 * time.Second)
	w.eventually("the attempts at dead registries end", func() bool {
		w.Store.mu.Lock()
		defer w.Store.mu.Unlock()
		return w.queue.busy == 0
	})
	w.clock.Step(time.Second) // they are suspect, and asked again
	for _, image := range late {
		w.Want(nobody, image)
	}
	w.expectAll("the healthy registry is asked beside the suspect ones", late, Known)
	for _, image := range dead {
		if a := w.Lookup(nobody, image); a.State != Waiting {
			t.Fatalf("%s is %v before the deadline", image, a.State)
		}
	}
	w.clock.Step(9 * time.Second)
	w.expectAll("dead images are overdue at the deadline", dead, Unknown)
	for _, image := range dead {
		w.expect(w.Lookup(nobody, image), Unknown, registry.TimedOut)
		w.eventually(image+" is told", func() bool { return w.toldOf(image) > 0 })
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for host, n := range h.atOnce {
		if n > fewestPerHost || strings.HasPrefix(host, "dead") && n > 1 {
			t.Errorf("%s was asked %d questions at once", host, n)
		}
	}
}

// errand is a task without work.
type errand struct{ inquiry }

func (*errand) host() string { return "example.com" }

func TestAttemptsThatFailTogetherAreOneStrike(t *testing.T) {
	s := NewStore(Options{Clock: clocktesting.NewFakeClock(time.Unix(0, 0))})
	q, now := s.queue, time.Unix(0, 0)
	for range 10 {
		q.push(&errand{inquiry{wanted: now}})
	}
	q.done(q.pop(), true, now)
	flying := []task{q.pop(), q.pop(), q.pop()} // and a fourth could be begun
	for _, attempt := range flying {
		q.done(attempt, false, now)
		if q.pop() != nil {
			t.Fatal("asked again at once after an attempt without an answer")
		}
	}
	l := q.lines["example.com"]
	if l.strikes != 1 || !l.alarm.at.Equal(now.Add(firstPause)) || len(l.tasks) != 6 {
		t.Fatalf("%d strikes, paused until %v, %d tasks in line; want 1, 1 s, 6", l.strikes, l.alarm.at, len(l.tasks))
	}
	s.stopAlarm(&l.alarm) // as when it rings
	q.rings(l, now.Add(firstPause))
	if probe := q.pop(); probe == nil || q.pop() != nil {
		t.Error("after the pause, want one attempt at a time")
	}
}

func TestAHealthyRegistryIsAskedSoManyQuestionsAtOnce(t *testing.T) {
	for perRegistry, want := range map[int]int{0: fewestPerHost, 10: 10, 64: 64} {
		w, h := newHosts(t, func(o *Options) { o.PerRegistry = perRegistry })
		h.mu.Lock()
		h.gate = make(chan struct{})
		h.mu.Unlock()
		images := some("healthy.example", 0, 80)
		for _, image := range images {
			w.Want(nobody, image)
		}
		w.eventually("one question is asked", func() bool { return h.count("healthy.example") == 1 })
		h.mu.Lock()
		first := h.gate
		h.gate = make(chan struct{})
		h.mu.Unlock()
		close(first)
		w.eventually("more are, once it was answered", func() bool { return h.count("healthy.example") == 1+want })
		h.mu.Lock()
		close(h.gate)
		h.gate = nil
		h.mu.Unlock()
		w.expectAll("all are answered", images, Known)
		if n := h.atOnce["healthy.example"]; n != want {
			t.Errorf("%d questions at once; want %d", n, want)
		}
	}
}

func TestASuspectRegistryIsAskedOneQuestionPerGrowingPauseWhateverTheImage(t *testing.T) {
	w, h := newHosts(t, nil)
	images := some("refused.example", 0, 50)
	start := w.clock.Now()
	for _, image := range images {
		w.Want(nobody, image)
	}
	for range 120 {
		w.step(time.Second)
	}
	var at []int
	for _, a := range h.attempts["refused.example"] {
		at = append(at, int(a.Sub(start)/time.Second))
	}
	if got, want := fmt.Sprint(at), "[0 1 3 7 15 31 61 91]"; got != want {
		t.Fatalf("asked at %v seconds; want %v", got, want)
	}
	h.mu.Lock()
	h.revived = true
	h.mu.Unlock()
	told := w.toldOf(images[49])
	w.step(time.Second) // 121 s: the pause is over, and the line moves on
	for _, image := range images[len(at):] {
		w.expect(w.Lookup(nobody, image), Known, "") // they kept their places
	}
	if w.toldOf(images[49]) == told {
		t.Error("nobody was told of the late success")
	}
}

func TestAnErrorIsAnAnswerThatClearsTheSuspicion(t *testing.T) {
	w := newWorld(t, nil)
	images := some("example.com", 0, 10)
	w.registry.set(images[0], reply{problem: registry.Unreachable})
	w.Want(nobody, images[0])
	w.calm()
	for _, image := range images[1:] {
		w.expect(w.Want(nobody, image), Waiting, "") // in line, which is no trouble
	}
	w.registry.set(images[0], reply{problem: registry.Malformed})
	w.step(999 * time.Millisecond)
	if n := w.registry.questions(images[1], ""); n != 0 {
		t.Fatal("asked before the pause was over")
	}
	w.step(time.Millisecond)
	for _, image := range images[1:] {
		w.expect(w.Lookup(nobody, image), Unknown, registry.NotFound)
	}
	w.Store.mu.Lock()
	defer w.Store.mu.Unlock()
	if len(w.queue.lines) != 0 {
		t.Errorf("%d hosts are remembered; want none without suspicion", len(w.queue.lines))
	}
}

func TestTimeInLineIsNoTrouble(t *testing.T) {
	w, h := newHosts(t, nil)
	images := some("dead.example", 0, 3)
	for _, image := range images {
		w.Want(nobody, image)
	}
	w.eventually("the first is asked", func() bool { return h.count("dead.example") == 1 })
	w.clock.Step(20 * time.Second)
	w.eventually("who waits is told", func() bool { return w.toldOf(images[2]) == 1 })
	a := w.Want(nobody, images[2])
	w.expect(a, Unknown, registry.TimedOut)
	if a.Message != w.overdueMessage {
		t.Errorf("message %q; want no other than %q", a.Message, w.overdueMessage)
	}
	w.Store.mu.Lock()
	q := &w.names[images[2]].image.public
	if !q.busy || q.failures != 0 || !q.next.IsZero() || q.trouble != "" {
		t.Errorf("busy %v, %d failures, next at %v; want it in line, without a pause", q.busy, q.failures, q.next)
	}
	w.Store.mu.Unlock()
}

func TestATurnThatDoesNotComeIsNoTrouble(t *testing.T) {
	r := newFakeRegistry()
	r.set(nginxRef, reply{manifest: index(1, amd64)})
	release := r.hold()
	w := newWorld(t, func(o *Options) { o.Resolver = r })
	w.Store.mu.Lock()
	w.flightLimit = time.Millisecond
	w.Store.mu.Unlock()
	w.Want(nobody, nginx)
	w.eventually("it is asked again and again", func() bool { return r.questions(nginxRef, "") > 3 })
	w.expect(w.Want(nobody, nginx), Waiting, "")
	release()
	w.eventually("its turn comes", func() bool { return w.Lookup(nobody, nginx).State == Known })
}

func TestWhatNobodyWantsAnyMoreLeavesTheLineOfASuspect(t *testing.T) {
	w, h := newHosts(t, nil)
	for _, image := range some("refused.example", 0, 500) {
		w.Want(nobody, image)
	}
	for range 14 {
		w.step(time.Minute)
	}
	if n := h.count("refused.example"); n > 40 {
		t.Errorf("asked %d times", n)
	}
	w.Store.mu.Lock()
	held := w.lru.held
	w.Store.mu.Unlock()
	if held != 0 {
		t.Errorf("%d bytes are held for images that nobody wants", held)
	}
	w.expectSound()
	for range 12 {
		w.step(time.Minute)
	}
	w.Store.mu.Lock()
	defer w.Store.mu.Unlock()
	if len(w.queue.lines) != 0 {
		t.Errorf("%d hosts are under suspicion for ever", len(w.queue.lines))
	}
}

func TestTheNumberOfSuspectsIsBounded(t *testing.T) {
	w, _ := newHosts(t, nil)
	for i := range 3 * mostSuspects {
		w.Want(nobody, fmt.Sprintf("refused-%d.example/app", i))
	}
	w.calm()
	w.step(wantedFor + lastRetry)
	w.Store.mu.Lock()
	defer w.Store.mu.Unlock()
	if n := len(w.queue.lines); n > mostSuspects {
		t.Errorf("%d hosts are remembered; want at most %d", n, mostSuspects)
	}
}
