package load

import "fmt"

// Node is what the model needs to know of a node.
type Node struct {
	Allocatable Vector
	// Used is what the pods on the node take, without the pod being placed.
	Used Vector
	// Empty says that nothing but per-node agents runs here, so that the node
	// could be given back.
	Empty bool
}

// Side says where a placement leaves a node relative to the line. Higher is
// better, and any placement on a higher side beats any on a lower one.
type Side int

// The sides, worst first.
const (
	Over Side = iota
	Opens
	Under
)

// String names the side.
func (s Side) String() string {
	return [...]string{"over", "opens", "under"}[s]
}

// LeastScore is the lowest Score of a node on this side; those of worse sides are
// below it.
func (s Side) LeastScore() int64 { return int64(s) * bandWidth }

// Reading is the verdict of the model on one node.
type Reading struct {
	Side Side
	// Utilization is the dominant share after placement.
	Utilization BasisPoints
	// Dominant is the index in the Scale of the resource that gives it.
	Dominant int
	// Target is the line that was applied.
	Target BasisPoints
	// Score orders nodes: higher is better, 0 to MaxScore.
	Score int64
}

// How a placement's value is put together and mapped to an integer. See the
// package comment for the formula and where the factors come from.
const (
	strandedCost = 1.25
	strandsCost  = 6.0
	// A value is within [valueFloor, valueFloor+valueRange]: the curve gives
	// 0..1, stranding takes 0..1.25, and what a placement adds is -6..6.
	valueFloor = -(strandedCost + strandsCost)
	valueRange = 1 + strandsCost - valueFloor

	bandWidth = 1_000_000
	// MaxScore is the highest Score.
	MaxScore = 3*bandWidth - 1
)

// Curve is the value of a utilization against a target, 0 to 1: it rises
// linearly from an empty node to 1 at the target and falls linearly to 0 as far
// behind the target as a full node, or the target itself, is away.
func Curve(u, target BasisPoints) float64 {
	if u <= target {
		return float64(u) / float64(target)
	}
	span := Full - target
	if span < target {
		span = target
	}
	v := 1 - float64(u-target)/float64(span)
	if v < 0 {
		return 0
	}
	return v
}

// Utilization returns the node's dominant share and the resource that has it,
// over the resources that count towards the line and that the node has.
func (s *Scale) Utilization(allocatable, used *Vector) (u BasisPoints, dominant int) {
	for r := range s.n {
		if s.resources[r].Device || allocatable[r] <= 0 {
			continue
		}
		if share := Share(used[r], allocatable[r]); share > u {
			u, dominant = share, r
		}
	}
	return u, dominant
}

// Read scores placing the pod on the node against the target, with what is
// stranded judged by the mix. A nil mix judges by the node's own proportions.
// The target must be within (0, Full].
func (s *Scale) Read(node *Node, pod *Vector, target BasisPoints, mix *Mix) Reading {
	after := node.Used.Plus(pod)
	out := Reading{Target: target}
	out.Utilization, out.Dominant = s.Utilization(&node.Allocatable, &after)

	brim := target
	switch {
	case out.Utilization > target:
		out.Side, brim = Over, Full
	case node.Empty:
		out.Side = Opens
	default:
		out.Side = Under
	}
	h := s.hold(&node.Allocatable, brim)
	strandedAfter, strandedBefore := s.strandedIn(&h, &after, mix), s.strandedIn(&h, &node.Used, mix)
	value := Curve(out.Utilization, target) - strandedCost*strandedAfter - strandsCost*(strandedAfter-strandedBefore)
	out.Score = out.Side.LeastScore() + toBand(value)
	return out
}

func toBand(value float64) int64 {
	v := int64((value - valueFloor) / valueRange * (bandWidth - 1))
	return min(max(v, 0), bandWidth-1)
}

// String draws the reading as a gauge with the line on it.
func (r Reading) String() string {
	return fmt.Sprintf("%s %s of %s %s", Gauge(r.Utilization, r.Target), r.Utilization, r.Target, r.Side)
}

// Gauge draws a utilization in twenty cells, with the line where the target is.
func Gauge(u, target BasisPoints) string {
	const cells = 20
	gauge := make([]rune, cells)
	for i := range gauge {
		gauge[i] = '░'
		if BasisPoints(i)*Full/cells < u {
			gauge[i] = '█'
		}
	}
	at := min(int(target*cells/Full), cells)
	return string(gauge[:at]) + "│" + string(gauge[at:])
}
