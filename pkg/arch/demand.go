package arch

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
)

// Amount is what pods request or nodes have left.
type Amount struct{ MilliCPU, MemoryBytes int64 }

// Supply is what all nodes of an architecture have left together.
type Supply struct {
	Architecture string
	Free         Amount
}

// LastPlace is the worst of places: that of a supply whose runway is at most
// 1/128 of the longest, and of one with nothing left.
const LastPlace = 7

// What is assumed before pods are seen. These are judgements, not measurements:
// an image built for one platform nearly always has amd64, so demand that cannot
// go elsewhere is expected there; how much of it there is, differs from cluster
// to cluster, and is learnt.
const (
	// priorPods is how many pods the assumption weighs as much as: enough for a
	// dozen odd pods not to overturn it, few enough for some hundreds to outweigh it.
	priorPods = 40
	// priorAMD64 and priorOther are the captive shares of the average demand.
	// Their ratio, ten, is a little over three places between equal supplies.
	priorAMD64, priorOther = 0.3, 0.03
	// The average pod: memory in proportion to cores as general-purpose
	// machines have it, so that neither is thought scarce.
	priorMilliCPU, priorMemoryBytes = 250, 1 << 30
)

// A mix is published after each of the first pods, which change it most, and
// then every so often.
const (
	publishEach  = 64
	publishEvery = 16
)

// vector is milli-cores and bytes, of which the sums need fractions.
type vector [2]float64

func vectorOf(a Amount) vector {
	return vector{float64(max(a.MilliCPU, 0)), float64(max(a.MemoryBytes, 0))}
}

// Demand learns from the pods it is shown how much of the demand is captive: can
// run on one architecture only. It is safe for concurrent use.
type Demand struct {
	mix atomic.Pointer[Mix]

	mu sync.Mutex // guards the rest
	// fade is what one more pod leaves of the weight of all before it.
	fade   float64
	shown  int64
	learnt sums
}

// sums are over the pods seen, each faded by those after it.
type sums struct {
	pods    float64
	all     vector
	captive [len(architectures)]vector
}

// NewDemand returns a demand that knows nothing yet. A pod counts half as much
// after halfLifePods further ones, at least 1.
func NewDemand(halfLifePods int64) *Demand {
	d := &Demand{fade: math.Exp2(-1 / float64(max(halfLifePods, 1)))}
	d.mix.Store(d.learnt.mix())
	return d
}

// See counts a pod: once, not at every attempt to place it. only is the one
// architecture it can run on, empty if it can choose.
func (d *Demand) See(only string, needs Amount) {
	need, at := vectorOf(needs), indexOf(only)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.learnt.pods = d.learnt.pods*d.fade + 1
	d.learnt.all.fadeAndAdd(d.fade, need)
	for i := range d.learnt.captive {
		var more vector
		if i == at {
			more = need
		}
		d.learnt.captive[i].fadeAndAdd(d.fade, more)
	}
	if d.shown++; d.shown <= publishEach || d.shown%publishEvery == 0 {
		d.mix.Store(d.learnt.mix())
	}
}

func (v *vector) fadeAndAdd(fade float64, more vector) {
	for r := range v {
		v[r] = v[r]*fade + more[r]
	}
}

// Mix returns what was learnt, up to a few pods ago; it is never nil.
func (d *Demand) Mix() *Mix { return d.mix.Load() }

// Mix is the captive demand per pod, of the pods seen lately. It never changes.
type Mix struct {
	pods    float64 // seen, without the assumed ones
	average vector
	// captive is by architecture, the last of those unlisted; none is zero, since
	// something is assumed of each.
	captive [len(architectures) + 1]vector
}

// mix adds what is assumed.
func (s *sums) mix() *Mix {
	m, pods := &Mix{pods: s.pods}, s.pods+priorPods
	for r, assumed := range [...]float64{priorMilliCPU, priorMemoryBytes} {
		m.average[r] = (s.all[r] + priorPods*assumed) / pods
		for i := range m.captive {
			share := priorOther
			if i == indexAMD64 {
				share = priorAMD64
			}
			captive := priorPods * share * m.average[r]
			if i < unlisted {
				captive += s.captive[i][r]
			}
			m.captive[i][r] = captive / pods
		}
	}
	return m
}

// indexAMD64 is the indexOf amd64.
const indexAMD64 = 0

// Runway is how many more pods of the mix can come before the first captive one
// of the architecture is refused, if no other pod takes from the supply.
func (m *Mix) Runway(s *Supply) float64 {
	free, captive := vectorOf(s.Free), &m.captive[indexOf(s.Architecture)]
	return min(free[0]/captive[0], free[1]/captive[1])
}

// Places says for each supply where it comes in the order of use by pods that
// can choose, 0 first: by how many whole factors of two its runway is shorter
// than the longest. Supplies with nothing left are at the LastPlace. The result
// is written to into if there is room.
func (m *Mix) Places(supplies []Supply, into []int) []int {
	longest := 0.0
	for i := range supplies {
		longest = max(longest, m.Runway(&supplies[i]))
	}
	into = into[:0]
	for i := range supplies {
		into = append(into, place(m.Runway(&supplies[i]), longest))
	}
	return into
}

func place(runway, longest float64) int {
	if runway <= 0 {
		return LastPlace
	}
	at := 0
	for ; at < LastPlace && 2*runway <= longest; at++ {
		runway *= 2
	}
	return at
}

// String shows the captive share of each architecture that stands out:
//
//	of 120 pods, captive of cores and memory: amd64 31% 28%, arm64 2% 1%
func (m *Mix) String() string {
	var parts []string
	for i, name := range architectures {
		cores, memory := 100*m.captive[i][0]/m.average[0], 100*m.captive[i][1]/m.average[1]
		if i == indexAMD64 || max(cores, memory) >= 1 {
			parts = append(parts, fmt.Sprintf("%s %.0f%% %.0f%%", name, cores, memory))
		}
	}
	return fmt.Sprintf("of %.0f pods, captive of cores and memory: %s", m.pods, strings.Join(parts, ", "))
}
