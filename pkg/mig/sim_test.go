package mig

import (
	"cmp"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
)

// The simulated cluster: 25 nodes of four GPUs.
const simGPUs, simGPUsPerNode = 100, 4

// scenario is what is asked of the cluster. It is drawn before any policy sees
// it, so that policies differ by what they do and not by luck.
type scenario struct {
	// tb fails if a policy breaks the rules.
	tb       testing.TB
	geometry *Geometry
	profiles []int // of each request
	events   []simEvent
	warm     int // requests that are placed but not counted
}

// simEvent is the arrival or the departure of a request.
type simEvent struct {
	at      float64
	request int
	departs bool
}

// churning draws requests that come at random and stay for one unit of time in
// the mean: load is the slices demanded by the slices there are.
func churning(g *Geometry, mix []float64, load float64, seed uint64) scenario {
	const warmUp, measured = 5, 12 // mean lifetimes
	rnd := rand.New(rand.NewPCG(seed, 1))
	size := 0.0
	for i, share := range mix {
		size += share * float64(g.profiles[i].Slices())
	}
	rate := load * float64(simGPUs*g.slices) / size
	s := scenario{geometry: g}
	for now := 0.0; now < warmUp+measured; now += rnd.ExpFloat64() / rate {
		if now < warmUp {
			s.warm++
		}
		request := len(s.profiles)
		s.profiles = append(s.profiles, drawProfile(rnd, mix))
		s.events = append(s.events, simEvent{now, request, false}, simEvent{now + rnd.ExpFloat64(), request, true})
	}
	slices.SortFunc(s.events, func(a, b simEvent) int { return cmp.Compare(a.at, b.at) })
	return s
}

// filling draws requests that stay, until as many slices are asked for as there are.
func filling(g *Geometry, mix []float64, seed uint64) scenario {
	rnd := rand.New(rand.NewPCG(seed, 2))
	s := scenario{geometry: g}
	for demand := 0; demand < simGPUs*g.slices; {
		p := drawProfile(rnd, mix)
		s.events = append(s.events, simEvent{request: len(s.profiles)})
		s.profiles = append(s.profiles, p)
		demand += g.profiles[p].Slices()
	}
	return s
}

func drawProfile(rnd *rand.Rand, mix []float64) int {
	at := rnd.Float64()
	for i, share := range mix {
		if at < share {
			return i
		}
		at -= share
	}
	return slices.IndexFunc(mix, func(share float64) bool { return share > 0 })
}

// cluster is what a policy places on.
type cluster struct {
	used []Mask
	// byMask are the GPUs in each state, where[i] the position of GPU i in its
	// list, and active the states that have any.
	byMask [][]int
	where  []int
	active []uint64
}

func newCluster(g *Geometry) *cluster {
	c := &cluster{
		used: make([]Mask, simGPUs), where: make([]int, simGPUs),
		byMask: make([][]int, 1<<g.slices), active: make([]uint64, max(1, 1<<g.slices/64)),
	}
	for i := range c.used {
		c.enter(i, 0)
	}
	return c
}

func (c *cluster) enter(gpu int, m Mask) {
	c.used[gpu], c.where[gpu] = m, len(c.byMask[m])
	c.byMask[m] = append(c.byMask[m], gpu)
	c.active[m/64] |= 1 << (m % 64)
}

func (c *cluster) move(gpu int, to Mask) {
	m := c.used[gpu]
	list := c.byMask[m]
	last := list[len(list)-1]
	list[c.where[gpu]], c.where[last] = last, c.where[gpu]
	c.byMask[m] = list[:len(list)-1]
	if len(list) == 1 {
		c.active[m/64] &^= 1 << (m % 64)
	}
	c.enter(gpu, to)
}

// simPolicy chooses a GPU and the slices on it; no slices if nothing fits.
type simPolicy func(c *cluster, profile int) (gpu int, placement Mask)

// served runs the scenario and returns the slices served and demanded.
func (s *scenario) served(choose simPolicy) (served, demanded float64) {
	type place struct {
		gpu  int
		mask Mask
	}
	c := newCluster(s.geometry)
	placed := make([]place, len(s.profiles))
	for _, e := range s.events {
		at := &placed[e.request]
		if e.departs {
			if at.mask != 0 {
				c.move(at.gpu, c.used[at.gpu]&^at.mask)
			}
			continue
		}
		profile := s.profiles[e.request]
		size := float64(s.geometry.profiles[profile].Slices())
		gpu, mask := choose(c, profile)
		if mask != 0 {
			if c.used[gpu]&mask != 0 {
				s.tb.Fatalf("the policy places profile %d on GPU %d at %v, of which %v is in use", profile, gpu, mask, c.used[gpu])
			}
			*at = place{gpu, mask}
			c.move(gpu, c.used[gpu]|mask)
		}
		if e.request >= s.warm {
			demanded += size
			if mask != 0 {
				served += size
			}
		}
	}
	return served, demanded
}

// ideal serves what a cluster of one large GPU could: no policy can do better,
// even if it moves what runs.
func (s *scenario) ideal() (served, demanded float64) {
	free := simGPUs * s.geometry.slices
	placed := make([]bool, len(s.profiles))
	for _, e := range s.events {
		size := s.geometry.profiles[s.profiles[e.request]].Slices()
		if e.departs {
			if placed[e.request] {
				free += size
			}
			continue
		}
		if placed[e.request] = free >= size; placed[e.request] {
			free -= size
		}
		if e.request >= s.warm {
			demanded += float64(size)
			if placed[e.request] {
				served += float64(size)
			}
		}
	}
	return served, demanded
}

// firstFit is what the scheduler does by itself: any node that fits, since none
// scores its devices, and there the first device in the order of names.
func firstFit(g *Geometry, seed uint64) simPolicy {
	rnd := rand.New(rand.NewPCG(seed, 3))
	return func(c *cluster, profile int) (gpu int, placement Mask) {
		fitting := 0
		for node := 0; node < simGPUs; node += simGPUsPerNode {
			for i := node; i < node+simGPUsPerNode; i++ {
				if g.Copies(c.used[i], profile) > 0 {
					fitting++
					if rnd.IntN(fitting) == 0 {
						gpu = i
					}
					break
				}
			}
		}
		for _, q := range g.profiles[profile].Placements {
			if fitting > 0 && c.used[gpu]&q == 0 {
				return gpu, q
			}
		}
		return 0, 0
	}
}

// leastLoss ranks all states and placements by a loss once, ties to the fullest
// GPU and then by order, and takes the best that the cluster has.
func leastLoss(g *Geometry, loss func(used, placement Mask) float64) simPolicy {
	type option struct {
		loss            float64
		used, placement Mask
	}
	rank, place := make([][]int, len(g.profiles)), make([][]Mask, len(g.profiles))
	for i := range g.profiles {
		var options []option
		for used := range Mask(1) << g.slices {
			best := option{}
			for _, q := range g.profiles[i].Placements {
				if l := loss(used, q); used&q == 0 && (best.placement == 0 || l < best.loss-1e-9) {
					best = option{l, used, q}
				}
			}
			if best.placement != 0 {
				options = append(options, best)
			}
		}
		slices.SortFunc(options, func(a, b option) int {
			if d := a.loss - b.loss; d > 1e-9 || d < -1e-9 {
				return cmp.Compare(d, 0)
			}
			return cmp.Or(b.used.Count()-a.used.Count(), cmp.Compare(a.used, b.used))
		})
		rank[i], place[i] = make([]int, 1<<g.slices), make([]Mask, 1<<g.slices)
		for r, o := range options {
			rank[i][o.used], place[i][o.used] = r+1, o.placement
		}
	}
	return func(c *cluster, profile int) (int, Mask) {
		best, at := 0, 0
		for word, states := range c.active {
			for ; states != 0; states &= states - 1 {
				used := word*64 + bits.TrailingZeros64(states)
				if r := rank[profile][used]; r != 0 && (best == 0 || r < best) {
					best, at = r, used
				}
			}
		}
		if best == 0 {
			return 0, 0
		}
		return c.byMask[at][len(c.byMask[at])-1], place[profile][at]
	}
}
