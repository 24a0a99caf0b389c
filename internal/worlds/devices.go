package worlds

import (
	"fmt"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
)

const numaAttribute = "testing.example.com/numa"

// partitionable is a GPU with a grid: partitions of one cell, of half of them and
// of all, like MIG's.
func (w *draw) partitionable(g int) (resourceapi.CounterSet, []resourceapi.Device) {
	cells := of(w, 2, 4, 4, 4, 4, 4, 8, 12)
	set := resourceapi.CounterSet{Name: fmt.Sprintf("gpu-%d", g), Counters: map[string]resourceapi.Counter{
		"multiprocessors": {Value: *resource.NewQuantity(int64(cells*12), resource.DecimalSI)}, "ofa-engines": {Value: resource.MustParse("1")}}}
	for i := range cells {
		set.Counters[fmt.Sprintf("memory-slice-%d", i)] = resourceapi.Counter{Value: resource.MustParse("1")}
	}
	var list []resourceapi.Device
	for _, size := range []int{max(1, cells/8), cells / 4, cells / 2, cells} {
		if size == 0 || len(list) > 0 && w.one(6) {
			continue
		}
		for start := 0; start+size <= cells; start += size {
			if w.one(8) {
				continue
			}
			list = append(list, w.partition(g, &set, size, start, size < cells && w.one(8)))
		}
	}
	if w.one(3) {
		w.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	if len(list) > 0 && (w.wild && w.one(4) || w.one(80)) {
		w.oddCounters(&set, list)
	}
	seen := map[string]bool{}
	kept := list[:0]
	for _, d := range list {
		if !seen[d.Name] {
			kept = append(kept, d)
		}
		seen[d.Name] = true
	}
	return set, kept
}

func (w *draw) partition(g int, set *resourceapi.CounterSet, size, start int, media bool) resourceapi.Device {
	profile := fmt.Sprintf("%dg.%dgb", size, size*10)
	name := fmt.Sprintf("gpu-%d-%dg-%d", g, size, start)
	counters := map[string]resourceapi.Counter{"multiprocessors": {Value: *resource.NewQuantity(int64(size*12), resource.DecimalSI)}}
	if media {
		profile, name = profile+"+me", name+"-me"
		counters["ofa-engines"] = resourceapi.Counter{Value: resource.MustParse("1")}
	}
	for i := start; i < start+size; i++ {
		counters[fmt.Sprintf("memory-slice-%d", i)] = resourceapi.Counter{Value: resource.MustParse("1")}
	}
	d := w.device(name, "mig", g)
	d.Attributes["profile"] = resourceapi.DeviceAttribute{StringValue: &profile}
	d.Capacity = memory(fmt.Sprintf("%dMi", size*10*1000))
	d.ConsumesCounters = []resourceapi.DeviceCounterConsumption{{CounterSet: set.Name, Counters: counters}}
	return d
}

func memory(amount string) map[resourceapi.QualifiedName]resourceapi.DeviceCapacity {
	return map[resourceapi.QualifiedName]resourceapi.DeviceCapacity{"memory": {Value: resource.MustParse(amount)}}
}

// oddCounters makes amounts that no driver publishes.
func (w *draw) oddCounters(set *resourceapi.CounterSet, list []resourceapi.Device) {
	change := func(counters map[string]resourceapi.Counter, name, amount string) {
		counters[name] = resourceapi.Counter{Value: resource.MustParse(amount)}
	}
	taken := of(w, list...).ConsumesCounters[0].Counters
	switch w.IntN(9) {
	case 0:
		delete(set.Counters, "memory-slice-1")
	case 1:
		change(taken, "multiprocessors", "9999")
	case 2:
		change(set.Counters, "memory-slice-0", "2")
	case 3:
		change(set.Counters, "multiprocessors", "-5")
	case 4:
		change(set.Counters, "memory-slice-1", "0.5")
	case 5:
		change(set.Counters, "multiprocessors", "9e18")
	case 6:
		change(taken, "multiprocessors", "1500m")
	case 7:
		change(taken, "multiprocessors", "100u")
	default:
		change(taken, "ofa-engines", "0")
	}
}

// cutUp is a GPU that was partitioned for good, sometimes listed beside its parts.
func (w *draw) cutUp(g int) []resourceapi.Device {
	var list []resourceapi.Device
	for i := range 1 + w.IntN(3) {
		profile := of(w, "1g.10gb", "2g.20gb", "4g.40gb")
		d := w.device(fmt.Sprintf("gpu-%d-part-%d", g, i), "mig", g)
		d.Attributes["profile"] = resourceapi.DeviceAttribute{StringValue: &profile}
		d.Capacity = memory(of(w, "9728Mi", "19968Mi", "40192Mi"))
		list = append(list, d)
	}
	if w.one(8) {
		list = append(list, w.whole(g))
	}
	return list
}

func (w *draw) whole(g int) resourceapi.Device {
	d := w.device(fmt.Sprintf("gpu-%d", g), "gpu", g)
	d.Capacity = memory(of(w, "40Gi", "80Gi", "141Gi"))
	if w.one(20) {
		d.Capacity = nil
	}
	return d
}

// device is one with the attributes, taints and conditions that any may have.
func (w *draw) device(name, sort string, g int) resourceapi.Device {
	owner := "parentUUID"
	if sort == "gpu" {
		owner = "uuid"
	}
	d := resourceapi.Device{Name: name, Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{
		"type":        {StringValue: &sort},
		numaAttribute: {IntValue: ptr.To(int64(g % 2))}}}
	if !w.one(40) {
		d.Attributes[of(w, resourceapi.QualifiedName(owner), resourceapi.QualifiedName(gpuDriver+"/"+owner))] = resourceapi.DeviceAttribute{StringValue: ptr.To(fmt.Sprintf("GPU-%d", g))}
	}
	switch w.IntN(60) {
	case 0:
		delete(d.Attributes, numaAttribute)
	case 1:
		d.Attributes[numaAttribute] = resourceapi.DeviceAttribute{BoolValue: ptr.To(g%2 == 0)}
	case 2:
		d.Attributes[numaAttribute] = resourceapi.DeviceAttribute{VersionValue: ptr.To(fmt.Sprintf("1.%d.0", g%2))}
	}
	if w.Features.ListTypeAttributes && w.one(3) {
		d.Attributes[numaAttribute] = resourceapi.DeviceAttribute{IntValues: []int64{int64(g % 2), int64(w.IntN(3))}}
	}
	if w.one(12) {
		d.Taints = append(d.Taints, resourceapi.DeviceTaint{Key: of(w, "xid", "upgrade"), Value: of(w, "", "79"), Effect: of(w,
			resourceapi.DeviceTaintEffectNoSchedule, resourceapi.DeviceTaintEffectNoExecute, resourceapi.DeviceTaintEffectNone)})
	}
	if w.one(60) {
		d.BindingConditions, d.BindingFailureConditions = []string{"ready"}, []string{"failed"}
	}
	return d
}

// shareable is a GPU that several claims may have a part of.
func (w *draw) shareable(g int) resourceapi.Device {
	d := w.whole(g)
	d.AllowMultipleAllocations = ptr.To(true)
	if w.one(15) {
		d.Capacity = nil // shared without any measure
		return d
	}
	d.Capacity = map[resourceapi.QualifiedName]resourceapi.DeviceCapacity{"memory": {Value: quantity("80Gi"), RequestPolicy: w.policy()}}
	if w.one(3) {
		d.Capacity["shares"] = resourceapi.DeviceCapacity{Value: quantity("4"), RequestPolicy: &resourceapi.CapacityRequestPolicy{
			Default: ptr.To(quantity("1")), ValidRange: &resourceapi.CapacityRequestPolicyRange{Min: ptr.To(quantity("1")), Step: ptr.To(quantity("1"))}}}
	}
	if w.wild && w.one(6) {
		d.Capacity["odd"] = resourceapi.DeviceCapacity{Value: quantity(of(w, "1500m", "100u", "9e18")),
			RequestPolicy: &resourceapi.CapacityRequestPolicy{Default: ptr.To(quantity(of(w, "500m", "10u", "1")))}}
	}
	return d
}

func quantity(s string) resource.Quantity { return resource.MustParse(s) }

func (w *draw) policy() *resourceapi.CapacityRequestPolicy {
	out := &resourceapi.CapacityRequestPolicy{Default: ptr.To(quantity(of(w, "80Gi", "10Gi", "4Gi")))}
	switch w.IntN(6) {
	case 0:
		out.ValidRange = &resourceapi.CapacityRequestPolicyRange{Min: ptr.To(quantity("1Gi")), Max: ptr.To(quantity("80Gi")), Step: ptr.To(quantity("1Gi"))}
	case 1:
		out.ValidRange = &resourceapi.CapacityRequestPolicyRange{Min: ptr.To(quantity("4Gi")), Max: ptr.To(quantity("40Gi"))}
		out.Default = ptr.To(quantity("4Gi"))
	case 2:
		out.ValidRange = &resourceapi.CapacityRequestPolicyRange{Min: ptr.To(quantity("2Gi")), Step: ptr.To(quantity("3Gi"))}
		out.Default = ptr.To(quantity("8Gi"))
	case 3:
		out.ValidValues = []resource.Quantity{quantity("10Gi"), quantity("20Gi"), quantity("40Gi")}
		out.Default = ptr.To(quantity("10Gi"))
	case 4: // a default alone
	default:
		return nil
	}
	return out
}
