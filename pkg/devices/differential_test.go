package devices

import (
	"slices"
	"testing"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"

	"plimsoll.dev/scheduler/pkg/gpus"
)

// features are those that 1.36 has on by default.
var features = structured.Features{AdminAccess: true, PrioritizedList: true, PartitionableDevices: true,
	DeviceTaints: true, DeviceBindingAndStatus: true, ConsumableCapacity: true}

var expressions = cel.Features{EnableConsumableCapacity: true}

var testCEL = cel.NewCache(100, expressions)

// verdict is what the in-tree allocator says.
type verdict struct {
	fits    bool
	failed  string
	devices []string
}

func ask(t *testing.T, w *world, slices []*resourceapi.ResourceSlice) verdict {
	t.Helper()
	a, err := structured.NewAllocator(t.Context(), w.features, w.allocated, testClasses, slices, testCEL)
	if err != nil {
		t.Fatal(err)
	}
	results, err := a.Allocate(t.Context(), w.node, w.claims)
	var out verdict
	if err != nil {
		out.failed = err.Error()
		return out
	}
	out.fits = len(results) == len(w.claims)
	for _, r := range results {
		for _, d := range r.Devices.Results {
			out.devices = append(out.devices, d.Driver+"/"+d.Pool+"/"+d.Device)
		}
	}
	return out
}

func (w *world) asks() []Ask {
	var out []Ask
	for _, c := range w.claims {
		out = append(out, Ask{Name: c.Name, Spec: &c.Spec})
	}
	return out
}

func arrange(t *testing.T, w *world) *View {
	t.Helper()
	m := NewModel(w.features, expressions)
	m.cel = testCEL // compiling the same expressions anew is most of the time
	shape, err := m.Shape(w.asks(), w.limits, testClasses)
	if err != nil {
		t.Fatal(err)
	}
	return look(m, w.slices, &w.allocated, shape, NewWorth(nil, nil))
}

// tally counts what a comparison had to say.
type tally struct{ fit, planned, changed, unplanned int }

// TestOnlyTheChoiceDiffersFromTheAllocatorsOwn compares verdicts over generated
// slices and claims: handed our order, the allocator must find a place if and
// only if it finds one by itself, and it must take what the model planned.
func TestOnlyTheChoiceDiffersFromTheAllocatorsOwn(t *testing.T) {
	var n tally
	for seed := range uint64(worlds) {
		compareVerdicts(t, seed, &n)
	}
	t.Logf("%d worlds: %d fit, %d planned, %d of them otherwise than first-fit, %d fit without a plan",
		worlds, n.fit, n.planned, n.changed, n.unplanned)
	if n.fit < worlds/5 || n.planned < n.fit*8/10 || n.changed < worlds/20 {
		t.Errorf("too few worlds say anything: %+v", n)
	}
}

func compareVerdicts(t *testing.T, seed uint64, n *tally) {
	t.Helper()
	compareIn(t, newWorld(seed), seed, n)
}

func compareIn(t *testing.T, w *world, seed uint64, n *tally) {
	t.Helper()
	natural := ask(t, w, w.slices)
	view := arrange(t, w)
	ours := ask(t, w, view.Ordered())
	if natural.fits != ours.fits || (natural.failed == "") != (ours.failed == "") {
		t.Fatalf("seed %d: by itself the allocator says %+v, in our order %+v", seed, natural, ours)
	}
	if natural.fits {
		n.fit++
	}
	plan := view.Plan(w.node.Name)
	if plan == nil {
		if natural.fits && view.Why(w.node.Name).Kind != Served && !w.distinct {
			t.Fatalf("seed %d: the model says %+v, the allocator %v", seed, view.Why(w.node.Name), natural.devices)
		}
		if natural.fits {
			n.unplanned++
		}
		return
	}
	n.planned++
	var want []string
	for _, c := range plan.Chosen {
		want = append(want, c.Driver+"/"+c.Pool+"/"+c.Device)
	}
	if w.all { // of "all" devices, only the set says anything
		slices.Sort(want)
		slices.Sort(ours.devices)
	}
	if !slices.Equal(want, ours.devices) {
		t.Fatalf("seed %d: planned %v, the allocator took %v (%s)", seed, want, ours.devices, ours.failed)
	}
	if !slices.Equal(want, natural.devices) {
		n.changed++
	}
}

// TestVerdictsAgreeWhateverIsSwitchedOff repeats it with features off, as they
// are after a rollback: what was published stays.
func TestVerdictsAgreeWhateverIsSwitchedOff(t *testing.T) {
	for name, off := range map[string]func(*structured.Features){
		"ConsumableCapacity":     func(f *structured.Features) { f.ConsumableCapacity = false },
		"PartitionableDevices":   func(f *structured.Features) { f.PartitionableDevices = false },
		"DeviceTaints":           func(f *structured.Features) { f.DeviceTaints = false },
		"DeviceBindingAndStatus": func(f *structured.Features) { f.DeviceBindingAndStatus = false },
	} {
		var n tally
		for seed := range uint64(worlds / 20) {
			w := newWorld(seed + 5_000_000)
			off(&w.features)
			if !w.features.ConsumableCapacity {
				w.forgetShares()
			}
			compareIn(t, w, seed+5_000_000, &n)
		}
		if n.fit == 0 || n.planned == 0 {
			t.Errorf("without %s: nothing was compared: %+v", name, n)
		}
	}
}

// forgetShares leaves no share allocated and no capacity asked for: with the
// feature off, the API server does not let either through.
func (w *world) forgetShares() {
	clear(w.allocated.AllocatedSharedDeviceIDs)
	clear(w.allocated.AggregatedCapacity)
	for _, c := range w.claims {
		for i := range c.Spec.Devices.Requests {
			if e := c.Spec.Devices.Requests[i].Exactly; e != nil {
				e.Capacity = nil
			}
			for j := range c.Spec.Devices.Requests[i].FirstAvailable {
				c.Spec.Devices.Requests[i].FirstAvailable[j].Capacity = nil
			}
		}
	}
}

// TestNothingThatAnnotationsExcludeIsTaken: wherever the model plans under
// limits, the allocator takes only devices that meet them; where it does not,
// the plugin refuses the node.
func TestNothingThatAnnotationsExcludeIsTaken(t *testing.T) {
	planned := 0
	for seed := range uint64(worlds / 5) {
		w := newWorld(seed + 9_000_000)
		w.limits = Limits{Memory: []int64{6 << 30, 15 << 30, 30 << 30}[seed%3]}
		if seed%2 == 0 {
			w.limits.Isolation = []gpus.Isolation{gpus.MIG}
		}
		view := arrange(t, w)
		if view.Plan(w.node.Name) == nil {
			continue
		}
		a, err := structured.NewAllocator(t.Context(), w.features, w.allocated, testClasses, view.Ordered(), testCEL)
		if err != nil {
			t.Fatal(err)
		}
		results, err := a.Allocate(t.Context(), w.node, w.claims)
		if err != nil || len(results) != len(w.claims) {
			t.Fatalf("seed %d: planned %+v, the allocator says %v %v", seed, view.Plan(w.node.Name).Chosen, results, err)
		}
		planned++
		m := NewModel(w.features, expressions)
		m.updateSlices(w.slices)
		for _, r := range results {
			for i := range r.Devices.Results {
				if has, ok := m.Meets(&w.limits, &r.Devices.Results[i]); !ok {
					t.Fatalf("seed %d: under %+v the allocator took %s with %s", seed, w.limits, r.Devices.Results[i].Device, has)
				}
			}
		}
	}
	if planned < worlds/100 {
		t.Errorf("only %d plans", planned)
	}
}
