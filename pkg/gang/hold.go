package gang

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Need is what one pod takes: amounts by the name of the resource, in a unit
// that is the caller's business.
type Need struct {
	Names   []string
	Amounts []int64
}

// Of returns how much of a resource is needed.
func (n *Need) Of(name string) int64 {
	for i, candidate := range n.Names {
		if candidate == name {
			return n.Amounts[i]
		}
	}
	return 0
}

// Hold is room that is kept for members without a place.
type Hold struct {
	// Name is what reasons call the group.
	Name string
	// Bound is the domain that all members must be in, Target the one, at or
	// within it, that they should be in; both as zone.Tree's paths.
	Bound, Target string
	// Climbed: Target is broader than what the group prefers.
	Climbed bool
	// Priority is that of the members: pods of a higher one need not leave the
	// room.
	Priority int32
	// Soft room is not charged to other pods: it only tells other groups where
	// this one goes.
	Soft bool
	// Need is what each pod takes.
	Need *Need
	// Slots is how many pods are still to come, by node.
	Slots map[string]int64
}

// Pods is how many pods room is held for.
func (h *Hold) Pods() int64 {
	var sum int64
	for _, pods := range h.Slots {
		sum += pods
	}
	return sum
}

// take uses one slot up: that of the node if there is one, else one of the node
// with the fewest, so that whole nodes become free first. It tells whether another
// node's room became free.
func (h *Hold) take(node string) (elsewhere bool) {
	if h.Slots[node] == 0 {
		elsewhere = len(h.Slots) > 0
		node = ""
		for _, candidate := range slices.Sorted(maps.Keys(h.Slots)) {
			if node == "" || h.Slots[candidate] < h.Slots[node] {
				node = candidate
			}
		}
	}
	switch pods := h.Slots[node]; {
	case pods > 1:
		h.Slots[node]--
	case pods == 1:
		delete(h.Slots, node)
	}
	return elsewhere
}

// Charge is room on one node that is held for a group.
type Charge[K comparable] struct {
	Group    K
	Name     string
	Priority int32
	Soft     bool
	Need     *Need
	Pods     int64
}

// Charges is all that is held, by node. It is not to be written to.
type Charges[K comparable] map[string][]Charge[K]

// backoff is how long a group waits after so many failures in a row.
func backoff(failures int) time.Duration {
	const first, last = time.Second, 30 * time.Second
	wait := first
	for range failures - 1 {
		if wait *= 2; wait >= last {
			return last
		}
	}
	return wait
}

// Member is one pod of a group.
type Member struct {
	// UID identifies it; Name is namespace/name.
	UID, Name string
	// Node is where it is or will be; "" while it has no place.
	Node string
	// Revision is the revision of its owner's template; "" if it has none.
	Revision string
	// Group is what reasons call its group.
	Group string
	// Alone: it waits for nobody, so that its having a place says nothing of its
	// group's having started.
	Alone bool
	// bound: the API server knows the node, too.
	bound bool
	// parked: it is held back until the group is complete.
	parked bool
}

func byName(a, b *Member) int { return strings.Compare(a.Name, b.Name) }
