package adapt

import (
	"slices"

	fwk "k8s.io/kube-scheduler/framework"
)

// DenseRank replaces high-resolution scores by their rank from the top: the
// best score becomes 100, the next different one 99, and so on; what is below
// the 101st becomes 0. Order is kept exactly where it matters, so rounding
// never makes two nodes equal that compete for being chosen (the scheduler
// breaks ties at random).
func DenseRank(scores fwk.NodeScoreList) {
	const ranks = int(fwk.MaxScore) + 1
	var room [ranks]int64
	top := room[:0] // the best distinct scores, descending
	for i := range scores {
		v := scores[i].Score
		// Most nodes of a pool score alike or below what is already kept.
		if len(top) == ranks && v <= top[ranks-1] || len(top) > 0 && v == top[0] {
			continue
		}
		at, found := find(top, v)
		if found {
			continue
		}
		if len(top) < ranks {
			top = top[:len(top)+1]
		}
		copy(top[at+1:], top[at:])
		top[at] = v
	}
	var last, lastRank int64
	for i := range scores {
		v := scores[i].Score
		if i == 0 || v != last {
			last, lastRank = v, 0
			if at, found := find(top, v); found {
				lastRank = fwk.MaxScore - int64(at)
			}
		}
		scores[i].Score = lastRank
	}
}

// find is a binary search in descending order.
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
