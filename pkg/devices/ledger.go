package devices

import (
	"strconv"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
)

// holding is what one claim holds, as far as this process knows. The scheduler
// knows of an allocation before the API server does, and the API server before
// the informers.
type holding struct {
	key string // namespace/name
	// observed is what the informers saw last, assumed what was written after
	// that, and pending what a cycle reserved and has not written yet.
	observed, assumed, pending    *resourceapi.AllocationResult
	observedVersion, assumedSince uint64
	// counted is what the devices are marked with.
	counted *resourceapi.AllocationResult
	// known: its allocation was reserved here, or observed before.
	known bool
	// deleted: it only waits for a cycle to let go of it.
	deleted bool
}

// holds is what counts: the latest that is known.
func (h *holding) holds() *resourceapi.AllocationResult {
	switch {
	case h.pending != nil:
		return h.pending
	case h.assumedSince > 0:
		return h.assumed
	}
	return h.observed
}

// Observe takes over what the informers have of a claim now, which current returns:
// nil if it is gone. That is asked while the model is locked, so that calls may
// come late, and in any order: the last always leaves the latest state. An older
// version than one that was written changes nothing. Observe tells whether there
// is news: an allocation of which the model did not know.
func (m *Model) Observe(namespace, name string, current func() *resourceapi.ResourceClaim) (news bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	claim := current()
	if claim == nil {
		m.gone(m.names[namespace+"/"+name])
		return false
	}
	m.observe(claim)
	h := m.claims[claim.UID]
	news = h.observed != nil && !h.known
	h.known = h.holds() != nil
	return news
}

// Freed counts how often a claim gave back what it held.
func (m *Model) Freed() uint64 { return m.freed.Load() }

// Knows tells whether the model counts an allocation of a claim.
func (m *Model) Knows(uid types.UID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.claims[uid]
	return h != nil && h.holds() != nil
}

func (m *Model) observe(claim *resourceapi.ResourceClaim) {
	key := claim.Namespace + "/" + claim.Name
	if former, found := m.names[key]; found && former != claim.UID {
		m.gone(former) // deleted and created again, and only the last was seen
	}
	h := m.holdingOf(claim.UID, key)
	version := versionOf(claim)
	if version < h.observedVersion {
		return
	}
	h.observed, h.observedVersion = claim.Status.Allocation, version
	if version >= h.assumedSince {
		h.assumed, h.assumedSince = nil, 0
	}
	m.recount(h)
}

// gone forgets a claim that was deleted; what a cycle has reserved for it counts
// until that lets go.
func (m *Model) gone(uid types.UID) {
	h := m.claims[uid]
	if h == nil {
		return
	}
	h.observed, h.assumed, h.assumedSince, h.deleted = nil, nil, 0, true
	m.recount(h)
	if h.pending == nil {
		m.dropClaim(uid, h)
	}
}

// Reserve notes what a cycle reserved for a claim and is about to write.
func (m *Model) Reserve(uid types.UID, claim *resourceapi.ResourceClaim) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := claim.Namespace + "/" + claim.Name
	h := m.claims[uid]
	if h == nil {
		// Not in the API server yet: it will come with another UID.
		h = &holding{key: key, deleted: true}
		m.claims[uid] = h
	}
	h.pending, h.known = claim.Status.Allocation, true
	m.recount(h)
}

// Release notes that what was reserved for a claim no longer is, be it that it was
// written or that it was given up. Now tells what is reserved now, nil for nothing:
// another pod may already have reserved for the same claim. It is called while the
// model is locked.
func (m *Model) Release(uid types.UID, now func() *resourceapi.AllocationResult) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.claims[uid]
	if h == nil {
		return
	}
	h.pending = now()
	m.recount(h)
	if h.deleted && h.pending == nil {
		m.dropClaim(uid, h)
	}
}

// Written takes over a claim as the API server returned it from an update. It
// counts until the informers have seen that version. Current tells what they
// have now, nil for nothing: a claim that is gone by now is left alone. It is
// called while the model is locked, so that no deletion is missed.
func (m *Model) Written(claim *resourceapi.ResourceClaim, current func() *resourceapi.ResourceClaim) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := current()
	if now == nil || now.UID != claim.UID {
		return
	}
	m.observe(now)
	h := m.claims[claim.UID]
	if version := versionOf(claim); version > h.observedVersion {
		h.assumed, h.assumedSince, h.known = claim.Status.Allocation, version, true
		m.recount(h)
	}
}

// Restore goes back to what the informers saw of a claim.
func (m *Model) Restore(namespace, name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	uid, found := m.names[namespace+"/"+name]
	if !found {
		return
	}
	h := m.claims[uid]
	h.assumed, h.assumedSince = nil, 0
	m.recount(h)
}

// holdingOf finds or makes the record of a claim that the informers know.
func (m *Model) holdingOf(uid types.UID, key string) *holding {
	h := m.claims[uid]
	if h == nil {
		h = &holding{key: key}
		m.claims[uid] = h
	}
	h.deleted = false
	m.names[key] = uid
	return h
}

func (m *Model) dropClaim(uid types.UID, h *holding) {
	delete(m.claims, uid)
	if m.names[h.key] == uid {
		delete(m.names, h.key)
	}
}

// recount marks the devices that a claim holds now, and no others.
func (m *Model) recount(h *holding) {
	now := h.holds()
	if now == h.counted {
		return
	}
	if h.counted != nil {
		m.count(h.counted, -1)
	}
	if now != nil {
		m.count(now, 1)
	} else {
		m.freed.Add(1)
	}
	h.counted = now
}

// versionOf is 0 for an object that has no version.
func versionOf(claim *resourceapi.ResourceClaim) uint64 {
	version, err := strconv.ParseUint(claim.ResourceVersion, 10, 64)
	if err != nil {
		return 0
	}
	return version
}
