package devices

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/structured"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"plimsoll.dev/scheduler/pkg/gpus"
)

// rename publishes a sample's slices for another node.
func rename(published []*resourceapi.ResourceSlice, node string) []*resourceapi.ResourceSlice {
	var out []*resourceapi.ResourceSlice
	for _, s := range published {
		c := s.DeepCopy()
		c.Name = strings.ReplaceAll(c.Name, *s.Spec.NodeName, node)
		c.Spec.NodeName, c.Spec.Pool.Name = ptr.To(node), node
		out = append(out, c)
	}
	return out
}

// fleet is a scene of several nodes with the same devices, gpu-01 to gpu-n.
func fleet(t testing.TB, file string, n int) *scene {
	s := newScene(t, file)
	one := s.slices
	s.slices = nil
	for i := range n {
		s.slices = append(s.slices, rename(one, fmt.Sprintf("gpu-%02d", i+1))...)
	}
	s.node.Name = "gpu-01"
	return s
}

func (s *scene) use(node, device string) {
	s.allocated.AllocatedDevices.Insert(structured.MakeDeviceID("gpu.nvidia.com", node, device))
}

func TestOnlyNodesThatChangedArePlannedAnew(t *testing.T) {
	s := fleet(t, "resourceslices-a30-2x-dynamic-mig", 3)
	claim := profile("1g.6gb")
	worth := NewWorth(nil, nil)
	shape, err := s.model.Shape([]Ask{{Name: "gpu", Spec: claim}}, Limits{}, s.classes)
	if err != nil {
		t.Fatal(err)
	}
	view := look(s.model, s.slices, &s.allocated, shape, worth)
	var before []*planned
	for i := range 3 {
		before = append(before, view.at(i))
	}
	s.use("gpu-02", "gpu-1-mig-1g6gb-14-0")
	after := look(s.model, s.slices, &s.allocated, shape, worth)
	for i, node := range []string{"gpu-01", "gpu-02", "gpu-03"} {
		if same := before[i] == after.at(i); same == (node == "gpu-02") {
			t.Errorf("%s: planned anew: %t", node, !same)
		}
	}
	if got := after.Plan("gpu-02").Chosen[0].Device; gpuOf(got) != "gpu-1" {
		t.Errorf("the node in use plans %s, want its fuller GPU", got)
	}
	if other := look(s.model, s.slices, &s.allocated, shape, NewWorth(nil, nil)); other.at(0) == after.at(0) {
		t.Error("a plan outlived the worth it was made with")
	}
}

func TestTheOrderOnlyMovesDevicesInsideTheirPool(t *testing.T) {
	s := fleet(t, "resourceslices-h100-80gb-8x-dynamic-mig", 2)
	s.use("gpu-01", "gpu-3-mig-1g10gb-19-4")
	untouched := make([]*resourceapi.ResourceSlice, len(s.slices))
	for i := range s.slices {
		untouched[i] = s.slices[i].DeepCopy()
	}
	view := s.view(t, template(t, "two-slices-same-gpu"))
	if len(view.Ordered()) != len(s.slices) {
		t.Fatalf("%d slices of %d", len(view.Ordered()), len(s.slices))
	}
	names := func(list []*resourceapi.ResourceSlice) (slices, devices sets.Set[string]) {
		slices, devices = sets.New[string](), sets.New[string]()
		for _, s := range list {
			slices.Insert(s.Name)
			for _, d := range s.Spec.Devices {
				devices.Insert(s.Spec.Pool.Name + "/" + d.Name)
			}
		}
		return slices, devices
	}
	wantSlices, wantDevices := names(s.slices)
	gotSlices, gotDevices := names(view.Ordered())
	if !gotSlices.Equal(wantSlices) || !gotDevices.Equal(wantDevices) {
		t.Error("the view has other slices or devices than are published")
	}
	for i := range s.slices {
		if len(untouched[i].Spec.Devices) > 0 && s.slices[i].Spec.Devices[0].Name != untouched[i].Spec.Devices[0].Name {
			t.Errorf("slice %s was changed in place", s.slices[i].Name)
		}
	}
	moved := 0
	for _, got := range view.Ordered() {
		if !slices.Contains(s.slices, got) {
			moved++
		}
	}
	if moved == 0 || moved > 2*3 {
		t.Errorf("%d slices were copied, want those that lose or gain devices", moved)
	}
}

// TestTheStateDoesNotDependOnHowItCameAbout: a model that saw devices come and
// go, and pools republished, is the same as a new one.
func TestTheStateDoesNotDependOnHowItCameAbout(t *testing.T) {
	base := fleet(t, "resourceslices-a30-2x-dynamic-mig", 2)
	var all []string
	for _, s := range base.slices[:3] {
		for _, d := range s.Spec.Devices {
			all = append(all, d.Name)
		}
	}
	claim := profile("2g.12gb")
	rapid.Check(t, func(t *rapid.T) {
		s := &scene{model: NewModel(features, expressions), classes: base.classes, slices: slices.Clone(base.slices), allocated: structured.AllocatedState{
			AllocatedDevices: sets.New[structured.DeviceID](), AggregatedCapacity: structured.NewConsumedCapacityCollection()}}
		s.model.cel = testCEL
		worth := NewWorth(nil, nil)
		look := func(m *Model) *View {
			shape, err := m.Shape([]Ask{{Name: "gpu", Spec: claim}}, Limits{}, s.classes)
			if err != nil {
				t.Fatal(err)
			}
			return look(m, s.slices, &s.allocated, shape, worth)
		}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			node := rapid.SampledFrom([]string{"gpu-01", "gpu-02"}).Draw(t, "node")
			id := structured.MakeDeviceID("gpu.nvidia.com", node, rapid.SampledFrom(all).Draw(t, "device"))
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0: // published anew
				for i := range s.slices {
					if *s.slices[i].Spec.NodeName == node {
						s.slices[i] = s.slices[i].DeepCopy()
					}
				}
			case 1, 2:
				s.allocated.AllocatedDevices.Delete(id)
			default:
				s.allocated.AllocatedDevices.Insert(id)
			}
			look(s.model)
		}
		grown := look(s.model)
		fresh := NewModel(features, expressions)
		fresh.cel = testCEL
		anew := look(fresh)
		for _, node := range []string{"gpu-01", "gpu-02"} {
			a, b := grown.Plan(node), anew.Plan(node)
			if (a == nil) != (b == nil) || a != nil && (a.Cost != b.Cost || a.Chosen[0] != b.Chosen[0]) {
				t.Fatalf("%s: %+v, a new model says %+v", node, a, b)
			}
			if got, want := grown.Why(called(node)), anew.Why(called(node)); got != want {
				t.Fatalf("%s: %+v, a new model says %+v", node, got, want)
			}
			_, gotGPUs := grown.Standing(node)
			_, wantGPUs := anew.Standing(node)
			if got, want := fmt.Sprint(gotGPUs), fmt.Sprint(wantGPUs); got != want {
				t.Fatalf("%s: GPUs %s, a new model says %s", node, got, want)
			}
		}
	})
}

func TestPublishedPoolsComeAndGo(t *testing.T) {
	s := fleet(t, "resourceslices-a30-2x-dynamic-mig", 1)
	claim := profile("1g.6gb")
	whole := s.slices
	s.slices = whole[:2]
	if why := s.view(t, claim).Why(called("gpu-01")); why.Kind != PoolUnusable || !strings.Contains(why.Detail, "it has 2 of 3 slices") {
		t.Errorf("half a pool: %+v", why)
	}
	s.slices = whole
	if s.view(t, claim).Plan("gpu-01") == nil {
		t.Error("no plan once the pool is whole")
	}
	// A new generation counts once any slice of it is there.
	next := whole[0].DeepCopy()
	next.Name, next.Spec.Pool.Generation = "next", 2
	s.slices = append(slices.Clone(whole), next)
	if view := s.view(t, claim); view.Plan("gpu-01") != nil || len(view.Ordered()) == 0 {
		t.Errorf("planned on an old generation: %+v", view.Plan("gpu-01"))
	}
	s.slices = nil
	if view := s.view(t, claim); view.Why(called("gpu-01")).Kind != NothingPublished || len(view.Ordered()) != 0 {
		t.Errorf("with nothing published: %+v", view.Why(called("gpu-01")))
	}
}

// TestAClassThatChangesIsReadAnew: its next version may select other devices.
func TestAClassThatChangesIsReadAnew(t *testing.T) {
	s := fleet(t, "resourceslices-a30-2x-dynamic-mig", 1)
	claim := profile("1g.6gb")
	name := claim.Devices.Requests[0].Exactly.DeviceClassName
	if s.view(t, claim).Plan("gpu-01") == nil {
		t.Fatal("no plan to begin with")
	}
	next := s.classes[name].DeepCopy()
	next.ResourceVersion, next.Spec.Selectors = "2", selectors("false")
	s.classes[name] = next
	if why := s.view(t, claim).Why(called("gpu-01")); why.Kind != NoneOfClass {
		t.Errorf("a class that selects nothing any more: %+v", why)
	}
	last := next.DeepCopy()
	last.UID, last.Spec.Selectors = "made anew", selectors("true")
	s.classes[name] = last
	if s.view(t, claim).Plan("gpu-01") == nil {
		t.Error("no plan for a class of that name that was made anew")
	}
}

// TestPoolsOfAKindShareAnAnswer: a thousand nodes with the same devices cost what one does.
func TestPoolsOfAKindShareAnAnswer(t *testing.T) {
	s := fleet(t, "resourceslices-a30-2x-dynamic-mig", 3)
	tainted := s.slices[len(s.slices)-1].DeepCopy()
	for i := range tainted.Spec.Devices {
		tainted.Spec.Devices[i].Taints = []resourceapi.DeviceTaint{{Key: "broken", Effect: resourceapi.DeviceTaintEffectNoSchedule}}
	}
	s.slices[len(s.slices)-1] = tainted
	view := s.view(t, profile("1g.6gb"))
	for i := range 3 {
		view.at(i)
	}
	answers := map[*match]int{}
	for _, n := range s.model.nodes {
		for _, p := range n.pools {
			for _, a := range p.matches {
				answers[a]++
			}
		}
	}
	var shared []int
	for _, pools := range answers {
		shared = append(shared, pools)
	}
	slices.Sort(shared)
	if !slices.Equal(shared, []int{1, 2}) {
		t.Errorf("answers are shared by %v pools, want two that are alike to share one, and one of its own for the node whose devices are tainted", shared)
	}
}

func TestWhyNothingFits(t *testing.T) {
	h100 := "resourceslices-h100-80gb-8x-dynamic-mig"
	a30 := "resourceslices-a30-2x-dynamic-mig"
	one := func(class, selector string) *resourceapi.ResourceClaimSpec {
		spec := profile("")
		spec.Devices.Requests[0].Exactly.DeviceClassName = class
		spec.Devices.Requests[0].Exactly.Selectors = selectors(selector)
		return spec
	}
	for name, c := range map[string]struct {
		file   string
		used   []string
		claim  *resourceapi.ResourceClaimSpec
		limits Limits
		want   Why
	}{
		"another vendor's class": {h100, nil, one("gpu.amd.com", ""), Limits{},
			Why{NoneOfClass, "gpu", "slice", "gpu.amd.com"}},
		"a profile that the GPU does not have": {a30, nil, profile("1g.10gb"), Limits{},
			Why{NoneSelected, "gpu", "slice", "mig.nvidia.com"}},
		"less memory than the pod needs": {a30, nil, profile("1g.6gb"), Limits{Memory: 20 << 30},
			Why{AgainstAnnotations, "gpu", "slice", "5952Mi, mig"}},
		"a slice is not a GPU alone": {a30, nil, profile("1g.6gb"), Limits{Isolation: []gpus.Isolation{gpus.Exclusive}},
			Why{AgainstAnnotations, "gpu", "slice", "5952Mi, mig"}},
		"both GPUs have a slice in use": {a30, []string{"gpu-0-mig-1g6gb-14-0", "gpu-1-mig-1g6gb-14-3"}, profile("4g.24gb"), Limits{},
			Why{TooLittleLeft, "gpu", "slice", "memory-slice"}},
		"both whole GPUs are taken": {a30, []string{"gpu-0-mig-4g24gb-0-0", "gpu-1-mig-4g24gb-0-0"}, profile("4g.24gb"), Limits{},
			Why{AllTaken, "gpu", "slice", "1 asked for, 0 of 2 free"}},
		"two of one parent, one left on each": {a30, []string{"gpu-0-mig-2g12gb-5-0", "gpu-1-mig-2g12gb-5-0"}, pairOf("2g.12gb"), Limits{},
			Why{Kind: NotTogether, Claim: "gpu"}},
		"all GPUs, and annotations": {h100, nil, everyOne("gpu.nvidia.com"), Limits{Memory: 1 << 30},
			Why{Untold, "gpu", "slice", "all devices are asked for, whatever the annotations say"}},
		"a tainted GPU": {"resourceslices-h100-tainted", []string{"gpu-1", "gpu-2"}, one("gpu.nvidia.com", ""), Limits{},
			Why{AllTaken, "gpu", "slice", "1 asked for, 0 of 2 free"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := fleet(t, c.file, 1)
			for _, d := range c.used {
				s.use("gpu-01", d)
			}
			shape, err := s.model.Shape([]Ask{{Name: "gpu", Spec: c.claim}}, c.limits, s.classes)
			if err != nil {
				t.Fatal(err)
			}
			view := look(s.model, s.slices, &s.allocated, shape, NewWorth(nil, nil))
			if got := view.Why(called("gpu-01")); got != c.want || view.Plan("gpu-01") != nil {
				t.Errorf("got %+v and plan %v, want %+v", got, view.Plan("gpu-01"), c.want)
			}
		})
	}
}

func everyOne(class string) *resourceapi.ResourceClaimSpec {
	spec := profile("")
	spec.Devices.Requests[0].Exactly = &resourceapi.ExactDeviceRequest{DeviceClassName: class, AllocationMode: resourceapi.DeviceAllocationModeAll}
	return spec
}

// TestAnnotationsDoNotSpeakOfDevicesWithoutMemory: all NICs of a node can be had beside
// a GPU that must have some memory.
func TestAnnotationsDoNotSpeakOfDevicesWithoutMemory(t *testing.T) {
	s := fleet(t, "resourceslices-a30-2x-dynamic-mig", 1)
	nics := &resourceapi.ResourceSlice{}
	nics.Name, nics.Spec.Driver, nics.Spec.NodeName = "gpu-01-nic", "nic.example.com", s.slices[0].Spec.NodeName
	nics.Spec.Pool = resourceapi.ResourcePool{Name: "gpu-01", ResourceSliceCount: 1}
	nics.Spec.Devices = []resourceapi.Device{{Name: "nic-0"}, {Name: "nic-1"}}
	s.slices = append(s.slices, nics)
	s.classes["nic"] = class("nic", `device.driver == "nic.example.com"`)
	for name, c := range map[string]struct {
		memory int64
		want   int
	}{"a slice that is large enough": {4 << 30, 3}, "none is": {20 << 30, 0}} {
		asks := []Ask{{Name: "nics", Spec: everyOne("nic")}, {Name: "gpu", Spec: profile("1g.6gb")}}
		shape, err := s.model.Shape(asks, Limits{Memory: c.memory}, s.classes)
		if err != nil {
			t.Fatal(err)
		}
		view := look(s.model, s.slices, &s.allocated, shape, NewWorth(nil, nil))
		plan := view.Plan("gpu-01")
		if plan == nil && c.want > 0 || plan != nil && len(plan.Chosen) != c.want {
			t.Errorf("%s: planned %+v (%+v), want %d devices", name, plan, view.Why(called("gpu-01")), c.want)
		}
	}
}

func pairOf(name string) *resourceapi.ResourceClaimSpec {
	spec := profile(name)
	spec.Devices.Requests[0].Exactly.Count = 2
	attribute := resourceapi.FullyQualifiedName("gpu.nvidia.com/parentUUID")
	spec.Devices.Constraints = []resourceapi.DeviceConstraint{{MatchAttribute: &attribute}}
	return spec
}

func TestIsolationIsPreferredInTheOrderGiven(t *testing.T) {
	// A node whose driver publishes both whole GPUs and slices of them.
	s := fleet(t, "resourceslices-a100-80gb-8x-dynamic-mig-legacy-with-full-gpu", 1)
	s.classes["any"] = class("any", `device.driver == "gpu.nvidia.com"`)
	claim := profile("")
	claim.Devices.Requests[0].Exactly.DeviceClassName = "any"
	claim.Devices.Requests[0].Exactly.Selectors = nil
	for want, isolation := range map[string][]gpus.Isolation{
		"gpu-0":     {gpus.Exclusive},
		"gpu-0-mig": {gpus.MIG},
	} {
		shape, err := s.model.Shape([]Ask{{Name: "gpu", Spec: claim}}, Limits{Isolation: isolation}, s.classes)
		if err != nil {
			t.Fatal(err)
		}
		plan := look(s.model, s.slices, &s.allocated, shape, NewWorth(nil, nil)).Plan("gpu-01")
		if plan == nil || !strings.HasPrefix(plan.Chosen[0].Device, want) || strings.Contains(plan.Chosen[0].Device, "-mig-") != strings.Contains(want, "mig") {
			t.Errorf("isolation %v: planned %+v, want %s", isolation, plan, want)
		}
	}
}

func TestHardwareCountsGPUsNotDevices(t *testing.T) {
	for file, want := range map[string]int64{
		"resourceslices-a100-80gb-8x-dynamic-mig": 8,
		"resourceslices-h100-static-mig":          0, // see below: slices of parents, and whole GPUs
		"resourceslices-h100-full-gpu-only":       0,
		"resourceslices-a30-2x-dynamic-mig":       2,
	} {
		var got int64
		parents := sets.New[string]()
		for _, s := range sample[*resourceapi.ResourceSlice](t, file) {
			for _, h := range Hardware(s) {
				got += h.MilliGPUs / gpus.MilliGPU
				if h.Model == "" || h.MemoryMiB == 0 {
					t.Errorf("%s: %+v", file, h)
				}
			}
			for i := range s.Spec.Devices {
				d := device{spec: &s.Spec.Devices[i]}
				if p := parent(&d); p != "" {
					parents.Insert(p)
				} else {
					parents.Insert(d.spec.Name)
				}
			}
		}
		if want == 0 {
			want = int64(parents.Len())
		}
		if got != want {
			t.Errorf("%s: %d GPUs, want %d", file, got, want)
		}
	}
}

// BenchmarkView is what a pod's cycle pays on a cluster of eight-GPU nodes of
// which one changed since the last.
func BenchmarkView(b *testing.B) {
	for _, nodes := range []int{10, 100} {
		b.Run(fmt.Sprintf("%d-nodes", nodes), func(b *testing.B) {
			s := fleet(b, "resourceslices-a100-80gb-8x-dynamic-mig", nodes)
			worth := NewWorth(nil, nil)
			shape, err := s.model.Shape([]Ask{{Name: "gpu", Spec: profile("1g.10gb")}}, Limits{}, s.classes)
			if err != nil {
				b.Fatal(err)
			}
			id := structured.MakeDeviceID("gpu.nvidia.com", "gpu-03", "gpu-0-mig-1g10gb-19-0")
			view := look(s.model, s.slices, &s.allocated, shape, worth)
			for _, n := range s.model.all {
				view.Plan(n.name)
			}
			b.ReportAllocs()
			for b.Loop() {
				if s.allocated.AllocatedDevices.Has(id) {
					s.allocated.AllocatedDevices.Delete(id)
				} else {
					s.allocated.AllocatedDevices.Insert(id)
				}
				view = look(s.model, s.slices, &s.allocated, shape, worth)
				for _, n := range s.model.all {
					view.Answer(called(n.name))
				}
			}
		})
	}
}
