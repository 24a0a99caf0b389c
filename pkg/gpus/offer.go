package gpus

import (
	"fmt"
	"strings"
)

// Kind says what a unit of a resource is.
type Kind uint8

// The kinds of units, the least divided first.
const (
	Whole Kind = iota
	Slice
	Share
)

// String names the kind.
func (k Kind) String() string {
	return [...]string{"whole", "slice", "share"}[k]
}

// MilliGPU is a whole GPU in the unit in which what is free is counted.
const MilliGPU = 1000

// SlicesPerGPU is the grid by which slices are measured: eighths of a GPU's
// memory. It is the grid of most GPUs with MIG, and the coarser ones of A30 (4)
// and RTX PRO 6000 (quarters of 12) fall on it.
const SlicesPerGPU = 8

// Label is a node label that a judgement rests on.
type Label struct{ Key, Value string }

// String writes the label as kubectl does.
func (l Label) String() string { return l.Key + "=" + l.Value }

// Offer is one resource of one node as its labels describe it. It holds nothing
// that a pod's coming or going changes.
type Offer struct {
	// Resource is the name by which pods ask for it.
	Resource string
	Kind     Kind
	// Model is the product without what says how it is divided, "" if unknown.
	Model string
	// MemoryMiB is what one unit can count on, 0 if unknown: see the package
	// comment for shares.
	MemoryMiB int64
	// NoMemory is the label for want of which MemoryMiB is unknown, with the
	// value it has ("" for a label that is not there).
	NoMemory Label
	// Units is how many there are, whether or not all are healthy.
	Units int64
	// Covers is how many units the labels describe, if that is fewer than there
	// are, else 0: of a node with GPUs of several models they describe one, and
	// where units were made shares or slices of late they may be of before.
	Covers int64
	// Isolation is the level a unit has; the weakest if that is unknown.
	Isolation Isolation
	// NoSharing is the label for want of which Isolation is unknown.
	NoSharing Label
	// Replicas is how many pods share one GPU or slice, at least 1. It is 1 for a
	// share of which the labels do not tell: a vGPU, whose host shares it.
	Replicas int64
	// Slices is how many eighths of a GPU's memory a slice takes, 8 if the
	// unit is not a slice.
	Slices int64
	// Invalid is the label that says that the node cannot offer the resource
	// as it is configured; a zero Label if it can.
	Invalid Label
}

// MilliGPUs is how many thousandths of a GPU one unit takes.
func (o *Offer) MilliGPUs() int64 {
	return max(o.Slices*MilliGPU/SlicesPerGPU/max(o.Replicas, 1), 1)
}

// MaxOffers is how many GPU resources of one node are looked at. A node with
// every MIG profile of two models, each with media extensions, has fewer.
const MaxOffers = 24

// Facts are a node's offers and what stands behind them. They are shared by all
// who read the node, and never change.
type Facts struct {
	// Offers holds at most MaxOffers, sorted by resource.
	Offers []Offer
	// Hardware is what the offers are made of, by model.
	Hardware []Hardware
	// Changing is the label that says that the layout of the node's NVIDIA GPUs
	// is being changed: all else that is known of them may be stale. A zero
	// Label if it is not.
	Changing Label
	// Paused is the label that says that what serves the node's NVIDIA GPUs is
	// paused for something else, such as another driver. A zero Label if it is not.
	Paused Label
}

// offer returns the index of the resource's offer, -1 if there is none.
func (f *Facts) offer(resource string) int {
	for i := range f.Offers {
		if f.Offers[i].Resource == resource {
			return i
		}
	}
	return -1
}

// Count is what changes about an offer.
type Count struct {
	// Allocatable and Requested are units; pods may have requested more than
	// there is, after a device failed.
	Allocatable, Requested int64
}

// maxUnits bounds counts, so that sums in thousandths of a GPU cannot overflow
// whatever a node publishes.
const maxUnits = 1 << 20

// Free is how many units are left, at least 0.
func (c Count) Free() int64 {
	allocatable, requested := min(max(c.Allocatable, 0), maxUnits), min(max(c.Requested, 0), maxUnits)
	return max(allocatable-requested, 0)
}

// Node is a node at one moment.
type Node struct {
	*Facts
	// Counts holds one entry per offer, in the order of the offers.
	Counts [MaxOffers]Count
}

// String draws the node, one offer a line.
func (n *Node) String() string {
	var b strings.Builder
	for i := range n.Offers {
		o, c := &n.Offers[i], n.Counts[i]
		fmt.Fprintf(&b, "%s %s %s %s %s %d of %d free\n",
			o.Resource, o.Kind, GiB(o.MemoryMiB), o.Isolation, bar(c), c.Free(), c.Allocatable)
	}
	if n.Changing != (Label{}) {
		fmt.Fprintf(&b, "changing: %s\n", n.Changing)
	}
	if n.Paused != (Label{}) {
		fmt.Fprintf(&b, "paused: %s\n", n.Paused)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// bar draws one cell a unit, at most sixteen.
func bar(c Count) string {
	const most = 16
	all := min(max(c.Allocatable, 0), maxUnits)
	cells := min(all, most)
	if cells == 0 {
		return "-"
	}
	used := (all - c.Free()) * cells / all
	return strings.Repeat("█", int(used)) + strings.Repeat("░", int(cells-used))
}

// GiB prints an amount of memory the way a person compares it: 19.6Gi, 80Gi.
// It rounds down, since up would promise what is not there.
func GiB(mib int64) string {
	switch tenths := mib * 10 / 1024; {
	case mib <= 0:
		return "?"
	case tenths == 0:
		return fmt.Sprintf("%dMi", mib)
	case tenths%10 == 0:
		return fmt.Sprintf("%dGi", tenths/10)
	default:
		return fmt.Sprintf("%d.%dGi", tenths/10, tenths%10)
	}
}
