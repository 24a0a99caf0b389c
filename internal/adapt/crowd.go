package adapt

import (
	"math/bits"

	fwk "k8s.io/kube-scheduler/framework"
)

const (
	ranks = int(fwk.MaxScore) + 1
	// exact is how many scores keep a rank of their own among more than there
	// are ranks.
	exact = ranks/2 + 1
	// least is how many ranks a side is left, if it has as many scores, however
	// many scores the others have.
	least = 8
	// cellBits is how finely the scores of a side are told apart, relative to how
	// far they reach. Counting cells takes neither sorting nor memory per node.
	cellBits = 14
)

// side holds which scores occur on one side, below those that are ranked exactly.
type side struct {
	low, high int64
	any       bool
	shift     int // 1<<shift scores share a cell
	cells     [1 << cellBits / 64]uint64
	count     int // of cells that are in use
}

// share spreads the ranks below the best scores over the others, and writes the
// least score of each of these ranks, descending. It returns how many it used.
func share(scores fwk.NodeScoreList, best, into []int64, bounds Bounds) int {
	var sides [len(bounds) + 1]side // worst first
	under := best[len(best)-1]
	for i := range scores {
		if v := scores[i].Score; v < under {
			sides[bounds.of(v)].reach(v)
		}
	}
	for s := range sides {
		sides[s].settle()
	}
	for i := range scores {
		if v := scores[i].Score; v < under {
			sides[bounds.of(v)].mark(v)
		}
	}
	todo, kept := 0, 0
	for s := range sides {
		todo += sides[s].tally()
		kept += min(sides[s].count, least)
	}
	used := 0
	for s := len(sides) - 1; s >= 0; s-- {
		count := sides[s].count
		if count == 0 {
			continue
		}
		left, own := len(into)-used, min(count, least)
		kept -= own
		// In proportion, but what is kept for the worse sides is theirs.
		n := min(max(left*count/todo, own), left-kept, count)
		sides[s].quantiles(into[used : used+n])
		used, todo = used+n, todo-count
	}
	return used
}

func (b Bounds) of(v int64) int {
	switch {
	case v >= b[1]:
		return 2
	case v >= b[0]:
		return 1
	}
	return 0
}

func (s *side) reach(v int64) {
	if !s.any {
		s.low, s.high, s.any = v, v, true
	}
	s.low, s.high = min(s.low, v), max(s.high, v)
}

// settle chooses the cells' size, once the reach is known. Differences are taken
// without a sign: they may be larger than the largest score.
func (s *side) settle() {
	s.shift = max(0, bits.Len64(uint64(s.high)-uint64(s.low))-cellBits)
}

func (s *side) mark(v int64) {
	cell := (uint64(v) - uint64(s.low)) >> s.shift
	s.cells[cell/64] |= 1 << (cell % 64)
}

func (s *side) tally() int {
	for _, word := range s.cells {
		s.count += bits.OnesCount64(word)
	}
	return s.count
}

// quantiles shares the cells out, the highest first, and writes the least score
// of each share.
func (s *side) quantiles(into []int64) {
	seen := 0
	for w := len(s.cells) - 1; w >= 0; w-- {
		for word := s.cells[w]; word != 0; {
			bit := bits.Len64(word) - 1
			word &^= 1 << bit
			into[seen*len(into)/s.count] = int64(uint64(s.low) + uint64(w*64+bit)<<s.shift)
			seen++
		}
	}
}
