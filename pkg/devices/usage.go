package devices

import (
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/structured"
)

// usage is what claims take of one device.
type usage struct {
	// alone counts the claims that have it for themselves; more than one is
	// somebody's mistake, which must not free the device when it is undone.
	alone int
	// shares counts the claims of each share.
	shares map[structured.SharedDeviceID]int
	used   structured.ConsumedCapacity
}

func (u *usage) shared() bool { return len(u.shares) > 0 || len(u.used) > 0 }

// count adds (sign 1) or removes (sign -1) what an allocation takes. Admin access
// takes nothing.
func (m *Model) count(allocation *resourceapi.AllocationResult, sign int) {
	for i := range allocation.Devices.Results {
		r := &allocation.Devices.Results[i]
		if r.AdminAccess != nil && *r.AdminAccess {
			continue
		}
		id := structured.MakeDeviceID(r.Driver, r.Pool, r.Device)
		u := m.usageOf(poolID{r.Driver, r.Pool}, id)
		if r.ShareID == nil || !m.features.ConsumableCapacity {
			u.alone += sign
		} else {
			share := structured.MakeSharedDeviceID(id, r.ShareID)
			u.shares[share] += sign
			if u.shares[share] <= 0 {
				delete(u.shares, share)
			}
			u.consume(structured.NewDeviceConsumedCapacity(id, r.ConsumedCapacity).ConsumedCapacity, sign)
		}
		m.mark(poolID{r.Driver, r.Pool}, id, u)
	}
}

func (u *usage) consume(amounts structured.ConsumedCapacity, sign int) {
	for name, amount := range amounts {
		sum := u.used[name]
		switch {
		case sum == nil && sign > 0:
			clone := amount.DeepCopy()
			u.used[name] = &clone
		case sum == nil:
		case sign > 0:
			sum.Add(*amount)
		default:
			sum.Sub(*amount)
			if sum.Sign() <= 0 {
				delete(u.used, name)
			}
		}
	}
}

func (m *Model) usageOf(pool poolID, id structured.DeviceID) *usage {
	devices := m.uses[pool]
	if devices == nil {
		devices = map[structured.DeviceID]*usage{}
		m.uses[pool] = devices
	}
	u := devices[id]
	if u == nil {
		u = &usage{shares: map[structured.SharedDeviceID]int{}, used: structured.ConsumedCapacity{}}
		devices[id] = u
	}
	return u
}

// mark takes a device's usage over to its pool, if that is published.
func (m *Model) mark(pool poolID, id structured.DeviceID, u *usage) {
	if r, found := m.byID[id]; found {
		if r.pool.devices[r.device].apply(u) && !r.pool.dirty {
			r.pool.dirty = true
			m.dirty = append(m.dirty, r.pool)
		}
	}
	if u.alone > 0 || u.shared() {
		return
	}
	delete(m.uses[pool], id)
	if len(m.uses[pool]) == 0 {
		delete(m.uses, pool)
	}
}

// apply takes over what is used of a device, and tells whether that is a change.
func (d *device) apply(u *usage) bool {
	allocated, shared := u.alone > 0, u.shared()
	measured := len(u.used) > 0
	changed := allocated != d.allocated || shared != d.shared || measured != d.measured
	d.allocated, d.shared, d.measured = allocated, shared, measured
	for i := range d.capacities {
		c := &d.capacities[i]
		var used int64
		if q := u.used[c.name]; q != nil {
			var exact bool
			if used, exact = milli(*q); !exact {
				used = c.total // never over-commit what is not understood
			}
		}
		changed = changed || used != c.used
		c.used = used
	}
	return changed
}

// settle brings the pools in which something changed up to date.
func (m *Model) settle() {
	for _, p := range m.dirty {
		if !p.dirty {
			continue
		}
		p.settle()
		if p.selection != nil {
			m.touched(p)
		} else if n := m.nodes[p.node]; n != nil {
			n.version++
			n.facts = nil
		}
	}
	clear(m.dirty)
	m.dirty = m.dirty[:0]
}

// allocatedIn is what is in use of some pools, as the allocator reads it.
func (m *Model) allocatedIn(pools []poolID) *structured.AllocatedState {
	out := &structured.AllocatedState{AllocatedDevices: sets.New[structured.DeviceID](),
		AllocatedSharedDeviceIDs: sets.New[structured.SharedDeviceID](), AggregatedCapacity: structured.NewConsumedCapacityCollection()}
	for _, pool := range pools {
		for id, u := range m.uses[pool] {
			if u.alone > 0 {
				out.AllocatedDevices.Insert(id)
			}
			for share := range u.shares {
				out.AllocatedSharedDeviceIDs.Insert(share)
			}
			if len(u.used) > 0 {
				out.AggregatedCapacity[id] = u.used.Clone()
			}
		}
	}
	return out
}

// Adopt replaces all that is known to be in use by what the allocator would be
// told: for whoever has no claims to observe.
func (m *Model) Adopt(state *structured.AllocatedState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	former := m.uses
	m.uses, m.claims, m.names = map[poolID]map[structured.DeviceID]*usage{}, map[types.UID]*holding{}, map[string]types.UID{}
	for id := range state.AllocatedDevices {
		m.usageOf(poolOf(id), id).alone++
	}
	for share := range state.AllocatedSharedDeviceIDs {
		id := share.GetDeviceID()
		m.usageOf(poolOf(id), id).shares[share]++
	}
	for id, used := range state.AggregatedCapacity {
		m.usageOf(poolOf(id), id).used = used.Clone()
	}
	for pool, devices := range former {
		for id := range devices {
			if m.uses[pool][id] == nil {
				m.mark(pool, id, &usage{})
			}
		}
	}
	for pool, devices := range m.uses {
		for id, u := range devices {
			m.mark(pool, id, u)
		}
	}
}

func poolOf(id structured.DeviceID) poolID { return poolID{id.Driver.String(), id.Pool.String()} }
