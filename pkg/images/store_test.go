package images

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"plimsoll.dev/scheduler/pkg/arch"
	"plimsoll.dev/scheduler/pkg/registry"
)

const (
	nginx    = "nginx"
	nginxRef = "docker.io/library/nginx:latest"
)

func TestAThousandPodsThatWantOneImageAskOnce(t *testing.T) {
	w := newWorld(t, nil)
	w.registry.set(nginxRef, reply{manifest: index(1, amd64, arm64)})
	release := w.registry.hold()
	var pods sync.WaitGroup
	for i := range 1000 {
		pods.Go(func() {
			spelling := []string{nginx, nginxRef, "docker.io/library/nginx", "nginx:latest"}[i%4]
			if a := w.Want(nobody, spelling); a.State != Waiting {
				t.Errorf("%s: %v before the registry has answered", spelling, a.State)
			}
		})
	}
	pods.Wait()
	release()
	w.calm()
	for _, spelling := range []string{nginx, nginxRef, "docker.io/library/nginx", "nginx:latest"} {
		a := w.Lookup(nobody, spelling)
		w.expect(a, Known, "")
		if a.Digest != digest(1) || a.Platforms.Len() != 2 || a.Stale || a.Anywhere {
			t.Errorf("%s: %+v", spelling, a)
		}
		if w.toldOf(spelling) != 1 {
			t.Errorf("listeners were told %d times of %s; want once", w.toldOf(spelling), spelling)
		}
	}
	if n := w.registry.questions(nginxRef, ""); n != 1 {
		t.Errorf("the registry was asked %d times; want once", n)
	}
}

func TestLookupOfASpellingNobodyUsedFindsTheImage(t *testing.T) {
	w := newWorld(t, nil)
	w.registry.set(nginxRef, reply{manifest: index(1, amd64)})
	w.settled(nobody, nginx)
	w.expect(w.Lookup(nobody, "docker.io/library/nginx:latest"), Known, "")
	w.expect(w.Lookup(nobody, "redis"), Waiting, "")
	w.expect(w.Lookup(nobody, "NOT A REFERENCE"), Unknown, registry.Malformed)
	if n := w.registry.questions("docker.io/library/redis:latest", ""); n != 0 || len(w.names) != 1 {
		t.Errorf("Lookup asked %d questions and remembers %d names; want 0 and 1", n, len(w.names))
	}
}

func TestWhatIsNoReferenceIsMalformedAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	for _, image := range []string{"", "NOT A REFERENCE", "a@sha256:short", strings.Repeat("a", longestName+1)} {
		for range 2 {
			a := w.Want(nobody, image)
			w.expect(a, Unknown, registry.Malformed)
			if a.Message == "" || len(a.Message) > 2*longestMessage {
				t.Errorf("message of %d bytes: %q", len(a.Message), a.Message)
			}
		}
		w.expect(w.Lookup(nobody, image), Unknown, registry.Malformed)
	}
}

func TestWithoutResolverNothingWaits(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Resolver = nil })
	a := w.Want(nobody, nginx)
	w.expect(a, Unknown, "")
	if a.Message != "registries are not asked" {
		t.Errorf("message %q", a.Message)
	}
	w.Prove("default", nginx, "docker.io/library/nginx@"+digest(1), arm64)
	w.Disprove("default", nginx, digest(1), amd64)
	a = w.Lookup(nobody, nginx)
	if a.Proven.Len() != 1 || a.Disproved.Len() != 1 {
		t.Errorf("proven %v, disproved %v; want one of each", a.Proven, a.Disproved)
	}
}

func TestKindsOfManifests(t *testing.T) {
	w := newWorld(t, nil)
	w.registry.set("example.com/artifact:1", reply{manifest: registry.Manifest{Digest: digest(1), Kind: registry.Artifact}})
	w.registry.set("example.com/silent:1", reply{manifest: registry.Manifest{Digest: digest(2), Kind: registry.Image, Mountable: true}})
	w.registry.set("example.com/plain:1", reply{manifest: registry.Manifest{Digest: digest(5), Kind: registry.Image, Mountable: true, Platforms: only(arm64)}})
	w.registry.set("example.com/lies:1", reply{manifest: registry.Manifest{Digest: "latest", Kind: registry.Image}})
	w.registry.set("example.com/swaps@"+digest(3), reply{manifest: index(4, amd64)})

	if a := w.settled(nobody, "example.com/artifact:1"); a.State != Known || !a.Anywhere {
		t.Errorf("an artifact constrains: %+v", a)
	}
	a := w.settled(nobody, "example.com/silent:1")
	w.expect(a, Unknown, "")
	if plain := w.settled(nobody, "example.com/plain:1"); plain.State != Known || !plain.Mountable || !a.Mountable {
		t.Errorf("what can be mounted anywhere: %+v and %+v", plain, a)
	}
	if a.Digest != digest(2) || !strings.Contains(a.Message, "does not say") {
		t.Errorf("an image without platforms: %+v", a)
	}
	w.expect(w.settled(nobody, "example.com/lies:1"), Unknown, registry.Malformed)
	w.expect(w.settled(nobody, "example.com/swaps@"+digest(3)), Unknown, registry.Malformed)
}

func TestATagIsAskedAgainWithoutADownloadWhenItsTimeIsOver(t *testing.T) {
	w := newWorld(t, nil)
	w.registry.set(nginxRef, reply{manifest: index(1, amd64)})
	w.settled(nobody, nginx)
	w.step(10*time.Minute - time.Second)
	w.settled(nobody, nginx)
	if n := w.registry.questions(nginxRef, ""); n != 1 {
		t.Fatalf("asked %d times within TagTTL; want once", n)
	}
	w.step(2 * time.Second)
	w.expect(w.Want(nobody, nginx), Known, "")
	w.calm()
	if n := w.registry.questions(nginxRef, ""); n != 2 || w.registry.downloads != 1 {
		t.Errorf("asked %d times with %d downloads; want 2 with 1", n, w.registry.downloads)
	}
	if w.toldOf(nginx) != 1 {
		t.Errorf("told %d times; a confirmed digest is no news", w.toldOf(nginx))
	}
}

func TestAReferenceWithADigestIsNeverAskedAgain(t *testing.T) {
	w := newWorld(t, nil)
	pinned := "example.com/app@" + digest(7)
	w.registry.set(pinned, reply{manifest: index(7, arm64)})
	w.settled(nobody, pinned)
	w.step(1000 * time.Hour)
	w.expect(w.settled(nobody, pinned), Known, "")
	if n := w.registry.questions(pinned, ""); n != 1 {
		t.Errorf("asked %d times; want once", n)
	}
}

func TestWhatASparseMirrorSaysIsNotKeptForGood(t *testing.T) {
	w := newWorld(t, nil)
	pinned := "example.com/app@" + digest(7)
	partial := index(7, arm64)
	partial.Sparse = true
	w.registry.set(pinned, reply{manifest: partial})
	w.settled(nobody, pinned)
	w.registry.set(pinned, reply{manifest: index(7, amd64, arm64)})
	w.step(10*time.Minute + time.Second)
	w.Want(nobody, pinned)
	w.eventually("the rest of the index is known", func() bool { return w.Lookup(nobody, pinned).Platforms.Len() == 2 })
	if w.registry.downloads != 2 {
		t.Errorf("%d downloads; want 2, since the first was not all", w.registry.downloads)
	}
}

func TestAnAnswerThatExpiresBetweenTwoLooksDoesNotFlip(t *testing.T) {
	w := newWorld(t, nil)
	w.registry.set(nginxRef, reply{manifest: index(1, amd64)})
	w.settled(nobody, nginx)
	w.registry.set(nginxRef, reply{manifest: index(2, amd64, arm64)})
	release := w.registry.hold()
	w.step(10*time.Minute + grace - time.Second)
	if a := w.Want(nobody, nginx); a.State != Known || a.Digest != digest(1) || a.Stale {
		t.Fatalf("in the grace: %+v", a)
	}
	w.clock.Step(time.Hour) // however long the renewal takes
	if a := w.Want(nobody, nginx); a.State != Known || a.Digest != digest(1) {
		t.Fatalf("while it is renewed: %+v", a)
	}
	release()
	w.calm()
	if a := w.Lookup(nobody, nginx); a.Digest != digest(2) || w.toldOf(nginx) != 2 {
		t.Errorf("renewed: %+v, told %d times; want the new digest, and to be told of it", a, w.toldOf(nginx))
	}
}

func TestAnAnswerThatNobodyRenewedWaitsForTheNews(t *testing.T) {
	w := newWorld(t, nil)
	w.registry.set(nginxRef, reply{manifest: index(1, amd64)})
	w.settled(nobody, nginx)
	w.step(10*time.Minute + grace)
	release := w.registry.hold()
	w.expect(w.Lookup(nobody, nginx), Waiting, "")
	w.expect(w.Want(nobody, nginx), Waiting, "")
	w.clock.Step(20 * time.Second)
	w.eventually("the deadline is told", func() bool { return w.toldOf(nginx) == 2 })
	if a := w.Want(nobody, nginx); a.State != Known || !a.Stale || a.Digest != digest(1) {
		t.Errorf("after the deadline: %+v; want the old answer, stale", a)
	}
	release()
	w.calm()
	if a := w.Want(nobody, nginx); a.State != Known || a.Stale {
		t.Errorf("renewed: %+v", a)
	}
}

func TestTroubleWhileRenewingLeavesTheOldAnswerStale(t *testing.T) {
	w := newWorld(t, nil)
	w.registry.set(nginxRef, reply{manifest: index(1, amd64)})
	w.settled(nobody, nginx)
	w.registry.set(nginxRef, reply{problem: registry.ServerError})
	w.step(time.Hour)
	if a := w.settled(nobody, nginx); a.State != Known || !a.Stale || a.Platforms.Len() != 1 {
		t.Fatalf("with trouble: %+v; want the old answer, stale", a)
	}
	w.registry.set(nginxRef, reply{manifest: index(2, arm64)})
	told := w.toldOf(nginx)
	w.step(time.Second)
	if a := w.Lookup(nobody, nginx); a.Stale || a.Digest != digest(2) || w.toldOf(nginx) != told+1 {
		t.Errorf("after the trouble: %+v, told %d times; want the new answer by itself", a, w.toldOf(nginx)-told)
	}
}

func TestAnImageThatIsTakenAwayBecomesUnknown(t *testing.T) {
	w := newWorld(t, nil)
	w.registry.set(nginxRef, reply{manifest: index(1, amd64)})
	w.settled(nobody, nginx)
	w.registry.set(nginxRef, reply{problem: registry.NotFound})
	w.step(time.Hour)
	a := w.settled(nobody, nginx)
	w.expect(a, Unknown, registry.NotFound)
	if a.Digest != "" || a.Platforms.Len() != 0 {
		t.Errorf("%+v still says what the image was", a)
	}
}

func TestAPassingAnswerDoesNotEraseWhatIsKnown(t *testing.T) {
	for _, problem := range []registry.Problem{registry.Unauthorized, registry.Forbidden, registry.Malformed, registry.TooLarge} {
		w := newWorld(t, nil)
		w.registry.set(nginxRef, reply{manifest: index(1, amd64)})
		w.settled(nobody, nginx)
		w.registry.set(nginxRef, reply{problem: problem})
		w.step(time.Hour)
		if a := w.settled(nobody, nginx); a.State != Known || !a.Stale || a.Digest != digest(1) {
			t.Errorf("%s: %+v; want the old answer, stale", problem, a)
		}
		w.registry.set(nginxRef, reply{manifest: index(2, arm64)})
		w.step(time.Second)
		if a := w.Lookup(nobody, nginx); a.State != Known || a.Stale || a.Digest != digest(2) {
			t.Errorf("%s: %+v; want the new answer after a short pause", problem, a)
		}
	}
}

func TestAnOldProblemIsForgottenOnceTheImageIsKnown(t *testing.T) {
	w := newWorld(t, nil)
	w.expect(w.settled(nobody, nginx), Unknown, registry.NotFound)
	w.registry.set(nginxRef, reply{manifest: index(1, amd64)})
	w.step(time.Minute)
	w.expect(w.settled(nobody, nginx), Known, "")
	w.step(10*time.Minute + grace)
	release := w.registry.hold()
	w.expect(w.Want(nobody, nginx), Waiting, "") // as for any image that expired
	release()
}

func TestTroubleIsRetriedWithGrowingPausesWhileWanted(t *testing.T) {
	w := newWorld(t, nil)
	w.registry.set(nginxRef, reply{problem: registry.Unreachable})
	a := w.settled(nobody, nginx)
	w.expect(a, Waiting, registry.Unreachable)
	asked := 1
	for _, pause := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
		w.step(pause*time.Second - 100*time.Millisecond)
		if n := w.registry.questions(nginxRef, ""); n != asked {
			t.Fatalf("asked %d times before %d s were over; want %d", n, pause, asked)
		}
		w.step(200 * time.Millisecond)
		if asked++; w.registry.questions(nginxRef, "") != asked {
			t.Fatalf("not asked again %d s after trouble", pause)
		}
		w.Want(nobody, nginx)
	}
	w.step(wantedFor)
	w.step(time.Hour)
	if n := w.registry.questions(nginxRef, ""); n > asked+2 {
		t.Errorf("asked %d times more although nobody wanted it", n-asked)
	}
	asked = w.registry.questions(nginxRef, "")
	w.expect(w.Want(nobody, nginx), Unknown, registry.Unreachable)
	w.calm()
	if w.registry.questions(nginxRef, "") != asked+1 {
		t.Error("not asked again at once when it was wanted again")
	}
}

func TestARegistrysOwnPauseIsKept(t *testing.T) {
	w := newWorld(t, nil)
	w.registry.set(nginxRef, reply{problem: registry.RateLimited, after: 5 * time.Minute})
	w.settled(nobody, nginx)
	w.step(5*time.Minute - time.Second)
	if n := w.registry.questions(nginxRef, ""); n != 1 {
		t.Fatalf("asked %d times although the registry wanted to be left alone", n)
	}
	w.step(2 * time.Second)
	if n := w.registry.questions(nginxRef, ""); n != 2 {
		t.Errorf("asked %d times; want twice", n)
	}
}

func TestTheDeadlineNeedsNoCallerAndALateSuccessIsTold(t *testing.T) {
	w := newWorld(t, nil)
	w.registry.set(nginxRef, reply{manifest: index(1, amd64)})
	release := w.registry.hold()
	w.expect(w.Want(nobody, nginx), Waiting, "")
	w.clock.Step(15 * time.Second)
	w.expect(w.Want(nobody, nginx), Waiting, "") // a later pod does not prolong it
	w.clock.Step(5 * time.Second)
	w.eventually("the deadline is told", func() bool { return w.toldOf(nginx) == 1 })
	w.expect(w.Want(nobody, nginx), Unknown, registry.TimedOut)
	w.expect(w.Want(Asker{Namespace: "later", PullSecrets: []string{"any"}}, nginx), Unknown, registry.TimedOut)
	release()
	w.eventually("the late success is told", func() bool { return w.toldOf(nginx) == 2 })
	w.expect(w.Lookup(nobody, nginx), Known, "")
}

func TestPausesBetweenRetriesAreSpread(t *testing.T) {
	s := NewStore(Options{})
	q := &s.imageOf(registry.Reference{Registry: "example.com"}).public
	now := time.Unix(0, 0)
	for random, want := range map[float64]time.Duration{0: 800 * time.Millisecond, 0.5: time.Second, 0.9999999: 1200 * time.Millisecond} {
		s.random = func() float64 { return random }
		q.failures = 0
		s.struggle(q, &registry.Error{Problem: registry.TimedOut, Err: errors.New("slow")}, now)
		if got := q.next.Sub(now).Round(time.Millisecond); got != want {
			t.Errorf("random %v: %v; want %v", random, got, want)
		}
	}
}

func TestASlowRegistryDoesNotHoldUpOthers(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Workers = 2 })
	release := w.registry.hold()
	for _, image := range []string{"slow.example/a", "slow.example/b", "slow.example/c"} {
		w.Want(nobody, image)
	}
	w.eventually("the slow registry is asked", func() bool { return w.registry.questions("slow.example/a:latest", "") == 1 })
	w.registry.mu.Lock()
	delete(w.registry.held, "*") // for questions from now on
	w.registry.mu.Unlock()
	w.registry.set("quick.example/a:latest", reply{manifest: index(1, amd64)})
	w.Want(nobody, "quick.example/a")
	w.eventually("the quick registry answers", func() bool { return w.Lookup(nobody, "quick.example/a").State == Known })
	if w.registry.questions("slow.example/b:latest", "") != 0 {
		t.Error("one registry has all workers")
	}
	release()
}

func TestInspectionsAreMeasured(t *testing.T) {
	var mu sync.Mutex
	results := map[string]int{}
	w := newWorld(t, func(o *Options) {
		o.OnInspect = func(registry, result string, _ time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			results[registry+" "+result]++
		}
	})
	w.registry.set(nginxRef, reply{manifest: index(1, arch.New("windows", "amd64", "", "10.0.20348"))})
	w.settled(nobody, nginx)
	w.settled(nobody, "example.com/none")
	mu.Lock()
	defer mu.Unlock()
	if results["docker.io ok"] != 1 || results["example.com not_found"] != 1 || len(results) != 2 {
		t.Errorf("results %v", results)
	}
}
