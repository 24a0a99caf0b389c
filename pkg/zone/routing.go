package zone

import "math"

// overloadThreshold is by how much the control plane lets an endpoint be
// overloaded, at most.
const overloadThreshold float64 = 0.2

// HintsKept tells whether the control plane sets same-zone hints for a Service with
// so many ready endpoints over zones with these amounts of CPU (of the ready nodes
// that are not control-plane nodes).
//
// It is the rule of k8s.io/endpointslice/topologycache, getAllocations, for
// Services with service.kubernetes.io/topology-mode: Auto. A zone's share of the
// endpoints is its share of the CPU, each zone needs so many that none is
// overloaded by more than a fifth, and if that is more than there are, no zone
// gets hints:
//
//	Σ over zones z  ⌈ N · cpu(z)/cpu · 1/1.2 ⌉ ≤ N
//
// It also wants two zones, an endpoint for each, and CPU in all of them. For three
// equal zones hints are dropped at 1, 2, 4, 5, 8 and 11 endpoints.
func HintsKept(endpoints int64, milliCPU []int64) bool {
	if len(milliCPU) < 2 || endpoints < int64(len(milliCPU)) {
		return false
	}
	total := int64(0)
	for _, cpu := range milliCPU {
		if cpu <= 0 || cpu > math.MaxInt64-total {
			return false
		}
		total += cpu
	}
	left := endpoints
	for _, cpu := range milliCPU {
		// In the same steps as the original, so that it rounds alike.
		desired := float64(cpu) / float64(total) * float64(endpoints)
		left -= int64(math.Ceil(desired * (1 / (1 + overloadThreshold))))
		if left < 0 {
			return false
		}
	}
	return true
}

// NearestKept is the next smaller (0 if none) and next larger count for which
// HintsKept is true; both are 0 where no count helps, since there is one zone only
// or one has no CPU.
//
// The search is short. Rounding up adds less than one per zone, and a sixth of the
// endpoints is to spare, so that six per zone are always enough.
func NearestKept(endpoints int64, milliCPU []int64) (fewer, more int64) {
	enough := 6*int64(len(milliCPU)) + 1 // one more for rounding of fractions
	if !HintsKept(enough, milliCPU) {
		return 0, 0
	}
	if endpoints > enough {
		return endpoints - 1, max(endpoints, endpoints+1) // no overflow
	}
	fewer, more = max(endpoints-1, 0), max(endpoints, 0)+1
	for fewer > 0 && !HintsKept(fewer, milliCPU) {
		fewer--
	}
	for !HintsKept(more, milliCPU) {
		more++
	}
	return fewer, more
}
