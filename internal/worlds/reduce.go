package worlds

import (
	"cmp"
	"slices"
	"strings"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/dynamic-resource-allocation/structured"
)

// reduce takes the n-th step, the largest first, and reports false if there are
// fewer.
func reduce(w *Case, n int) bool {
	r := &reducer{}
	drop(r, &w.Nodes)
	dropPools(r, w)
	drop(r, &w.Claims)
	drop(r, &w.Slices)
	dropUses(r, w)
	for _, s := range w.Slices {
		reduceSlice(r, w, s)
	}
	for _, c := range w.Claims {
		reduceClaim(r, &c.Spec.Devices)
	}
	for _, n := range w.Nodes {
		dropKeys(r, n.Labels, strings.Compare)
	}
	drop(r, &w.Classes)
	for _, c := range w.Classes {
		drop(r, &c.Spec.Selectors)
	}
	if n >= len(r.steps) {
		return false
	}
	r.steps[n]()
	return true
}

// dropPools offers to drop whole pools, and single slices of which the pool then
// says that it is complete.
func dropPools(r *reducer, w *Case) {
	var pools []poolID
	for _, s := range w.Slices {
		if !slices.Contains(pools, poolOf(s)) {
			pools = append(pools, poolOf(s))
		}
	}
	without := func(gone func(*resourceapi.ResourceSlice) bool) {
		w.Slices = slices.DeleteFunc(w.Slices, gone)
	}
	for _, id := range pools {
		r.step(func() { without(func(s *resourceapi.ResourceSlice) bool { return poolOf(s) == id }) })
	}
	for _, gone := range w.Slices {
		r.step(func() {
			without(func(s *resourceapi.ResourceSlice) bool { return s == gone })
			for _, s := range w.Slices {
				if poolOf(s) == poolOf(gone) && s.Spec.Pool.Generation == gone.Spec.Pool.Generation {
					s.Spec.Pool.ResourceSliceCount--
				}
			}
		})
	}
}

// dropUses offers to free devices.
func dropUses(r *reducer, w *Case) {
	dropKeys(r, w.Allocated.AllocatedDevices, compareIDs)
	dropKeys(r, w.Allocated.AllocatedSharedDeviceIDs, func(a, b structured.SharedDeviceID) int { return cmp.Compare(a.String(), b.String()) })
	dropKeys(r, w.Allocated.AggregatedCapacity, compareIDs)
	ids := make([]structured.DeviceID, 0, len(w.Allocated.AggregatedCapacity))
	for id := range w.Allocated.AggregatedCapacity {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, compareIDs)
	for _, id := range ids {
		dropKeys(r, w.Allocated.AggregatedCapacity[id], cmp.Compare)
	}
}

func reduceSlice(r *reducer, w *Case, s *resourceapi.ResourceSlice) {
	drop(r, &s.Spec.Devices)
	drop(r, &s.Spec.SharedCounters)
	for i := range s.Spec.SharedCounters {
		set := &s.Spec.SharedCounters[i]
		names := make([]string, 0, len(set.Counters))
		for name := range set.Counters {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			// The counter goes with all that is taken of it.
			r.step(func() { dropCounter(w, poolOf(s), set.Name, name) })
		}
	}
	for i := range s.Spec.Devices {
		reduceDevice(r, &s.Spec.Devices[i])
	}
	if s.Spec.Pool.Generation > 1 {
		r.step(func() { s.Spec.Pool.Generation-- })
	}
}

func dropCounter(w *Case, id poolID, set, name string) {
	for _, s := range w.Slices {
		if poolOf(s) != id {
			continue
		}
		for i := range s.Spec.SharedCounters {
			if s.Spec.SharedCounters[i].Name == set {
				delete(s.Spec.SharedCounters[i].Counters, name)
			}
		}
		for i := range s.Spec.Devices {
			for _, consumes := range s.Spec.Devices[i].ConsumesCounters {
				if consumes.CounterSet == set {
					delete(consumes.Counters, name)
				}
			}
		}
	}
}

func reduceDevice(r *reducer, d *resourceapi.Device) {
	drop(r, &d.ConsumesCounters)
	for i := range d.ConsumesCounters {
		dropKeys(r, d.ConsumesCounters[i].Counters, strings.Compare)
	}
	dropKeys(r, d.Attributes, cmp.Compare)
	dropKeys(r, d.Capacity, cmp.Compare)
	names := make([]resourceapi.QualifiedName, 0, len(d.Capacity))
	for name := range d.Capacity {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if c := d.Capacity[name]; c.RequestPolicy != nil {
			r.step(func() { d.Capacity[name] = resourceapi.DeviceCapacity{Value: c.Value} })
		}
	}
	drop(r, &d.Taints)
	if d.BindingConditions != nil {
		r.step(func() { d.BindingConditions, d.BindingFailureConditions = nil, nil })
	}
	zero(r, &d.AllowMultipleAllocations)
}

func reduceClaim(r *reducer, c *resourceapi.DeviceClaim) {
	drop(r, &c.Constraints)
	for i := range c.Constraints {
		drop(r, &c.Constraints[i].Requests)
	}
	drop(r, &c.Requests)
	for i := range c.Requests {
		request := &c.Requests[i]
		for k := range request.FirstAvailable {
			sub := &request.FirstAvailable[k]
			r.step(func() {
				request.Exactly = &resourceapi.ExactDeviceRequest{DeviceClassName: sub.DeviceClassName, Selectors: sub.Selectors,
					AllocationMode: sub.AllocationMode, Count: sub.Count, Tolerations: sub.Tolerations, Capacity: sub.Capacity}
				request.FirstAvailable = nil
			})
		}
		if len(request.FirstAvailable) > 1 {
			drop(r, &request.FirstAvailable)
		}
		for k := range request.FirstAvailable {
			sub := &request.FirstAvailable[k]
			reduceRequest(r, &sub.Selectors, &sub.AllocationMode, &sub.Count, &sub.Tolerations, &sub.Capacity)
		}
		if e := request.Exactly; e != nil {
			zero(r, &e.AdminAccess)
			reduceRequest(r, &e.Selectors, &e.AllocationMode, &e.Count, &e.Tolerations, &e.Capacity)
		}
	}
}

func reduceRequest(r *reducer, own *[]resourceapi.DeviceSelector, mode *resourceapi.DeviceAllocationMode, count *int64,
	tolerations *[]resourceapi.DeviceToleration, capacity **resourceapi.CapacityRequirements) {
	drop(r, own)
	drop(r, tolerations)
	if *mode == resourceapi.DeviceAllocationModeAll {
		r.step(func() { *mode, *count = resourceapi.DeviceAllocationModeExactCount, 1 })
	} else if *count > 1 {
		r.step(func() { *count-- })
	}
	zero(r, capacity)
	if *capacity != nil {
		dropKeys(r, (*capacity).Requests, cmp.Compare)
	}
}
