package devices

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/structured"
	"k8s.io/utils/ptr"
)

const gridModel = "Grid-100"

// partitioned publishes a node with GPUs of a grid, whose slices are named
// gpu-<n>-<profile>-<start>. edit may change a device, and may be nil.
func partitioned(node string, g grid, gpus int, edit func(*resourceapi.Device)) []*resourceapi.ResourceSlice {
	counters := resourceapi.ResourceSliceSpec{}
	list := resourceapi.ResourceSliceSpec{}
	for n := range gpus {
		set := resourceapi.CounterSet{Name: fmt.Sprintf("gpu-%d", n), Counters: map[string]resourceapi.Counter{}}
		for i := range g.cells {
			set.Counters[fmt.Sprintf("memory-slice-%d", i)] = resourceapi.Counter{Value: resource.MustParse("1")}
		}
		counters.SharedCounters = append(counters.SharedCounters, set)
		for _, p := range g.profiles {
			for _, start := range p.starts {
				d := resourceapi.Device{Name: fmt.Sprintf("gpu-%d-%s-%d", n, p.name[:2], start),
					Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{
						"profile": {StringValue: ptr.To(p.name)}, "productName": {StringValue: ptr.To(gridModel)}},
					Capacity:         map[resourceapi.QualifiedName]resourceapi.DeviceCapacity{"memory": {Value: resource.MustParse(p.memory)}},
					ConsumesCounters: []resourceapi.DeviceCounterConsumption{{CounterSet: set.Name, Counters: map[string]resourceapi.Counter{}}}}
				for i := range p.size {
					d.ConsumesCounters[0].Counters[fmt.Sprintf("memory-slice-%d", start+i)] = resourceapi.Counter{Value: resource.MustParse("1")}
				}
				if edit != nil {
					edit(&d)
				}
				list.Devices = append(list.Devices, d)
			}
		}
	}
	return published(node, counters, list)
}

// published makes one complete pool of specs.
func published(node string, specs ...resourceapi.ResourceSliceSpec) []*resourceapi.ResourceSlice {
	var out []*resourceapi.ResourceSlice
	for i, s := range specs {
		s.Driver, s.NodeName = testDriver, ptr.To(node)
		s.Pool = resourceapi.ResourcePool{Name: node, Generation: 1, ResourceSliceCount: int64(len(specs))}
		out = append(out, &resourceapi.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", node, i)}, Spec: s})
	}
	return out
}

// taken are devices of a node that claims hold alone.
func taken(node string, devices ...string) *structured.AllocatedState {
	state := &structured.AllocatedState{AllocatedDevices: sets.New[structured.DeviceID](), AllocatedSharedDeviceIDs: sets.New[structured.SharedDeviceID](),
		AggregatedCapacity: structured.NewConsumedCapacityCollection()}
	for _, d := range devices {
		state.AllocatedDevices.Insert(structured.MakeDeviceID(testDriver, node, d))
	}
	return state
}

func stockOf(slices []*resourceapi.ResourceSlice, allocated *structured.AllocatedState) []NodeStock {
	m := NewModel(features, expressions)
	refresh(m, slices, allocated)
	return m.Stock(NewWorth(nil, nil))
}

// taint adds a taint to the devices whose names begin so.
func taint(prefix string, effect resourceapi.DeviceTaintEffect) func(*resourceapi.Device) {
	return func(d *resourceapi.Device) {
		if strings.HasPrefix(d.Name, prefix) {
			d.Taints = []resourceapi.DeviceTaint{{Key: "xid", Effect: effect}}
		}
	}
}

func possible(counts ...int) []Possible {
	var out []Possible
	for i, p := range grids[0].profiles {
		out = append(out, Possible{p.name, counts[i]})
	}
	return out
}

var (
	onGrid  = grids[0] // 8 slices; 1g 2g 3g 4g 7g
	noSched = resourceapi.DeviceTaintEffectNoSchedule
)

func TestStockOfAGridCountsEachSizeAlone(t *testing.T) {
	for name, c := range map[string]struct {
		gpus  int
		edit  func(*resourceapi.Device)
		taken []string
		want  NodeStock
	}{
		"an empty GPU has room for every size": {gpus: 1, want: NodeStock{Sliced: States{Free: 1},
			Slices: Slices{Free: 8, Stranded: (1 + 2 + 0 + 4 + 0) / 5.}, Possible: possible(7, 3, 2, 1, 1)}},
		"a 1g at 6 leaves a 4g, and no 7g": {gpus: 1, taken: []string{"gpu-0-1g-6"}, want: NodeStock{Sliced: States{Partly: 1},
			Slices: Slices{Allocated: 1, Free: 7, Stranded: (1 + 1 + 3 + 3 + 7) / 5.}, Possible: possible(6, 3, 1, 1, 0)}},
		"a 1g at 0 leaves no 4g": {gpus: 1, taken: []string{"gpu-0-1g-0"}, want: NodeStock{Sliced: States{Partly: 1},
			Slices: Slices{Allocated: 1, Free: 7, Stranded: (1 + 3 + 3 + 7 + 7) / 5.}, Possible: possible(6, 2, 1, 0, 0)}},
		"sizes that fit on two GPUs add up": {gpus: 2, taken: []string{"gpu-0-1g-0", "gpu-1-1g-6"}, want: NodeStock{Sliced: States{Partly: 2},
			Slices: Slices{Allocated: 2, Free: 14, Stranded: (2 + 4 + 6 + 10 + 14) / 5.}, Possible: possible(12, 5, 2, 1, 0)}},
		"seven 1g leave a slice that nothing can use": {gpus: 1,
			taken: []string{"gpu-0-1g-0", "gpu-0-1g-1", "gpu-0-1g-2", "gpu-0-1g-3", "gpu-0-1g-4", "gpu-0-1g-5", "gpu-0-1g-6"},
			want:  NodeStock{Sliced: States{Allocated: 1}, Slices: Slices{Allocated: 7, Free: 1, Stranded: 1}, Possible: possible(0, 0, 0, 0, 0)}},
		"a 7g leaves nothing": {gpus: 1, taken: []string{"gpu-0-7g-0"},
			want: NodeStock{Sliced: States{Allocated: 1}, Slices: Slices{Allocated: 8}, Possible: possible(0, 0, 0, 0, 0)}},
		"a tainted GPU is unavailable": {gpus: 2, edit: taint("gpu-1", noSched), want: NodeStock{Sliced: States{Free: 1, Unavailable: 1},
			Slices: Slices{Free: 8, Unavailable: 8, Stranded: 7 / 5.}, Possible: possible(7, 3, 2, 1, 1)}},
		"what is allocated of a tainted GPU stays allocated": {gpus: 1, edit: taint("gpu-0", noSched), taken: []string{"gpu-0-3g-4"},
			want: NodeStock{Sliced: States{Unavailable: 1}, Slices: Slices{Allocated: 4, Unavailable: 4}, Possible: possible(0, 0, 0, 0, 0)}},
		"a tainted size is not possible": {gpus: 1, edit: taint("gpu-0-7g", noSched), want: NodeStock{Sliced: States{Free: 1},
			Slices: Slices{Free: 8, Stranded: 7 / 5.}, Possible: possible(7, 3, 2, 1, 0)}},
		"a taint without effect does not count": {gpus: 1, edit: taint("gpu-0", resourceapi.DeviceTaintEffectNone), want: NodeStock{Sliced: States{Free: 1},
			Slices: Slices{Free: 8, Stranded: 7 / 5.}, Possible: possible(7, 3, 2, 1, 1)}},
		"a pool of which more is allocated than it has is unavailable": {gpus: 2, taken: []string{"gpu-0-7g-0", "gpu-0-1g-0"}, want: NodeStock{
			Sliced: States{Allocated: 1, Unavailable: 1}, Slices: Slices{Allocated: 8, Unavailable: 8}, Possible: possible(0, 0, 0, 0, 0)}},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.Node, c.want.Model = "gpu-a-01", gridModel
			got := stockOf(partitioned("gpu-a-01", onGrid, c.gpus, c.edit), taken("gpu-a-01", c.taken...))
			if diff := cmp.Diff([]NodeStock{c.want}, got, cmpopts.EquateApprox(0, 1e-9)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if s := got[0].Slices; s.Sum() != 8*c.gpus || s.Stranded > float64(s.Free)+1e-9 {
				t.Errorf("slices do not add up: %+v", s)
			}
		})
	}
}

func TestStockOfPoolsThatCannotBeUsedIsNone(t *testing.T) {
	whole := partitioned("gpu-a-01", onGrid, 1, nil)
	if got := stockOf(whole[:1], taken("gpu-a-01")); len(got) != 0 {
		t.Errorf("an incomplete pool has %+v", got)
	}
	whole[1].Spec.Devices = append(whole[1].Spec.Devices, whole[1].Spec.Devices[0])
	if got := stockOf(whole, taken("gpu-a-01")); len(got) != 0 {
		t.Errorf("an invalid pool has %+v", got)
	}
}

// plain publishes devices without counters.
func plain(node string, devices ...resourceapi.Device) []*resourceapi.ResourceSlice {
	for i := range devices {
		devices[i].Name = fmt.Sprintf("gpu-%d", i)
		devices[i].Capacity = map[resourceapi.QualifiedName]resourceapi.DeviceCapacity{"memory": {Value: resource.MustParse("80Gi")}}
	}
	return published(node, resourceapi.ResourceSliceSpec{Devices: devices})
}

func static(parent, profile string) resourceapi.Device {
	return resourceapi.Device{Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{
		"parentUUID": {StringValue: &parent}, "profile": {StringValue: &profile}}}
}

func TestStockOfOtherGPUs(t *testing.T) {
	unhealthy := resourceapi.Device{Taints: []resourceapi.DeviceTaint{{Key: "xid", Effect: resourceapi.DeviceTaintEffectNoExecute}}}
	several := resourceapi.Device{AllowMultipleAllocations: ptr.To(true)}
	shared := taken("gpu-a-01")
	for device, gib := range map[string]int64{"gpu-0": 60, "gpu-1": 80} {
		id := structured.MakeDeviceID(testDriver, "gpu-a-01", device)
		shared.AllocatedSharedDeviceIDs.Insert(structured.MakeSharedDeviceID(id, ptr.To(types.UID(device))))
		shared.AggregatedCapacity.Insert(structured.NewDeviceConsumedCapacity(id, map[resourceapi.QualifiedName]resource.Quantity{
			"memory": *resource.NewQuantity(gib<<30, resource.BinarySI)}))
	}
	for name, c := range map[string]struct {
		slices    []*resourceapi.ResourceSlice
		allocated *structured.AllocatedState
		want      NodeStock
	}{
		"whole GPUs are free, allocated or tainted": {plain("gpu-a-01", resourceapi.Device{}, resourceapi.Device{}, resourceapi.Device{}, unhealthy),
			taken("gpu-a-01", "gpu-1"), NodeStock{Whole: States{Free: 2, Allocated: 1, Unavailable: 1}}},
		"static slices count by parent and size": {plain("gpu-a-01", static("A", "3g.40gb"), static("A", "3g.40gb"), static("B", "3g.40gb"), static("C", "7g.80gb")),
			taken("gpu-a-01", "gpu-0", "gpu-2"), NodeStock{Sliced: States{Free: 1, Partly: 1, Allocated: 1},
				Possible: []Possible{{"3g.40gb", 1}, {"7g.80gb", 1}}}},
		"shared GPUs count by what is left": {plain("gpu-a-01", several, several, several), shared,
			NodeStock{Shared: States{Free: 1, Partly: 1, Allocated: 1}, SharedFree: 1000 + 250}},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.Node, c.want.Model = "gpu-a-01", testDriver
			if diff := cmp.Diff([]NodeStock{c.want}, stockOf(c.slices, c.allocated)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestPossibleIsWhatTheGeometryCounts compares with the tables of the model of
// grids, on GPUs filled at random.
func TestPossibleIsWhatTheGeometryCounts(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		on := grids[rng.IntN(len(grids))]
		list := partitioned("gpu-a-01", on, 1, nil)
		m := NewModel(features, expressions)
		refresh(m, list, taken("gpu-a-01"))
		g := &m.all[0].pools[0].gpus[0]
		var names []string
		for range rng.IntN(6) {
			p := m.all[0].pools[0]
			if d := &p.devices[rng.IntN(len(p.devices))]; d.mask&g.used == 0 {
				names = append(names, d.spec.Name)
				refresh(m, list, taken("gpu-a-01", names...))
			}
		}
		for _, p := range m.Stock(NewWorth(nil, nil))[0].Possible {
			at, found := g.kind.geometry.Find(p.Partition)
			if want := g.kind.geometry.Copies(g.used, at); !found || p.Count != want {
				t.Errorf("%v beside %v: %d more are possible, the geometry counts %d", p.Partition, g.used, p.Count, want)
			}
		}
	}
}

func TestStockFollowsChangesAndRemembersTheRest(t *testing.T) {
	list := slices.Concat(partitioned("gpu-a-01", onGrid, 1, nil), partitioned("gpu-a-02", onGrid, 1, nil))
	m := NewModel(features, expressions)
	worth := NewWorth(nil, nil)
	refresh(m, list, taken("gpu-a-01"))
	before := m.Stock(worth)
	refresh(m, list, taken("gpu-a-01", "gpu-0-1g-6"))
	after := m.Stock(worth)
	if got := after[0].Possible; got[4].Count != 0 || after[0].Slices.Allocated != 1 {
		t.Errorf("a 1g was allocated, the stock says %+v", after[0])
	}
	if &before[1].Possible[0] != &after[1].Possible[0] {
		t.Error("a node that did not change was counted anew")
	}
	refresh(m, list, taken("gpu-a-01"))
	if diff := cmp.Diff(before, m.Stock(worth)); diff != "" {
		t.Errorf("it was given back (-before +after)\n%s", diff)
	}
	refresh(m, list[:2], taken("gpu-a-01"))
	if got := m.Stock(worth); len(got) != 1 {
		t.Errorf("a node is gone, the stock says %+v", got)
	}
}

// TestAScrapeMayComeAtAnyTime runs under the race detector: what a cycle sees does
// not depend on scrapes.
func TestAScrapeMayComeAtAnyTime(t *testing.T) {
	list, free := partitioned("gpu-a-01", onGrid, 2, nil), taken("gpu-a-01", "gpu-1-2g-0")
	m := NewModel(features, expressions)
	m.cel = testCEL
	of := `device.attributes["gpu.example.com"]`
	claim := profile("")
	claim.Devices.Requests[0].Exactly.DeviceClassName = "gpu"
	claim.Devices.Requests[0].Exactly.Selectors = selectors(of + `.profile == "1g.10gb"`)
	shape, err := m.Shape([]Ask{{Name: "gpu", Spec: claim}}, Limits{}, classes{"gpu": class("gpu", "")})
	if err != nil {
		t.Fatal(err)
	}
	worth := NewWorth(nil, nil)
	want := look(m, list, free, shape, worth).Plan("gpu-a-01")
	if want == nil {
		t.Fatal("nothing is planned: the test would say nothing")
	}
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			for range 100 {
				m.Refresh(slices.Clone(list))
				m.Stock(worth)
			}
		})
	}
	other := claimed("other", "other", 1, "gpu-0-1g-0")
	for range 100 {
		// Another claim comes and goes.
		observe(m, other)
		lose(m, other)
		m.Refresh(list)
		got := m.View(shape, worth).Plan("gpu-a-01")
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Chosen{})); diff != "" {
			t.Fatalf("the plan depends on scrapes (-want +got)\n%s", diff)
		}
	}
	wait.Wait()
}

// BenchmarkStock counts 1,000 nodes with 8 partitionable GPUs each, of which one
// node in eight changed, or all.
func BenchmarkStock(b *testing.B) {
	var list []*resourceapi.ResourceSlice
	for i := range 1000 {
		list = append(list, partitioned(fmt.Sprintf("gpu-a-%04d", i), onGrid, 8, nil)...)
	}
	m := NewModel(features, expressions)
	refresh(m, list, taken("none"))
	for name, every := range map[string]int{"all": 1, "eighth": 8} {
		b.Run(name, func(b *testing.B) {
			worth := NewWorth(nil, nil)
			for b.Loop() {
				for i := 0; i < len(m.all); i += every {
					m.all[i].version++
				}
				m.Stock(worth)
			}
		})
	}
}
