package devices

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"slices"

	resourceapi "k8s.io/api/resource/v1"

	"plimsoll.dev/scheduler/pkg/mig"
)

// search looks for the cheapest devices for one combination of alternatives and
// pools. It works on copies of what changes: counters, grids and capacities.
type search struct {
	m     *Model
	n     *node
	shape *Shape
	worth *Worth
	// part are the requests to serve.
	part requests
	// steps that are left of nodeBudget.
	steps int
	// forced: a slot got a shared device because an earlier request chose it, and
	// doubtful: a combination was given up in which that happened. Another device
	// might have served it, if in an order that the allocator cannot be shown.
	forced, doubtful bool

	free     [][]int64
	used     [][]mig.Mask
	taken    [][]bool
	capacity []map[int][]int64 // added to a shared device, by pool and device

	slots  []slot
	chosen []int // device per slot
	found  bool
	best   []int
	cost   Cost
}

// prepare evaluates the shape's selectors on the node. It reports false if one
// of them fails there, or a pool is not understood.
func (q *search) prepare() bool {
	if q.n.obscure {
		return false
	}
	if slices.ContainsFunc(q.n.pools, func(p *pool) bool { return p.opaque != "" || p.misshared }) {
		return false
	}
	q.copy()
	for _, p := range q.n.pools {
		if p.unusable != "" {
			continue
		}
		for i := range q.shape.claims {
			for j := range q.shape.claims[i].requests {
				for _, a := range q.shape.claims[i].requests[j].alternatives {
					if q.m.match(p, a.selector).err != nil {
						return false
					}
				}
			}
		}
	}
	return true
}

// copy copies what changes in one piece each: a fabric may have thousands of pools.
func (q *search) copy() {
	counters, gpus, devices := 0, 0, 0
	for _, p := range q.n.pools {
		counters, gpus, devices = counters+len(p.free), gpus+len(p.gpus), devices+len(p.devices)
	}
	pools := len(q.n.pools)
	q.free, q.used, q.taken, q.capacity = make([][]int64, pools), make([][]mig.Mask, pools), make([][]bool, pools), make([]map[int][]int64, pools)
	free, used, taken := make([]int64, 0, counters), make([]mig.Mask, 0, gpus), make([]bool, devices)
	for i, p := range q.n.pools {
		free = append(free, p.free...)
		q.free[i] = free[len(free)-len(p.free):]
		for g := range p.gpus {
			used = append(used, p.gpus[g].used)
		}
		q.used[i] = used[len(used)-len(p.gpus):]
		q.taken[i], taken = taken[:len(p.devices):len(p.devices)], taken[len(p.devices):]
	}
}

func (q *search) alternativeOf(s *slot) *alternative {
	return &q.shape.claims[s.claim].requests[s.request].alternatives[s.alternative]
}

// serve searches one combination.
func (q *search) serve(slots []slot) bool {
	q.slots, q.chosen = slots, make([]int, len(slots))
	q.found, q.forced = false, false
	q.descend(0, Cost{})
	q.doubtful = q.doubtful || q.forced && !q.found
	return q.found
}

// option is a device that could take a slot, and what that costs now.
type option struct {
	device int
	cost   Cost
}

// descend fills the slots from i on, cheapest devices first, and keeps the
// cheapest full assignment.
func (q *search) descend(i int, cost Cost) {
	if q.found && cost.Compare(q.cost) >= 0 {
		return // costs only grow
	}
	if i == len(q.slots) {
		q.found, q.cost, q.best = true, cost, slices.Clone(q.chosen)
		return
	}
	for _, o := range q.options(i) {
		if q.steps <= 0 {
			return
		}
		q.chosen[i] = o.device
		q.take(&q.slots[i], o.device, 1)
		q.descend(i+1, cost.plus(o.cost))
		q.take(&q.slots[i], o.device, -1)
	}
}

// options lists the devices that can take slot i beside those chosen before.
func (q *search) options(i int) []option {
	s := &q.slots[i]
	p := q.n.pools[s.pool]
	found := q.m.match(p, q.alternativeOf(s).selector)
	if s.fixed >= 0 {
		if found.is(s.fixed, open) && q.fits(i, s.fixed, found) {
			return []option{{s.fixed, q.price(s, s.fixed, found)}}
		}
		return nil
	}
	if again, ok := q.sharedAgain(i, found); ok {
		q.forced = true
		return []option{{again, q.price(s, again, found)}}
	}
	var out []option
	last := q.lastOfRequest(i)
	for _, d := range found.candidates {
		// The devices of one request are a set: looking at them in one direction
		// tries each set once.
		q.steps--
		if d > last && !q.inRequest(i, d) && q.fits(i, d, found) {
			out = append(out, option{d, q.price(s, d, found)})
		}
	}
	slices.SortFunc(out, func(a, b option) int {
		return cmp.Or(a.cost.Compare(b.cost), cmp.Compare(a.device, b.device))
	})
	return q.distinct(i, out)
}

func (q *search) sameRequest(i, j int) bool {
	return q.slots[i].claim == q.slots[j].claim && q.slots[i].request == q.slots[j].request
}

// lastOfRequest is the device that slot i's request chose last in its pool, -1
// if none. Shared devices that an earlier request chose stand first in the
// order, wherever they were.
func (q *search) lastOfRequest(i int) int {
	j := i - 1
	if j < 0 || !q.sameRequest(j, i) || q.slots[j].pool != q.slots[i].pool || q.chosenBefore(j) {
		return -1
	}
	return q.chosen[j]
}

// chosenBefore tells whether an earlier request already chose slot i's device.
func (q *search) chosenBefore(i int) bool {
	for j := range i {
		if q.slots[j].pool == q.slots[i].pool && q.chosen[j] == q.chosen[i] {
			return true
		}
	}
	return false
}

// sharedAgain finds a shared device that an earlier request of the plan already
// chose and that has room for this one: standing first, it is what the allocator
// takes.
func (q *search) sharedAgain(i int, found *match) (int, bool) {
	for j := range i {
		d := q.chosen[j]
		if q.slots[j].pool != q.slots[i].pool || q.sameRequest(i, j) || !q.n.pools[q.slots[j].pool].devices[d].multi {
			continue
		}
		if found.is(d, fits|open) && !q.inRequest(i, d) && q.fits(i, d, found) {
			return d, true
		}
	}
	return 0, false
}

// inRequest tells whether slot i's request already has the device.
func (q *search) inRequest(i, device int) bool {
	for j := i - 1; j >= 0 && q.sameRequest(j, i); j-- {
		if q.slots[j].pool == q.slots[i].pool && q.chosen[j] == device {
			return true
		}
	}
	return false
}

// state is what tells two options apart that cost the same.
type state struct {
	kind         *kind
	used, mask   mig.Mask
	extra        int64
	memory, busy int64
	free         uint64 // hash of what is left of the GPU's counters
}

// distinct keeps one of several options that cannot be told apart: the same
// placement on GPUs of the same kind in the same state. That holds where one
// request asks and no constraint looks at attributes. Of the last slot only the
// cheapest option counts.
func (q *search) distinct(i int, options []option) []option {
	if i == len(q.slots)-1 && len(options) > 1 {
		return options[:1]
	}
	if !q.shape.uniform {
		return options
	}
	seen := map[state]bool{}
	kept := options[:0]
	for _, o := range options {
		s, known := q.stateOf(q.slots[i].pool, o.device)
		if known && seen[s] {
			continue
		}
		seen[s] = known
		kept = append(kept, o)
	}
	return kept
}

func (q *search) stateOf(pool, device int) (state, bool) {
	p := q.n.pools[pool]
	d := &p.devices[device]
	if d.gpu < 0 || d.multi {
		return state{}, false
	}
	g := &p.gpus[d.gpu]
	if g.kind == nil {
		return state{memory: d.memory, busy: g.busy}, len(d.takes) == 0 && len(g.members) == 1
	}
	out := state{kind: g.kind, used: q.used[pool][d.gpu], mask: d.mask, extra: d.extra, memory: d.memory}
	hash := fnv.New64a()
	for _, v := range q.free[pool][g.first : g.first+g.counters] {
		_ = binary.Write(hash, binary.LittleEndian, v) // a hash takes anything
	}
	out.free = hash.Sum64()
	return out, true
}

// fits tells whether a device is free for a slot, given what was chosen before.
func (q *search) fits(i, device int, found *match) bool {
	s := &q.slots[i]
	p := q.n.pools[s.pool]
	d := &p.devices[device]
	if d.allocated || !d.multi && q.taken[s.pool][device] || !q.shape.limits.accept(d, found.needs(device)) {
		return false
	}
	if !d.hasRoom(found.needs(device), q.capacity[s.pool][device]) {
		return false
	}
	if q.countsCounters(s.pool, device) {
		if p.overdrawn {
			return false
		}
		for _, t := range d.takes {
			if q.free[s.pool][t.counter] < t.milli {
				return false
			}
		}
	}
	return q.constraintsHold(i, device)
}

// hasRoom tells whether a shared device has the capacity left, besides what was
// added to it.
func (d *device) hasRoom(needs, added []int64) bool {
	for i := range d.capacities {
		v := d.capacities[i].used + needs[i]
		if added != nil {
			v += added[i]
		}
		if v > d.capacities[i].total {
			return false
		}
	}
	return true
}

// countsCounters tells whether taking a device takes its counters: a shared one
// takes them once.
func (q *search) countsCounters(pool, device int) bool {
	d := &q.n.pools[pool].devices[device]
	if len(d.takes) == 0 {
		return false
	}
	return !d.multi || !d.measured && q.capacity[pool][device] == nil
}

// take adds (sign 1) or removes (sign -1) a device.
func (q *search) take(s *slot, device int, sign int64) {
	p := q.n.pools[s.pool]
	d := &p.devices[device]
	counted := sign > 0 && q.countsCounters(s.pool, device)
	if d.multi {
		needs := q.m.match(p, q.alternativeOf(s).selector).needs(device)
		added := q.capacity[s.pool][device]
		if added == nil {
			added = make([]int64, len(needs)+1)
			if q.capacity[s.pool] == nil {
				q.capacity[s.pool] = map[int][]int64{}
			}
			q.capacity[s.pool][device] = added
		}
		for c, v := range needs {
			added[c] += sign * v
		}
		added[len(needs)] += sign
		if added[len(needs)] == 0 {
			delete(q.capacity[s.pool], device)
			counted = !d.measured && len(d.takes) > 0
		}
	} else {
		q.taken[s.pool][device] = sign > 0
		counted = len(d.takes) > 0
	}
	if !counted {
		return
	}
	for _, t := range d.takes {
		q.free[s.pool][t.counter] -= sign * t.milli
	}
	if d.gpu >= 0 {
		if sign > 0 {
			q.used[s.pool][d.gpu] |= d.mask
		} else {
			q.used[s.pool][d.gpu] &^= d.mask
		}
	}
}

// result turns the best assignment into a plan.
func (q *search) result() *Plan {
	out := &Plan{Cost: q.cost, Chosen: make([]Chosen, len(q.slots))}
	counted := map[[2]int]bool{}
	for i := range q.slots {
		s := &q.slots[i]
		p := q.n.pools[s.pool]
		d := &p.devices[q.best[i]]
		c := Chosen{Driver: p.id.driver, Pool: p.id.name, Device: d.spec.Name, pool: s.pool, device: q.best[i], claim: s.claim, request: s.request}
		needs := q.m.match(p, q.alternativeOf(s).selector).needs(q.best[i])
		c.Memory = gets(d, needs)
		if d.multi {
			for k := range needs {
				c.Shared = max(c.Shared, millionths(needs[k], d.capacities[k].total)/1000)
			}
		}
		if d.gpu >= 0 {
			c.Model = p.gpus[d.gpu].model
			if d.mask != 0 && (d.partition || isMIG(profileName(d)) > 0) {
				c.Profile = profileName(d)
			}
		}
		out.Chosen[i] = c
		request := [2]int{s.claim, s.request}
		if n := len(q.shape.claims[s.claim].requests[s.request].alternatives); q.alternativeOf(s).name != "" && n > 0 && !counted[request] {
			counted[request] = true
			out.Rank += int64(resourceapi.FirstAvailableDeviceRequestMaxSize - s.alternative)
		}
	}
	return out
}
