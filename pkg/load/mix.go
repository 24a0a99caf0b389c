package load

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// MaxShapes is how many shapes a Mix judges by; it bounds the cost of a score.
const MaxShapes = 12

// Shape is a typical pod: what it needs, and the share of pods that look so.
type Shape struct {
	Need  Vector
	Share float64
}

// Mix is the immutable set of shapes that stranding is judged by.
type Mix struct {
	shapes []mixShape
	// any is the share of judgement that is left to any shape: what is not yet
	// known of the mix must not decide.
	any float64
}

// mixShape is a Shape prepared for the hot path: needs as floats, and their
// inverses, so that counting copies multiplies instead of dividing.
type mixShape struct {
	need, inverse [MaxResources]float64
	share         float64
}

// NewMix keeps the MaxShapes most frequent shapes and scales their shares to
// sum to 1 - unknown; the share unknown, 0 to 1, is judged as by a nil mix.
// Shapes that need nothing are left out; without any, the result is nil, which
// Stranded accepts.
func NewMix(shapes []Shape, unknown float64) *Mix {
	kept := make([]Shape, 0, len(shapes))
	for _, s := range shapes {
		if s.Need != (Vector{}) && s.Share > 0 {
			kept = append(kept, s)
		}
	}
	slices.SortFunc(kept, func(a, b Shape) int {
		return cmp.Or(cmp.Compare(b.Share, a.Share), slices.Compare(a.Need[:], b.Need[:]))
	})
	kept = kept[:min(len(kept), MaxShapes)]
	if len(kept) == 0 {
		return nil
	}
	total := 0.0
	for _, s := range kept {
		total += s.Share
	}
	mix := &Mix{shapes: make([]mixShape, len(kept)), any: unknown}
	for i, s := range kept {
		mix.shapes[i].share = s.Share / total * (1 - unknown)
		for r, need := range s.Need {
			if need > 0 {
				mix.shapes[i].need[r] = float64(need)
				mix.shapes[i].inverse[r] = 1 / float64(need)
			}
		}
	}
	return mix
}

// Shapes returns the shapes the mix judges by, most frequent first.
func (m *Mix) Shapes() []Shape {
	if m == nil {
		return nil
	}
	out := make([]Shape, len(m.shapes))
	for i, s := range m.shapes {
		out[i].Share = s.share
		for r, need := range s.need {
			out[i].Need[r] = int64(need)
		}
	}
	return out
}

// Stranded is the expected share of the node, 0 to 1, that is free up to the
// brim but of no use to the pods of the mix. A nil mix stands for pods of the
// node's own proportions and any size.
func (s *Scale) Stranded(allocatable, used *Vector, brim BasisPoints, mix *Mix) float64 {
	h := s.hold(allocatable, brim)
	return s.strandedIn(&h, used, mix)
}

// hold is what a node can take, prepared for asking what is stranded in it more
// than once.
type hold struct {
	// limit is how much of each resource there is up to the brim, worth is the
	// share of the node that one unit of it is.
	limit, worth, allocatable [MaxResources]float64
}

func (s *Scale) hold(allocatable *Vector, brim BasisPoints) (h hold) {
	total := 0.0
	for r := range s.n {
		if allocatable[r] > 0 {
			total += s.cost[r]
		}
	}
	for r := range s.n {
		if allocatable[r] <= 0 {
			continue
		}
		h.allocatable[r] = float64(allocatable[r])
		h.worth[r] = s.cost[r] / (h.allocatable[r] * total)
		h.limit[r] = h.allocatable[r]
		if !s.resources[r].Device {
			h.limit[r] *= float64(brim) / float64(Full)
		}
	}
	return h
}

func (s *Scale) strandedIn(h *hold, used *Vector, mix *Mix) float64 {
	var left [MaxResources]float64
	for r := range s.n {
		left[r] = max(h.limit[r]-float64(used[r]), 0)
	}
	if mix == nil {
		return s.outOfProportion(h, &left)
	}
	stranded := mix.stranded(s.n, &left, &h.worth)
	if mix.any > 0 {
		stranded += mix.any * s.outOfProportion(h, &left)
	}
	return stranded
}

// stranded sums, over the shapes, the worth of what whole copies leave over.
func (m *Mix) stranded(n int, left, worth *[MaxResources]float64) float64 {
	free := 0.0
	for r := range n {
		free += left[r] * worth[r]
	}
	sum := 0.0
	for i := range m.shapes {
		shape := &m.shapes[i]
		copies, size := math.MaxFloat64, 0.0
		for r := range n {
			if shape.inverse[r] > 0 {
				copies = min(copies, left[r]*shape.inverse[r])
				size += shape.need[r] * worth[r]
			}
		}
		// An amount that fits exactly k times may divide to k minus a hair.
		const hair = 1e-9
		sum += shape.share * (free - math.Floor(copies+hair)*size)
	}
	return max(sum, 0)
}

// outOfProportion is what is left beyond the scarcest resource's share.
func (s *Scale) outOfProportion(h *hold, left *[MaxResources]float64) float64 {
	scarcest := 1.0
	for r := range s.n {
		if h.allocatable[r] > 0 && !s.resources[r].Device {
			scarcest = min(scarcest, left[r]/h.allocatable[r])
		}
	}
	sum := 0.0
	for r := range s.n {
		if h.allocatable[r] > 0 && !s.resources[r].Device {
			sum += (left[r] - scarcest*h.allocatable[r]) * h.worth[r]
		}
	}
	return sum
}

// String lists the shapes with their shares.
func (m *Mix) String() string {
	if m == nil {
		return "any shape"
	}
	var b strings.Builder
	for _, s := range m.Shapes() {
		fmt.Fprintf(&b, "%.0f%% %v, ", 100*s.Share, s.Need)
	}
	fmt.Fprintf(&b, "%.0f%% any shape", 100*m.any)
	return b.String()
}
