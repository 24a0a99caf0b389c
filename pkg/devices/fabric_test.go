package devices

import (
	"fmt"
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/dynamic-resource-allocation/structured"
	"k8s.io/utils/ptr"
)

const fabricDriver = "fabric.example.com"

// ports publishes a pool of devices that several nodes reach.
func (s *scene) ports(pool string, on func(*resourceapi.ResourceSliceSpec), names ...string) *resourceapi.ResourceSlice {
	out := &resourceapi.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: pool}, Spec: resourceapi.ResourceSliceSpec{Driver: fabricDriver,
		Pool: resourceapi.ResourcePool{Name: pool, ResourceSliceCount: 1, Generation: 1}}}
	for _, name := range names {
		out.Spec.Devices = append(out.Spec.Devices, resourceapi.Device{Name: name})
	}
	on(&out.Spec)
	s.slices = append(s.slices, out)
	s.classes["fabric"] = class("fabric", `device.driver == "`+fabricDriver+`"`)
	return out
}

func everywhere(s *resourceapi.ResourceSliceSpec) { s.AllNodes = ptr.To(true) }

// inRack selects nodes by a label.
func inRack(operator v1.NodeSelectorOperator, values ...string) func(*resourceapi.ResourceSliceSpec) {
	return func(s *resourceapi.ResourceSliceSpec) {
		s.NodeSelector = &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{MatchExpressions: []v1.NodeSelectorRequirement{
			{Key: "rack", Operator: operator, Values: values}}}}}
	}
}

func racked(name, rack string) *v1.Node {
	return &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"rack": rack}}}
}

// port asks for devices that nodes share.
func port(name string, count int64) resourceapi.DeviceRequest {
	return resourceapi.DeviceRequest{Name: name, Exactly: &resourceapi.ExactDeviceRequest{DeviceClassName: "fabric",
		AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: count}}
}

func claimOf(requests ...resourceapi.DeviceRequest) *resourceapi.ResourceClaimSpec {
	return &resourceapi.ResourceClaimSpec{Devices: resourceapi.DeviceClaim{Requests: requests}}
}

// TestAClaimOfBothKindsIsPlannedInHalves: a slice of the node's own GPU, and a port that
// nodes share.
func TestAClaimOfBothKindsIsPlannedInHalves(t *testing.T) {
	s := newScene(t, "resourceslices-a30-2x-dynamic-mig")
	s.use("a30-0", "gpu-1-mig-1g6gb-14-0")
	both := profile("1g.6gb")
	both.Devices.Requests = append([]resourceapi.DeviceRequest{port("port", 1)}, both.Devices.Requests...)
	s.classes["fabric"] = class("fabric", `device.driver == "`+fabricDriver+`"`)
	if why := s.view(t, both).Why(called("a30-0")); why.Kind != NoneOfClass {
		t.Errorf("before there is a fabric: %+v", why)
	}
	s.ports("ports", everywhere, "port-1") // what was said before is not remembered
	view := s.view(t, both)
	if got := view.Answer(called("a30-0")); got != Fits {
		t.Fatalf("answer %d, want %d", got, Fits)
	}
	plan := view.Scope(called("a30-0")).Plan
	if plan == nil || len(plan.Chosen) != 2 || plan.Chosen[0].Device != "port-1" || gpuOf(plan.Chosen[1].Device) != "gpu-1" {
		t.Fatalf("planned %+v, want the port and a slice of the fuller GPU, as they are asked for", plan)
	}
	if got := view.Answer(called("elsewhere")); got != Refused || view.Why(called("elsewhere")).Request != "slice" {
		t.Errorf("of a node without a GPU: answer %d, %+v", got, view.Why(called("elsewhere")))
	}
	if got, ok := s.take(t, both); !ok || got[0] != "port-1" || got[1] != plan.Chosen[1].Device {
		t.Errorf("the allocator took %v, want the port and %s", got, plan.Chosen[1].Device)
	}
	view = s.view(t, both)
	if got, want := view.Why(called("a30-0")), (Why{Kind: AllTaken, Claim: "gpu", Request: "port", Detail: "1 asked for, 0 of 1 free"}); got != want || view.Answer(called("a30-0")) != Refused {
		t.Errorf("the port is taken: %+v, want %+v", got, want)
	}
	if _, ok := s.take(t, both); ok {
		t.Error("the port was given twice")
	}
}

// TestNodesAreServedByTheFabricsTheyReach: by their labels, whatever devices of no use
// they have themselves.
func TestNodesAreServedByTheFabricsTheyReach(t *testing.T) {
	s := newScene(t, "resourceslices-a30-2x-dynamic-mig")
	s.ports("ports-a", inRack(v1.NodeSelectorOpIn, "a"), "port-1", "port-2")
	s.ports("ports-b", inRack(v1.NodeSelectorOpIn, "b"), "port-1")
	view := s.view(t, claimOf(port("ports", 2)))
	for _, c := range []struct {
		node *v1.Node
		want Answer
		why  Kind
	}{
		{racked("bare", "a"), Fits, Served},
		{racked("a30-0", "a"), Fits, Served}, // its GPUs are no ports
		{racked("bare-b", "b"), Refused, AllTaken},
		{racked("bare-c", "c"), Refused, NothingPublished},
		{racked("a30-0", "c"), Refused, NoneOfClass},
	} {
		if got, why := view.Answer(c.node), view.Why(c.node).Kind; got != c.want || why != c.why {
			t.Errorf("%s: answer %d, why %d; want %d, %d", c.node.Name, got, why, c.want, c.why)
		}
	}
	one, alike := view.Alike(racked("bare", "a"))
	if another, also := view.Alike(racked("a30-0", "a")); !alike || !also || one != another {
		t.Errorf("keys %q and %q (%v, %v), want the same", one, another, alike, also)
	}
	if third, _ := view.Alike(racked("bare", "b")); third == one {
		t.Errorf("a node of another rack has the same key %q", third)
	}
}

// TestTheAllocatorIsShownTheSharedPoolsThatItNeeds, and all of them where there is no
// plan: thousands of pools need not be walked to confirm one device.
func TestTheAllocatorIsShownTheSharedPoolsThatItNeeds(t *testing.T) {
	s := newScene(t, "resourceslices-a30-2x-dynamic-mig")
	own := len(s.slices)
	for i := range 20 {
		s.ports(fmt.Sprintf("ports-%d", i), everywhere, "port")
	}
	s.model.Refresh(s.slices)
	for want, view := range map[int]*View{10: s.view(t, claimOf(port("ports", 10))), 20: s.view(t, claimOf(port("ports", 21)))} {
		if got := view.Answer(called("bare")); got == Unknown || got == Fits != (want == 10) {
			t.Errorf("answer %d where %d pools are to be shown", got, want)
		}
		if got := len(view.Scope(called("bare")).Slices); got != want {
			t.Errorf("%d slices for a node without its own, want %d", got, want)
		}
		if got := len(view.Scope(called("a30-0")).Slices); got != want+own {
			t.Errorf("%d slices for a node with %d of its own, want %d", got, own, want+own)
		}
		if got := len(view.NaturalScope(called("bare")).Slices); got != 20 {
			t.Errorf("%d slices in their natural order, want all 20", got)
		}
	}
}

// TestAllDevicesAreAllThatAreShown: of a list that would rather have all, the allocator
// must see what it is that keeps it from having them.
func TestAllDevicesAreAllThatAreShown(t *testing.T) {
	s := newScene(t, "resourceslices-a30-2x-dynamic-mig")
	s.ports("ports-0", everywhere, "port")
	s.ports("ports-1", everywhere, "port-1", "port-2")
	s.allocated.AllocatedDevices.Insert(structured.MakeDeviceID(fabricDriver, "ports-0", "port"))
	claim := claimOf(resourceapi.DeviceRequest{Name: "ports", FirstAvailable: []resourceapi.DeviceSubRequest{
		{Name: "all", DeviceClassName: "fabric", AllocationMode: resourceapi.DeviceAllocationModeAll},
		{Name: "one", DeviceClassName: "fabric", AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: 1}}})
	scope := s.view(t, claim).Scope(called("bare"))
	if scope.Plan == nil || len(scope.Plan.Chosen) != 1 {
		t.Fatalf("planned %+v, want one port", scope.Plan)
	}
	got, err := s.allocate(t, claim, scope.Slices)
	if err != nil || len(got) != 1 || len(got[0].Devices.Results) != 1 || got[0].Devices.Results[0].Request != "ports/one" {
		t.Errorf("the allocator gives %+v, %v; want one port as the second choice", got, err)
	}
}

// TestSharedPoolsThatCannotBePlannedAreLeftToTheAllocator.
func TestSharedPoolsThatCannotBePlannedAreLeftToTheAllocator(t *testing.T) {
	perDevice := func(s *resourceapi.ResourceSliceSpec) {
		s.PerDeviceNodeSelection = ptr.To(true)
		for i := range s.Devices {
			s.Devices[i].AllNodes = ptr.To(true)
		}
	}
	for name, c := range map[string]struct {
		on    func(*resourceapi.ResourceSliceSpec)
		spoil func(*scene, *resourceapi.ResourceSlice)
		want  Answer
	}{
		"nothing is wrong":          {everywhere, nil, Fits},
		"each device says the same": {perDevice, nil, Fits},
		"a device is another node's": {perDevice, func(_ *scene, s *resourceapi.ResourceSlice) {
			s.Spec.Devices[0].AllNodes, s.Spec.Devices[0].NodeName = nil, ptr.To("x")
		}, Unknown},
		"one slice says it, one each device": {perDevice, func(s *scene, now *resourceapi.ResourceSlice) {
			now.Spec.Pool.ResourceSliceCount = 2
			another := s.ports("ports", everywhere, "port-3")
			another.Name, another.Spec.Pool.ResourceSliceCount = "another", 2
		}, Unknown},
		"a device says nothing":       {perDevice, func(_ *scene, s *resourceapi.ResourceSlice) { s.Spec.Devices[0].AllNodes = nil }, Unknown},
		"the selector cannot be read": {inRack("Unheard"), nil, Unknown},
		"it is incomplete":            {everywhere, func(_ *scene, s *resourceapi.ResourceSlice) { s.Spec.Pool.ResourceSliceCount = 2 }, Refused},
		"an older generation is still there": {everywhere, func(s *scene, now *resourceapi.ResourceSlice) {
			s.ports("ports", everywhere, "old").Name = "old"
			now.Spec.Pool.Generation = 2
		}, Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, "resourceslices-a30-2x-dynamic-mig")
			slice := s.ports("ports", c.on, "port-1", "port-2")
			if c.spoil != nil {
				c.spoil(s, slice)
			}
			if got := s.view(t, claimOf(port("port", 1))).Answer(called("bare")); got != c.want {
				t.Errorf("answer %d, want %d", got, c.want)
			}
		})
	}
}

// TestCountersOfOneNameAreLeftToTheAllocator: it keeps them by the name of the pool,
// not by driver.
func TestCountersOfOneNameAreLeftToTheAllocator(t *testing.T) {
	s := newScene(t, "resourceslices-a30-2x-dynamic-mig")
	pool := s.slices[0].Spec.Pool.Name
	s.ports(pool, everywhere, "port").Name = "ports"
	s.slices[len(s.slices)-1].Spec.Pool.ResourceSliceCount = 2
	counters := s.ports(pool, everywhere)
	counters.Name, counters.Spec.Pool.ResourceSliceCount = "counters", 2
	for _, slice := range s.slices {
		if len(slice.Spec.SharedCounters) > 0 {
			counters.Spec.SharedCounters = slice.Spec.SharedCounters
		}
	}
	view := s.view(t, claimOf(port("port", 1)))
	if got := view.Answer(called("a30-0")); got != Unknown {
		t.Errorf("beside counters of the same name: answer %d, want %d", got, Unknown)
	}
	if got := view.Answer(called("bare")); got != Fits {
		t.Errorf("without: answer %d, want %d", got, Fits)
	}
}

// TestAViewThatOthersHaveOvertakenDoesNotMixEditions: once other pools are shared, it
// leaves what it has not answered to the allocator.
func TestAViewThatOthersHaveOvertakenDoesNotMixEditions(t *testing.T) {
	s := newScene(t, "resourceslices-a30-2x-dynamic-mig")
	s.ports("ports", everywhere, "port")
	view := s.view(t, claimOf(port("ports", 2)))
	if got := view.Answer(called("bare")); got != Refused {
		t.Fatalf("answer %d, want %d", got, Refused)
	}
	s.ports("more", everywhere, "port")
	s.model.Refresh(s.slices)
	if got, why := view.Judge(called("bare")); got != Unknown || why.Kind != Served {
		t.Errorf("answer %d, %+v; want %d and no reason", got, why, Unknown)
	}
	if view.Scope(called("bare")).Fresh {
		t.Error("nothing is said to have changed")
	}
	view = s.view(t, claimOf(port("ports", 2)))
	if got := view.Answer(called("bare")); got != Fits {
		t.Fatalf("answer %d with both, want %d", got, Fits)
	}
	s.model.Refresh(s.slices[:len(s.slices)-2])
	if view.Scope(called("bare")).Fresh {
		t.Error("nothing is said to have changed when all shared pools are gone")
	}
}

// TestReasonsAreThoseOfTheNearestDevices, of the node's own or shared.
func TestReasonsAreThoseOfTheNearestDevices(t *testing.T) {
	s := newScene(t, "resourceslices-a30-2x-dynamic-mig")
	s.ports("ports-a", inRack(v1.NodeSelectorOpIn, "a"), "port")
	own := s.ports("own", func(s *resourceapi.ResourceSliceSpec) { s.NodeName = ptr.To("a30-0") }, "port")
	own.Spec.Devices[0].Taints = []resourceapi.DeviceTaint{{Key: "broken", Effect: resourceapi.DeviceTaintEffectNoSchedule}}
	view := s.view(t, claimOf(port("port", 1)))
	want := Why{Kind: AllTainted, Claim: "gpu", Request: "port", Detail: "broken"}
	if answer, why := view.Judge(racked("a30-0", "b")); answer != Refused || why != want {
		t.Errorf("answer %d, %+v; want %d, %+v", answer, why, Refused, want)
	}
	if answer := view.Answer(racked("a30-0", "a")); answer != Fits {
		t.Errorf("answer %d where a shared port is reached, want %d", answer, Fits)
	}
}

// TestAViewKeepsItsAnswerAboutAFabric while others take what it has seen; only the
// scope tells.
func TestAViewKeepsItsAnswerAboutAFabric(t *testing.T) {
	s := newScene(t, "resourceslices-a30-2x-dynamic-mig")
	s.ports("ports", everywhere, "port")
	claim := claimOf(port("port", 1))
	view := s.view(t, claim)
	if got := view.Answer(called("bare")); got != Fits || !view.Scope(called("bare")).Fresh {
		t.Fatalf("answer %d, want %d and all as it was", got, Fits)
	}
	if _, ok := s.take(t, claim); !ok {
		t.Fatal("the port is not to be had")
	}
	if later := s.view(t, claim); later.Answer(called("bare")) != Refused {
		t.Error("a later view does not see that the port is taken")
	}
	if got, scope := view.Answer(called("bare")), view.Scope(called("bare")); got != Fits || scope.Fresh || scope.Plan != nil {
		t.Errorf("answer %d, scope %+v; want the first answer, and that something changed", got, scope)
	}
}

// BenchmarkFabric is what a pod's cycle pays for one of 2,000 pools that 100 nodes
// share, half of them in use: by the model, which confirms one node with the allocator,
// and by the allocator alone, which is asked about a single node there.
func BenchmarkFabric(b *testing.B) {
	s := newScene(b, "resourceslices-a30-2x-dynamic-mig")
	s.slices = nil
	for i := range 2000 {
		s.ports(fmt.Sprintf("ports-%04d", i), everywhere, "port")
		if i%2 == 0 {
			s.allocated.AllocatedDevices.Insert(structured.MakeDeviceID(fabricDriver, fmt.Sprintf("ports-%04d", i), "port"))
		}
	}
	claim := claimOf(port("port", 1))
	shape, err := s.model.Shape([]Ask{{Name: "gpu", Spec: claim}}, Limits{}, s.classes)
	if err != nil {
		b.Fatal(err)
	}
	worth := NewWorth(nil, nil)
	nodes := make([]*v1.Node, 100)
	for i := range nodes {
		nodes[i] = called(fmt.Sprintf("node-%02d", i))
	}
	ask := func(b *testing.B, slices []*resourceapi.ResourceSlice, allocated *structured.AllocatedState) {
		a, err := structured.NewAllocator(b.Context(), features, *allocated, s.classes, slices, testCEL)
		if err != nil {
			b.Fatal(err)
		}
		found, err := a.Allocate(b.Context(), nodes[0], []*resourceapi.ResourceClaim{{ObjectMeta: metav1.ObjectMeta{Name: "gpu"}, Spec: *claim}})
		if err != nil || len(found) != 1 {
			b.Fatal(found, err)
		}
	}
	changing := &resourceapi.AllocationResult{Devices: resourceapi.DeviceAllocationResult{
		Results: []resourceapi.DeviceRequestAllocationResult{{Driver: fabricDriver, Pool: "ports-0001", Device: "port"}}}}
	b.Run("model,100-nodes", func(b *testing.B) {
		look(s.model, s.slices, &s.allocated, shape, worth)
		sign := 1
		b.ReportAllocs()
		for b.Loop() {
			s.model.count(changing, sign) // something is always new
			sign = -sign
			view := s.model.View(shape, worth)
			for _, n := range nodes {
				if view.Answer(n) != Fits {
					b.Fatal("no port is left")
				}
			}
			scope := view.Scope(nodes[0])
			ask(b, scope.Slices, scope.Allocated)
		}
	})
	b.Run("allocator,1-node", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ask(b, s.slices, &s.allocated)
		}
	})
}

// TestSelectionsAreFoundByTheirLandmarks: whatever labels a selector names, a node is
// found to be included if and only if the selector matches it.
func TestSelectionsAreFoundByTheirLandmarks(t *testing.T) {
	term := func(requirements ...v1.NodeSelectorRequirement) v1.NodeSelectorTerm {
		return v1.NodeSelectorTerm{MatchExpressions: requirements}
	}
	rack := func(operator v1.NodeSelectorOperator, values ...string) v1.NodeSelectorRequirement {
		return v1.NodeSelectorRequirement{Key: "rack", Operator: operator, Values: values}
	}
	row := v1.NodeSelectorRequirement{Key: "row", Operator: v1.NodeSelectorOpIn, Values: []string{"1"}}
	named := v1.NodeSelectorTerm{MatchFields: []v1.NodeSelectorRequirement{{Key: "metadata.name", Operator: v1.NodeSelectorOpIn, Values: []string{"bare"}}}}
	selectors := [][]v1.NodeSelectorTerm{
		{term(rack(v1.NodeSelectorOpIn, "a", "b"))},
		{term(rack(v1.NodeSelectorOpIn, "a", "b"), row)},
		{term(rack(v1.NodeSelectorOpIn, "a")), term(row)}, // either
		{term(rack(v1.NodeSelectorOpIn, "a")), term(rack(v1.NodeSelectorOpDoesNotExist))},
		{term(rack(v1.NodeSelectorOpNotIn, "a"))},
		{term(rack(v1.NodeSelectorOpIn, ""))},
		{named},
		{named, term(row)},
		{term()}, // includes nothing
		{{MatchFields: []v1.NodeSelectorRequirement{{Key: "metadata.name", Operator: v1.NodeSelectorOpNotIn, Values: []string{"bare"}}}}},
	}
	s := newScene(t, "resourceslices-a30-2x-dynamic-mig")
	s.slices = nil
	for i, terms := range selectors {
		s.ports(fmt.Sprint("ports-", i), func(spec *resourceapi.ResourceSliceSpec) {
			spec.NodeSelector = &v1.NodeSelector{NodeSelectorTerms: terms}
		}, "port")
	}
	s.ports("by-name", func(spec *resourceapi.ResourceSliceSpec) { spec.NodeName = ptr.To("bare") }, "port")
	s.ports("per-device", func(spec *resourceapi.ResourceSliceSpec) {
		spec.PerDeviceNodeSelection = ptr.To(true)
		spec.Devices[0].NodeName = ptr.To("bare")
		spec.Devices = append(spec.Devices, resourceapi.Device{Name: "port-2", NodeName: ptr.To("other")})
	}, "port")
	s.ports("everywhere", everywhere, "port")
	s.model.Refresh(s.slices)
	for _, name := range []string{"bare", "other", "third"} {
		for _, labels := range []map[string]string{nil, {"rack": "a"}, {"rack": "b"}, {"rack": ""}, {"rack": "c", "row": "1"}, {"rack": "a", "row": "1"}, {"row": "2"}} {
			node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
			var want []int
			for _, each := range s.model.seats {
				if each.includes(node) {
					want = append(want, each.seat)
				}
			}
			if got := s.model.reachOf(node).seats; !slices.Equal(got, want) {
				t.Errorf("%s with labels %v reaches selections %v, want %v", name, labels, got, want)
			}
		}
	}
	if got := len(s.model.seats); got != len(selectors)+3 {
		t.Errorf("%d selections, want %d", got, len(selectors)+3)
	}
}

// BenchmarkReach is what is paid after something was published of pools that each have
// a rack of their own, 1,000 of them, for asking the 1,000 nodes that are in them.
func BenchmarkReach(b *testing.B) {
	s := newScene(b, "resourceslices-a30-2x-dynamic-mig")
	s.slices = nil
	nodes := make([]*v1.Node, 1000)
	for i := range nodes {
		nodes[i] = racked(fmt.Sprintf("node-%04d", i), fmt.Sprint(i))
		s.ports(fmt.Sprintf("ports-%04d", i), inRack(v1.NodeSelectorOpIn, fmt.Sprint(i)), "port")
	}
	s.model.Refresh(s.slices)
	b.ReportAllocs()
	for b.Loop() {
		s.model.seat()
		for _, n := range nodes {
			s.model.reachOf(n)
		}
	}
}
