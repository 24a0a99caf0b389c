package gpuslice

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/component-base/metrics/testutil"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/utils/ptr"

	"plimsoll.dev/scheduler/pkg/devices"
	"plimsoll.dev/scheduler/pkg/metrics"
)

// scraped stands in for the scheduler's manager: it has slices.
type scraped struct {
	fwk.SharedDRAManager
	fwk.ResourceSliceLister

	slices    []*resourceapi.ResourceSlice
	allocated structured.AllocatedState
}

func (s *scraped) ResourceSlices() fwk.ResourceSliceLister { return s }

func (s *scraped) ListWithDeviceTaintRules() ([]*resourceapi.ResourceSlice, error) {
	return s.slices, nil
}

// publish adds a node's pool, which has no counters beside those given.
func (s *scraped) publish(node string, counters []resourceapi.CounterSet, list ...resourceapi.Device) {
	specs := []resourceapi.ResourceSliceSpec{{Devices: list}}
	if counters != nil {
		specs = append(specs, resourceapi.ResourceSliceSpec{SharedCounters: counters})
	}
	for i, spec := range specs {
		spec.Driver, spec.NodeName = "gpu.example.com", ptr.To(node)
		spec.Pool = resourceapi.ResourcePool{Name: node, Generation: 1, ResourceSliceCount: int64(len(specs))}
		s.slices = append(s.slices, &resourceapi.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(node, i)}, Spec: spec})
	}
}

func (s *scraped) take(node, device string) {
	s.allocated.AllocatedDevices.Insert(structured.MakeDeviceID("gpu.example.com", node, device))
}

func gpu(name string) resourceapi.Device {
	return resourceapi.Device{Name: name, Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{"productName": {StringValue: ptr.To("Big")}},
		Capacity: map[resourceapi.QualifiedName]resourceapi.DeviceCapacity{"memory": {Value: resource.MustParse("80Gi")}}}
}

// halves is a GPU of two slices: one of both, or two of one.
func halves(name string) (resourceapi.CounterSet, []resourceapi.Device) {
	one := resourceapi.Counter{Value: resource.MustParse("1")}
	slice := []string{"memory-slice-0", "memory-slice-1"}
	set := resourceapi.CounterSet{Name: name, Counters: map[string]resourceapi.Counter{slice[0]: one, slice[1]: one}}
	var list []resourceapi.Device
	for profile, cells := range map[string][]string{"1g.40gb-0": slice[:1], "1g.40gb-1": slice[1:], "2g.80gb-0": slice} {
		d := gpu(name + "-" + profile)
		d.Attributes["productName"] = resourceapi.DeviceAttribute{StringValue: ptr.To("Grid")}
		d.Attributes["profile"] = resourceapi.DeviceAttribute{StringValue: ptr.To(profile[:7])}
		d.ConsumesCounters = []resourceapi.DeviceCounterConsumption{{CounterSet: name, Counters: map[string]resourceapi.Counter{}}}
		for _, cell := range cells {
			d.ConsumesCounters[0].Counters[cell] = one
		}
		list = append(list, d)
	}
	return set, list
}

// scrape is a cluster of three nodes in two pools, and a fourth that is gone:
//
//	gpu-a-01  pool a   Grid [1g|·]        Grid [·|·]
//	gpu-a-02  pool a   Big, taken   Big   Big, a quarter of it shared
//	gpu-b-01  pool ""  Grid, tainted
//	gpu-c-01  gone     Grid [·|·]
func scrape(t *testing.T) (*scraped, *collector) {
	t.Helper()
	s := &scraped{allocated: structured.AllocatedState{AllocatedDevices: sets.New[structured.DeviceID](),
		AllocatedSharedDeviceIDs: sets.New[structured.SharedDeviceID](), AggregatedCapacity: structured.NewConsumedCapacityCollection()}}
	first, ofFirst := halves("gpu-0")
	second, ofSecond := halves("gpu-1")
	s.publish("gpu-a-01", []resourceapi.CounterSet{first, second}, append(ofFirst, ofSecond...)...)
	s.take("gpu-a-01", "gpu-0-1g.40gb-0")
	several := gpu("gpu-2")
	several.AllowMultipleAllocations = ptr.To(true)
	s.publish("gpu-a-02", nil, gpu("gpu-0"), gpu("gpu-1"), several)
	s.take("gpu-a-02", "gpu-0")
	quarter := structured.MakeDeviceID("gpu.example.com", "gpu-a-02", "gpu-2")
	s.allocated.AllocatedSharedDeviceIDs.Insert(structured.MakeSharedDeviceID(quarter, ptr.To(types.UID("1"))))
	s.allocated.AggregatedCapacity.Insert(structured.NewDeviceConsumedCapacity(quarter,
		map[resourceapi.QualifiedName]resource.Quantity{"memory": resource.MustParse("20Gi")}))
	_, sick := halves("gpu-0")
	for i := range sick {
		sick[i].Taints = []resourceapi.DeviceTaint{{Key: "xid", Effect: resourceapi.DeviceTaintEffectNoSchedule}}
	}
	s.publish("gpu-b-01", []resourceapi.CounterSet{first}, sick...)
	s.publish("gpu-c-01", []resourceapi.CounterSet{first}, ofFirst...)

	nodes := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	for name, labels := range map[string]map[string]string{"gpu-a-01": {"pool": "a"}, "gpu-a-02": {"pool": "a"}, "gpu-b-01": nil} {
		if err := nodes.Add(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}); err != nil {
			t.Fatal(err)
		}
	}
	worth := devices.NewWorth(nil, nil)
	model := devices.NewModel(structured.Features{PartitionableDevices: true, DeviceTaints: true, ConsumableCapacity: true}, cel.Features{})
	model.Adopt(&s.allocated)
	return s, &collector{model: model, worth: func() *devices.Worth { return worth }, feed: &feed{lister: s.ResourceSlices(), model: model}, nodes: corelisters.NewNodeLister(nodes), poolLabel: "pool"}
}

// lines are the values of a scrape without help and type.
func lines(text string) string {
	var b strings.Builder
	for _, d := range metrics.Described() {
		fmt.Fprintf(&b, "# HELP %s [ALPHA] %s\n# TYPE %s %s\n", d.Name, strings.ReplaceAll(d.Help, "\n", `\n`), d.Name, d.Type())
		for _, line := range strings.Split(text, "\n") {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, strings.TrimPrefix(d.Name, "plimsoll_gpuslice_")+"{") {
				b.WriteString("plimsoll_gpuslice_" + line + "\n")
			}
		}
	}
	return b.String()
}

func TestAScrapeSumsUpWhatPoolsHaveLeft(t *testing.T) {
	_, c := scrape(t)
	stock := metrics.NewStock()
	stock.Feed(t.Context(), c.collect)
	want := lines(`
		placements_possible{model="Grid",partition="1g.40gb",pool=""} 0
		placements_possible{model="Grid",partition="1g.40gb",pool="a"} 3
		placements_possible{model="Grid",partition="2g.80gb",pool=""} 0
		placements_possible{model="Grid",partition="2g.80gb",pool="a"} 1
		slices{model="Grid",pool="",state="allocated"} 0
		slices{model="Grid",pool="",state="stranded"} 0
		slices{model="Grid",pool="",state="unavailable"} 2
		slices{model="Grid",pool="",state="usable"} 0
		slices{model="Grid",pool="a",state="allocated"} 1
		slices{model="Grid",pool="a",state="stranded"} 0.5
		slices{model="Grid",pool="a",state="unavailable"} 0
		slices{model="Grid",pool="a",state="usable"} 2.5
		fragmentation_ratio{model="Grid",pool=""} 0
		fragmentation_ratio{model="Grid",pool="a"} 0.16666666666666666
		gpus{kind="shared",model="Big",pool="a",state="allocated"} 0
		gpus{kind="shared",model="Big",pool="a",state="free"} 0
		gpus{kind="shared",model="Big",pool="a",state="partly"} 1
		gpus{kind="shared",model="Big",pool="a",state="unavailable"} 0
		gpus{kind="sliced",model="Grid",pool="",state="allocated"} 0
		gpus{kind="sliced",model="Grid",pool="",state="free"} 0
		gpus{kind="sliced",model="Grid",pool="",state="partly"} 0
		gpus{kind="sliced",model="Grid",pool="",state="unavailable"} 1
		gpus{kind="sliced",model="Grid",pool="a",state="allocated"} 0
		gpus{kind="sliced",model="Grid",pool="a",state="free"} 1
		gpus{kind="sliced",model="Grid",pool="a",state="partly"} 1
		gpus{kind="sliced",model="Grid",pool="a",state="unavailable"} 0
		gpus{kind="whole",model="Big",pool="a",state="allocated"} 1
		gpus{kind="whole",model="Big",pool="a",state="free"} 1
		gpus{kind="whole",model="Big",pool="a",state="partly"} 0
		gpus{kind="whole",model="Big",pool="a",state="unavailable"} 0
		shared_gpus_free{model="Big",pool="a"} 0.75`)
	if err := testutil.CustomCollectAndCompare(stock, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

// possible collects how many of the large slices fit in pool a.
func possible(c *collector) (found float64) {
	found = -1
	c.collect(func(d *metrics.Description, value float64, labels ...string) {
		if d == metrics.PlacementsPossible && labels[0] == "a" && labels[2] == "2g.80gb" {
			found = value
		}
	})
	return found
}

func TestAScrapeIsNeverStale(t *testing.T) {
	s, c := scrape(t)
	if got := possible(c); got != 1 {
		t.Errorf("%v are possible, want 1", got)
	}
	claim := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "late", UID: "late"}}
	claim.Status.Allocation = &resourceapi.AllocationResult{Devices: resourceapi.DeviceAllocationResult{
		Results: []resourceapi.DeviceRequestAllocationResult{{Driver: "gpu.example.com", Pool: "gpu-a-01", Device: "gpu-1-1g.40gb-1"}}}}
	observe(c.model, claim)
	if got := possible(c); got != 0 {
		t.Errorf("a slice was allocated, and no pod scheduled since: %v are possible, want 0", got)
	}
	lose(c.model, claim)
	s.slices = slices.DeleteFunc(s.slices, func(s *resourceapi.ResourceSlice) bool { return *s.Spec.NodeName == "gpu-a-01" })
	if got := possible(c); got != -1 {
		t.Errorf("the node's GPUs are not published any more, and yet %v are possible", got)
	}
}

func TestPoolLabel(t *testing.T) {
	decode := func(text string) (Args, error) { return DecodeArgs(&runtime.Unknown{Raw: []byte(text)}) }
	if args, err := decode(`{}`); err != nil || args.PoolLabel != "node.kubernetes.io/instance-type" {
		t.Errorf("the default is %q, %v", args.PoolLabel, err)
	}
	if args, err := decode(`{"poolLabel": "example.com/pool"}`); err != nil || args.PoolLabel != "example.com/pool" {
		t.Errorf("got %q, %v", args.PoolLabel, err)
	}
	for _, wrong := range []string{"", "a b", "a/b/c", "-a"} {
		if _, err := decode(`{"poolLabel": "` + wrong + `"}`); err == nil || !strings.Contains(err.Error(), "pluginConfig[GPUSlice].args.poolLabel") {
			t.Errorf("%q: error %v, want one that names the field", wrong, err)
		}
	}
}

// observe has a model see a claim, and lose has it see that one is gone.
func observe(m *devices.Model, claim *resourceapi.ResourceClaim) (news bool) {
	return m.Observe(claim.Namespace, claim.Name, func() *resourceapi.ResourceClaim { return claim })
}

func lose(m *devices.Model, claim *resourceapi.ResourceClaim) {
	m.Observe(claim.Namespace, claim.Name, func() *resourceapi.ResourceClaim { return nil })
}
