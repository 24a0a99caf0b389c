package worlds

import (
	"fmt"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/structured"
	"k8s.io/utils/ptr"
)

// counterKey is one counter of a pool.
type counterKey struct{ driver, pool, set, counter string }

// allocate takes some devices as other claims would have; in wild worlds sometimes
// without regard to counters, or what is not published any more.
func (w *draw) allocate() {
	reckless := w.wild && w.one(3)
	most := w.IntN(7)
	left := map[counterKey]resource.Quantity{}
	for _, s := range w.Slices {
		for _, set := range s.Spec.SharedCounters {
			for name, c := range set.Counters {
				left[counterKey{s.Spec.Driver, s.Spec.Pool.Name, set.Name, name}] = c.Value.DeepCopy()
			}
		}
	}
	for _, s := range w.Slices {
		for i := range s.Spec.Devices {
			d := &s.Spec.Devices[i]
			if w.IntN(10) >= most {
				continue
			}
			id := structured.MakeDeviceID(s.Spec.Driver, s.Spec.Pool.Name, d.Name)
			multi := ptr.Deref(d.AllowMultipleAllocations, false)
			if w.wild && w.one(25) {
				multi = !multi // it was published otherwise when it was allocated
			}
			switch {
			case multi && w.Features.ConsumableCapacity:
				w.share(id, d)
			case reckless || takeCounters(left, s, d):
				w.Allocated.AllocatedDevices.Insert(id)
			}
		}
	}
	if len(w.Slices) > 0 && (w.wild && w.one(3) || w.one(30)) {
		s := of(w, w.Slices...)
		w.Allocated.AllocatedDevices.Insert(structured.MakeDeviceID(s.Spec.Driver, s.Spec.Pool.Name, "unplugged"))
	}
}

// takeCounters takes what a device consumes if there is that much.
func takeCounters(left map[counterKey]resource.Quantity, s *resourceapi.ResourceSlice, d *resourceapi.Device) bool {
	taken := map[counterKey]resource.Quantity{}
	for _, consumes := range d.ConsumesCounters {
		for name, c := range consumes.Counters {
			key := counterKey{s.Spec.Driver, s.Spec.Pool.Name, consumes.CounterSet, name}
			have := left[key]
			if have.Cmp(c.Value) < 0 {
				return false
			}
			have = have.DeepCopy()
			have.Sub(c.Value)
			taken[key] = have
		}
	}
	for key, have := range taken {
		left[key] = have
	}
	return true
}

// share takes part of a device for one or two claims.
func (w *draw) share(id structured.DeviceID, d *resourceapi.Device) {
	for range 1 + w.IntN(2) {
		w.Allocated.AllocatedSharedDeviceIDs.Insert(structured.MakeSharedDeviceID(id, ptr.To(types.UID(fmt.Sprint("share-", w.IntN(1<<30))))))
		used := map[resourceapi.QualifiedName]resource.Quantity{}
		if _, found := d.Capacity["memory"]; found {
			used["memory"] = *resource.NewQuantity(int64(w.IntN(60))<<30, resource.BinarySI)
		}
		if _, found := d.Capacity["shares"]; found {
			used["shares"] = *resource.NewQuantity(int64(1+w.IntN(2)), resource.DecimalSI)
		}
		if w.wild && w.one(10) {
			used["gone"] = quantity("1")
		}
		if len(used) > 0 {
			w.Allocated.AggregatedCapacity.Insert(structured.NewDeviceConsumedCapacity(id, used))
		}
	}
}
