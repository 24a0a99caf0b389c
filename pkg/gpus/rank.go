package gpus

import "cmp"

// Rank says how well a node is spent on a request. In every field less is
// better, and a field decides only where all before it are equal.
type Rank struct {
	// Isolation is the place of the node's level in the pod's preference.
	Isolation int64
	// Division is how far a GPU is divided of which one container asks for several:
	// that of the Kind. 0 for a pod whose containers ask for one each.
	Division int64
	// MemoryGiB is the memory of all that the pod takes, each unit rounded up;
	// 0 for a pod that states no need.
	MemoryGiB int64
	// Worth is that of the node's scarcest model.
	Worth int64
	// Untouched is 1 if no GPU of the node is used.
	Untouched int64
	// FreeKind is what is left after placement of the kinds of units asked for,
	// in thousandths of a GPU, and FreeAll what is left of all kinds.
	FreeKind, FreeAll int64
}

// How Score packs a Rank, from the most significant bit. A field that is larger
// than its bits hold counts as the largest: 16 TiB, worth 255, 524 GPUs, 131
// GPUs.
//
//	bits 62..60    59..58    57..44   43..36   35          34..16      15..0
//	     isolation division  memory   worth    untouched   free kind   free all
const (
	isolationBits = 3
	divisionBits  = 2
	memoryBits    = 14
	worthBits     = 8
	untouchedBits = 1
	freeKindBits  = 19
	freeAllBits   = 16

	// freeAllUnit makes the last field coarser: it only breaks ties.
	freeAllUnit = 2

	// MaxScore is the highest Score.
	MaxScore = 1<<(isolationBits+divisionBits+memoryBits+worthBits+untouchedBits+freeKindBits+freeAllBits) - 1
)

// Rank orders nodes that suit the request. The worth of the node is the
// caller's to give, from a Worth; 0 leaves it out.
func (r *Request) Rank(n *Node, worth int64) Rank {
	out := Rank{Worth: worth, Untouched: 1}
	var kinds [Share + 1]bool
	var takes int64
	for i := range r.wants {
		want := &r.wants[i]
		at := n.offer(want.Resource)
		if at < 0 {
			continue
		}
		o, count := &n.Offers[at], min(max(want.Count, 0), maxUnits)
		kinds[o.Kind] = true
		takes += count * o.MilliGPUs()
		out.Isolation = max(out.Isolation, int64(r.place[o.Isolation]))
		if want.PerContainer > 1 {
			out.Division = max(out.Division, int64(o.Kind))
		}
		if r.needMiB > 0 {
			out.MemoryGiB += count * ((min(o.MemoryMiB, maxMiB) + 1023) / 1024)
		}
	}
	for i := range n.Offers {
		free := n.Counts[i].Free() * n.Offers[i].MilliGPUs()
		out.FreeAll += free
		if kinds[n.Offers[i].Kind] {
			out.FreeKind += free
		}
		if n.Counts[i].Requested > 0 {
			out.Untouched = 0
		}
	}
	out.FreeAll, out.FreeKind = max(out.FreeAll-takes, 0), max(out.FreeKind-takes, 0)
	return out
}

// maxMiB bounds a unit's memory in sums.
const maxMiB = 1 << 30

// Compare is negative if r is better than other.
func (r Rank) Compare(other Rank) int {
	return cmp.Or(
		cmp.Compare(r.Isolation, other.Isolation),
		cmp.Compare(r.Division, other.Division),
		cmp.Compare(r.MemoryGiB, other.MemoryGiB),
		cmp.Compare(r.Worth, other.Worth),
		cmp.Compare(r.Untouched, other.Untouched),
		cmp.Compare(r.FreeKind, other.FreeKind),
		cmp.Compare(r.FreeAll, other.FreeAll),
	)
}

// Score packs the rank into one integer, 0 to MaxScore, of which more is better.
func (r Rank) Score() int64 {
	packed := field(0, r.Isolation, isolationBits)
	packed = field(packed, r.Division, divisionBits)
	packed = field(packed, r.MemoryGiB, memoryBits)
	packed = field(packed, r.Worth, worthBits)
	packed = field(packed, r.Untouched, untouchedBits)
	packed = field(packed, r.FreeKind, freeKindBits)
	packed = field(packed, r.FreeAll/freeAllUnit, freeAllBits)
	return MaxScore - packed
}

func field(packed, value int64, bits int) int64 {
	return packed<<bits | min(max(value, 0), 1<<bits-1)
}
