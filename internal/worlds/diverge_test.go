package worlds

import (
	"fmt"
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/dynamic-resource-allocation/structured"
	"k8s.io/utils/ptr"

	"plimsoll.dev/scheduler/pkg/devices"
)

// small is a world of nodes a and b, with all features on.
func small(claim *resourceapi.ResourceClaim, pools ...[]*resourceapi.ResourceSlice) *Case {
	w := &Case{Features: Features(), Classes: generatedClasses(), Allocated: emptyState(),
		Slices: slices.Concat(pools...), Claims: []*resourceapi.ResourceClaim{claim}}
	for _, name := range []string{"a", "b"} {
		w.Nodes = append(w.Nodes, &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	return w
}

// claimOf asks for so many devices of any class, 0 for all of them.
func claimOf(count int64, edit ...func(*resourceapi.DeviceClaim)) *resourceapi.ResourceClaim {
	e := &resourceapi.ExactDeviceRequest{DeviceClassName: "any", AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: count}
	if count == 0 {
		e.AllocationMode = resourceapi.DeviceAllocationModeAll
	}
	c := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Name: "claim", Namespace: "ns", UID: "claim"}}
	c.Spec.Devices.Requests = []resourceapi.DeviceRequest{{Name: "r", Exactly: e}}
	for _, f := range edit {
		f(&c.Spec.Devices)
	}
	return c
}

// poolOn publishes a complete pool on a node: a slice with counters, "slots", if
// there are any, and a slice with devices, each of which takes one slot then.
func poolOn(node, driver, name string, slots int64, names ...string) []*resourceapi.ResourceSlice {
	list := resourceapi.ResourceSliceSpec{}
	for _, device := range names {
		d := resourceapi.Device{Name: device}
		if slots > 0 {
			d.ConsumesCounters = []resourceapi.DeviceCounterConsumption{{CounterSet: "set", Counters: map[string]resourceapi.Counter{"slots": {Value: quantity("1")}}}}
		}
		list.Devices = append(list.Devices, d)
	}
	specs := []resourceapi.ResourceSliceSpec{list}
	if slots > 0 {
		specs = append(specs, resourceapi.ResourceSliceSpec{SharedCounters: []resourceapi.CounterSet{{Name: "set",
			Counters: map[string]resourceapi.Counter{"slots": {Value: *resource.NewQuantity(slots, resource.DecimalSI)}}}}})
	}
	var out []*resourceapi.ResourceSlice
	for i, s := range specs {
		s.Driver, s.NodeName = driver, &node
		s.Pool = resourceapi.ResourcePool{Name: name, Generation: 1, ResourceSliceCount: int64(len(specs))}
		out = append(out, &resourceapi.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%s-%s-%d", node, driver, name, i)}, Spec: s})
	}
	return out
}

func incomplete(pool []*resourceapi.ResourceSlice) []*resourceapi.ResourceSlice {
	for _, s := range pool {
		s.Spec.Pool.ResourceSliceCount++
	}
	return pool
}

func generation(n int64, pool []*resourceapi.ResourceSlice) []*resourceapi.ResourceSlice {
	for _, s := range pool {
		s.Name += fmt.Sprint("-", n)
		s.Spec.Pool.Generation = n
	}
	return pool
}

// TestEachDivergenceShows: what the in-tree allocator says of the last node, given
// the whole cluster and asked about the nodes in turn, and within the node's scope.
func TestEachDivergenceShows(t *testing.T) {
	twice := poolOn("a", gpuDriver, "a", 2, "gpu-0", "gpu-0")
	for name, c := range map[string]struct {
		world         *Case
		want          Divergence
		whole, scoped verdict
	}{
		"all devices of b, while a's pool is being updated": {
			small(claimOf(0), incomplete(poolOn("a", gpuDriver, "a", 2, "gpu-0")), poolOn("b", gpuDriver, "b", 2, "gpu-0")),
			OthersUnusable, failed, fits},
		"all devices of b, while a device of a is published twice": {
			small(claimOf(0), twice, poolOn("b", gpuDriver, "b", 2, "gpu-0")), Same, fits, fits},
		"all devices of b, while a's counters are published twice": {
			small(claimOf(0), slices.Concat(poolOn("a", gpuDriver, "a", 2, "gpu-0"), poolOn("a", gpuDriver, "a", 2)[1:]), poolOn("b", gpuDriver, "b", 2, "gpu-0")),
			OthersUnusable, failed, fits},
		"another node's pool without counters is not looked at": {
			small(claimOf(0), incomplete(poolOn("a", gpuDriver, "a", 0, "gpu-0")), poolOn("b", gpuDriver, "b", 2, "gpu-0")),
			Same, fits, fits},
		"a's pool of another driver has fewer slots than b's of the same name": {
			small(claimOf(2), poolOn("a", accDriver, "pool", 1, "acc-0", "acc-1"), poolOn("b", gpuDriver, "pool", 2, "gpu-0", "gpu-1")),
			CountersByName, nothing, fits},
		"a's pool of another driver has another name": {
			small(claimOf(2), poolOn("a", accDriver, "a", 1, "acc-0", "acc-1"), poolOn("b", gpuDriver, "b", 2, "gpu-0", "gpu-1")),
			Same, fits, fits},
		"a pool's name moved to a, and b's slice was not removed yet": {
			small(claimOf(1), generation(2, poolOn("a", gpuDriver, "pool", 0, "gpu-0")), generation(1, poolOn("b", gpuDriver, "pool", 0, "gpu-0"))),
			Outdated, fits, nothing},
	} {
		t.Run(name, func(t *testing.T) {
			judge := NewJudge()
			if d := judge.Compare(c.world); d != nil {
				t.Fatal(d)
			}
			last := c.world.Nodes[1]
			whole, err := judge.celOf.oracle(c.world, c.world.Slices, c.world.Allocated)
			if err != nil {
				t.Fatal(err)
			}
			whole.ask(c.world.Nodes[0])
			reach := reachOf(c.world.Slices, last)
			within, err := judge.celOf.oracle(c.world, within(c.world.Slices, reach), usedWithin(c.world.Allocated, reach))
			if err != nil {
				t.Fatal(err)
			}
			if got, scoped := whole.ask(last), within.ask(last); got.verdict != c.whole || scoped.verdict != c.scoped {
				t.Errorf("with the whole cluster it %s, within the scope it %s; want %s and %s", got.verdict, scoped.verdict, c.whole, c.scoped)
			}
			if c.want != Same && judge.Tally().Scopes[c.want] == 0 {
				t.Errorf("it counts as %v, want %q", judge.Tally().Scopes, c.want)
			}
		})
	}
}

// TestADivergenceIsNotAnExcuse: an incomplete pool elsewhere does not cover another
// difference, nor do names that two drivers share.
func TestADivergenceIsNotAnExcuse(t *testing.T) {
	w := small(claimOf(1), incomplete(poolOn("a", gpuDriver, "pool", 2, "gpu-0")), poolOn("a", accDriver, "pool", 2, "acc-0"), poolOn("b", gpuDriver, "b", 2, "gpu-0"))
	judge := NewJudge()
	c := &cluster{Judge: judge, Case: w, before: w.Nodes[:1]}
	// b fits: were the scope to say that nothing does, none of the causes explains it.
	why, err := c.diverges(w.Nodes[1], reachOf(w.Slices, w.Nodes[1]), nothing)
	if err != nil || why != Unexplained {
		t.Errorf("%q, %v: want no explanation", why, err)
	}
}

// TestOrderDecidesWhereTheModelDoesNotAnswer shows the other two quirks: with the
// devices of a slice in another order, the allocator says something else of the same
// claim.
func TestOrderDecidesWhereTheModelDoesNotAnswer(t *testing.T) {
	numa := resourceapi.FullyQualifiedName(numaAttribute)
	distinct := func(c *resourceapi.DeviceClaim) {
		c.Constraints = []resourceapi.DeviceConstraint{{DistinctAttribute: &numa}}
	}
	large := func(c *resourceapi.DeviceClaim) {
		c.Requests[0].Exactly.Selectors = selectors(`device.attributes["gpu.example.com"].profile == "large"`)
	}
	on := func(values ...int64) []*resourceapi.ResourceSlice {
		pool := poolOn("a", gpuDriver, "a", 0, "gpu-0", "gpu-1", "gpu-2")
		for i, v := range values {
			pool[0].Spec.Devices[i].Attributes = map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{
				numaAttribute: {IntValue: &v}, "profile": {StringValue: ptr.To("large")}}
		}
		return pool
	}
	for name, c := range map[string]struct {
		world             *Case
		forward, backward verdict
	}{
		"a selector fails on the last device": {small(claimOf(1, large), on(0, 1)), fits, failed},
		// Of each request only the device added last is remembered: 0 1 0 passes.
		"the third device repeats the first": {small(claimOf(3, distinct), on(0, 1, 0)), fits, fits},
		"the same devices side by side":      {small(claimOf(3, distinct), on(0, 0, 1)), nothing, nothing},
	} {
		t.Run(name, func(t *testing.T) {
			judge := NewJudge()
			reversed := clone(c.world)
			slices.Reverse(reversed.Slices[0].Spec.Devices)
			for world, want := range map[*Case]verdict{c.world: c.forward, reversed: c.backward} {
				o, err := judge.celOf.oracle(world, world.Slices, world.Allocated)
				if err != nil {
					t.Fatal(err)
				}
				if got := o.ask(world.Nodes[0]); got.verdict != want {
					t.Errorf("it %s %v, want %s", got.verdict, got.err, want)
				}
				model := devices.NewModel(world.Features, celFeatures(world.Features))
				shape, err := model.Shape(asksOf(world), devices.Limits{}, lister(world.Classes))
				if err != nil {
					t.Fatal(err)
				}
				if got := look(model, world.Slices, shape, devices.NewWorth(nil, nil)).Answer(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}}); got != devices.Unknown {
					t.Errorf("the model answers %d, want it to leave the node to the allocator", got)
				}
				if d := judge.Compare(world); d != nil {
					t.Error(d)
				}
			}
		})
	}
}

// TestTheOldestAllocatorIsOfTwoMinds: it walks pools as a Go map has them. Of all
// devices, tied by an attribute, it meets first one that is in use, and finds nothing,
// or one that differs, and fails.
func TestTheOldestAllocatorIsOfTwoMinds(t *testing.T) {
	numa := resourceapi.FullyQualifiedName(numaAttribute)
	gpus := poolOn("a", gpuDriver, "a", 0, "gpu-0", "gpu-1")
	for i := range gpus[0].Spec.Devices {
		gpus[0].Spec.Devices[i].Attributes = map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{numaAttribute: {IntValue: ptr.To(int64(i))}}
	}
	w := small(claimOf(0, func(c *resourceapi.DeviceClaim) {
		c.Constraints = []resourceapi.DeviceConstraint{{MatchAttribute: &numa}}
	}), gpus, poolOn("a", nicDriver, "shared", 0, "port"))
	w.Allocated.AllocatedDevices.Insert(structured.MakeDeviceID(nicDriver, "shared", "port"))
	w.Features.ConsumableCapacity, w.Features.DeviceBindingAndStatus, w.Features.ListTypeAttributes = false, false, false
	judge, seen := NewJudge(), map[verdict]bool{}
	for range 500 {
		o, err := judge.celOf.oracle(w, w.Slices, w.Allocated)
		if err != nil {
			t.Fatal(err)
		}
		seen[o.ask(w.Nodes[0]).verdict] = true
		if d := judge.Compare(w); d != nil {
			t.Fatal(d)
		}
	}
	if !seen[nothing] || !seen[failed] {
		t.Errorf("it always says %v: nothing has to be excused any more", seen)
	}
}

// TestTheJudgeSeesWhatIsWrong: a scope that lacks what is in use, and an allocator
// that is told of fewer claims, are disagreements.
func TestTheJudgeSeesWhatIsWrong(t *testing.T) {
	w := small(claimOf(1), poolOn("a", gpuDriver, "a", 0, "gpu-0"))
	w.Allocated.AllocatedDevices.Insert(structured.MakeDeviceID(gpuDriver, "a", "gpu-0"))
	judge := NewJudge()
	model := judge.model(w.Features)
	shape, err := model.Shape(asksOf(w), devices.Limits{}, lister(w.Classes))
	if err != nil {
		t.Fatal(err)
	}
	view := look(model, w.Slices, shape, judge.worth) // of a model that knows of no allocation
	c := &cluster{Judge: judge, Case: w, shape: shape, view: view, alike: map[string]verdict{}}
	if d := c.judge(w.Nodes[0]); d == nil || d.Kind != OtherUse {
		t.Errorf("%v, want %q", d, OtherUse)
	}
	natural, err := c.ask(w.Nodes[0], w.Slices, w.Allocated)
	if err != nil {
		t.Fatal(err)
	}
	if d := c.judgeOrder(w.Nodes[0], devices.Fits, view.Scope(w.Nodes[0]), w.Slices, natural); d == nil || d.Kind != WrongFit {
		t.Errorf("%v, want %q", d, WrongFit)
	}
	natural.verdict = fits
	if d := c.judgeOrder(w.Nodes[0], devices.Refused, view.Scope(w.Nodes[0]), w.Slices, natural); d == nil || d.Kind != WrongRefusal {
		t.Errorf("%v, want %q", d, WrongRefusal)
	}
}
