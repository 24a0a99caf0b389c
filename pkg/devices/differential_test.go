package devices

import (
	"slices"
	"testing"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"
)

// features are those that 1.36 has on by default.
var features = structured.Features{AdminAccess: true, PrioritizedList: true, PartitionableDevices: true,
	DeviceTaints: true, DeviceBindingAndStatus: true, ConsumableCapacity: true}

var testCEL = cel.NewCache(100, cel.Features{EnableConsumableCapacity: true})

// verdict is what the in-tree allocator says.
type verdict struct {
	fits    bool
	failed  string
	devices []string
}

func ask(t *testing.T, w *world, slices []*resourceapi.ResourceSlice) verdict {
	t.Helper()
	a, err := structured.NewAllocator(t.Context(), features, w.allocated, testClasses, slices, testCEL)
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
	m := NewModel(features)
	m.cel = testCEL // compiling the same expressions anew is most of the time
	shape, err := m.Shape(w.asks(), Limits{}, testClasses)
	if err != nil {
		t.Fatal(err)
	}
	return m.View(w.slices, &w.allocated, shape, NewWorth(nil, nil))
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
	w := newWorld(seed)
	natural := ask(t, w, w.slices)
	view := arrange(t, w)
	ours := ask(t, w, view.Slices)
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
