package devices

import (
	"cmp"
	"slices"

	resourceapi "k8s.io/api/resource/v1"
)

// Plan is the best way the model found to serve a shape on a node.
type Plan struct {
	Cost Cost
	// Chosen are the devices in the order in which they are asked for.
	Chosen []Chosen
	// Rank counts, over the requests that list alternatives, how early the ones
	// taken stand in the user's list: the in-tree plugin's score.
	Rank int64
}

// Chosen is one device of a plan.
type Chosen struct {
	Driver, Pool, Device string
	// Profile is its MIG profile, "" if it is not a part of a GPU's grid.
	Profile string
	// Model is the product name of its GPU, as published.
	Model string
	// Shared is what it takes of a device that several claims share, as the
	// dominant share of its capacities in thousandths; 0 for other devices.
	Shared int64
	// Memory in bytes that the claim gets, 0 if the driver does not say.
	Memory int64

	pool, device   int
	claim, request int
}

// Cost orders the plans for one shape, on one node and across nodes; the lower
// field only counts where those above are equal.
type Cost struct {
	// Isolation is how far down the pod's preference the devices stand.
	Isolation int64
	// Memory taken, in bytes, if the request selects by capacity: the smallest
	// device that suffices. 0 otherwise.
	Memory int64
	// Loss is what the placements cost the GPUs in usable room, in millionths of
	// a GPU: fragmentation (pkg/mig).
	Loss int64
	// Extra is what is taken besides memory slices (media engines), in millionths.
	Extra int64
	// Empty is how empty the GPUs were before, in millionths: the fullest first.
	Empty int64
}

func (c Cost) plus(d Cost) Cost {
	return Cost{c.Isolation + d.Isolation, c.Memory + d.Memory, c.Loss + d.Loss, c.Extra + d.Extra, c.Empty + d.Empty}
}

// Compare is negative if c is the better cost.
func (c Cost) Compare(d Cost) int {
	return cmp.Or(cmp.Compare(c.Isolation, d.Isolation), cmp.Compare(c.Memory, d.Memory), cmp.Compare(c.Loss, d.Loss), cmp.Compare(c.Extra, d.Extra), cmp.Compare(c.Empty, d.Empty))
}

// planned is what a node remembers for a shape.
type planned struct {
	version uint64
	shape   *Shape
	worth   *Worth
	facts   *NodeGPUs
	plan    *Plan // nil: nothing fits, or the model does not know
	why     Why
	// part are the requests that it is about. Of a node's own devices, left are those
	// that it leaves to the pools that nodes share, and idle tells that it is of no use
	// for any request: others decide alone.
	part, left requests
	idle       bool
	// barren: there are no such pools.
	barren bool
	// alone is why a node's own devices do not serve what they leave to these; guarded by
	// the model's lock.
	alone map[requests]Why
	// natural: some selector fails on a device here, so that the order of the
	// devices would decide over the verdict.
	natural bool
	// ordered holds each pool's slices as the allocator shall see them, nil where
	// they stay as they are.
	ordered [][]*resourceapi.ResourceSlice
}

// slot is one device to find: which alternative of which request, in which pool.
type slot struct {
	claim, request, alternative int
	pool                        int
	// fixed is the device if all of them are asked for, -1 otherwise.
	fixed int
}

const (
	// maxPlans is how many plans a node remembers, and maxOrdered for how many of
	// them the slices in their order: those hold copies of devices.
	maxPlans, maxOrdered = 32, 4
)

// plan finds the best plan of a node for a shape.
func (m *Model) plan(n *node, s *Shape, w *Worth) *planned { return m.planPart(n, s, w, allRequests) }

// planPart is plan for some of the shape's requests.
func (m *Model) planPart(n *node, s *Shape, w *Worth, part requests) *planned {
	m.elsewhere(s)
	if known := n.recall(s, w, part); known != nil {
		return known
	}
	out := &planned{version: n.version, shape: s, worth: w, part: part, barren: n.fabric && len(n.entries) == 0}
	if !n.fabric {
		out.facts = n.gpusOf()
	}
	if m.budget <= 0 && s.limits.none() {
		out.natural = true
		return out // not remembered: its turn comes
	}
	n.remember(out)
	if s.opaque != "" {
		out.natural = true
		return out
	}
	q := &search{m: m, n: n, shape: s, worth: w, part: part, steps: nodeBudget}
	if !q.prepare() {
		out.natural = true
		return out
	}
	if len(s.elsewhere) > 0 && !n.fabric {
		var known bool
		if out.left, out.idle, known = q.leftOver(); !known || out.idle {
			out.natural = true
			return out
		}
		q.part &^= out.left
	}
	if s.all && slices.ContainsFunc(n.pools, func(p *pool) bool { return p.unusable != "" }) {
		out.why = q.unusablePool()
		return out // the allocator refuses: what "all" are cannot be told
	}
	if why, judged := q.allJudged(); judged {
		out.why = why
		return out
	}
	if s.all && q.exceeds() {
		out.natural = true // the allocator gives up on the pod, and says why
		return out
	}
	found := q.vectors(0, 0, nil)
	m.budget -= nodeBudget - q.steps
	switch {
	case q.doubtful:
		out.natural = true
	case found && q.reliable():
		out.plan = q.result()
	case found:
		out.why = Why{Kind: Untold, Claim: s.claims[0].name, Detail: "the allocator could take a smaller share for another request or alternative"}
	case q.steps <= 0:
		out.natural = true // it may fit all the same
	default:
		out.why = q.explain()
	}
	return out
}

// vectors walks the combinations of alternatives and pools in the order in
// which the allocator does, and stops at the first that can be served.
func (q *search) vectors(claim, request int, slots []slot) bool {
	if q.steps--; q.steps <= 0 {
		return false
	}
	if claim == len(q.shape.claims) {
		return q.serve(slots)
	}
	c := &q.shape.claims[claim]
	if request == len(c.requests) {
		return q.vectors(claim+1, 0, slots)
	}
	if q.part&c.requests[request].bit == 0 {
		return q.vectors(claim, request+1, slots)
	}
	for i := range c.requests[request].alternatives {
		a := &c.requests[request].alternatives[i]
		s := slot{claim: claim, request: request, alternative: i, fixed: -1}
		if a.all {
			all, ok := q.allOf(a, s, slots)
			if ok && q.vectors(claim, request+1, all) {
				return true
			}
			continue
		}
		if q.enough(a) && q.spread(a, s, 0, 0, a.count, slots) {
			return true
		}
	}
	return false
}

// enough tells whether all pools together have as many devices as are asked for.
func (q *search) enough(a *alternative) bool {
	left := a.count
	for _, p := range q.n.pools {
		if p.unusable == "" {
			left -= p.serve(q.m.match(p, a.selector), left)
		}
		if left <= 0 {
			return true
		}
	}
	return false
}

// spread assigns the devices of one request to pools, which the allocator walks
// in one direction. Of the first pool it has so many already.
func (q *search) spread(a *alternative, s slot, from, has, left int, slots []slot) bool {
	if q.steps--; q.steps <= 0 {
		return false
	}
	if left == 0 {
		return q.vectors(s.claim, s.request+1, slots)
	}
	for p := from; p < len(q.n.pools); p++ {
		if q.n.pools[p].unusable == "" && q.n.pools[p].serve(q.m.match(q.n.pools[p], a.selector), has+1) > has {
			s.pool = p
			if q.spread(a, s, p, has+1, left-1, append(slots[:len(slots):len(slots)], s)) {
				return true
			}
		}
		has = 0
	}
	return false
}

// serve counts the devices of the pool that are to be had, each if nothing else is taken,
// up to as many as are wanted.
func (p *pool) serve(found *match, most int) int {
	count := 0
	for _, i := range found.candidates {
		if count >= most {
			break
		}
		d := &p.devices[i]
		if !d.allocated && d.hasRoom(found.needs(i), nil) && (d.multi && d.measured || p.has(d.takes)) {
			count++
		}
	}
	return count
}

// has tells whether so much of the counters is left.
func (p *pool) has(takes []take) bool {
	return len(takes) == 0 || !p.overdrawn && !slices.ContainsFunc(takes, func(t take) bool { return p.free[t.counter] < t.milli })
}

// exceeds tells whether some claim could come to more devices here than a claim may
// have.
func (q *search) exceeds() bool {
	for i := range q.shape.claims {
		sum := 0
		for j := range q.shape.claims[i].requests {
			most := 0
			for k := range q.shape.claims[i].requests[j].alternatives {
				a := &q.shape.claims[i].requests[j].alternatives[k]
				count := a.count
				if a.all {
					all, _ := q.allOf(a, slot{}, nil)
					count = len(all)
				}
				most = max(most, count)
			}
			sum += most
		}
		if sum > maxSlots {
			return true
		}
	}
	return false
}

// allJudged tells whether a request for all devices means some here that the pod's
// annotations speak of. The allocator, which does not know them, takes all or none.
func (q *search) allJudged() (Why, bool) {
	if !q.shape.all || q.shape.limits.none() {
		return Why{}, false
	}
	for i := range q.shape.claims {
		c := &q.shape.claims[i]
		for j := range c.requests {
			if q.part&c.requests[j].bit == 0 {
				continue
			}
			for _, a := range c.requests[j].alternatives {
				if a.all && q.selectsGPU(a.selector) {
					return Why{Kind: Untold, Claim: c.name, Request: c.requests[j].name, Detail: "all devices are asked for, whatever the annotations say"}, true
				}
			}
		}
	}
	return Why{}, false
}

// selectsGPU tells whether the selector accepts some device that limits judge.
func (q *search) selectsGPU(s *selector) bool {
	for _, p := range q.n.pools {
		found := q.m.match(p, s)
		for i := range found.traits {
			if found.is(i, selected) && p.devices[i].memory > 0 {
				return true
			}
		}
	}
	return false
}

// allOf lists every device that a request for all of them means.
func (q *search) allOf(a *alternative, s slot, slots []slot) ([]slot, bool) {
	out := slots[:len(slots):len(slots)]
	for p := range q.n.pools {
		found := q.m.match(q.n.pools[p], a.selector)
		for i := range found.traits {
			// Shared devices without room are not among "all", full ones are.
			if found.is(i, fits) && q.n.pools[p].devices[i].hasRoom(found.needs(i), nil) {
				s.pool, s.fixed = p, i
				out = append(out, s)
			}
		}
	}
	return out, len(out) > len(slots) && len(out) <= maxSlots
}

// recall finds the plan for a shape if nothing changed since it was made, and
// makes it the last to be forgotten.
func (n *node) recall(s *Shape, w *Worth, part requests) *planned {
	for i, known := range n.plans {
		if known.shape == s && known.worth == w && known.part == part {
			if known.version != n.version {
				n.plans = slices.Delete(n.plans, i, i+1)
				return nil
			}
			copy(n.plans[i:], n.plans[i+1:])
			n.plans[len(n.plans)-1] = known
			return known
		}
	}
	return nil
}

func (n *node) remember(p *planned) {
	if len(n.plans) >= maxPlans {
		n.plans = slices.Delete(n.plans, 0, 1)
	}
	n.plans = append(n.plans, p)
}
