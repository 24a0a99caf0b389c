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

	pool, device int
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
	worth   *Worth
	plan    *Plan // nil: nothing fits, or the model does not know
	why     Why
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
	// maxVectors bounds the combinations of alternatives and pools looked at,
	// maxSteps the devices tried in one of them; beyond, the best plan so far
	// counts, or none and the allocator searches alone.
	maxVectors = 256
	maxSteps   = 4000
	// maxPlans bounds what a node remembers: each plan holds copies of slices.
	maxPlans = 8
)

// plan finds the best plan of a node for a shape.
func (m *Model) plan(n *node, s *Shape, w *Worth) *planned {
	if known := n.plans[s]; known != nil && known.version == n.version && known.worth == w {
		return known
	}
	if n.plans[s] == nil && len(n.plans) >= maxPlans {
		clear(n.plans)
	}
	out := &planned{version: n.version, worth: w}
	n.plans[s] = out
	if s.opaque != "" {
		out.natural = true
		return out
	}
	q := &search{m: m, n: n, shape: s, worth: w}
	if !q.prepare() {
		out.natural = true
		return out
	}
	if s.all && slices.ContainsFunc(n.pools, func(p *pool) bool { return p.unusable != "" }) {
		out.why = q.unusablePool()
		return out // the allocator refuses: what "all" are cannot be told
	}
	if q.vectors(0, 0, nil) {
		out.plan = q.result()
		out.ordered = n.reorder(out.plan.Chosen)
		return out
	}
	out.why = q.explain()
	return out
}

// vectors walks the combinations of alternatives and pools in the order in
// which the allocator does, and stops at the first that can be served.
func (q *search) vectors(claim, request int, slots []slot) bool {
	if q.tried >= maxVectors {
		return false
	}
	if claim == len(q.shape.claims) {
		q.tried++
		return q.serve(slots)
	}
	c := &q.shape.claims[claim]
	if request == len(c.requests) {
		return q.vectors(claim+1, 0, slots)
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
		if q.spread(a, s, 0, a.count, slots) {
			return true
		}
	}
	return false
}

// spread assigns the devices of one request to pools, which the allocator walks
// in one direction.
func (q *search) spread(a *alternative, s slot, from, left int, slots []slot) bool {
	if left == 0 {
		return q.vectors(s.claim, s.request+1, slots)
	}
	for p := from; p < len(q.n.pools); p++ {
		if q.n.pools[p].unusable != "" || len(q.m.match(q.n.pools[p], a.selector).candidates) == 0 {
			continue
		}
		s.pool = p
		if q.spread(a, s, p, left-1, append(slots[:len(slots):len(slots)], s)) {
			return true
		}
	}
	return false
}

// allOf lists every device that a request for all of them means.
func (q *search) allOf(a *alternative, s slot, slots []slot) ([]slot, bool) {
	out := slots[:len(slots):len(slots)]
	for p := range q.n.pools {
		found := q.m.match(q.n.pools[p], a.selector)
		for i, ok := range found.fits {
			// Shared devices without room are not among "all", full ones are.
			if ok && q.n.pools[p].devices[i].hasRoom(found.needs[i], nil) {
				s.pool, s.fixed = p, i
				out = append(out, s)
			}
		}
	}
	return out, len(out) > len(slots) && len(out) <= maxSlots
}

// reorder moves the chosen devices of each pool to the top of its first slice
// with devices, in the order of the plan. Only slices that lose or gain devices
// are copied, and their names, which are the allocator's sort keys, stay.
func (n *node) reorder(chosen []Chosen) [][]*resourceapi.ResourceSlice {
	out := make([][]*resourceapi.ResourceSlice, len(n.pools))
	for i, p := range n.pools {
		var picks []int
		moved := map[int]bool{}
		touched := map[int]bool{}
		for _, c := range chosen {
			if c.pool == i && !moved[c.device] {
				moved[c.device] = true
				touched[p.devices[c.device].slice] = true
				picks = append(picks, c.device)
			}
		}
		if len(picks) > 0 {
			out[i] = p.reordered(picks, moved, touched)
		}
	}
	return out
}

func (p *pool) reordered(picks []int, moved, touched map[int]bool) []*resourceapi.ResourceSlice {
	touched[p.first] = true
	out := append([]*resourceapi.ResourceSlice(nil), p.slices...)
	for at := range touched {
		clone := *p.slices[at]
		clone.Spec.Devices = make([]resourceapi.Device, 0, len(p.slices[at].Spec.Devices)+len(picks))
		out[at] = &clone
	}
	first := out[p.first]
	for _, pick := range picks {
		first.Spec.Devices = append(first.Spec.Devices, *p.devices[pick].spec)
	}
	for i := range p.devices {
		d := &p.devices[i]
		if touched[d.slice] && !moved[i] {
			out[d.slice].Spec.Devices = append(out[d.slice].Spec.Devices, *d.spec)
		}
	}
	return out
}
