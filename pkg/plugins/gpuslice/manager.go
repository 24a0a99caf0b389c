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

// manager hands the wrapped plugin slices in the order that was planned for the
// pod at hand, and notes what it reads and reserves. All else passes through.
type manager struct {
	fwk.SharedDRAManager
	model *devices.Model

	// mu guards what follows. The wrapped plugin lists slices only in PreFilter
	// and reserves only in Reserve, which the scheduler runs for one pod at a time.
	mu        sync.Mutex
	shape     *devices.Shape
	worth     *devices.Worth
	allocated *structured.AllocatedState
	view      *devices.View
	reserved  []*resourceapi.AllocationResult
}

// planning runs the wrapped plugin's PreFilter for a pod with this shape, and
// returns the view its allocator works on: nil if it never asked for slices.
func (m *manager) planning(shape *devices.Shape, worth *devices.Worth, run func()) *devices.View {
	m.mu.Lock()
	m.shape, m.worth, m.view, m.allocated = shape, worth, nil, nil
	m.mu.Unlock()
	run()
	m.mu.Lock()
	defer m.mu.Unlock()
	view := m.view
	m.shape, m.view, m.allocated = nil, nil, nil
	return view
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

// ListWithDeviceTaintRules lists what is published, best devices first.
func (l sliceLister) ListWithDeviceTaintRules() ([]*resourceapi.ResourceSlice, error) {
	published, err := l.ResourceSliceLister.ListWithDeviceTaintRules()
	if err != nil {
		return nil, err
	}
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.m.shape == nil || l.m.allocated == nil {
		return published, nil
	}
	l.m.view = l.m.model.View(published, l.m.allocated, l.m.shape, l.m.worth)
	return l.m.view.Slices, nil
}

type claimTracker struct {
	fwk.ResourceClaimTracker
	m *manager
}

// GatherAllocatedState notes the state that the allocator will work on, so that
// the plan is made for exactly that.
func (t claimTracker) GatherAllocatedState() (*structured.AllocatedState, error) {
	state, err := t.ResourceClaimTracker.GatherAllocatedState()
	if err == nil {
		t.note(state)
	}
	return state, err
}

// ListAllAllocatedDevices is what is asked instead if capacity is not consumable.
func (t claimTracker) ListAllAllocatedDevices() (sets.Set[structured.DeviceID], error) {
	ids, err := t.ResourceClaimTracker.ListAllAllocatedDevices()
	if err == nil {
		t.note(&structured.AllocatedState{AllocatedDevices: ids})
	}
	return ids, err
}

func (t claimTracker) note(state *structured.AllocatedState) {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	t.m.allocated = state
}

// SignalClaimPendingAllocation notes what was reserved.
func (t claimTracker) SignalClaimPendingAllocation(uid types.UID, claim *resourceapi.ResourceClaim) error {
	err := t.ResourceClaimTracker.SignalClaimPendingAllocation(uid, claim)
	if err == nil && claim.Status.Allocation != nil {
		t.m.mu.Lock()
		defer t.m.mu.Unlock()
		t.m.reserved = append(t.m.reserved, claim.Status.Allocation)
	}
	return err
}
