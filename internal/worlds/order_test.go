package worlds

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/dynamic-resource-allocation/structured"

	"plimsoll.dev/scheduler/pkg/devices"
	"plimsoll.dev/scheduler/pkg/gpus"
)

// look is how a shape sees a model that has just been shown these slices.
func look(m *devices.Model, published []*resourceapi.ResourceSlice, s *devices.Shape, w *devices.Worth) *devices.View {
	m.Refresh(published)
	return m.View(s, w)
}

// view is how a fresh model sees a world.
func view(t testing.TB, w *Case) (*devices.Model, *devices.View) {
	t.Helper()
	m := devices.NewModel(w.Features, celFeatures(w.Features))
	m.Adopt(w.Allocated)
	shape, err := m.Shape(asksOf(w), w.Limits, lister(w.Classes))
	if err != nil {
		t.Fatal(err)
	}
	return m, look(m, w.Slices, shape, devices.NewWorth(nil, nil))
}

// TestTheOrderOfAllSlicesChangesNoVerdict: where the allocator is shown the whole
// cluster in the model's order.
func TestTheOrderOfAllSlicesChangesNoVerdict(t *testing.T) {
	g, judge := generator(t), NewJudge()
	compared := 0
	for seed := range uint64(judged / 100) {
		w := g.Generate(1<<42 + seed)
		_, ours := view(t, w)
		natural, err := judge.celOf.oracle(w, w.Slices, w.Allocated)
		if err != nil {
			t.Fatal(err)
		}
		ordered, err := judge.celOf.oracle(w, ours.Ordered(), w.Allocated)
		if err != nil {
			t.Fatal(err)
		}
		c := &cluster{Judge: judge, Case: w}
		if c.countsDiffer(poolsOf(w.Slices)) {
			continue // their order says how many there are, on all nodes if they have counters
		}
		for _, n := range w.Nodes {
			before, after := natural.ask(n), ordered.ask(n)
			if before.verdict == endless || after.verdict == endless || c.random(n, ours.Answer(n)) {
				continue
			}
			// Outdated slices are not handed on, see the divergence of that name.
			if before.verdict != after.verdict && len(newestOnly(w.Slices)) == len(w.Slices) {
				t.Fatalf("%s, node %s: in our order it %s %v, as published it %s %v", w.Note, n.Name, after.verdict, after.err, before.verdict, before.err)
			}
			compared++
		}
	}
	if compared < judged/100 {
		t.Errorf("only %d nodes were compared", compared)
	}
}

// TestNothingThatAnnotationsExcludeIsTaken: wherever the model plans under limits,
// the allocator takes only devices that meet them; where it does not, the plugin
// refuses the node.
func TestNothingThatAnnotationsExcludeIsTaken(t *testing.T) {
	g, judge := generator(t), NewJudge()
	planned := 0
	for seed := range uint64(judged / 50) {
		w := g.Generate(1<<43 + seed)
		w.Limits = devices.Limits{Memory: []int64{6 << 30, 15 << 30, 30 << 30}[seed%3]}
		if seed%2 == 0 {
			w.Limits.Isolation = []gpus.Isolation{gpus.MIG}
		}
		model, ours := view(t, w)
		c := &cluster{Judge: judge, Case: w}
		if c.countsDiffer(poolsOf(w.Slices)) {
			continue // their order says how many there are, on all nodes if they have counters
		}
		for _, n := range w.Nodes {
			scope := ours.Scope(n)
			if ours.Answer(n) != devices.Fits || c.unordered() {
				continue
			}
			got, err := c.ask(n, scope.Slices, scope.Allocated)
			if err != nil || got.verdict != fits {
				t.Fatalf("%s, node %s: planned %+v, the allocator %s %v %v", w.Note, n.Name, scope.Plan.Chosen, got.verdict, got.err, err)
			}
			planned++
			for _, d := range got.results {
				if has, ok := model.Meets(&w.Limits, &d); !ok {
					t.Fatalf("%s, node %s: under %+v the allocator took %s with %s", w.Note, n.Name, w.Limits, d.Device, has)
				}
			}
		}
	}
	if planned < judged/1000 {
		t.Errorf("only %d plans", planned)
	}
}

// TestPossibleIsWhatTheAllocatorReaches fills generated nodes with one size after
// the other through the in-tree allocator.
func TestPossibleIsWhatTheAllocatorReaches(t *testing.T) {
	judge := NewJudge()
	compared, some := 0, 0
	for seed := range uint64(250) {
		w := &draw{Rand: random(seed), left: smallWorld, Case: &Case{Features: Features(), Classes: generatedClasses(), Allocated: emptyState(),
			Nodes: []*v1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "gpu-a-01"}}}}}
		for _, name := range []string{"gpu-a-01", "gpu-a-01-more"} {
			set, list := w.partitionable(0)
			w.publish(gpuDriver, name, onNode("gpu-a-01"), w.slicesOf([]resourceapi.CounterSet{set}, [][]resourceapi.Device{list}))
		}
		w.allocate()
		model, ours := view(t, w.Case)
		understood := ours.Answer(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "gpu-a-01"}}) != devices.Unknown
		for _, s := range model.Stock(devices.NewWorth(nil, nil)) {
			for _, p := range s.Possible {
				reached := fill(t, judge, w.Case, p.Partition)
				if p.Count > reached || understood && p.Count != reached {
					t.Errorf("seed %d: %d more %s are possible, the allocator reaches %d", seed, p.Count, p.Partition, reached)
				}
				compared, some = compared+1, some+min(1, reached)
			}
		}
	}
	if compared < 500 || some < 250 {
		t.Errorf("too few counts say anything: %d, %d above 0", compared, some)
	}
}

// fill has the allocator place one size until it refuses.
func fill(t *testing.T, judge *Judge, w *Case, profile string) int {
	t.Helper()
	next := *w
	next.Allocated = usedWithin(w.Allocated, poolsOf(w.Slices))
	next.Claims = []*resourceapi.ResourceClaim{claimOf(1, func(c *resourceapi.DeviceClaim) {
		c.Requests[0].Exactly.Selectors = selectors(`"profile" in ` + ofGPU + ` && ` + ofGPU + `.profile == "` + profile + `"`)
	})}
	for n := 0; ; n++ {
		o, err := judge.celOf.oracle(&next, next.Slices, next.Allocated)
		if err != nil {
			t.Fatal(err)
		}
		got := o.ask(next.Nodes[0])
		if got.verdict != fits {
			return n
		}
		next.Allocated.AllocatedDevices.Insert(got.taken...)
	}
}

// TestShrinkKeepsWhatShows: from a large world, only what the test looks for stays.
func TestShrinkKeepsWhatShows(t *testing.T) {
	g := generator(t)
	judge := NewJudge()
	// A device that is taken, and another that the allocator takes beside it.
	shows := func(w *Case) bool {
		judge.Afresh()
		if len(w.Nodes) == 0 || len(w.Claims) == 0 || len(w.Allocated.AllocatedDevices) == 0 {
			return false
		}
		o, err := judge.celOf.oracle(w, w.Slices, w.Allocated)
		if err != nil {
			return false
		}
		got := o.ask(w.Nodes[0])
		return got.verdict == fits && len(got.taken) > 0
	}
	shrunk := 0
	for seed := range uint64(60) {
		w := g.Generate(seed)
		if !shows(w) {
			continue
		}
		before, err := w.YAML()
		if err != nil {
			t.Fatal(err)
		}
		small := Shrink(w, shows)
		after, err := w.YAML()
		if err != nil || string(before) != string(after) {
			t.Fatalf("seed %d was changed itself: %v", seed, err)
		}
		var ids []structured.DeviceID
		for _, s := range small.Slices {
			for _, d := range s.Spec.Devices {
				ids = append(ids, structured.MakeDeviceID(s.Spec.Driver, s.Spec.Pool.Name, d.Name))
			}
		}
		if len(small.Nodes) != 1 || len(small.Slices) != 1 || len(ids) != 1 || len(small.Claims) != 1 || len(small.Allocated.AllocatedDevices) != 1 {
			text, _ := small.YAML()
			t.Errorf("seed %d is not made small:\n%s", seed, text)
		}
		shrunk++
	}
	if shrunk < 5 {
		t.Errorf("only %d worlds were made smaller", shrunk)
	}
}
