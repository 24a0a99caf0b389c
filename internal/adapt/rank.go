package adapt

import (
	"math"
	"slices"

	fwk "k8s.io/kube-scheduler/framework"
)

// DenseRank replaces high-resolution scores by their rank from the top: the
// best score becomes 100, the next different one 99, and so on. Order is kept
// exactly where it matters, so rounding never makes two nodes equal that compete
// for being chosen (the scheduler breaks ties at random).
//
// Where more scores differ than there are ranks, the best half keeps its ranks,
// and the others share what is left below as evenly as they can: a pod that goes
// to the lower ones for another reason still finds the better of them.
func DenseRank(scores fwk.NodeScoreList) {
	DenseRankBySide(scores, Bounds{math.MinInt64, math.MinInt64})
}

// Bounds are the least scores of the middle and of the best of three sides.
type Bounds [2]int64

// DenseRankBySide is DenseRank for scores of which those of one side never share
// a rank with those of another.
func DenseRankBySide(scores fwk.NodeScoreList, sides Bounds) {
	var room [ranks]int64
	top := room[:0] // the best distinct scores, descending
	crowded := false
	for i := range scores {
		v := scores[i].Score
		// Most nodes of a pool score alike or below what is already kept.
		if len(top) > 0 && v == top[0] {
			continue
		}
		if len(top) == ranks && v <= top[ranks-1] {
			crowded = crowded || v < top[ranks-1]
			continue
		}
		at, found := find(top, v)
		if found {
			continue
		}
		if len(top) < ranks {
			top = top[:len(top)+1]
		} else {
			crowded = true
		}
		copy(top[at+1:], top[at:])
		top[at] = v
	}
	if crowded {
		top = top[:exact+share(scores, room[:exact], room[exact:], sides)]
	}
	var last, lastRank int64
	for i := range scores {
		v := scores[i].Score
		if i == 0 || v != last {
			at, _ := find(top, v)
			last, lastRank = v, fwk.MaxScore-int64(at)
		}
		scores[i].Score = lastRank
	}
}

// find is a binary search in descending order: the first that is not above v.
func find(top []int64, v int64) (int, bool) {
	return slices.BinarySearchFunc(top, v, func(kept, want int64) int {
		switch {
		case kept > want:
			return -1
		case kept < want:
			return 1
		}
		return 0
	})
}
