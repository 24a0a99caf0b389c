package worlds

import (
	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/dynamic-resource-allocation/structured"
	"k8s.io/utils/ptr"
)

type poolID struct{ driver, name string }

func poolOf(s *resourceapi.ResourceSlice) poolID { return poolID{s.Spec.Driver, s.Spec.Pool.Name} }

// reachOf finds the pools of which some slice of the newest generation is meant
// for a node. Counters are a pool's wherever they are published, so that they only
// say where a pool is that has no devices. It is written without the model's code,
// to compare with it.
func reachOf(published []*resourceapi.ResourceSlice, node *v1.Node) sets.Set[poolID] {
	newest := newestOf(published)
	withDevices := sets.New[poolID]()
	for _, s := range published {
		if s.Spec.Pool.Generation == newest[poolOf(s)] && len(s.Spec.SharedCounters) == 0 {
			withDevices.Insert(poolOf(s))
		}
	}
	out := sets.New[poolID]()
	for _, s := range published {
		id := poolOf(s)
		if s.Spec.Pool.Generation < newest[id] || out.Has(id) || len(s.Spec.SharedCounters) > 0 && withDevices.Has(id) {
			continue
		}
		here := isOn(node, s.Spec.NodeName, s.Spec.AllNodes, s.Spec.NodeSelector)
		if ptr.Deref(s.Spec.PerDeviceNodeSelection, false) {
			for i := range s.Spec.Devices {
				d := &s.Spec.Devices[i]
				here = here || isOn(node, d.NodeName, d.AllNodes, d.NodeSelector)
			}
		}
		if here {
			out.Insert(id)
		}
	}
	return out
}

func newestOf(published []*resourceapi.ResourceSlice) map[poolID]int64 {
	newest := map[poolID]int64{}
	for _, s := range published {
		newest[poolOf(s)] = max(newest[poolOf(s)], s.Spec.Pool.Generation)
	}
	return newest
}

func isOn(node *v1.Node, name *string, all *bool, selector *v1.NodeSelector) bool {
	switch {
	case ptr.Deref(name, "") != "":
		return *name == node.Name
	case ptr.Deref(all, false):
		return true
	case selector == nil:
		return false
	}
	compiled, err := nodeaffinity.NewNodeSelector(selector)
	return err == nil && compiled.Match(node)
}

// within keeps the slices of some pools, in their order.
func within(published []*resourceapi.ResourceSlice, pools sets.Set[poolID]) []*resourceapi.ResourceSlice {
	out := make([]*resourceapi.ResourceSlice, 0, len(published))
	for _, s := range published {
		if pools.Has(poolOf(s)) {
			out = append(out, s)
		}
	}
	return out
}

// usedWithin keeps what is in use of some pools.
func usedWithin(state *structured.AllocatedState, pools sets.Set[poolID]) *structured.AllocatedState {
	has := func(id structured.DeviceID) bool { return pools.Has(poolID{id.Driver.String(), id.Pool.String()}) }
	out := emptyState()
	for id := range state.AllocatedDevices {
		if has(id) {
			out.AllocatedDevices.Insert(id)
		}
	}
	for id := range state.AllocatedSharedDeviceIDs {
		if has(id.GetDeviceID()) {
			out.AllocatedSharedDeviceIDs.Insert(id)
		}
	}
	for id, used := range state.AggregatedCapacity {
		if has(id) {
			out.AggregatedCapacity[id] = used
		}
	}
	return out
}

// sameState tells whether the same is in use.
func sameState(a, b *structured.AllocatedState) bool {
	if !a.AllocatedDevices.Equal(b.AllocatedDevices) || !a.AllocatedSharedDeviceIDs.Equal(b.AllocatedSharedDeviceIDs) ||
		len(a.AggregatedCapacity) != len(b.AggregatedCapacity) {
		return false
	}
	for id, used := range a.AggregatedCapacity {
		other, found := b.AggregatedCapacity[id]
		if !found || len(other) != len(used) {
			return false
		}
		for name, amount := range used {
			if o := other[name]; o == nil || amount.Cmp(*o) != 0 {
				return false
			}
		}
	}
	return true
}
