package podgroups

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1alpha2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"

	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/pkg/intent"
)

const patient = 20 * time.Second

// named is an object of namespace ml, whose UID is its name.
func named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "ml", Name: name, UID: types.UID(name)}
}

func replicaSet(name string, replicas *int32, desired string) *appsv1.ReplicaSet {
	set := &appsv1.ReplicaSet{ObjectMeta: named(name), Spec: appsv1.ReplicaSetSpec{Replicas: replicas}}
	set.Annotations = map[string]string{desiredReplicas: desired}
	return set
}

func statefulSet(name string, replicas *int32, policy appsv1.PodManagementPolicyType) *appsv1.StatefulSet {
	return &appsv1.StatefulSet{ObjectMeta: named(name), Spec: appsv1.StatefulSetSpec{Replicas: replicas, PodManagementPolicy: policy}}
}

func job(name string, parallelism, completions *int32, succeeded int32) *batchv1.Job {
	return &batchv1.Job{ObjectMeta: named(name), Spec: batchv1.JobSpec{Parallelism: parallelism, Completions: completions}, Status: batchv1.JobStatus{Succeeded: succeeded}}
}

// losing is an indexed Job of which these indexes have failed for good.
func losing(job *batchv1.Job, failed string) *batchv1.Job {
	job.Status.FailedIndexes = &failed
	return job
}

func native(name string, minCount int32) *schedulingapi.PodGroup {
	group := &schedulingapi.PodGroup{ObjectMeta: named(name)}
	if minCount > 0 {
		group.Spec.SchedulingPolicy.Gang = &schedulingapi.GangSchedulingPolicy{MinCount: minCount}
	}
	return group
}

// versions are the API versions of kinds of owners.
var versions = map[string]string{"ReplicaSet": "apps/v1", "StatefulSet": "apps/v1", "ReplicationController": "v1", "Job": "batch/v1", "Rollout": "example.test/v1"}

// ownedBy is a pod of namespace ml and the owner; none if the kind is empty.
func ownedBy(kind, name string) *v1.Pod {
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Labels: map[string]string{}}}
	if kind != "" {
		yes := true
		pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: versions[kind], Kind: kind, Name: name, UID: types.UID(name), Controller: &yes}}
	}
	return pod
}

func inNative(pod *v1.Pod, name string) *v1.Pod {
	pod.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &name}
	return pod
}

func inPodGroup(pod *v1.Pod, name string) *v1.Pod {
	pod.Labels["scheduling.x-k8s.io/pod-group"] = name
	return pod
}

// ask is the size of the group that the pod belongs to.
func ask(s *Sizes, pod *v1.Pod, asked intent.Topology) Size {
	group, ok := intent.GroupOf(pod, &asked)
	if !ok {
		return Size{}
	}
	return s.Of(pod, &asked, &group)
}

// changes records what OnChange is told.
type changes struct {
	mu   sync.Mutex
	seen []string
}

func (c *changes) tell(namespace, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, namespace+"/"+id)
}

// take returns what was told since it was asked last, in order of the names.
func (c *changes) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.seen
	c.seen = nil
	slices.Sort(out)
	return out
}

// watching is a Sizes whose informers have read the objects.
func watching(t *testing.T, options Options, objects ...runtime.Object) (*Sizes, *fake.Clientset, *changes) {
	t.Helper()
	client, told := fake.NewClientset(objects...), &changes{}
	options.Informers, options.OnChange = informers.NewSharedInformerFactory(client, 0), told.tell
	sizes, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	options.Informers.StartWithContext(t.Context())
	options.Informers.WaitForCacheSyncWithContext(t.Context())
	t.Cleanup(options.Informers.Shutdown)
	return sizes, client, told
}

func TestSizesOfGroups(t *testing.T) {
	owned := func(gang, total int64, source string) Size {
		return Size{Gang: gang, Whole: gang, Total: total, Source: source}
	}
	oneByOne := func(total int64, source string) Size {
		return Size{Gang: 1, Whole: total, Total: total, Source: source}
	}
	said := func(gang, total int64, source string) Size {
		return Size{Gang: gang, Whole: gang, Total: total, Explicit: true, Source: source}
	}
	const annotation = "annotation plimsoll.dev/group-size"
	sizes, _, _ := watching(t, Options{Native: true},
		replicaSet("web", new(int32(3)), ""), replicaSet("default", nil, ""), replicaSet("idle", new(int32(0)), ""),
		replicaSet("rolls", new(int32(2)), "9"), replicaSet("shrinks", new(int32(9)), "2"), replicaSet("odd", new(int32(2)), "many"),
		statefulSet("db", new(int32(5)), appsv1.OrderedReadyPodManagement), statefulSet("quorum", new(int32(5)), ""),
		statefulSet("mpi", new(int32(8)), appsv1.ParallelPodManagement),
		&v1.ReplicationController{ObjectMeta: named("old"), Spec: v1.ReplicationControllerSpec{Replicas: new(int32(4))}},
		job("one", nil, nil, 0), job("work-queue", new(int32(6)), nil, 2), job("train", new(int32(16)), new(int32(16)), 0),
		job("batch", new(int32(10)), new(int32(100)), 40), job("ends", new(int32(10)), new(int32(100)), 97), job("ended", new(int32(10)), new(int32(100)), 100),
		job("wide", new(int32(10)), new(int32(4)), 0), job("paused", new(int32(0)), nil, 0),
		losing(job("loses", new(int32(10)), new(int32(8)), 2), "1,3-5,9-40"), native("gang", 4), native("basic", 0))
	for name, tc := range map[string]struct {
		pod   *v1.Pod
		asked intent.Topology
		want  Size
	}{
		"a pod alone":                       {ownedBy("", ""), intent.Topology{}, Size{}},
		"a ReplicaSet":                      {ownedBy("ReplicaSet", "web"), intent.Topology{}, owned(3, 3, "ReplicaSet ml/web")},
		"one that leaves the number out":    {ownedBy("ReplicaSet", "default"), intent.Topology{}, owned(1, 1, "ReplicaSet ml/default")},
		"one scaled to nothing":             {ownedBy("ReplicaSet", "idle"), intent.Topology{}, owned(1, 1, "ReplicaSet ml/idle")},
		"one that a rollout grows":          {ownedBy("ReplicaSet", "rolls"), intent.Topology{}, owned(2, 9, "ReplicaSet ml/rolls")},
		"one that is larger than desired":   {ownedBy("ReplicaSet", "shrinks"), intent.Topology{}, owned(9, 9, "ReplicaSet ml/shrinks")},
		"one whose annotation is no number": {ownedBy("ReplicaSet", "odd"), intent.Topology{}, owned(2, 2, "ReplicaSet ml/odd")},
		"pods that come one by one":         {ownedBy("StatefulSet", "db"), intent.Topology{}, oneByOne(5, "StatefulSet ml/db")},
		"pods that do so by default":        {ownedBy("StatefulSet", "quorum"), intent.Topology{}, oneByOne(5, "StatefulSet ml/quorum")},
		"pods that come at once":            {ownedBy("StatefulSet", "mpi"), intent.Topology{}, owned(8, 8, "StatefulSet ml/mpi")},
		"a ReplicationController":           {ownedBy("ReplicationController", "old"), intent.Topology{}, owned(4, 4, "ReplicationController ml/old")},
		"a Job that says nothing":           {ownedBy("Job", "one"), intent.Topology{}, owned(1, 1, "Job ml/one")},
		"a Job with a work queue":           {ownedBy("Job", "work-queue"), intent.Topology{}, owned(6, 6, "Job ml/work-queue")},
		"a Job whose pods are all there is": {ownedBy("Job", "train"), intent.Topology{}, owned(16, 16, "Job ml/train")},
		"a Job in rounds":                   {ownedBy("Job", "batch"), intent.Topology{}, owned(10, 10, "Job ml/batch")},
		"a Job near its end":                {ownedBy("Job", "ends"), intent.Topology{}, owned(3, 3, "Job ml/ends")},
		"a Job at its end":                  {ownedBy("Job", "ended"), intent.Topology{}, owned(1, 1, "Job ml/ended")},
		"a Job wider than its work":         {ownedBy("Job", "wide"), intent.Topology{}, owned(4, 4, "Job ml/wide")},
		"a Job that is held":                {ownedBy("Job", "paused"), intent.Topology{}, owned(1, 1, "Job ml/paused")},
		"an indexed Job that lost some":     {ownedBy("Job", "loses"), intent.Topology{}, owned(2, 2, "Job ml/loses")},
		"an owner that is not there":        {ownedBy("ReplicaSet", "gone"), intent.Topology{}, Size{Missing: "ReplicaSet ml/gone is not known yet"}},
		"an owner of another kind":          {ownedBy("Rollout", "web"), intent.Topology{}, Size{}},
		"a group by annotation":             {ownedBy("ReplicaSet", "web"), intent.Topology{Group: "a"}, owned(3, 3, "ReplicaSet ml/web")},
		"with a size":                       {ownedBy("ReplicaSet", "web"), intent.Topology{Group: "a", GroupSize: 2}, said(2, 2, annotation)},
		"a size of the owner's group":       {ownedBy("ReplicaSet", "web"), intent.Topology{GroupSize: 2}, said(2, 3, annotation)},
		"a size above the owner's":          {ownedBy("ReplicaSet", "web"), intent.Topology{GroupSize: 8}, said(8, 8, annotation)},
		"a size of pods one by one":         {ownedBy("StatefulSet", "db"), intent.Topology{GroupSize: 5}, Size{Gang: 1, Whole: 5, Total: 5, Explicit: true, Source: annotation}},
		"a size without an owner known":     {ownedBy("Rollout", "web"), intent.Topology{GroupSize: 8}, said(8, 8, annotation)},
		"a size without an owner seen":      {ownedBy("ReplicaSet", "gone"), intent.Topology{GroupSize: 8}, said(8, 8, annotation)},
		"a size above what a Job has left":  {ownedBy("Job", "ends"), intent.Topology{GroupSize: 4}, said(3, 3, annotation)},
		"above what it lost":                {ownedBy("Job", "loses"), intent.Topology{GroupSize: 8}, said(2, 2, annotation)},
		"above what a Job ever has":         {ownedBy("Job", "wide"), intent.Topology{GroupSize: 8}, said(4, 4, annotation)},
		"of a Job in rounds":                {ownedBy("Job", "batch"), intent.Topology{GroupSize: 20}, said(20, 20, annotation)},
		"of a Job at its end":               {ownedBy("Job", "ended"), intent.Topology{GroupSize: 4}, said(1, 1, annotation)},
		"of a Job with a work queue":        {ownedBy("Job", "work-queue"), intent.Topology{GroupSize: 8}, said(8, 8, annotation)},
		"of a named group in a Job":         {ownedBy("Job", "ends"), intent.Topology{Group: "a", GroupSize: 4}, said(3, 3, annotation)},
		"of a group of several Jobs":        {ownedBy("Job", "wide"), intent.Topology{Group: "a", GroupSize: 8}, said(8, 8, annotation)},
		"one of which lost a part":          {ownedBy("Job", "loses"), intent.Topology{Group: "a", GroupSize: 12}, said(6, 6, annotation)},
		"a native gang":                     {inNative(ownedBy("", ""), "gang"), intent.Topology{}, said(4, 4, "PodGroup ml/gang")},
		"a native gang of a larger owner":   {inNative(ownedBy("Job", "train"), "gang"), intent.Topology{}, said(4, 16, "PodGroup ml/gang")},
		"a native group that is no gang":    {inNative(ownedBy("ReplicaSet", "web"), "basic"), intent.Topology{}, said(1, 3, "PodGroup ml/basic")},
		"a native group that is not there":  {inNative(ownedBy("ReplicaSet", "web"), "gone"), intent.Topology{}, Size{Missing: "PodGroup ml/gone does not exist"}},
		"a native group with a size":        {inNative(ownedBy("", ""), "gone"), intent.Topology{GroupSize: 8}, said(8, 8, annotation)},
		"a PodGroup without a Config":       {inPodGroup(ownedBy("ReplicaSet", "web"), "train"), intent.Topology{}, owned(3, 3, "ReplicaSet ml/web")},
	} {
		t.Run(name, func(t *testing.T) {
			got := ask(sizes, tc.pod, tc.asked)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestANativeGroupIsOnlyANameIfTheServerHasNone(t *testing.T) {
	sizes, _, _ := watching(t, Options{}, replicaSet("web", new(int32(3)), ""))
	want := Size{Gang: 3, Whole: 3, Total: 3, Source: "ReplicaSet ml/web"}
	if diff := cmp.Diff(want, ask(sizes, inNative(ownedBy("ReplicaSet", "web"), "gang"), intent.Topology{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestChangesOfSizesAreTold(t *testing.T) {
	sizes, client, told := watching(t, Options{Native: true}, replicaSet("web", new(int32(3)), ""), job("train", new(int32(4)), new(int32(4)), 0))
	heard := func(want ...string) {
		t.Helper()
		var all []string
		testkit.Eventually(t, patient, func() error {
			all = append(all, told.take()...)
			slices.Sort(all)
			if diff := cmp.Diff(want, all); diff != "" {
				return fmt.Errorf("told (-want +got)\n%s", diff)
			}
			return nil
		})
	}
	heard("ml/train", "ml/web")

	ctx := t.Context()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	sets, jobs, groups := client.AppsV1().ReplicaSets("ml"), client.BatchV1().Jobs("ml"), client.SchedulingV1alpha2().PodGroups("ml")
	labelled := replicaSet("web", new(int32(3)), "")
	labelled.Labels = map[string]string{"a": "b"}
	must(sets.Update(ctx, labelled, metav1.UpdateOptions{}))
	must(sets.Update(ctx, replicaSet("web", new(int32(5)), ""), metav1.UpdateOptions{}))
	heard("ml/web") // once
	if got := ask(sizes, ownedBy("ReplicaSet", "web"), intent.Topology{}); got.Gang != 5 {
		t.Errorf("got %+v after it was scaled to 5", got)
	}

	successor := replicaSet("web", new(int32(5)), "")
	successor.UID = "web-2"
	must(sets.Update(ctx, successor, metav1.UpdateOptions{}))
	heard("ml/web", "ml/web-2")

	must(jobs.Update(ctx, job("train", new(int32(4)), new(int32(4)), 1), metav1.UpdateOptions{}))
	heard("ml/train")
	must(jobs.Update(ctx, losing(job("train", new(int32(4)), new(int32(4)), 1), "3"), metav1.UpdateOptions{}))
	heard("ml/train")
	must(nil, jobs.Delete(ctx, "train", metav1.DeleteOptions{}))
	heard("ml/train")

	must(groups.Create(ctx, native("gang", 4), metav1.CreateOptions{}))
	heard("ml/gang")
	must(nil, groups.Delete(ctx, "gang", metav1.DeleteOptions{}))
	heard("ml/gang")
}

func TestJobsAreKeptWithoutTheirTemplates(t *testing.T) {
	before := losing(job("train", new(int32(4)), new(int32(8)), 1), "1,3-5")
	before.Spec.Template.Spec.Containers = []v1.Container{{Name: "large"}}
	before.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
	whole := before.DeepCopy()
	after, err := trimJob(before)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(losing(job("train", new(int32(4)), new(int32(8)), 1), "1,3-5"), after); diff != "" {
		t.Errorf("kept (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(whole, before); diff != "" {
		t.Errorf("the object itself has changed (-want +got)\n%s", diff)
	}
	if ofJob(before) != ofJob(after.(*batchv1.Job)) {
		t.Error("its size is lost")
	}
}

func TestInformersThatHaveStartedAreAnError(t *testing.T) {
	factory := informers.NewSharedInformerFactory(fake.NewClientset(), 0)
	jobs := factory.Batch().V1().Jobs().Informer()
	factory.StartWithContext(t.Context())
	factory.WaitForCacheSyncWithContext(t.Context())
	t.Cleanup(factory.Shutdown)
	if _, err := New(Options{Informers: factory}); err == nil || jobs.IsStopped() {
		t.Errorf("got %v: Jobs would be kept with their templates", err)
	}
}

func BenchmarkOf(b *testing.B) {
	factory := informers.NewSharedInformerFactory(fake.NewClientset(), 0)
	sizes, err := New(Options{Informers: factory})
	if err != nil {
		b.Fatal(err)
	}
	if err := factory.Apps().V1().ReplicaSets().Informer().GetIndexer().Add(replicaSet("web", new(int32(3)), "")); err != nil {
		b.Fatal(err)
	}
	pod, asked := ownedBy("ReplicaSet", "web"), &intent.Topology{}
	group, _ := intent.GroupOf(pod, asked)
	b.ReportAllocs()
	for b.Loop() {
		if sizes.Of(pod, asked, &group).Gang != 3 {
			b.Fatal("not found")
		}
	}
}
