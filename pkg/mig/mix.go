package mig

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
)

const (
	// unknownRequests is how many requests the equal mix weighs as much as: a
	// handful of odd requests must not decide.
	unknownRequests = 100
	// maxNames bounds memory; the faintest name makes room for a new one.
	maxNames = 256
)

// Mix learns from requests how much each profile matters. Each request fades the
// ones before it, so that a changed workload is learnt within a few half-lives.
// It is safe for concurrent use.
type Mix struct {
	// fade is what one more request leaves of the count of all before it, floor
	// the least part of an equal share that a profile keeps.
	fade, floor float64

	mu     sync.Mutex
	counts map[string]count
	// clock counts requests, so that fading costs nothing per name.
	clock float64
}

// count is a faded number of requests, as of a clock.
type count struct {
	requests, at float64
}

// DefaultFloor is a floor at which no mix, however wrong, was measured to cost
// more than 1.4 points. At 0.4 it is 18: large profiles that come back after a long
// absence find the room for them broken up.
const DefaultFloor = 0.7

// NewMix returns an empty Mix that counts a request half as much after halfLife
// further ones, at least 1. Every profile keeps at least the part floor, within
// (0, 1], of its equal share.
func NewMix(halfLife int, floor float64) (*Mix, error) {
	if halfLife < 1 {
		return nil, fmt.Errorf("a half-life of %d requests: want at least 1", halfLife)
	}
	if !(floor > 0 && floor <= 1) {
		return nil, fmt.Errorf("a floor of %v of an equal share: want more than 0, at most 1", floor)
	}
	return &Mix{fade: math.Exp2(-1 / float64(halfLife)), floor: floor, counts: map[string]count{}}, nil
}

// Observe counts one request for a profile by its name.
func (m *Mix) Observe(profile string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clock++
	if _, known := m.counts[profile]; !known && len(m.counts) >= maxNames {
		m.dropFaintest()
	}
	m.counts[profile] = count{requests: m.now(profile) + 1, at: m.clock}
}

// Weights returns the weights of a geometry's profiles as known now: the shares
// of the slices demanded, not of the requests, because what is lost with a large
// request is as many slices. They sum to 1, none is 0, and later requests do not
// change them. Until anything is known, all are alike.
func (m *Mix) Weights(g *Geometry) Weights {
	m.mu.Lock()
	defer m.mu.Unlock()
	requests, demanded := 0.0, 0.0
	of := make([]float64, len(g.profiles))
	for _, name := range slices.Sorted(maps.Keys(m.counts)) { // sums must not depend on the map
		i, ok := g.Find(name)
		if !ok {
			continue
		}
		n := m.now(name)
		of[i] += n * float64(g.profiles[i].Slices())
		requests += n
	}
	for _, n := range of {
		demanded += n
	}
	equal := max(m.floor, unknownRequests/(unknownRequests+requests))
	if demanded == 0 {
		equal = 1
	}
	out := make(Weights, len(g.profiles))
	for i := range g.profiles {
		w := equal / float64(len(g.profiles))
		if demanded > 0 {
			w += (1 - equal) * of[i] / demanded
		}
		out[g.profiles[i].Name] = w
	}
	return out
}

// now is a name's count, faded up to the clock.
func (m *Mix) now(name string) float64 {
	c := m.counts[name]
	return c.requests * math.Pow(m.fade, m.clock-c.at)
}

func (m *Mix) dropFaintest() {
	faintest, least := "", math.Inf(1)
	for name := range m.counts {
		if n := m.now(name); n < least || n == least && name < faintest {
			faintest, least = name, n
		}
	}
	delete(m.counts, faintest)
}
