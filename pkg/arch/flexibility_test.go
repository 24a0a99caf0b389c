package arch

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The simulation fills two pools of nodes with pods that can choose and pods
// that cannot, and counts who finds a place:
//
//	amd64  ▓▓▓▓▓▓▓▓░░░░░░░░  ◀── captive pods ──┐
//	arm64  ▓▓▓▓▓▓▓▓░░░░░░░░  ◀── pods that can choose, first
type simulation struct {
	// amd64 and arm64 count nodes of 16 cores and 64 GiB.
	amd64, arm64 int
	// flexible, onAMD64 and onARM64 count pods, which come in this order unless
	// shuffled.
	flexible, onAMD64, onARM64 int
	shuffled                   bool
	// sizes of pods, taken in turn; one core and 4 GiB if there are none.
	sizes []Amount
	// taught: pods of this mix have come before.
	taught bool
}

type simulated struct {
	only  string
	needs Amount
}

func (s *simulation) pods(rnd *rand.Rand) []simulated {
	sizes := s.sizes
	if sizes == nil {
		sizes = []Amount{pod1}
	}
	var pods []simulated
	for _, group := range []struct {
		only string
		n    int
	}{{"", s.flexible}, {"amd64", s.onAMD64}, {"arm64", s.onARM64}} {
		for i := range group.n {
			pods = append(pods, simulated{group.only, sizes[i%len(sizes)]})
		}
	}
	if s.shuffled {
		rnd.Shuffle(len(pods), func(i, j int) { pods[i], pods[j] = pods[j], pods[i] })
	}
	return pods
}

// pool is the nodes with what they have left.
type pool []Supply

func (s *simulation) nodes() pool {
	var nodes pool
	for range s.amd64 {
		nodes = append(nodes, cores("amd64", 16))
	}
	for range s.arm64 {
		nodes = append(nodes, cores("arm64", 16))
	}
	return nodes
}

// place takes the node that costs least for the pod; false if none has room.
func (p pool) place(pod simulated, cost func(n *Supply) float64) bool {
	best, least := -1, 0.0
	for i := range p {
		n := &p[i]
		c := cost(n) // of every node, so that chance is dealt out alike
		if n.Free.MilliCPU < pod.needs.MilliCPU || n.Free.MemoryBytes < pod.needs.MemoryBytes || pod.only != "" && pod.only != n.Architecture {
			continue
		}
		if best < 0 || c < least {
			best, least = i, c
		}
	}
	if best < 0 {
		return false
	}
	p[best].Free.MilliCPU -= pod.needs.MilliCPU
	p[best].Free.MemoryBytes -= pod.needs.MemoryBytes
	return true
}

func (p pool) supplies() []Supply {
	out := []Supply{{Architecture: "amd64"}, {Architecture: "arm64"}}
	for _, n := range p {
		at := slices.IndexFunc(out, func(s Supply) bool { return s.Architecture == n.Architecture })
		out[at].Free.MilliCPU += n.Free.MilliCPU
		out[at].Free.MemoryBytes += n.Free.MemoryBytes
	}
	return out
}

// rule picks nodes by what their own is, before the term has its say.
type rule func(n *Supply, chance float64) float64

// bestFit takes the node with the fewest cores left, ties by chance; anyNode
// takes any by chance.
func bestFit(n *Supply, chance float64) float64 { return float64(n.Free.MilliCPU) + chance }
func anyNode(_ *Supply, chance float64) float64 { return chance }

// fill places the pods by the rule, behind the term if there is a demand to
// learn, and counts those that found a place. Chance depends on the seed and the
// number of the pod alone, so that two runs differ in what the term did only.
func (s *simulation) fill(seed uint64, pods []simulated, by rule, demand *Demand) (placed int) {
	nodes := s.nodes()
	for i, pod := range pods {
		chance := rand.New(rand.NewPCG(seed, uint64(i)))
		places := []int{0, 0}
		if demand != nil {
			demand.See(pod.only, pod.needs)
			places = demand.Mix().Places(nodes.supplies(), places)
		}
		if nodes.place(pod, func(n *Supply) float64 {
			at := places[0]
			if n.Architecture == "arm64" {
				at = places[1]
			}
			return 1e6*float64(at) + by(n, chance.Float64())
		}) {
			placed++
		}
	}
	return placed
}

// demand has seen pods of the mix before, in another order, if taught.
func (s *simulation) demand(seed uint64, pods []simulated) *Demand {
	d, rnd := NewDemand(1000), rand.New(rand.NewPCG(seed, 0))
	for i := 0; s.taught && i < 2000; i++ {
		pod := pods[rnd.IntN(len(pods))]
		d.See(pod.only, pod.needs)
	}
	return d
}

// outcome counts the pods that came and were placed, over all seeds. Clairvoyant
// is best fit by one who knows who will come and places those that cannot choose
// first. With pods of one size nobody does better.
type outcome struct{ pods, packed, packedWith, random, randomWith, clairvoyant int }

func (s *simulation) outcome() (sum outcome) {
	const seeds = 5
	for seed := range uint64(seeds) {
		pods := s.pods(rand.New(rand.NewPCG(seed, 1)))
		sum.pods += len(pods)
		sum.packed += s.fill(seed, pods, bestFit, nil)
		sum.packedWith += s.fill(seed, pods, bestFit, s.demand(seed, pods))
		sum.random += s.fill(seed, pods, anyNode, nil)
		sum.randomWith += s.fill(seed, pods, anyNode, s.demand(seed, pods))
		slices.SortStableFunc(pods, func(a, b simulated) int { return len(b.only) - len(a.only) })
		sum.clairvoyant += s.fill(seed, pods, bestFit, nil)
	}
	return sum
}

// String is a line of the table that go test -v prints.
func (o outcome) String() string {
	percent := func(n int) string { return fmt.Sprintf("%5.1f%%", 100*float64(n)/float64(o.pods)) }
	return fmt.Sprintf("placed by best fit %s, with the term %s; at random %s, with the term %s; clairvoyant %s",
		percent(o.packed), percent(o.packedWith), percent(o.random), percent(o.randomWith), percent(o.clairvoyant))
}

var unevenSizes = []Amount{{500, 1 * gib}, {2000, 8 * gib}, {1000, 6 * gib}, {250, 1 * gib}, {1250, 2 * gib}}

func TestLeavingTheScarceArchitecturePlacesMorePods(t *testing.T) {
	for name, s := range map[string]simulation{
		"amd64 is captive, as assumed":          {amd64: 20, arm64: 20, flexible: 320, onAMD64: 320},
		"amd64 is captive, as learnt":           {amd64: 20, arm64: 20, flexible: 320, onAMD64: 320, taught: true},
		"arm64 is captive, against assumption":  {amd64: 20, arm64: 20, flexible: 320, onARM64: 320, taught: true},
		"few are captive":                       {amd64: 20, arm64: 20, flexible: 440, onAMD64: 200, taught: true},
		"little arm64, and captive":             {amd64: 30, arm64: 10, flexible: 480, onARM64: 160, taught: true},
		"little amd64, and captive":             {amd64: 10, arm64: 30, flexible: 480, onAMD64: 160},
		"both are captive, in other shares":     {amd64: 20, arm64: 20, flexible: 300, onAMD64: 260, onARM64: 80, taught: true},
		"pods of many sizes":                    {amd64: 20, arm64: 20, flexible: 240, onAMD64: 240, taught: true, sizes: unevenSizes},
		"memory is scarce":                      {amd64: 20, arm64: 20, flexible: 160, onAMD64: 160, taught: true, sizes: []Amount{{500, 8 * gib}}},
		"all come at once, more than find room": {amd64: 20, arm64: 20, flexible: 400, onAMD64: 320, taught: true, shuffled: true},
		"all come at once, and just find room":  {amd64: 20, arm64: 20, flexible: 320, onAMD64: 320, taught: true, shuffled: true},
	} {
		t.Run(name, func(t *testing.T) {
			o := s.outcome()
			t.Log(o)
			for _, by := range []struct{ without, with int }{{o.packed, o.packedWith}, {o.random, o.randomWith}} {
				if gap := o.clairvoyant - by.without; 2*(by.with-by.without) < gap || gap == 0 {
					t.Errorf("%+v: want the term to place half of the pods that are refused without need", o)
				}
			}
		})
	}
}

func TestNothingIsLostWhereThereIsNothingToGain(t *testing.T) {
	for name, s := range map[string]simulation{
		"there is room for all":               {amd64: 20, arm64: 20, flexible: 160, onAMD64: 160},
		"all can choose":                      {amd64: 20, arm64: 20, flexible: 640},
		"more than find room can choose":      {amd64: 20, arm64: 20, flexible: 700},
		"none can choose":                     {amd64: 20, arm64: 20, onAMD64: 330, onARM64: 310},
		"one pool only":                       {amd64: 20, flexible: 160, onAMD64: 160},
		"both are captive, much as the pools": {amd64: 30, arm64: 10, flexible: 260, onAMD64: 260, onARM64: 120, taught: true},
		"both are captive alike":              {amd64: 20, arm64: 20, flexible: 320, onAMD64: 160, onARM64: 160, taught: true},
		"against the assumption, but roomy":   {amd64: 20, arm64: 20, flexible: 100, onARM64: 220},
		"many sizes, and room for all":        {amd64: 20, arm64: 20, flexible: 150, onAMD64: 150, sizes: unevenSizes},
	} {
		t.Run(name, func(t *testing.T) {
			o := s.outcome()
			t.Log(o)
			if o.packedWith < o.packed || o.randomWith < o.random {
				t.Errorf("%+v: want no fewer pods placed with the term than without", o)
			}
		})
	}
}

// A workload that turns round takes the places with it, step by step.
func TestPlacesTurnRoundWithTheMix(t *testing.T) {
	supplies := []Supply{cores("amd64", 320), cores("arm64", 320)}
	d := NewDemand(100)
	for range 1000 {
		d.See("amd64", pod1)
	}
	last := d.Mix().Places(supplies, nil)
	if diff := cmp.Diff([]int{7, 0}, last); diff != "" {
		t.Fatalf("after amd64 only (-want +got)\n%s", diff)
	}
	for range 500 {
		d.See("arm64", pod1)
		next := d.Mix().Places(supplies, nil)
		if next[0] > last[0] || next[1] < last[1] {
			t.Fatalf("places went from %v to %v, the wrong way", last, next)
		}
		last = next
	}
	if diff := cmp.Diff([]int{0, 3}, last); diff != "" {
		t.Errorf("after five half-lives of arm64 only (-want +got)\n%s", diff)
	}
}
