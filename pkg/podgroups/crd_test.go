package podgroups

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	testclock "k8s.io/utils/clock/testing"

	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/pkg/intent"
)

const often = 10 * time.Second

// running is a Sizes that follows the server's PodGroups, with a clock of its own.
type running struct {
	*server
	t     *testing.T
	sizes *Sizes
	clock *testclock.FakeClock
	told  *changes
	// byOwner is the size that the pods' owner says.
	byOwner Size
}

func run(t *testing.T, begin func(*server)) *running {
	t.Helper()
	r := &running{server: serve(t), t: t, clock: testclock.NewFakeClock(time.Unix(0, 0)), byOwner: Size{Gang: 3, Whole: 3, Total: 3, Source: "ReplicaSet ml/web"}}
	r.set(begin)
	before := goleak.IgnoreCurrent()
	r.sizes, _, r.told = watching(t, Options{Config: r.config(), DiscoverEvery: often, Clock: r.clock}, replicaSet("web", new(int32(3)), ""),
		job("ends", new(int32(4)), new(int32(4)), 3), job("part", new(int32(3)), new(int32(3)), 2), job("launcher", nil, new(int32(1)), 0),
		job("work-queue", new(int32(4)), nil, 3), job("rounds", new(int32(4)), new(int32(40)), 30))
	informersRun := goleak.IgnoreCurrent()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.sizes.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		r.transport.CloseIdleConnections()
		r.CloseClientConnections()
		if err := goleak.Find(before, informersRun, goleak.IgnoreAnyFunction("net/http.(*conn).serve")); err != nil {
			t.Errorf("after Run has ended: %v", err)
		}
	})
	return r
}

func (r *running) size() Size {
	return ask(r.sizes, inPodGroup(ownedBy("ReplicaSet", "web"), "train"), intent.Topology{})
}

func (r *running) becomes(want Size) {
	r.t.Helper()
	testkit.Eventually(r.t, patient, func() error {
		if diff := cmp.Diff(want, r.size()); diff != "" {
			return fmt.Errorf("(-want +got)\n%s", diff)
		}
		return nil
	})
}

// hears waits until everything that waits for the change has been told of it.
func (r *running) hears(want string) {
	r.t.Helper()
	testkit.Eventually(r.t, patient, func() error {
		if seen := r.told.take(); !slices.Contains(seen, want) {
			return fmt.Errorf("told %v, want %s", seen, want)
		}
		return nil
	})
}

// discovers lets time pass until discovery was asked once more.
func (r *running) discovers() {
	r.t.Helper()
	before, _ := r.counts()
	testkit.Eventually(r.t, patient, func() error {
		if now, _ := r.counts(); now > before {
			return nil
		}
		r.clock.Step(time.Second)
		return fmt.Errorf("discovery was not asked again")
	})
}

func explicit(members int64) Size {
	return Size{Gang: members, Whole: members, Total: max(members, 3), Explicit: true, Source: "PodGroup ml/train", Timeout: 90 * time.Second}
}

func TestAPodGroupSaysTheSize(t *testing.T) {
	r := run(t, func(s *server) { s.served = true })
	r.becomes(Size{Missing: "PodGroup ml/train does not exist"})
	r.put("train", 8)
	r.hears("ml/train")
	r.becomes(explicit(8))
	r.put("train", 2)
	r.hears("ml/train")
	r.becomes(explicit(2))
	r.put("train", 0)
	r.hears("ml/train")
	r.becomes(Size{Missing: "PodGroup ml/train does not exist"})
}

func TestTheOwnerDecidesWhileThereIsNoCRD(t *testing.T) {
	r := run(t, func(*server) {})
	r.becomes(r.byOwner)
	r.hears("/")

	r.set(func(s *server) { s.served = true })
	r.put("train", 8)
	r.discovers()
	r.becomes(explicit(8))
	r.hears("/")

	r.set(func(s *server) { s.served = false })
	r.discovers()
	r.becomes(r.byOwner)
	r.hears("/")
	testkit.Eventually(t, patient, func() error {
		if watchers := r.watched(); watchers > 0 {
			return fmt.Errorf("%d watchers of what is not served", watchers)
		}
		return nil
	})

	r.set(func(s *server) { s.served = true })
	r.discovers()
	r.becomes(explicit(8))
	r.hears("/")
}

// TestPodsDoNotWaitForEverWithoutRBAC: they wait for 30 s, in case it is a matter
// of time, and nobody who asks floods the server meanwhile.
func TestPodsDoNotWaitForEverWithoutRBAC(t *testing.T) {
	for name, later := range map[string]bool{"a CRD from the start": false, "a CRD that comes later": true} {
		t.Run(name, func(t *testing.T) {
			r := run(t, func(s *server) { s.served, s.forbidden = !later, true })
			r.put("train", 8)
			if later {
				r.becomes(r.byOwner)
				r.clock.Step(2 * patience)
				r.set(func(s *server) { s.served = true })
				r.discovers()
			}
			const why = "PodGroups cannot be read: forbidden"
			r.becomes(Size{Missing: why})
			r.told.take()
			r.clock.Step(patience / 2)
			if diff := cmp.Diff(Size{Missing: why}, r.size()); diff != "" {
				t.Errorf("before patience is at an end (-want +got)\n%s", diff)
			}
			r.clock.Step(patience / 2)
			r.hears("/")
			want := r.byOwner
			want.Source += " (" + why + ")"
			r.becomes(want)
			if _, lists := r.counts(); lists > 20 {
				t.Errorf("%d lists: it spins", lists)
			}

			r.set(func(s *server) { s.forbidden = false })
			r.becomes(explicit(8))
			r.hears("/")
		})
	}
}

func TestGroupsWaitWhilePodGroupsAreBeingRead(t *testing.T) {
	r := run(t, func(s *server) { s.served, s.slow = true, true })
	testkit.Eventually(t, patient, func() error {
		if _, lists := r.counts(); lists == 0 {
			return fmt.Errorf("PodGroups are not listed")
		}
		return nil
	})
	r.becomes(Size{Missing: "PodGroups (being read)"})
	r.clock.Step(patience)
	want := r.byOwner
	want.Source += " (PodGroups (being read))"
	r.becomes(want)
}

func TestAServerThatDoesNotAnswerChangesNothing(t *testing.T) {
	r := run(t, func(s *server) { s.served, s.broken = true, true })
	r.put("train", 8)
	testkit.Eventually(t, patient, func() error {
		if got := r.size(); got.Missing == "" || got.Missing == beingRead {
			return fmt.Errorf("got %+v, want why it is missing", got)
		}
		return nil
	})
	r.set(func(s *server) { s.broken = false })
	r.discovers()
	r.becomes(explicit(8))

	r.set(func(s *server) { s.broken = true })
	r.discovers()
	r.discovers() // what the first found has been taken in
	if diff := cmp.Diff(explicit(8), r.size()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestPodsThatHaveSucceededAreNotWaitedFor: a Job's last pod is created once more,
// and the others of its PodGroup will not be.
func TestPodsThatHaveSucceededAreNotWaitedFor(t *testing.T) {
	r := run(t, func(s *server) { s.served = true })
	r.put("train", 4)
	r.becomes(explicit(4))
	for name, tc := range map[string]struct {
		job  string
		want int64
	}{
		"three of the Job's four have":     {"ends", 1},
		"two of another Job's three have":  {"part", 2},
		"none of a launcher's one has":     {"launcher", 4},
		"the Job does not count":           {"work-queue", 4},
		"the Job has more rounds to go":    {"rounds", 4},
		"the Job is not known, but may be": {"new", 4},
	} {
		got := ask(r.sizes, inPodGroup(ownedBy("Job", tc.job), "train"), intent.Topology{})
		if got.Gang != tc.want || got.Whole != tc.want || !got.Explicit {
			t.Errorf("%s: got %+v, want %d", name, got, tc.want)
		}
	}
}

func TestAnOwnerIsWaitedForIfPodGroupsCannotBeRead(t *testing.T) {
	r := run(t, func(s *server) { s.served, s.forbidden = true, true })
	r.becomes(Size{Missing: "PodGroups cannot be read: forbidden"})
	r.clock.Step(patience)
	size := func() Size {
		return ask(r.sizes, inPodGroup(ownedBy("ReplicaSet", "new"), "train"), intent.Topology{})
	}
	if diff := cmp.Diff(Size{Missing: "ReplicaSet ml/new is not known yet"}, size()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	r.clock.Step(patience)
	if diff := cmp.Diff(Size{Source: "PodGroups cannot be read: forbidden"}, size()); diff != "" {
		t.Errorf("after its patience (-want +got)\n%s", diff)
	}
}

func TestPodGroupsOfOddSizes(t *testing.T) {
	r := run(t, func(s *server) { s.served = true })
	r.put("train", -4)
	r.becomes(explicit(1))
}
