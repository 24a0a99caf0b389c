package devices

import (
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/dynamic-resource-allocation/structured"
)

// Meets tells whether an allocated device meets the limits, and what it has. A
// device that the model does not hold, or that is no GPU, is not judged, nor is one that
// nodes share: where it was not planned for, the allocator was shown all of them.
func (m *Model) Meets(l *Limits, allocated *resourceapi.DeviceRequestAllocationResult) (has string, ok bool) {
	if l.none() {
		return "", true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r, found := m.byID[structured.MakeDeviceID(allocated.Driver, allocated.Pool, allocated.Device)]
	if !found || r.pool.selection != nil {
		return "", true
	}
	d := &r.pool.devices[r.device]
	var needs []int64
	for i := range d.capacities {
		consumed := allocated.ConsumedCapacity[d.capacities[i].name]
		amount, _ := milli(consumed)
		needs = append(needs, amount)
	}
	return d.has(needs), l.accept(d, needs)
}
