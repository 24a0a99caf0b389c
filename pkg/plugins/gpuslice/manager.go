package gpuslice

import (
	"sync"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/structured"
	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/pkg/devices"
)

// handle is the framework's handle with our manager in place of its own.
type handle struct {
	fwk.Handle
	manager *manager
}

// SharedDRAManager overrides that of the handle.
func (h *handle) SharedDRAManager() fwk.SharedDRAManager { return h.manager }

// manager shows the wrapped plugin what it is to see of slices, claims and devices
// in use, and tells the model what it reserves and writes. All else passes through.
type manager struct {
	fwk.SharedDRAManager
	model  *devices.Model
	feed   *feed
	claims *claims

	// showing is held by whoever shows something: the wrapped plugin asks without
	// saying for which pod. It asks only in PreFilter.
	showing sync.Mutex

	mu       sync.Mutex // guards what follows
	shown    *shown
	reserved []*resourceapi.AllocationResult
}

// shown is what the wrapped plugin gets to see; nil fields are shown as they are.
type shown struct {
	slices    []*resourceapi.ResourceSlice
	allocated *structured.AllocatedState
	claims    []*resourceapi.ResourceClaim
	// part: this is all that it may see, even if it is nothing.
	part bool
}

// show runs the wrapped plugin's PreFilter while it sees just this.
func (m *manager) show(what *shown, run func()) {
	m.showing.Lock()
	defer m.showing.Unlock()
	m.set(what)
	defer m.set(nil)
	run()
}

func (m *manager) set(what *shown) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shown = what
}

func (m *manager) seen() *shown {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shown == nil {
		return &shown{}
	}
	return m.shown
}

// reserving runs the wrapped plugin's Reserve and returns what it allocated.
func (m *manager) reserving(run func()) []*resourceapi.AllocationResult {
	m.mu.Lock()
	m.reserved = nil
	m.mu.Unlock()
	run()
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.reserved
	m.reserved = nil
	return out
}

// ResourceSlices implements fwk.SharedDRAManager.
func (m *manager) ResourceSlices() fwk.ResourceSliceLister {
	return sliceLister{m.SharedDRAManager.ResourceSlices(), m}
}

// ResourceClaims implements fwk.SharedDRAManager.
func (m *manager) ResourceClaims() fwk.ResourceClaimTracker {
	return claimTracker{m.SharedDRAManager.ResourceClaims(), m}
}

type sliceLister struct {
	fwk.ResourceSliceLister
	m *manager
}

// ListWithDeviceTaintRules lists what is to be seen.
func (l sliceLister) ListWithDeviceTaintRules() ([]*resourceapi.ResourceSlice, error) {
	if s := l.m.seen(); s.part || s.slices != nil {
		return s.slices, nil
	}
	return l.ResourceSliceLister.ListWithDeviceTaintRules()
}

type claimTracker struct {
	fwk.ResourceClaimTracker
	m *manager
}

// List lists what is to be seen.
func (t claimTracker) List() ([]*resourceapi.ResourceClaim, error) {
	if s := t.m.seen(); s.part {
		return s.claims, nil
	}
	return t.ResourceClaimTracker.List()
}

// GatherAllocatedState tells what is to be seen.
func (t claimTracker) GatherAllocatedState() (*structured.AllocatedState, error) {
	if s := t.m.seen(); s.allocated != nil {
		return s.allocated, nil
	}
	return t.ResourceClaimTracker.GatherAllocatedState()
}

// ListAllAllocatedDevices is what is asked instead if capacity is not consumable.
func (t claimTracker) ListAllAllocatedDevices() (sets.Set[structured.DeviceID], error) {
	if s := t.m.seen(); s.allocated != nil {
		return s.allocated.AllocatedDevices, nil
	}
	return t.ResourceClaimTracker.ListAllAllocatedDevices()
}

// SignalClaimPendingAllocation notes what was reserved.
func (t claimTracker) SignalClaimPendingAllocation(uid types.UID, claim *resourceapi.ResourceClaim) error {
	err := t.ResourceClaimTracker.SignalClaimPendingAllocation(uid, claim)
	if err != nil || claim.Status.Allocation == nil {
		return err
	}
	noted := *claim
	if first := t.GetPendingAllocation(uid); first != nil {
		// Pods of a group share a claim: what the first of them reserved stays.
		noted.Status.Allocation = first
	}
	t.m.model.Reserve(uid, &noted)
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	t.m.reserved = append(t.m.reserved, noted.Status.Allocation)
	return nil
}

// MaybeRemoveClaimPendingAllocation notes what is not reserved any more.
func (t claimTracker) MaybeRemoveClaimPendingAllocation(uid types.UID, force bool) bool {
	removed := t.ResourceClaimTracker.MaybeRemoveClaimPendingAllocation(uid, force)
	if removed {
		t.m.model.Release(uid, func() *resourceapi.AllocationResult { return t.GetPendingAllocation(uid) })
	}
	return removed
}

// AssumeClaimAfterAPICall notes what was written. Upstream's cache may refuse it
// because it has seen a newer version; our own informer may still have to.
func (t claimTracker) AssumeClaimAfterAPICall(claim *resourceapi.ResourceClaim) error {
	err := t.ResourceClaimTracker.AssumeClaimAfterAPICall(claim)
	t.m.model.Written(claim, func() *resourceapi.ResourceClaim { return t.m.claims.stored(claim) })
	return err
}

// AssumedClaimRestore goes back to what the informers saw.
func (t claimTracker) AssumedClaimRestore(namespace, name string) {
	t.ResourceClaimTracker.AssumedClaimRestore(namespace, name)
	t.m.model.Restore(namespace, name)
}
