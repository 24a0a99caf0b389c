package gpus

// Any tells whether any model was counted.
func (w *Worth) Any() bool { return w != nil && len(w.byModel) > 0 }

// NamesWhole tells whether the resource's name stands for whole GPUs, or what
// the node makes of them: not for slices, and not for shares by another name.
func NamesWhole(resource string) bool {
	switch resource {
	case "nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/i915", "gpu.intel.com/xe":
		return true
	}
	return false
}

// Wholes lists what is idle of the node's whole GPUs, in thousandths: the free
// ones first, each MilliGPU, then those in use, each 0, as many as there is
// room for. It returns how many that are, and their model.
func (n *Node) Wholes(into []int64) (count int, model string) {
	for i := range n.Offers {
		o := &n.Offers[i]
		if o.Kind != Whole {
			continue
		}
		model = o.Model
		free, all := n.Counts[i].Free(), min(max(n.Counts[i].Allocatable, 0), maxUnits)
		for j := range all {
			if count == len(into) {
				return count, model
			}
			into[count] = 0
			if j < free {
				into[count] = MilliGPU
			}
			count++
		}
	}
	return count, model
}

// Idle lists what is idle of the node's GPUs, in thousandths: Wholes, and then the GPUs
// that its slices and shares are of, as if what is free of a resource were together.
// Which GPUs it is of only the kubelet knows.
func (n *Node) Idle(into []int64) (count int, model string) {
	count, model = n.Wholes(into)
	for i := range n.Offers {
		o := &n.Offers[i]
		if o.Kind == Whole {
			continue
		}
		all := min(max(n.Counts[i].Allocatable, 0), maxUnits) * o.MilliGPUs()
		free := n.Counts[i].Free() * o.MilliGPUs()
		for ; all > 0 && count < len(into); all -= MilliGPU {
			model = o.Model
			into[count] = min(free, MilliGPU)
			free -= into[count]
			count++
		}
	}
	return count, model
}
