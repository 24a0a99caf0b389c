package mig

import (
	"math"
	"sync"
)

// Slice is what one memory slice that every future can use is worth: worths are
// in thousandths of a slice.
const Slice = 1000

const (
	// ofOne, ofBest and ofWhole divide a slice between the three opinions of the
	// package comment: 36, 54 and 10 of a hundred parts.
	ofOne   = 360
	ofWhole = 100
	ofBest  = Slice - ofOne - ofWhole
	// commonEnough is how many times its weight a profile counts in the best
	// future, up to the full worth: half of an equal share is enough.
	commonEnough = 2
)

// Weights says how much each profile matters, by name. Only the proportions
// count; a profile that is not listed, or whose weight is not a positive number,
// has none. nil, and weights without any positive number, mean all profiles
// alike. They are best taken of slices demanded, not of requests: see Mix. No room
// is kept for a profile without weight, so leave one out only if it never comes.
type Weights map[string]float64

// Values is what every state of a GPU is worth under one set of weights. It is
// safe for concurrent use.
type Values struct {
	geometry *Geometry
	// shares are the weights scaled to sum to ofOne, rounded down. As integers
	// they keep equal losses equal: rounding must not decide.
	shares []int64
	// worths is what a slice in an instance of each profile counts in the best
	// future, at most ofBest.
	worths []int64
	// table is the worth by mask; nil for grids above tableSlices, which are
	// remembered in memo as they are asked for.
	table []int64
	memo  *memo
}

// Values returns the worth of all states under the weights.
func (g *Geometry) Values(w Weights) *Values {
	v := &Values{geometry: g, shares: make([]int64, len(g.profiles)), worths: make([]int64, len(g.profiles))}
	proportions := w.of(g.profiles)
	for i, share := range proportions {
		v.shares[i] = int64(share * ofOne)
		v.worths[i] = min(ofBest, v.shares[i]*commonEnough*int64(len(proportions))*ofBest/ofOne)
	}
	if g.slices > tableSlices {
		v.memo = &memo{known: map[Mask]int64{}}
		return v
	}
	v.table = v.tabulateBest()
	for used := range v.table {
		v.table[used] += v.one(Mask(used)) + v.whole(Mask(used))
	}
	return v
}

// of returns the weights of the profiles, scaled to sum to 1.
func (w Weights) of(profiles []Profile) []float64 {
	out, sum := make([]float64, len(profiles)), 0.0
	largest := 0.0
	for i := range profiles {
		if x := w[profiles[i].Name]; x > 0 && !math.IsInf(x, 1) {
			out[i] = x
			largest = max(largest, x)
		}
	}
	for i := range out {
		if largest > 0 {
			out[i] /= largest // so that the sum cannot overflow
		} else {
			out[i] = 1
		}
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// Of returns the worth of what is free, in thousandths of a slice: 0 when
// nothing fits any more, at most Slice for each free slice.
func (v *Values) Of(used Mask) int64 {
	used &= lowest(v.geometry.slices)
	if v.table != nil {
		return v.table[used]
	}
	if worth, ok := v.memo.get(used); ok {
		return worth
	}
	worth := v.one(used) + v.whole(used) + v.bestOfRuns(used)
	v.memo.put(used, worth)
	return worth
}

// Loss returns what a placement destroys, in thousandths of a slice: less is
// better. It includes what the placement itself takes, so that it also compares
// GPUs.
func (v *Values) Loss(used, placement Mask) int64 {
	return v.Of(used) - v.Of(used|placement)
}

// Best returns the placement of the profile, by its index, that loses least; of
// several the first. ok is false if none fits.
func (v *Values) Best(used Mask, profile int) (placement Mask, loss int64, ok bool) {
	if profile < 0 || profile >= len(v.geometry.profiles) {
		return 0, 0, false
	}
	for _, q := range v.geometry.profiles[profile].Placements {
		if used&q != 0 {
			continue
		}
		if l := v.Loss(used, q); !ok || l < loss {
			placement, loss, ok = q, l, true
		}
	}
	return placement, loss, ok
}

// Stranded returns how many of the free slices a GPU full of one profile, drawn
// by the weights, is expected to leave unused: the fragmentation of the GPU in
// memory slices, 0 to Free.
func (v *Values) Stranded(used Mask) float64 {
	total := int64(0)
	for _, share := range v.shares {
		total += share
	}
	if total == 0 {
		return 0
	}
	return max(0, float64(v.geometry.Free(used))-float64(v.one(used))/float64(total))
}

// one is the future of a single profile: what the copies of each would use.
func (v *Values) one(used Mask) int64 {
	sum := int64(0)
	for i := range v.geometry.profiles {
		sum += v.shares[i] * int64(v.geometry.profiles[i].Slices()*v.geometry.Copies(used, i))
	}
	return sum
}

// whole is what it is worth that nothing is on the GPU yet.
func (v *Values) whole(used Mask) int64 {
	if used != 0 {
		return 0
	}
	return ofWhole * int64(v.geometry.slices)
}

// tabulateBest finds the best future of every state, the fullest first: the best
// first step and what it leaves.
func (v *Values) tabulateBest() []int64 {
	table := make([]int64, 1<<v.geometry.slices)
	for used := len(table) - 1; used >= 0; used-- {
		for i := range v.geometry.profiles {
			p := &v.geometry.profiles[i]
			gain := v.worths[i] * int64(p.Slices())
			for _, q := range p.Placements {
				if Mask(used)&q == 0 {
					table[used] = max(table[used], gain+table[Mask(used)|q])
				}
			}
		}
	}
	return table
}

// bestOfRuns finds the best future where every placement is a run, from the last
// slice to the first: either the slice stays unused, or a run starts there.
func (v *Values) bestOfRuns(used Mask) int64 {
	var best [MaxSlices + 1]int64
	for start := v.geometry.slices - 1; start >= 0; start-- {
		best[start] = best[start+1]
		for _, s := range v.geometry.spans[start] {
			if used&Run(start, s.size) != 0 {
				break // spans ascend by size: the longer ones do not fit either
			}
			best[start] = max(best[start], v.worths[s.profile]*int64(s.size)+best[start+s.size])
		}
	}
	return best[0]
}

// memo remembers worths of large grids. It stops growing when full: what a
// cluster sees again and again comes early.
type memo struct {
	mu    sync.RWMutex
	known map[Mask]int64
}

const maxMemo = 1 << 16

func (m *memo) get(used Mask) (int64, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	worth, ok := m.known[used]
	return worth, ok
}

func (m *memo) put(used Mask, worth int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.known) < maxMemo {
		m.known[used] = worth
	}
}
