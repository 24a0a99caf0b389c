package gpuslice

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/component-base/metrics/testutil"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/feature"
	"k8s.io/utils/clock"
	"k8s.io/utils/lru"
	"k8s.io/utils/ptr"

	"plimsoll.dev/scheduler/pkg/devices"
	"plimsoll.dev/scheduler/pkg/inventory"
	"plimsoll.dev/scheduler/pkg/metrics"
)

// fakeDRA is what the scheduler knows of DRA: two nodes with a GPU each.
type fakeDRA struct {
	fwk.SharedDRAManager
	fwk.ResourceClaimTracker
	fwk.ResourceSliceLister
	claims  map[string]*resourceapi.ResourceClaim
	pending map[types.UID]*resourceapi.AllocationResult
	slices  []*resourceapi.ResourceSlice
}

func (f *fakeDRA) ResourceClaims() fwk.ResourceClaimTracker     { return f }
func (f *fakeDRA) ResourceSlices() fwk.ResourceSliceLister      { return f }
func (f *fakeDRA) DeviceClasses() fwk.DeviceClassLister         { return anyClass{} }
func (f *fakeDRA) DeviceClassResolver() fwk.DeviceClassResolver { return oneClass{} }

func (f *fakeDRA) ListWithDeviceTaintRules() ([]*resourceapi.ResourceSlice, error) {
	return f.slices, nil
}

func (f *fakeDRA) Get(namespace, name string) (*resourceapi.ResourceClaim, error) {
	if claim := f.claims[namespace+"/"+name]; claim != nil {
		return claim, nil
	}
	return nil, fmt.Errorf("claim %s/%s not found", namespace, name)
}

func (f *fakeDRA) GetPendingAllocation(uid types.UID) *resourceapi.AllocationResult {
	return f.pending[uid]
}

type oneClass struct{}

// GetDeviceClass knows one extended resource that claims serve.
func (oneClass) GetDeviceClass(name v1.ResourceName) *resourceapi.DeviceClass {
	if name == "nvidia.com/gpu" {
		return &resourceapi.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: "any"}}
	}
	return nil
}

// anyClass is a class for every name, which selects all devices.
type anyClass struct{ fwk.DeviceClassLister }

func (anyClass) Get(name string) (*resourceapi.DeviceClass, error) {
	return &resourceapi.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}}, nil
}

// fakeInner stands in for the wrapped plugin, and notes what it was shown.
type fakeInner struct {
	inner
	manager  *manager
	refuse   bool
	takes    *resourceapi.AllocationResult
	shown    []string
	filtered []string
}

func (f *fakeInner) PreFilter(_ context.Context, _ fwk.CycleState, pod *v1.Pod, _ []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	if len(pod.Spec.ResourceClaims) == 0 {
		return nil, fwk.NewStatus(fwk.Skip)
	}
	f.shown = nil
	list, err := f.manager.ResourceSlices().ListWithDeviceTaintRules()
	for _, s := range list {
		f.shown = append(f.shown, s.Name)
	}
	return nil, fwk.AsStatus(err)
}

func (f *fakeInner) Filter(_ context.Context, _ fwk.CycleState, _ *v1.Pod, node fwk.NodeInfo) *fwk.Status {
	f.filtered = append(f.filtered, node.Node().Name)
	if f.refuse {
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "cannot allocate all claims")
	}
	return nil
}

func (f *fakeInner) Score(context.Context, fwk.CycleState, *v1.Pod, fwk.NodeInfo) (int64, *fwk.Status) {
	return 0, nil
}

func (f *fakeInner) Reserve(context.Context, fwk.CycleState, *v1.Pod, string) *fwk.Status {
	if f.takes != nil {
		f.manager.reserved = append(f.manager.reserved, f.takes)
	}
	return nil
}

type fakeHandle struct {
	fwk.Handle
	profile  string
	snapshot *internalcache.Snapshot
	woken    []string
}

func (h *fakeHandle) Activate(_ klog.Logger, pods map[string]*v1.Pod) {
	h.woken = append(h.woken, slices.Sorted(maps.Keys(pods))...)
}

func (h *fakeHandle) ProfileName() string                    { return h.profile }
func (h *fakeHandle) SnapshotSharedLister() fwk.SharedLister { return h.snapshot }

// bench is a plugin over fakes, and a pod that asks for one GPU.
type bench struct {
	*GPUSlice
	testing.TB
	dra   *fakeDRA
	inner *fakeInner
	bound cache.Indexer // what the informers have of pods
	pod   *v1.Pod
	claim *resourceapi.ResourceClaim
	// disagreed is how many disagreements were counted before: metrics are the process's.
	disagreed float64
}

func newBench(t testing.TB) *bench {
	t.Helper()
	metrics.Register()
	claim := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "c", UID: "c"},
		Spec: resourceapi.ResourceClaimSpec{Devices: resourceapi.DeviceClaim{Requests: []resourceapi.DeviceRequest{{Name: "gpu",
			Exactly: &resourceapi.ExactDeviceRequest{DeviceClassName: "any", AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: 1}}}}}}
	b := &bench{TB: t, claim: claim, dra: &fakeDRA{pending: map[types.UID]*resourceapi.AllocationResult{},
		claims: map[string]*resourceapi.ResourceClaim{"default/c": claim}},
		pod: &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p", UID: "p"},
			Spec: v1.PodSpec{ResourceClaims: []v1.PodResourceClaim{{Name: "gpu", ResourceClaimName: ptr.To("c")}}}}}
	var nodes []*v1.Node
	for _, name := range []string{"node-a", "node-b"} {
		nodes = append(nodes, &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
		b.dra.slices = append(b.dra.slices, &resourceapi.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: "slice-of-" + name},
			Spec: resourceapi.ResourceSliceSpec{Driver: "gpu.example.com", NodeName: ptr.To(name),
				Pool: resourceapi.ResourcePool{Name: name, ResourceSliceCount: 1}, Devices: []resourceapi.Device{gpu("gpu-0")}}})
	}
	args, err := DecodeArgs(nil)
	if err != nil {
		t.Fatal(err)
	}
	learner, err := newLearner(&args)
	if err != nil {
		t.Fatal(err)
	}
	m := &manager{SharedDRAManager: b.dra, model: devices.NewModel(structured.Features{PrioritizedList: true}, cel.Features{})}
	b.bound = cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	m.claims = newClaims(klog.Background(), cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{byExtendedOwner: extendedOwner}),
		corelisters.NewPodLister(b.bound), b.dra, m.model)
	m.claims.synced = func() bool { return true }
	m.feed = &feed{lister: b.dra, model: m.model}
	b.inner = &fakeInner{manager: m}
	b.GPUSlice = &GPUSlice{handle: &fakeHandle{profile: t.Name(), snapshot: internalcache.NewSnapshot(nil, nodes)}, dra: b.inner, manager: m,
		gpus: inventory.NewGPUs(), learner: learner, distrusted: lru.New(8), reproduced: lru.New(8), wide: lru.New(8), features: feature.Features{EnableDRAPrioritizedList: true}, refusals: newRefusals(clock.RealClock{})}
	b.disagreed = b.disagreements()
	return b
}

func (b *bench) node(name string) fwk.NodeInfo {
	b.Helper()
	node, err := b.handle.SnapshotSharedLister().NodeInfos().Get(name)
	if err != nil {
		b.Fatal(err)
	}
	return node
}

// cycle runs PreFilter and Filter over both nodes, and returns those that passed.
func (b *bench) cycle() (fwk.CycleState, []string) {
	b.Helper()
	b.inner.filtered = nil
	state := framework.NewCycleState()
	if _, status := b.PreFilter(b.Context(), state, b.pod, nil); !status.IsSuccess() {
		b.Fatalf("PreFilter: %v", status)
	}
	var passed []string
	for _, name := range []string{"node-a", "node-b"} {
		if b.Filter(b.Context(), state, b.pod, b.node(name)).IsSuccess() {
			passed = append(passed, name)
		}
	}
	return state, passed
}

func (b *bench) disagreements() float64 {
	b.Helper()
	n, err := testutil.GetCounterMetricValue(metrics.Disagreements.WithLabelValues(b.handle.ProfileName()))
	if err != nil {
		b.Fatal(err)
	}
	return n - b.disagreed
}

// take has another claim hold a node's GPU.
func (b *bench) take(node string) {
	other := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "other-" + node, UID: types.UID("other-" + node)}}
	other.Status.Allocation = &resourceapi.AllocationResult{Devices: resourceapi.DeviceAllocationResult{
		Results: []resourceapi.DeviceRequestAllocationResult{{Driver: "gpu.example.com", Pool: node, Device: "gpu-0"}}}}
	b.manager.model.Reserve(other.UID, other)
}

func TestTheWrappedPluginIsAskedAboutOneNodeOnly(t *testing.T) {
	b := newBench(t)
	b.take("node-a")
	state, passed := b.cycle()
	if !slices.Equal(passed, []string{"node-b"}) || len(b.inner.filtered) > 0 {
		t.Fatalf("passed %v, want node-b; the wrapped plugin was asked about %v, want no node before Reserve", passed, b.inner.filtered)
	}
	if status := b.Reserve(t.Context(), state, b.pod, "node-b"); !status.IsSuccess() {
		t.Fatal(status)
	}
	if !slices.Equal(b.inner.filtered, []string{"node-b"}) || !slices.Equal(b.inner.shown, []string{"slice-of-node-b"}) {
		t.Errorf("asked about %v and shown %v, want node-b and its slice", b.inner.filtered, b.inner.shown)
	}
}

func TestAPodIsTriedWithoutTheModelOnceTheAllocatorDisagreed(t *testing.T) {
	b := newBench(t)
	state, _ := b.cycle()
	b.inner.refuse = true
	if status := b.Reserve(t.Context(), state, b.pod, "node-a"); status.Code() != fwk.Error {
		t.Fatalf("got %v, want an error, which has the pod tried again", status)
	}
	if got := b.disagreements(); got != 1 {
		t.Errorf("%v disagreements counted, want 1", got)
	}
	if _, passed := b.cycle(); len(passed) > 0 || len(b.inner.filtered) != 2 {
		t.Errorf("passed %v, asked about %v; want both nodes to be asked about, and refused", passed, b.inner.filtered)
	}
	b.inner.refuse = false
	state, passed := b.cycle()
	if len(passed) != 2 {
		t.Fatalf("passed %v, want both", passed)
	}
	if status := b.Reserve(t.Context(), state, b.pod, "node-a"); !status.IsSuccess() {
		t.Fatal(status)
	}
	if b.cycle(); len(b.inner.filtered) > 0 {
		t.Error("the model is still not trusted")
	}
}

func TestAChangeInBetweenIsNoDisagreement(t *testing.T) {
	b := newBench(t)
	state, _ := b.cycle()
	b.take("node-a")
	b.inner.refuse = true
	if status := b.Reserve(t.Context(), state, b.pod, "node-a"); status.Code() != fwk.Error {
		t.Fatalf("got %v, want an error, which has the pod tried again", status)
	}
	b.inner.refuse = false
	if _, passed := b.cycle(); b.disagreements() != 0 || len(b.inner.filtered) > 0 || !slices.Equal(passed, []string{"node-b"}) {
		t.Errorf("%v disagreements, asked about %v, passed %v; want none, none and node-b", b.disagreements(), b.inner.filtered, passed)
	}
}

// TestTheModelIsAskedAgainIfTheAllocatorTakesWhatThePodDoesNotWant: the order in which
// devices are published would lead to the same ones for ever.
func TestTheModelIsAskedAgainIfTheAllocatorTakesWhatThePodDoesNotWant(t *testing.T) {
	b := newBench(t)
	small := gpu("gpu-small")
	small.Capacity = map[resourceapi.QualifiedName]resourceapi.DeviceCapacity{"memory": {Value: resource.MustParse("16Gi")}}
	b.dra.slices[0].Spec.Devices = []resourceapi.Device{small, gpu("gpu-0")}
	b.pod.Annotations = map[string]string{"plimsoll.dev/gpu-memory": "40Gi"}
	b.distrusted.Add(b.pod.UID, true)
	state, passed := b.cycle()
	if !slices.Contains(passed, "node-a") || len(b.inner.filtered) == 0 {
		t.Fatalf("passed %v, asked about %v; want the allocator to be asked", passed, b.inner.filtered)
	}
	b.inner.takes = &resourceapi.AllocationResult{Devices: resourceapi.DeviceAllocationResult{
		Results: []resourceapi.DeviceRequestAllocationResult{{Request: "gpu", Driver: "gpu.example.com", Pool: "node-a", Device: "gpu-small"}}}}
	if status := b.Reserve(t.Context(), state, b.pod, "node-a"); status.Code() != fwk.Error {
		t.Fatalf("got %v, want an error, which has the pod tried again", status)
	}
	if b.distrusts(b.pod) {
		t.Error("the next attempt would take the same device")
	}
}

// TestWhatOnlyTheWrappedPluginKnows: it sees the pod first, over the whole cluster.
func TestWhatOnlyTheWrappedPluginKnows(t *testing.T) {
	gpus := &resourceapi.AllocationResult{}
	for name, c := range map[string]struct {
		change func(b *bench)
		model  bool
	}{
		"a claim that waits":                       {func(*bench) {}, true},
		"a claim that is allocated":                {func(b *bench) { b.claim.Status.Allocation = gpus }, false},
		"a claim that another pod is allocating":   {func(b *bench) { b.dra.pending["c"] = gpus }, false},
		"a claim that is being deleted":            {func(b *bench) { b.claim.DeletionTimestamp = &metav1.Time{} }, false},
		"a claim that is not there":                {func(b *bench) { delete(b.dra.claims, "default/c") }, false},
		"alternatives":                             {func(b *bench) { alternatives(b.claim) }, true},
		"alternatives, switched off":               {func(b *bench) { alternatives(b.claim); b.features.EnableDRAPrioritizedList = false }, false},
		"claims of a pod group":                    {func(b *bench) { b.features.EnableDRAWorkloadResourceClaims = true }, false},
		"claims for what nodes allocate":           {func(b *bench) { b.features.EnableDRANodeAllocatableResources = true }, false},
		"before all claims were seen":              {func(b *bench) { b.manager.claims.synced = func() bool { return false } }, false},
		"beside a profile with DynamicResources":   {func(b *bench) { b.manager.claims.strangers.Store(true) }, false},
		"a claim that was made for another pod":    {func(b *bench) { templated(b, "other") }, false},
		"a claim that was made for the pod itself": {func(b *bench) { templated(b, "p") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			c.change(b)
			state := framework.NewCycleState()
			if _, status := b.PreFilter(t.Context(), state, b.pod, nil); !status.IsSuccess() {
				t.Fatal(status)
			}
			if model := len(b.inner.shown) == 0; model != c.model {
				t.Errorf("answered by the model: %t, want %t", model, c.model)
			}
		})
	}
}

// TestAPodIsNotTriedBeforeTheModelHasSeenWhy: the queue's handler of claims may be
// earlier than the model's.
func TestAPodIsNotTriedBeforeTheModelHasSeenWhy(t *testing.T) {
	b := newBench(t)
	held := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "held", UID: "held", ResourceVersion: "1"}}
	held.Status.Allocation = &resourceapi.AllocationResult{Devices: resourceapi.DeviceAllocationResult{Results: []resourceapi.DeviceRequestAllocationResult{
		{Driver: "gpu.example.com", Pool: "node-a", Device: "gpu-0"}, {Driver: "gpu.example.com", Pool: "node-b", Device: "gpu-0"}}}}
	given := held.DeepCopy()
	given.ResourceVersion, given.Status.Allocation = "2", nil
	hint := b.afterClaimChange(func(klog.Logger, *v1.Pod, any, any) (fwk.QueueingHint, error) { return fwk.Queue, nil })
	for name, c := range map[string]struct {
		stored *resourceapi.ResourceClaim
		after  any
	}{"deallocated": {given, given}, "deleted": {nil, nil}} {
		if err := b.manager.claims.indexer.Replace([]any{held}, "1"); err != nil {
			t.Fatal(err)
		}
		b.manager.claims.follow(held)
		if _, passed := b.cycle(); len(passed) > 0 {
			t.Fatalf("%v passed, though all is taken", passed)
		}
		var list []any
		if c.stored != nil {
			list = append(list, c.stored)
		}
		if err := b.manager.claims.indexer.Replace(list, "2"); err != nil {
			t.Fatal(err)
		}
		if got, err := hint(klog.Background(), b.pod, held, c.after); got != fwk.Queue || err != nil {
			t.Errorf("%s: %v, %v; want the pod to be tried", name, got, err)
		}
		if _, passed := b.cycle(); len(passed) != 2 {
			t.Errorf("%s: %v passed, want both nodes", name, passed)
		}
		lose(b.manager.model, held)
	}
}

// TestPodsOfOtherProfilesOnTheNode: one that another profile of this process has put
// there may have taken the very device that the model thinks is free.
func TestPodsOfOtherProfilesOnTheNode(t *testing.T) {
	taken := &resourceapi.AllocationResult{Devices: resourceapi.DeviceAllocationResult{
		Results: []resourceapi.DeviceRequestAllocationResult{{Driver: "gpu.example.com", Pool: "node-b", Device: "gpu-0"}}}}
	for name, c := range map[string]struct {
		profile string
		bound   bool
		// known of its claim: in flight, written as far as upstream's cache knows,
		// and in the informer's store.
		pending, written, stored bool
		// extended resources, which ones.
		extended v1.ResourceName
		safe     bool
	}{
		"of a profile that tells":                   {profile: "plimsoll", pending: true, safe: true},
		"bound, the claim seen":                     {profile: "default-scheduler", bound: true, written: true, stored: true, safe: true},
		"on its way, by claims":                     {profile: "default-scheduler", extended: "nvidia.com/gpu", safe: false},
		"on its way, by a device plugin":            {profile: "default-scheduler", extended: "amd.com/gpu", safe: true},
		"bound, the claim in flight":                {profile: "default-scheduler", bound: true, pending: true, safe: false},
		"bound, the claim written and not seen yet": {profile: "default-scheduler", bound: true, written: true, safe: false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.manager.claims.join("plimsoll")
			b.pod.Spec.SchedulerName = "plimsoll"
			other := b.pod.DeepCopy()
			other.Name, other.UID, other.Spec.SchedulerName = "other", "other", c.profile
			other.Spec.ResourceClaims[0].ResourceClaimName = ptr.To("d")
			claim := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "d", UID: "d", ResourceVersion: "1"}}
			if c.written {
				claim.Status.Allocation = taken
			}
			if c.pending {
				b.dra.pending["d"] = taken
			}
			b.dra.claims["default/d"] = claim
			if c.extended != "" {
				other.Spec.ResourceClaims = nil
				other.Spec.Containers = []v1.Container{{Resources: v1.ResourceRequirements{Requests: v1.ResourceList{c.extended: resource.MustParse("1")}}}}
			}
			stored := other.DeepCopy()
			if other.Spec.NodeName = "node-a"; c.bound {
				stored.Spec.NodeName = "node-a"
			}
			if err := b.bound.Add(stored); err != nil {
				t.Fatal(err)
			}
			if c.stored {
				if err := b.manager.claims.indexer.Add(claim); err != nil {
					t.Fatal(err)
				}
			}
			nodes := []*v1.Node{b.node("node-a").Node(), b.node("node-b").Node()}
			b.handle = &fakeHandle{profile: t.Name(), snapshot: internalcache.NewSnapshot([]*v1.Pod{other}, nodes)}
			state, _ := b.cycle()
			if status := b.Reserve(t.Context(), state, b.pod, "node-a"); status.IsSuccess() != c.safe {
				t.Fatalf("reserving beside it: %v, want success %t", status, c.safe)
			}
			if b.cycle(); (len(b.inner.shown) == 2) == c.safe {
				t.Errorf("shown %v; want the wrapped plugin to see the whole cluster from now on: %t", b.inner.shown, !c.safe)
			}
		})
	}
}

func alternatives(claim *resourceapi.ResourceClaim) {
	claim.Spec.Devices.Requests[0] = resourceapi.DeviceRequest{Name: "gpu", FirstAvailable: []resourceapi.DeviceSubRequest{
		{Name: "one", DeviceClassName: "any", AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: 1}}}
}

// templated has the pod's claim be one that was made from a template.
func templated(b *bench, owner types.UID) {
	b.pod.Spec.ResourceClaims[0] = v1.PodResourceClaim{Name: "gpu", ResourceClaimTemplateName: ptr.To("t")}
	b.pod.Status.ResourceClaimStatuses = []v1.PodResourceClaimStatus{{Name: "gpu", ResourceClaimName: ptr.To("c")}}
	b.claim.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: string(owner), UID: owner, Controller: ptr.To(true)}}
}
