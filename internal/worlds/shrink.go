package worlds

import (
	"fmt"
	"slices"

	"k8s.io/dynamic-resource-allocation/structured"
)

// Smallest returns the smallest world it finds with the same kind of disagreement,
// with a note that says where it comes from.
func (f *Found) Smallest() *Case {
	judge := NewJudge()
	last := f.Disagreement
	out := Shrink(f.Case, func(w *Case) bool {
		judge.Afresh()
		d := judge.Compare(w)
		if d == nil || d.Kind != f.Kind {
			return false
		}
		last = d
		return true
	})
	out.Note = fmt.Sprintf("seed %d: %v", f.Seed, last)
	judge.Afresh()
	if judge.Compare(out) == nil {
		out.Note += fmt.Sprintf("; judged alone it does not show: the model remembers one of up to %d worlds before", chunk)
	}
	return out
}

// Shrink returns the smallest world it finds that still shows something. The world
// it is given stays as it is; it is returned if it does not show it.
func Shrink(w *Case, shows func(*Case) bool) *Case {
	best := clone(w)
	if !shows(best) {
		return best
	}
	for smaller := true; smaller; {
		smaller = false
		for i := 0; ; {
			next := clone(best)
			if !reduce(next, i) {
				break
			}
			if shows(next) {
				best, smaller = next, true // another step stands at i now
			} else {
				i++
			}
		}
	}
	return best
}

func clone(w *Case) *Case {
	out := *w
	out.Nodes = copied(w.Nodes)
	out.Slices = copied(w.Slices)
	out.Classes = copied(w.Classes)
	out.Claims = copied(w.Claims)
	out.Allocated = &structured.AllocatedState{AllocatedDevices: w.Allocated.AllocatedDevices.Clone(),
		AllocatedSharedDeviceIDs: w.Allocated.AllocatedSharedDeviceIDs.Clone(), AggregatedCapacity: w.Allocated.AggregatedCapacity.Clone()}
	return &out
}

func copied[T interface{ DeepCopy() T }](list []T) []T {
	out := make([]T, len(list))
	for i := range list {
		out[i] = list[i].DeepCopy()
	}
	return out
}

// reducer collects the steps that would each make a world smaller, in an order
// that only depends on the world.
type reducer struct{ steps []func() }

func (r *reducer) step(take func()) { r.steps = append(r.steps, take) }

// drop offers to drop halves of a list, then each entry.
func drop[T any](r *reducer, list *[]T) {
	if n := len(*list); n > 3 {
		r.step(func() { *list = (*list)[:n/2] })
		r.step(func() { *list = (*list)[n/2:] })
	}
	for i := range *list {
		r.step(func() { *list = slices.Delete(*list, i, i+1) })
	}
}

// dropKeys offers to drop each entry of a map.
func dropKeys[K comparable, V any](r *reducer, m map[K]V, before func(a, b K) int) {
	if len(m) == 0 {
		return
	}
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, before)
	for _, k := range keys {
		r.step(func() { delete(m, k) })
	}
}

// zero offers to make something its zero value.
func zero[T comparable](r *reducer, v *T) {
	var none T
	if *v != none {
		r.step(func() { *v = none })
	}
}
