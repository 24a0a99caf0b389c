package zone

import (
	"math"
	"math/bits"
)

// MaxResources is how many resources one pod is measured by.
const MaxResources = 8

// Amounts holds one amount per resource, in an order and units of the caller's
// choice (millicores, bytes, devices, pods).
type Amounts [MaxResources]int64

// Fits is how many times need fits into free: the smallest quotient over the
// resources of which need has any, at most limit; 0 if any free amount that is
// needed is negative. limit if need is empty. It is never negative.
func Fits(free, need *Amounts, limit int64) int64 {
	if limit <= 0 {
		return 0
	}
	for i, n := range need {
		if n <= 0 {
			continue
		}
		f := free[i]
		if f < n {
			return 0
		}
		// Dividing is slow: only where less than the fewest so far fits.
		if hi, lo := bits.Mul64(uint64(n), uint64(limit)); hi != 0 || lo > uint64(f) {
			limit = f / n
		}
	}
	return limit
}

// Room says how many pods of one shape fit on each node and in each domain.
type Room struct {
	tree *Tree
	// before is how many fit on all nodes that stand before this one in the
	// tree's order; one entry more than there are nodes.
	before []int64
}

// NewRoom asks how many pods fit on each node. Negative counts as 0. So that no
// sum can overflow, a node counts for at most math.MaxInt64 by the number of
// nodes.
func NewRoom(tree *Tree, fits func(NodeID) int64) *Room {
	r := &Room{}
	r.Fill(tree, fits)
	return r
}

// Fill does what NewRoom does, but in the memory of a Room that is not needed any
// more.
func (r *Room) Fill(tree *Tree, fits func(NodeID) int64) {
	r.tree = tree
	if cap(r.before) < tree.Len()+1 {
		r.before = make([]int64, tree.Len()+1)
	}
	r.before = r.before[:tree.Len()+1]
	most := int64(math.MaxInt64) / int64(max(tree.Len(), 1))
	sum := int64(0)
	for i, n := range tree.order {
		sum += min(max(fits(n), 0), most)
		r.before[i+1] = sum
	}
}

// In is how many fit in the domain: the sum over its nodes.
func (r *Room) In(d DomainID) int64 {
	if d < 0 {
		return 0
	}
	return r.before[r.tree.domains[d].last] - r.before[r.tree.domains[d].first]
}

// On is how many fit on the node.
func (r *Room) On(n NodeID) int64 {
	at := r.tree.place[n]
	return r.before[at+1] - r.before[at]
}
