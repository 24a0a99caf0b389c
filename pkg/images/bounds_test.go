package images

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"

	"plimsoll.dev/scheduler/pkg/arch"
	"plimsoll.dev/scheduler/pkg/registry"
)

// expectSound checks the invariants of all that is remembered.
func (w *world) expectSound() {
	w.t.Helper()
	s := w.Store
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lru.total > s.lru.max {
		w.t.Fatalf("%d bytes are remembered; want at most %d", s.lru.total, s.lru.max)
	}
	free := int64(0)
	for sl := s.lru.root.next; sl != &s.lru.root; sl = sl.next {
		free += sl.bytes
		if sl.pins != 0 || sl.bytes <= 0 {
			w.t.Fatalf("a slot in the order of use has %d pins, %d bytes", sl.pins, sl.bytes)
		}
	}
	if free+s.lru.held != s.lru.total {
		w.t.Fatalf("%d bytes can be forgotten and %d not; want %d together", free, s.lru.held, s.lru.total)
	}
	busy, probing := 0, 0
	for _, l := range s.queue.lines {
		busy += l.busy
		if l.probing {
			probing++
		}
		if l.busy > s.queue.perHost || l.paused && (l.isReady || !l.alarm.isSet()) || l.busy == 0 && !l.paused && !l.isReady && len(l.tasks) > 0 {
			w.t.Fatalf("%s: %d tasks of %d are done, listed %v, paused %v; want it to move, or to have a pause that ends",
				l.host, l.busy, len(l.tasks), l.isReady, l.paused)
		}
	}
	if busy != s.queue.busy || probing != s.queue.probing || probing > s.queue.perSuspects {
		w.t.Fatalf("%d tasks are being done, %d of suspects; counted are %d and %d", busy, probing, s.queue.busy, s.queue.probing)
	}
	for _, n := range s.names {
		if n.image != nil && s.images[n.image.ref] != n.image {
			w.t.Fatalf("%s leads to an image that was forgotten", n.text)
		}
	}
	for _, img := range s.images {
		for v := range img.waiting {
			if v.since.IsZero() || !v.deadline.isSet() {
				w.t.Fatalf("%v: somebody waits without a deadline", img.ref)
			}
		}
	}
	for _, v := range s.views {
		if s.images[v.view.image.ref] != v.view.image {
			w.t.Fatalf("a view of %v outlives it", v.view.image.ref)
		}
	}
	for _, p := range s.privates {
		if s.images[p.inquiry.image.ref] != p.inquiry.image {
			w.t.Fatalf("an inquiry for %v outlives it", p.inquiry.image.ref)
		}
	}
}

func TestAHundredThousandImagesFitTheBound(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxBytes = 4 << 20 })
	known := 0
	for i := range 100_000 {
		text := fmt.Sprintf("host-%d.example/app:%d", i%97, i)
		if w.Want(nobody, text).State == Waiting {
			w.registry.set(text, reply{manifest: index(i, amd64, arm64)})
		}
		w.Disprove("default", text, digest(i), arm64)
		if i%1000 == 0 {
			w.calm()
			if i%10_000 == 0 {
				w.expectSound()
			}
			if w.Lookup(nobody, text).State == Known {
				known++
			}
		}
	}
	w.calm()
	w.expectSound()
	if known < 90 {
		t.Errorf("of 100 samples, %d were Known; new images find no room", known)
	}
}

func TestAFloodOfNewImagesLeavesTheOldAnswersAlone(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxBytes = 1 << 20 })
	w.registry.set(nginxRef, reply{manifest: index(1, amd64)})
	w.settled(nobody, nginx)
	release := w.registry.hold()
	states := map[State]int{}
	for i := range 20_000 {
		a := w.Want(as("default", "pull"), fmt.Sprintf("flood.example/app:%d", i))
		if states[a.State]++; a.State == Unknown && a.Problem != registry.RateLimited {
			t.Fatalf("refused with %q", a.Problem)
		}
		if i%100 == 0 {
			w.expect(w.Want(nobody, nginx), Known, "")
		}
	}
	w.expectSound()
	if states[Waiting] == 0 || states[Unknown] == 0 || states[Known] != 0 {
		t.Errorf("states %v; want some to wait and the rest to be refused", states)
	}
	release()
}

func TestAManifestThatIsTooLargeIsNotRemembered(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxBytes = 1 << 20 })
	var many []arch.Platform
	for i := range 1000 {
		many = append(many, arch.New("windows", "amd64", "", fmt.Sprintf("10.0.%d", i)))
	}
	w.registry.set(nginxRef, reply{manifest: index(1, many...)})
	w.expect(w.settled(nobody, nginx), Unknown, registry.TooLarge)
}

func TestTheEstimateOfMemoryIsHonest(t *testing.T) {
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	s := NewStore(Options{Resolver: newFakeRegistry(), Secrets: (&fakeSecrets{}).get, MaxBytes: 64 << 20})
	now := time.Now()
	for i := range 5000 {
		text := fmt.Sprintf("host.example/app:%d", i)
		s.Want(as("namespace", "pull"), text)
		q := &s.names[text].image.public
		s.mu.Lock()
		s.decide(q, index(i, amd64, arm64), nil, now)
		s.privateInquiry(q.image, &registry.Credential{Username: "user", Password: text})
		s.mu.Unlock()
		s.Disprove("namespace", text, digest(i), arm64)
	}
	s.mu.Lock()
	s.queue, s.changed, s.alarms = newQueue(s, 1, 1), nil, nil // not part of what is remembered
	estimate := s.lru.total
	s.mu.Unlock()
	actual := heap() - before
	if actual > estimate*5/4 {
		t.Errorf("%d bytes are remembered by estimate; the heap grew by %d", estimate, actual)
	}
	t.Logf("estimate %d, heap %d", estimate, actual)
	runtime.KeepAlive(s)
}

func TestNothingRunsOnceTheContextEnds(t *testing.T) {
	r := newFakeRegistry()
	release := r.hold()
	defer release()
	s := NewStore(Options{Resolver: r})
	for i := range 100 {
		s.Want(nobody, fmt.Sprintf("example.com/app:%d", i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	for asked := 0; asked == 0; runtime.Gosched() {
		asked = r.questions("example.com/app:0", "")
	}
	cancel()
	<-done
	goleak.VerifyNone(t)
}

func benchStore(b *testing.B, who Asker, private bool) (*Store, string) {
	w := newWorld(b, nil)
	image := "private.example/team/app:1"
	if private {
		w.secrets.login("a/pull", map[string]string{"private.example": alice})
		w.registry.set(image, reply{manifest: index(1, amd64, arm64)}, alice)
	} else {
		w.registry.set(image, reply{manifest: index(1, amd64, arm64)})
	}
	w.Prove(who.Namespace, image, digest(1), amd64)
	if a := w.settled(who, image); a.State != Known {
		b.Fatalf("%+v", a)
	}
	return w.Store, image
}

func BenchmarkLookup(b *testing.B) {
	for name, private := range map[string]bool{"public": false, "private": true} {
		b.Run(name, func(b *testing.B) {
			who := as("a", "pull", "another")
			s, image := benchStore(b, who, private)
			b.ReportAllocs()
			for b.Loop() {
				s.Lookup(who, image)
			}
			if n := testing.AllocsPerRun(100, func() { s.Lookup(who, image) }); n != 0 {
				b.Errorf("%v allocations; want none", n)
			}
		})
	}
}

func BenchmarkWantKnown(b *testing.B) {
	who := as("a", "pull", "another")
	s, image := benchStore(b, who, true)
	b.ReportAllocs()
	for b.Loop() {
		s.Want(who, image)
	}
}

func TestLookupOfAKnownImageDoesNotAllocate(t *testing.T) {
	w := newPrivateWorld(t)
	w.registry.set(nginxRef, reply{manifest: index(2, amd64, arm64)})
	who := as("a", "pull")
	w.Disprove("a", nginx, digest(2), arm64)
	for _, image := range []string{app, nginx} {
		w.expect(w.settled(who, image), Known, "")
		w.calm()
		if n := testing.AllocsPerRun(100, func() { w.Lookup(who, image) }); n != 0 {
			t.Errorf("%s: Lookup allocates %v times; want 0", image, n)
		}
		if n := testing.AllocsPerRun(100, func() { w.Want(who, image) }); n != 0 {
			t.Errorf("%s: Want allocates %v times; want 0", image, n)
		}
	}
}
