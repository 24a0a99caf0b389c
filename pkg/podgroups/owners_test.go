package podgroups

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	testclock "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"

	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/pkg/intent"
)

func TestIndexesOfAJob(t *testing.T) {
	for list, want := range map[string]int64{
		"": 0, "0": 1, "1,3-5": 4, "1,3-5,7": 5, "0-9": 10, "9": 1,
		"8-40": 2, "10": 0, "0-2147483647": 10, "0-99999999999999999999": 0,
		"1,1,1": 1, "3-5,4-6": 4, "5-3": 0, "-3": 0, "3-": 0, "1--3": 0, "1-2-3": 0, ",,": 0, "x,2,y-z": 1, "-1-1": 0,
	} {
		if got := countIndexes(list, 10); got != want {
			t.Errorf("%q: got %d, want %d", list, got, want)
		}
	}
	for _, completions := range []int64{0, -4} {
		if got := countIndexes("0-5", completions); got != 0 {
			t.Errorf("of %d completions: got %d", completions, got)
		}
	}
}

// TestEachIndexOfACompressedListCountsOnce writes lists as the Job controller does.
func TestEachIndexOfACompressedListCountsOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		completions := rapid.IntRange(1, 50).Draw(t, "completions")
		failed := rapid.SliceOfN(rapid.Bool(), completions, completions).Draw(t, "failed")
		var items []string
		var want int64
		for i := 0; i < completions; i++ {
			first := i
			for i < completions && failed[i] {
				i++
			}
			switch n := i - first; {
			case n == 1:
				items = append(items, fmt.Sprint(first))
			case n > 1:
				items = append(items, fmt.Sprintf("%d-%d", first, i-1))
			}
			want += int64(i - first)
		}
		list := strings.Join(items, ",")
		if got := countIndexes(list, int64(completions)); got != want {
			t.Errorf("%s: got %d, want %d", list, got, want)
		}
	})
}

func FuzzJobs(f *testing.F) {
	f.Add("1,3-5", int32(8), int32(2))
	f.Add("0-2147483647,-,5-", int32(-1), int32(9))
	f.Add(strings.Repeat("1-2,", 100), int32(0), int32(-9))
	f.Fuzz(func(t *testing.T, failed string, completions, succeeded int32) {
		if got := countIndexes(failed, int64(completions)); got < 0 || got > max(0, int64(completions)) {
			t.Errorf("%d indexes of %d", got, completions)
		}
		p := part{asks: ofJob(losing(job("train", new(int32(4)), &completions, succeeded), failed))}
		if p.gang < 1 || p.gang > 4 || p.whole != p.gang || p.total != p.gang {
			t.Errorf("%+v", p.asks)
		}
		for _, alone := range []bool{false, true} {
			if still := p.still(8, alone); still < 1 || still > 8 {
				t.Errorf("%d of 8 still come", still)
			}
		}
	})
}

// orphan is a pod of an owner whose UID is another one than that of its name.
func orphan(kind, name string) *v1.Pod {
	pod := ownedBy(kind, name)
	pod.OwnerReferences[0].UID = "before"
	return pod
}

func TestOwnersThatWereNotSeenYet(t *testing.T) {
	other := func(pod *v1.Pod, version string) *v1.Pod {
		pod.OwnerReferences[0].APIVersion = version
		return pod
	}
	notYet := func(what string) Size { return Size{Missing: what + " is not known yet"} }
	clock := testclock.NewFakeClock(time.Unix(0, 0))
	sizes, _, _ := watching(t, Options{Clock: clock}, replicaSet("web", new(int32(3)), ""))
	for name, tc := range map[string]struct {
		pod  *v1.Pod
		want Size
	}{
		"a ReplicaSet":               {ownedBy("ReplicaSet", "new"), notYet("ReplicaSet ml/new")},
		"a StatefulSet":              {ownedBy("StatefulSet", "new"), notYet("StatefulSet ml/new")},
		"a ReplicationController":    {ownedBy("ReplicationController", "new"), notYet("ReplicationController ml/new")},
		"a Job":                      {ownedBy("Job", "new"), notYet("Job ml/new")},
		"an owner created anew":      {orphan("ReplicaSet", "web"), notYet("ReplicaSet ml/web")},
		"another version of the API": {other(ownedBy("Job", "new"), "batch/v2"), notYet("Job ml/new")},
		"a Job of another API group": {other(ownedBy("Job", "new"), "batch.volcano.sh/v1alpha1"), Size{}},
		"no version at all":          {other(ownedBy("ReplicaSet", "new"), ""), Size{}},
		"no such version":            {other(ownedBy("ReplicationController", "new"), "a/b/c"), Size{}},
		"a kind that nobody watches": {ownedBy("Rollout", "new"), Size{}},
		"a label that is but a name": {inPodGroup(ownedBy("ReplicaSet", "new"), "train"), notYet("ReplicaSet ml/new")},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, ask(sizes, tc.pod, intent.Topology{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// waiting is a Sizes that runs, with a clock of its own, and no PodGroups.
func waiting(t *testing.T, objects ...runtime.Object) (*Sizes, *testclock.FakeClock, *changes, func(*batchv1.Job)) {
	t.Helper()
	clock := testclock.NewFakeClock(time.Unix(0, 0))
	sizes, client, told := watching(t, Options{Clock: clock}, objects...)
	ctx, done := t.Context(), make(chan struct{})
	go func() {
		defer close(done)
		sizes.Run(ctx)
	}()
	t.Cleanup(func() { <-done })
	return sizes, clock, told, func(job *batchv1.Job) {
		if _, err := client.BatchV1().Jobs(job.Namespace).Create(t.Context(), job, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// step lets time pass, and waits until it was looked who is late.
func step(t *testing.T, clock *testclock.FakeClock, d time.Duration) {
	t.Helper()
	looks := func() error {
		if !clock.HasWaiters() {
			return fmt.Errorf("nobody waits for the clock")
		}
		return nil
	}
	testkit.Eventually(t, patient, looks)
	clock.Step(d)
	testkit.Eventually(t, patient, looks)
}

// TestAnOwnerThatComesEndsTheWaiting: its pods are told of it, and it is forgotten.
func TestAnOwnerThatComesEndsTheWaiting(t *testing.T) {
	sizes, clock, told, create := waiting(t)
	pod := ownedBy("Job", "train")
	want := Size{Missing: "Job ml/train is not known yet"}
	if diff := cmp.Diff(want, ask(sizes, pod, intent.Topology{})); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
	create(job("train", new(int32(4)), nil, 0))
	testkit.Eventually(t, patient, func() error {
		if seen := told.take(); !slices.Equal(seen, []string{"ml/train"}) {
			return fmt.Errorf("told %v", seen)
		}
		return nil
	})
	want = Size{Gang: 4, Whole: 4, Total: 4, Source: "Job ml/train"}
	if diff := cmp.Diff(want, ask(sizes, pod, intent.Topology{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if n := known(sizes); n > 0 {
		t.Errorf("%d owners are still waited for", n)
	}
	step(t, clock, 2*patience)
	if seen := told.take(); len(seen) > 0 {
		t.Errorf("told %v of an owner that is known", seen)
	}
}

// TestAnOrphanDoesNotWaitForEver: 30 s from when it was first asked for, and its pods
// are told then, once.
func TestAnOrphanDoesNotWaitForEver(t *testing.T) {
	sizes, clock, told, _ := waiting(t)
	notYet := Size{Missing: "StatefulSet ml/db is not known yet"}
	size := func() Size { return ask(sizes, ownedBy("StatefulSet", "db"), intent.Topology{}) }
	if diff := cmp.Diff(notYet, size()); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
	step(t, clock, patience-lookEvery)
	if diff := cmp.Diff(notYet, size()); diff != "" {
		t.Errorf("before patience is at an end (-want +got)\n%s", diff)
	}
	if seen := told.take(); len(seen) > 0 {
		t.Errorf("told %v too early", seen)
	}
	step(t, clock, lookEvery)
	step(t, clock, lookEvery)
	if diff := cmp.Diff(Size{}, size()); diff != "" {
		t.Errorf("after it (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"ml/db"}, told.take()); diff != "" {
		t.Errorf("told (-want +got)\n%s", diff)
	}
}

// TestOrphansThatNobodyAsksForAreForgotten: and those that are asked for now and then
// do not wait anew.
func TestOrphansThatNobodyAsksForAreForgotten(t *testing.T) {
	sizes, clock, _, _ := waiting(t)
	for i := range 100 {
		ask(sizes, ownedBy("Job", fmt.Sprint("old-", i)), intent.Topology{})
	}
	ask(sizes, ownedBy("Job", "lasting"), intent.Topology{})
	for range 4 {
		step(t, clock, forgetAfter/2)
		if got := ask(sizes, ownedBy("Job", "lasting"), intent.Topology{}); got != (Size{}) {
			t.Errorf("got %+v", got)
		}
	}
	if n := known(sizes); n != 1 {
		t.Errorf("%d owners are kept, want the one", n)
	}
	ask(sizes, ownedBy("ReplicaSet", "sized"), intent.Topology{GroupSize: 4})
	if n := known(sizes); n != 1 {
		t.Errorf("an owner that says nothing of the size is waited for: %d are kept", n)
	}
}

// known is how many owners are noted.
func known(s *Sizes) int {
	s.unseen.mu.Lock()
	defer s.unseen.mu.Unlock()
	return len(s.unseen.owners)
}

// TestOnlyTheNewestReplicaSetOfADeploymentGrows: the others shrink, and what their
// Deployment wants in all would be held for pods that never come.
func TestOnlyTheNewestReplicaSetOfADeploymentGrows(t *testing.T) {
	yes := true
	set := func(name string, replicas int32, deployment, revision string) *appsv1.ReplicaSet {
		set := replicaSet(name, &replicas, "8")
		set.Annotations[deploymentRevision] = revision
		set.OwnerReferences = []metav1.OwnerReference{{Kind: "Deployment", Name: deployment, UID: types.UID(deployment), Controller: &yes}}
		return set
	}
	sizes, client, _ := watching(t, Options{}, set("old", 4, "web", "9"), set("new", 5, "web", "10"), set("other", 2, "api", "3"))
	total := func(name string) int64 { return ask(sizes, ownedBy("ReplicaSet", name), intent.Topology{}).Total }
	for name, want := range map[string]int64{"old": 4, "new": 8, "other": 8} {
		if got := total(name); got != want {
			t.Errorf("%s: %d pods in all, want %d", name, got, want)
		}
	}
	// A rollback gives the old one a new number.
	if _, err := client.AppsV1().ReplicaSets("ml").Update(t.Context(), set("old", 4, "web", "11"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, patient, func() error {
		if old, now := total("old"), total("new"); old != 8 || now != 5 {
			return fmt.Errorf("%d and %d pods in all, want 8 of the old one and 5 of the new", old, now)
		}
		return nil
	})
}

func TestReplicaSetsMayBeReadTwice(t *testing.T) {
	factory := informers.NewSharedInformerFactory(fake.NewClientset(), 0)
	for range 2 {
		if _, err := New(Options{Informers: factory}); err != nil {
			t.Error(err)
		}
	}
}
