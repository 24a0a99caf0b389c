package devices

import (
	"fmt"
	"math/rand/v2"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/structured"
	"k8s.io/utils/ptr"
)

// world is one generated node with devices, what is allocated of them, and what
// a pod asks for.
type world struct {
	rng       *rand.Rand
	node      *v1.Node
	slices    []*resourceapi.ResourceSlice
	claims    []*resourceapi.ResourceClaim
	allocated structured.AllocatedState
	// distinct: a constraint asks for distinct attributes, of which the in-tree
	// allocator remembers only each request's last.
	distinct bool
	all      bool // some request asks for all devices
	features structured.Features
	limits   Limits
}

const (
	testDriver = "gpu.example.com"
	otherDrive = "nic.example.com"
)

type classes map[string]*resourceapi.DeviceClass

func (c classes) Get(name string) (*resourceapi.DeviceClass, error) {
	if class := c[name]; class != nil {
		return class, nil
	}
	return nil, fmt.Errorf("device class %q does not exist", name)
}

func (c classes) List() ([]*resourceapi.DeviceClass, error) { return nil, nil }

func class(name, expression string) *resourceapi.DeviceClass {
	return &resourceapi.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)},
		Spec: resourceapi.DeviceClassSpec{Selectors: selectors(expression)}}
}

func selectors(expressions ...string) []resourceapi.DeviceSelector {
	var out []resourceapi.DeviceSelector
	for _, e := range expressions {
		if e != "" {
			out = append(out, resourceapi.DeviceSelector{CEL: &resourceapi.CELDeviceSelector{Expression: e}})
		}
	}
	return out
}

var testClasses = classes{
	"any": class("any", ""),
	"gpu": class("gpu", `device.driver == "gpu.example.com"`),
	"mig": class("mig", `device.driver == "gpu.example.com" && device.attributes["gpu.example.com"].type == "mig"`),
	"nic": class("nic", `device.driver == "nic.example.com"`),
}

func newWorld(seed uint64) *world {
	w := &world{features: features, rng: rand.New(rand.NewPCG(seed, 17)), node: &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "gpu-a-01"}}}
	w.allocated = structured.AllocatedState{AllocatedDevices: sets.New[structured.DeviceID](),
		AllocatedSharedDeviceIDs: sets.New[structured.SharedDeviceID](),
		AggregatedCapacity:       structured.NewConsumedCapacityCollection()}
	w.pool(testDriver, "gpu-a-01")
	if w.rng.IntN(4) == 0 {
		w.pool(otherDrive, "nics")
	}
	if w.rng.IntN(6) == 0 {
		w.pool(testDriver, "gpu-a-01-more")
	}
	w.allocate()
	for i := range 1 + w.rng.IntN(5)/4 {
		w.claims = append(w.claims, w.claim(i))
	}
	return w
}

// pool publishes one pool: partitionable GPUs, static ones, or shared ones.
func (w *world) pool(driver, name string) {
	var devices [][]resourceapi.Device
	var sets []resourceapi.CounterSet
	gpus := 1 + w.rng.IntN(3)
	sort := w.rng.IntN(4)
	for g := range gpus {
		switch sort {
		case 0, 1:
			set, list := w.partitionable(g)
			sets = append(sets, set)
			devices = append(devices, list)
		case 2:
			devices = append(devices, []resourceapi.Device{w.whole(g)})
		default:
			devices = append(devices, []resourceapi.Device{w.shareable(g)})
		}
	}
	count := len(devices)
	if len(sets) > 0 {
		count++
	}
	if w.rng.IntN(60) == 0 {
		count++ // incomplete
	}
	add := func(i int, s resourceapi.ResourceSliceSpec) {
		s.Driver, s.NodeName = driver, ptr.To(w.node.Name)
		s.Pool = resourceapi.ResourcePool{Name: name, Generation: 1, ResourceSliceCount: int64(count)}
		w.slices = append(w.slices, &resourceapi.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%05d-%s-%s", i, driver, name)}, Spec: s})
	}
	if len(sets) > 0 {
		add(0, resourceapi.ResourceSliceSpec{SharedCounters: sets})
	}
	for i, list := range devices {
		add(i+1, resourceapi.ResourceSliceSpec{Devices: list})
	}
}

type grid struct {
	cells    int
	profiles []gridProfile
}

type gridProfile struct {
	name   string
	size   int
	starts []int
	memory string
}

var grids = []grid{
	{8, []gridProfile{{"1g.10gb", 1, []int{0, 1, 2, 3, 4, 5, 6}, "9728Mi"}, {"2g.20gb", 2, []int{0, 2, 4}, "19968Mi"},
		{"3g.40gb", 4, []int{0, 4}, "40192Mi"}, {"4g.40gb", 4, []int{0}, "40192Mi"}, {"7g.80gb", 8, []int{0}, "81152Mi"}}},
	{4, []gridProfile{{"1g.6gb", 1, []int{0, 1, 2, 3}, "5952Mi"}, {"2g.12gb", 2, []int{0, 2}, "11968Mi"}, {"4g.24gb", 4, []int{0}, "24000Mi"}}},
	{12, []gridProfile{{"1g.24gb", 3, []int{0, 3, 6, 9}, "24192Mi"}, {"2g.48gb", 6, []int{0, 6}, "48512Mi"}, {"4g.96gb", 12, []int{0}, "97251Mi"}}},
}

func (w *world) partitionable(g int) (resourceapi.CounterSet, []resourceapi.Device) {
	grid := grids[w.rng.IntN(len(grids))]
	set := resourceapi.CounterSet{Name: fmt.Sprintf("gpu-%d-counter-set", g), Counters: map[string]resourceapi.Counter{
		"multiprocessors": {Value: resource.MustParse("98")}, "ofa-engines": {Value: resource.MustParse("1")}}}
	for i := range grid.cells {
		set.Counters[fmt.Sprintf("memory-slice-%d", i)] = resourceapi.Counter{Value: resource.MustParse("1")}
	}
	var list []resourceapi.Device
	for _, p := range grid.profiles {
		for _, start := range p.starts {
			for _, media := range []bool{false, true} {
				if media && w.rng.IntN(3) > 0 {
					continue
				}
				list = append(list, w.instance(g, set.Name, p, start, media))
			}
		}
	}
	switch w.rng.IntN(60) { // what no driver should publish
	case 0:
		delete(set.Counters, "memory-slice-1")
	case 1:
		list = append(list, list[0])
	case 2:
		list[0].ConsumesCounters[0].Counters["multiprocessors"] = resourceapi.Counter{Value: resource.MustParse("9999")}
	case 3:
		set.Counters["memory-slice-0"] = resourceapi.Counter{Value: resource.MustParse("2")}
	case 4:
		set.Counters["multiprocessors"] = resourceapi.Counter{Value: resource.MustParse("-5")}
	case 5:
		set.Counters["memory-slice-2"] = resourceapi.Counter{Value: resource.MustParse("0.5")}
	case 6:
		set.Counters["multiprocessors"] = resourceapi.Counter{Value: resource.MustParse("9e18")}
	}
	return set, list
}

func (w *world) instance(g int, set string, p gridProfile, start int, media bool) resourceapi.Device {
	name, dns := p.name, fmt.Sprintf("gpu-%d-mig-%s-%d", g, p.name[:2], start)
	counters := map[string]resourceapi.Counter{"multiprocessors": {Value: *resource.NewQuantity(int64(p.size*8), resource.DecimalSI)}}
	if media {
		name, dns = name+"+me", dns+"-me"
		counters["ofa-engines"] = resourceapi.Counter{Value: resource.MustParse("1")}
	}
	for i := range p.size {
		counters[fmt.Sprintf("memory-slice-%d", start+i)] = resourceapi.Counter{Value: resource.MustParse("1")}
	}
	d := resourceapi.Device{Name: fmt.Sprintf("%s-%d", dns, p.size), Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{
		"type": {StringValue: ptr.To("mig")}, "profile": {StringValue: ptr.To(name)}, "parentUUID": {StringValue: ptr.To(fmt.Sprintf("GPU-%d", g))},
		"testing.example.com/numa": {IntValue: ptr.To(int64(g % 2))}},
		Capacity:         map[resourceapi.QualifiedName]resourceapi.DeviceCapacity{"memory": {Value: resource.MustParse(p.memory)}},
		ConsumesCounters: []resourceapi.DeviceCounterConsumption{{CounterSet: set, Counters: counters}}}
	w.taint(&d)
	return d
}

func (w *world) taint(d *resourceapi.Device) {
	if w.rng.IntN(12) == 0 {
		d.Taints = []resourceapi.DeviceTaint{{Key: "gpu.example.com/xid", Effect: []resourceapi.DeviceTaintEffect{
			resourceapi.DeviceTaintEffectNoSchedule, resourceapi.DeviceTaintEffectNoExecute, resourceapi.DeviceTaintEffectNone}[w.rng.IntN(3)]}}
	}
	if w.rng.IntN(60) == 0 {
		d.BindingConditions, d.BindingFailureConditions = []string{"ready"}, []string{"failed"}
	}
	if w.rng.IntN(60) == 0 {
		delete(d.Attributes, "parentUUID")
	}
}

func (w *world) whole(g int) resourceapi.Device {
	d := resourceapi.Device{Name: fmt.Sprintf("gpu-%d", g), Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{
		"type": {StringValue: ptr.To("gpu")}, "uuid": {StringValue: ptr.To(fmt.Sprintf("GPU-%d", g))},
		"testing.example.com/numa": {IntValue: ptr.To(int64(g % 2))}},
		Capacity: map[resourceapi.QualifiedName]resourceapi.DeviceCapacity{"memory": {Value: resource.MustParse([]string{"40Gi", "80Gi", "141Gi"}[w.rng.IntN(3)])}}}
	w.taint(&d)
	return d
}

func (w *world) shareable(g int) resourceapi.Device {
	d := w.whole(g)
	d.AllowMultipleAllocations = ptr.To(true)
	memory := resourceapi.DeviceCapacity{Value: resource.MustParse("80Gi")}
	switch w.rng.IntN(4) {
	case 0:
		memory.RequestPolicy = &resourceapi.CapacityRequestPolicy{Default: ptr.To(resource.MustParse("80Gi")),
			ValidRange: &resourceapi.CapacityRequestPolicyRange{Min: ptr.To(resource.MustParse("1Gi")), Max: ptr.To(resource.MustParse("80Gi")), Step: ptr.To(resource.MustParse("1Gi"))}}
	case 1:
		memory.RequestPolicy = &resourceapi.CapacityRequestPolicy{Default: ptr.To(resource.MustParse("10Gi")),
			ValidValues: []resource.Quantity{resource.MustParse("10Gi"), resource.MustParse("20Gi"), resource.MustParse("40Gi")}}
	case 2:
		memory.RequestPolicy = &resourceapi.CapacityRequestPolicy{Default: ptr.To(resource.MustParse("4Gi")),
			ValidRange: &resourceapi.CapacityRequestPolicyRange{Min: ptr.To(resource.MustParse("4Gi")), Max: ptr.To(resource.MustParse("40Gi"))}}
	}
	d.Capacity["memory"] = memory
	if w.rng.IntN(3) == 0 {
		d.Capacity["shares"] = resourceapi.DeviceCapacity{Value: resource.MustParse("4"), RequestPolicy: &resourceapi.CapacityRequestPolicy{
			Default: ptr.To(resource.MustParse("1")), ValidRange: &resourceapi.CapacityRequestPolicyRange{Min: ptr.To(resource.MustParse("1")), Step: ptr.To(resource.MustParse("1"))}}}
	}
	return d
}

// allocate takes some devices as other claims would have; in one world of many,
// without regard to counters.
func (w *world) allocate() {
	reckless := w.rng.IntN(20) == 0
	most := w.rng.IntN(7)
	left := map[string]map[string]resource.Quantity{}
	for _, s := range w.slices {
		for _, set := range s.Spec.SharedCounters {
			left[s.Spec.Driver+s.Spec.Pool.Name+set.Name] = map[string]resource.Quantity{}
			for name, c := range set.Counters {
				left[s.Spec.Driver+s.Spec.Pool.Name+set.Name][name] = c.Value.DeepCopy()
			}
		}
	}
	for _, s := range w.slices {
		for i := range s.Spec.Devices {
			d := &s.Spec.Devices[i]
			if w.rng.IntN(10) >= most {
				continue
			}
			id := structured.MakeDeviceID(s.Spec.Driver, s.Spec.Pool.Name, d.Name)
			if ptr.Deref(d.AllowMultipleAllocations, false) {
				w.share(id, d)
				continue
			}
			if !reckless && !takeCounters(left, s, d) {
				continue
			}
			w.allocated.AllocatedDevices.Insert(id)
		}
	}
}

func takeCounters(left map[string]map[string]resource.Quantity, s *resourceapi.ResourceSlice, d *resourceapi.Device) bool {
	for _, consumes := range d.ConsumesCounters {
		for name, c := range consumes.Counters {
			if have := left[s.Spec.Driver+s.Spec.Pool.Name+consumes.CounterSet][name]; have.Cmp(c.Value) < 0 {
				return false
			}
		}
	}
	for _, consumes := range d.ConsumesCounters {
		for name, c := range consumes.Counters {
			have := left[s.Spec.Driver+s.Spec.Pool.Name+consumes.CounterSet][name]
			have.Sub(c.Value)
			left[s.Spec.Driver+s.Spec.Pool.Name+consumes.CounterSet][name] = have
		}
	}
	return true
}

func (w *world) share(id structured.DeviceID, d *resourceapi.Device) {
	w.allocated.AllocatedSharedDeviceIDs.Insert(structured.MakeSharedDeviceID(id, ptr.To(types.UID(fmt.Sprint(w.rng.Int())))))
	used := map[resourceapi.QualifiedName]resource.Quantity{"memory": *resource.NewQuantity(int64(w.rng.IntN(80))<<30, resource.BinarySI)}
	if _, found := d.Capacity["shares"]; found {
		used["shares"] = *resource.NewQuantity(int64(1+w.rng.IntN(3)), resource.DecimalSI)
	}
	w.allocated.AggregatedCapacity.Insert(structured.NewDeviceConsumedCapacity(id, used))
}

// testSelectors are tried at random; a few fail at run time on some devices.
var testSelectors = []string{"", "", "", "", "", "", "", "", "",
	`"profile" in device.attributes["gpu.example.com"] && device.attributes["gpu.example.com"].profile.startsWith("1g")`,
	`"profile" in device.attributes["gpu.example.com"] && device.attributes["gpu.example.com"].profile.startsWith("1g")`,
	`"profile" in device.attributes["gpu.example.com"] && device.attributes["gpu.example.com"].profile.startsWith("2g")`,
	`device.capacity["gpu.example.com"].memory.compareTo(quantity("20Gi")) >= 0`,
	`device.capacity["gpu.example.com"].memory.compareTo(quantity("19Gi")) >= 0`,
	`device.capacity["gpu.example.com"].memory.compareTo(quantity("10Gi")) >= 0`,
	`device.allowMultipleAllocations`,
	`device.attributes["gpu.example.com"].profile == "1g.10gb"`,
}

func (w *world) claim(i int) *resourceapi.ResourceClaim {
	c := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("claim-%d", i), Namespace: "ns", UID: types.UID(fmt.Sprintf("claim-%d", i))}}
	for r := range 1 + w.rng.IntN(5)/3 {
		request := resourceapi.DeviceRequest{Name: fmt.Sprintf("r%d", r)}
		if w.rng.IntN(4) == 0 {
			for k := range 1 + w.rng.IntN(3) {
				e := w.exact()
				request.FirstAvailable = append(request.FirstAvailable, resourceapi.DeviceSubRequest{Name: fmt.Sprintf("s%d", k),
					DeviceClassName: e.DeviceClassName, Selectors: e.Selectors, AllocationMode: e.AllocationMode, Count: e.Count, Tolerations: e.Tolerations, Capacity: e.Capacity})
			}
		} else {
			request.Exactly = w.exact()
		}
		c.Spec.Devices.Requests = append(c.Spec.Devices.Requests, request)
	}
	if w.rng.IntN(4) == 0 {
		name := resourceapi.FullyQualifiedName([]string{"gpu.example.com/parentUUID", "testing.example.com/numa"}[w.rng.IntN(2)])
		k := resourceapi.DeviceConstraint{}
		if w.rng.IntN(3) == 0 {
			k.DistinctAttribute, w.distinct = &name, true
		} else {
			k.MatchAttribute = &name
		}
		if w.rng.IntN(2) == 0 {
			k.Requests = []string{"r0"}
		}
		c.Spec.Devices.Constraints = append(c.Spec.Devices.Constraints, k)
	}
	return c
}

func (w *world) exact() *resourceapi.ExactDeviceRequest {
	names := []string{"any", "gpu", "gpu", "gpu", "gpu", "gpu", "gpu", "mig", "mig", "mig", "nic"}
	e := &resourceapi.ExactDeviceRequest{DeviceClassName: names[w.rng.IntN(len(names))], AllocationMode: resourceapi.DeviceAllocationModeExactCount,
		Count: int64(1 + w.rng.IntN(6)/5 + w.rng.IntN(20)/19), Selectors: selectors(testSelectors[w.rng.IntN(len(testSelectors))])}
	if w.rng.IntN(12) == 0 {
		e.AllocationMode, e.Count = resourceapi.DeviceAllocationModeAll, 0
		w.all = true
	}
	if w.rng.IntN(4) == 0 {
		e.Tolerations = []resourceapi.DeviceToleration{{Key: "gpu.example.com/xid", Operator: resourceapi.DeviceTolerationOpExists}}
	}
	if w.rng.IntN(5) == 0 {
		amounts := []string{"1Gi", "10Gi", "15Gi", "20Gi", "50Gi", "1500M"}
		e.Capacity = &resourceapi.CapacityRequirements{Requests: map[resourceapi.QualifiedName]resource.Quantity{
			"memory": resource.MustParse(amounts[w.rng.IntN(len(amounts))])}}
	}
	return e
}
