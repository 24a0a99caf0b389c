package gpus

import "slices"

// Want is one resource that a pod asks for.
type Want struct {
	Resource string
	Count    int64
	// PerContainer is the most that one container asks for.
	PerContainer int64
}

// Request is what a pod asks of GPUs. It never changes once it is made.
type Request struct {
	wants []Want
	// needMiB is the memory each unit must have, 0 if the pod states none.
	needMiB int64
	place   [levels]uint8
	floor   Isolation
}

// NewRequest makes a request of the resources a pod asks for in its spec, the
// memory it needs of each unit (0: it states none), rounded up to a MiB, and
// its preference of isolation, strongest first (none: any will do).
func NewRequest(wants []Want, memoryBytes int64, preference []Isolation) *Request {
	r := &Request{wants: slices.Clone(wants), place: places(preference)}
	const mib = 1 << 20
	if r.needMiB = memoryBytes / mib; memoryBytes%mib > 0 {
		r.needMiB++
	}
	if len(preference) > 0 {
		r.floor = preference[len(preference)-1]
	}
	return r
}

// Demanding reports whether the pod states anything that labels must answer.
// For one that does not, only a node that is being changed or paused is unsuitable.
func (r *Request) Demanding() bool { return r.needMiB > 0 || r.floor > TimeSlicing }

// Reason says why a node does not do.
type Reason uint8

// The reasons. Evicting pods helps against TooFew alone.
const (
	// Suitable: no reason.
	Suitable Reason = iota
	// NotOffered: the node does not have the resource. The framework's own
	// check of resources says so too, and better where the resource is one that
	// claims may serve.
	NotOffered
	// TooFew units are free: also what the framework's own check says.
	TooFew
	// LayoutChanging: Label says that the MIG layout is being changed.
	LayoutChanging
	// GPUsPaused: Label says that what serves the GPUs is paused.
	GPUsPaused
	// LayoutInvalid: Label says that the MIG layout is not one that can be
	// offered.
	LayoutInvalid
	// MemoryUnknown: Label is missing or not a number.
	MemoryUnknown
	// LabelsPartial: the labels describe Has of Need units only, so the memory and
	// the isolation of the rest are unknown.
	LabelsPartial
	// MemoryTooSmall: a unit has Has MiB, not Need.
	MemoryTooSmall
	// SharingUnknown: Label is missing or not known, and the pod accepts
	// nothing weaker than Floor.
	SharingUnknown
	// IsolationTooWeak: a unit has Isolation, below Floor.
	IsolationTooWeak
)

// Refusal is a reason with the values it speaks of. The zero value is no
// refusal. It is made without allocating.
type Refusal struct {
	Reason   Reason
	Resource string
	Label    Label
	// Need and Has are MiB for MemoryTooSmall and MemoryUnknown, units for
	// TooFew and LabelsPartial.
	Need, Has        int64
	Isolation, Floor Isolation
}

// Suits judges by labels alone: whether the node could take the pod if nothing
// else were on it. It is cheap enough to be asked of every node for every pod.
func (r *Request) Suits(f *Facts) Refusal {
	var out Refusal
	for i := range r.wants {
		refusal := r.judge(f, &r.wants[i])
		switch refusal.Reason {
		case Suitable:
		case NotOffered:
			out = refusal // unless another want has more to say
		default:
			return refusal
		}
	}
	return out
}

func (r *Request) judge(f *Facts, want *Want) Refusal {
	if VendorOf(want.Resource) == Nvidia {
		// Also for a resource that is gone: it may come back with the change.
		switch {
		case f.Changing != (Label{}):
			return Refusal{Reason: LayoutChanging, Resource: want.Resource, Label: f.Changing}
		case f.Paused != (Label{}):
			return Refusal{Reason: GPUsPaused, Resource: want.Resource, Label: f.Paused}
		}
	}
	at := f.offer(want.Resource)
	if at < 0 {
		return Refusal{Reason: NotOffered, Resource: want.Resource, Need: want.Count}
	}
	o := &f.Offers[at]
	out := Refusal{Resource: want.Resource, Need: r.needMiB, Isolation: o.Isolation, Floor: r.floor}
	switch {
	case o.Invalid != (Label{}):
		out.Reason, out.Label = LayoutInvalid, o.Invalid
	case r.floor > TimeSlicing && o.NoSharing != (Label{}):
		out.Reason, out.Label = SharingUnknown, o.NoSharing
	case r.Demanding() && o.Covers > 0:
		out.Reason, out.Need, out.Has = LabelsPartial, o.Units, o.Covers
	case r.place[o.Isolation] == refused:
		out.Reason = IsolationTooWeak
	case r.needMiB == 0:
		return Refusal{}
	case o.MemoryMiB <= 0:
		out.Reason, out.Label = MemoryUnknown, o.NoMemory
	case o.MemoryMiB < r.needMiB:
		out.Reason, out.Has = MemoryTooSmall, o.MemoryMiB
	default:
		return Refusal{}
	}
	return out
}

// Fits judges as Suits does, and then whether enough is free. A node that does
// not suit says so even if it is also full.
func (r *Request) Fits(n *Node) Refusal {
	if refusal := r.Suits(n.Facts); refusal.Reason != Suitable {
		return refusal
	}
	for i := range r.wants {
		want := &r.wants[i]
		if free := n.Counts[n.offer(want.Resource)].Free(); free < want.Count {
			return Refusal{Reason: TooFew, Resource: want.Resource, Need: want.Count, Has: free}
		}
	}
	return Refusal{}
}
