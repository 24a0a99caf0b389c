package devices

import (
	"fmt"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// TestPlanningIsBounded: a valid claim that would take the search hours costs no
// more than the budget, and is left to the allocator.
func TestPlanningIsBounded(t *testing.T) {
	s := newScene(t, "resourceslices-h100-80gb-8x-dynamic-mig")
	attribute := resourceapi.FullyQualifiedName("gpu.nvidia.com/parentUUID")
	spec := &resourceapi.ResourceClaimSpec{Devices: resourceapi.DeviceClaim{Constraints: []resourceapi.DeviceConstraint{{MatchAttribute: &attribute}}}}
	for r := range 3 {
		request := resourceapi.DeviceRequest{Name: fmt.Sprintf("r%d", r)}
		for a := range 6 {
			request.FirstAvailable = append(request.FirstAvailable, resourceapi.DeviceSubRequest{Name: fmt.Sprintf("a%d", a), DeviceClassName: "mig.nvidia.com",
				AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: 3, Selectors: selectors("device.attributes['gpu.nvidia.com'].profile == '1g.10gb'")})
		}
		spec.Devices.Requests = append(spec.Devices.Requests, request)
	}
	view := s.view(t, spec)
	if plan := view.Plan(s.node.Name); plan != nil || view.Why(called(s.node.Name)).Kind != Served {
		t.Errorf("nine 1g on one GPU: plan %v, why %+v; want it left to the allocator", plan, view.Why(called(s.node.Name)))
	}
	spent := viewBudget - s.model.budget
	matching := 8 * 26 * costOfMatch * 2
	if spent > nodeBudget*2+matching {
		t.Errorf("spent %d, want at most %d for the search and %d for the selectors", spent, nodeBudget*2, matching)
	}
}

// TestAnOrderThatRunsOutGoesOnNextTime: nodes are planned in turn, and none stays
// without its turn.
func TestAnOrderThatRunsOutGoesOnNextTime(t *testing.T) {
	s := fleet(t, "resourceslices-a100-80gb-8x-dynamic-mig", 80)
	claim := profile("1g.10gb")
	// Looks at all attributes, so that each device has to be judged by itself.
	claim.Devices.Requests[0].Exactly.Selectors = append(claim.Devices.Requests[0].Exactly.Selectors,
		selectors(`size(device.attributes["gpu.nvidia.com"]) > 1`)...)
	shape, err := s.model.Shape([]Ask{{Name: "gpu", Spec: claim}}, Limits{}, s.classes)
	if err != nil {
		t.Fatal(err)
	}
	worth := NewWorth(nil, nil)
	count := func() (planned int) {
		look(s.model, s.slices, &s.allocated, shape, worth).Ordered()
		for _, n := range s.model.all {
			if known := n.recall(shape, worth, allRequests); known != nil && known.plan != nil {
				planned++
			}
		}
		return planned
	}
	first := count()
	if first == 0 || first == 80 {
		t.Fatalf("%d of 80 nodes planned at first sight; the test wants the budget to end in between", first)
	}
	last := first
	for range 10 {
		if last = count(); last == 80 {
			return
		}
	}
	t.Errorf("%d nodes planned at first, %d after ten more views", first, last)
}

// TestProfilesKeepTheirPlans: two profiles that see worth differently do not
// make each other plan anew.
func TestProfilesKeepTheirPlans(t *testing.T) {
	s := fleet(t, "resourceslices-a30-2x-dynamic-mig", 2)
	shape, err := s.model.Shape([]Ask{{Name: "gpu", Spec: profile("1g.6gb")}}, Limits{}, s.classes)
	if err != nil {
		t.Fatal(err)
	}
	one, other := NewWorth(nil, nil), NewWorth(nil, nil)
	first := look(s.model, s.slices, &s.allocated, shape, one)
	first.at(0)
	look(s.model, s.slices, &s.allocated, shape, other).at(0)
	if again := look(s.model, s.slices, &s.allocated, shape, one); again.at(0) != first.at(0) {
		t.Error("planned anew though nothing changed")
	}
}

// TestWhatIsRememberedIsBounded by the number of shapes and of plans, and what is
// asked for often stays.
func TestWhatIsRememberedIsBounded(t *testing.T) {
	s := fleet(t, "resourceslices-a30-2x-dynamic-mig", 1)
	favourite := profile("2g.12gb")
	kept := s.view(t, favourite)
	for i := range 2 * maxShapes {
		other := profile("1g.6gb")
		other.Devices.Requests[0].Exactly.Count = int64(1 + i%3)
		other.Devices.Requests[0].Name = fmt.Sprintf("r%d", i)
		s.view(t, other)
		if len(s.model.shapes) > maxShapes || len(s.model.all[0].plans) > maxPlans {
			t.Fatalf("%d shapes, %d plans", len(s.model.shapes), len(s.model.all[0].plans))
		}
		if i%10 == 0 {
			s.view(t, favourite)
		}
	}
	shape, err := s.model.Shape([]Ask{{Name: "gpu", Spec: favourite}}, Limits{}, s.classes)
	if err != nil || len(s.model.selectors) > maxShapes {
		t.Fatalf("%v, %d selectors", err, len(s.model.selectors))
	}
	again := s.view(t, favourite)
	if again.at(0).shape != shape || again.Plan("gpu-01").Chosen[0] != kept.Plan("gpu-01").Chosen[0] {
		t.Error("what is asked for often was forgotten")
	}
	ordered := 0
	for _, p := range s.model.all[0].plans {
		if p.ordered != nil {
			ordered++
		}
	}
	if ordered > maxOrdered+1 {
		t.Errorf("%d plans hold copies of slices", ordered)
	}
}

func TestConfigurationOfTheDriverMakesNoOtherShape(t *testing.T) {
	s := fleet(t, "resourceslices-a30-2x-dynamic-mig", 1)
	plain, configured := profile("1g.6gb"), profile("1g.6gb")
	configured.Devices.Config = []resourceapi.DeviceClaimConfiguration{{Requests: []string{"slice"}}}
	a, _ := s.model.Shape([]Ask{{Name: "gpu", Spec: plain}}, Limits{}, s.classes)
	b, _ := s.model.Shape([]Ask{{Name: "gpu", Spec: configured}}, Limits{}, s.classes)
	if a != b {
		t.Error("two shapes for one request")
	}
}

func TestTheSmallestSufficesAlsoIfTheClassSaysSo(t *testing.T) {
	s := fleet(t, "resourceslices-h100-80gb-8x-dynamic-mig", 1)
	s.classes["large"] = class("large", `device.attributes["gpu.nvidia.com"].type == "mig" && device.capacity["gpu.nvidia.com"].memory.compareTo(quantity("30Gi")) >= 0`)
	claim := profile("")
	claim.Devices.Requests[0].Exactly.DeviceClassName = "large"
	claim.Devices.Requests[0].Exactly.Selectors = nil
	plan := s.view(t, claim).Plan("gpu-01")
	if plan == nil || !strings.Contains(plan.Chosen[0].Device, "3g40gb") {
		t.Errorf("planned %+v, want a 3g.40gb", plan)
	}
}

// TestSlicesThatDisagreeAreLeftToTheAllocator: it believes the one it comes upon
// first, and what is planned decides which that is.
func TestSlicesThatDisagreeAreLeftToTheAllocator(t *testing.T) {
	s := newScene(t, "resourceslices-a30-2x-dynamic-mig")
	if got := s.view(t, profile("1g.6gb")).Answer(called("a30-0")); got != Fits {
		t.Fatalf("before they disagree: answer %d, want %d", got, Fits)
	}
	last := len(s.slices) - 1
	s.slices[last] = s.slices[last].DeepCopy()
	s.slices[last].Spec.Pool.ResourceSliceCount++
	if len(s.slices) < 2 || s.slices[0].Spec.Pool.Name != s.slices[last].Spec.Pool.Name {
		t.Fatalf("want a pool of several slices, got %d slices", len(s.slices))
	}
	if got := s.view(t, profile("1g.6gb")).Answer(called("a30-0")); got != Unknown {
		t.Errorf("answer %d, want %d", got, Unknown)
	}
}

// TestADeviceThatNamesAnAttributeTwiceIsLeftToTheAllocator: what an expression sees of
// it is left to chance, there too.
func TestADeviceThatNamesAnAttributeTwiceIsLeftToTheAllocator(t *testing.T) {
	for _, name := range []resourceapi.QualifiedName{"type", "gpu.nvidia.com/type"} {
		s := newScene(t, "resourceslices-a30-2x-dynamic-mig")
		last := len(s.slices) - 1
		s.slices[last] = s.slices[last].DeepCopy()
		s.slices[last].Spec.Devices[0].Attributes[name] = resourceapi.DeviceAttribute{StringValue: ptr.To("mig")}
		want := Fits
		if name != "type" {
			want = Unknown
		}
		if got := s.view(t, profile("1g.6gb")).Answer(called("a30-0")); got != want {
			t.Errorf("with the attribute %s: answer %d, want %d", name, got, want)
		}
	}
}

// TestCountersAreNoReasonToReachANode: the allocator has them count wherever devices
// draw on them, whatever node their slice selects. A pool reaches the nodes of its
// devices, so that one that is incomplete fails no pod elsewhere.
func TestCountersAreNoReasonToReachANode(t *testing.T) {
	s := newScene(t, "resourceslices-a30-2x-dynamic-mig")
	another := s.slices[len(s.slices)-1].DeepCopy()
	another.Name, another.Spec.NodeName, another.Spec.Devices = "another", ptr.To("a30-1"), nil
	s.slices = append(s.slices, another)
	counters := 0
	for i := range s.slices {
		s.slices[i] = s.slices[i].DeepCopy()
		s.slices[i].Spec.Pool.ResourceSliceCount = int64(len(s.slices))
		if len(s.slices[i].Spec.SharedCounters) > 0 {
			s.slices[i].Spec.NodeName = ptr.To("elsewhere")
			counters++
		}
	}
	if len(another.Spec.SharedCounters) > 0 || counters == 0 {
		t.Fatalf("want slices of counters and one of devices that is copied, got %d with counters", counters)
	}
	view := s.view(t, profile("1g.6gb"))
	for node, want := range map[string]int{"a30-0": len(s.slices), "a30-1": len(s.slices), "elsewhere": 0} {
		if got := view.Scope(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}).Slices; len(got) != want {
			t.Errorf("%s is reached by %d slices, want %d", node, len(got), want)
		}
	}
}
