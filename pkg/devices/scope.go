package devices

import (
	"slices"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/dynamic-resource-allocation/structured"
)

// Scope is all that an allocator has to know of one node. It is complete: what the
// allocator says of the node with it is what it would say with everything that
// the cluster publishes.
type Scope struct {
	// Slices are all slices of all pools that reach the node, other nodes' slices
	// of these pools included. What is planned stands first. Of pools that nodes share,
	// of which there may be thousands, only those are in it of which something is
	// planned: others could not make it fail.
	Slices []*resourceapi.ResourceSlice
	// Allocated is what is in use of these pools, on whatever node.
	Allocated *structured.AllocatedState
	// Plan is what the allocator is expected to take, nil if that is not known.
	Plan *Plan
	// Fresh: nothing changed on the node since the view answered for it.
	Fresh bool
}

// Scope returns a node's scope as of now, which may be later than the answers the
// view has given.
func (v *View) Scope(node *v1.Node) *Scope { return v.scope(node, false) }

// NaturalScope is Scope with the devices in the order in which they are published,
// whatever is planned.
func (v *View) NaturalScope(node *v1.Node) *Scope { return v.scope(node, true) }

func (v *View) scope(node *v1.Node, natural bool) *Scope {
	m := v.m
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settle()
	m.budget = orderBudget
	out := &Scope{Fresh: true}
	part := allRequests
	var own, others *planned
	var reaching []*entry
	if n := m.nodes[node.Name]; n != nil {
		if !natural {
			own = m.plan(n, v.shape, v.worth)
			if part = own.left; own.natural && !own.idle {
				part = 0
			}
			out.Plan = own.plan
		}
		at, seen := v.index[node.Name]
		if seen {
			before := v.plans[at].Load()
			out.Fresh = before == nil || v.nodes[at] == n && before.version == n.version
		}
		out.Fresh = out.Fresh && seen
		for _, local := range n.pools {
			reaching = append(reaching, m.pools[local.id])
		}
	}
	ordered := map[*pool][]*resourceapi.ResourceSlice{}
	if len(m.foreign) > 0 {
		key := m.reachOf(node).key
		f := m.fabricOf(key)
		if m.elsewhere(v.shape); !natural && part != 0 && len(v.shape.elsewhere) > 0 {
			others = m.planPart(f, v.shape, v.worth, part)
			before := v.fabrics[fabricPlan{m.published, key, part}]
			out.Fresh = out.Fresh && before != nil && before.version == f.version
			if both := together(own, others); both != nil {
				out.Plan = both
			}
			for i, slices := range f.slicesOf(others) {
				if slices != nil {
					ordered[f.pools[i]] = slices
				}
			}
		}
		for _, e := range m.foreign {
			if e.reaches(key) && (others == nil || others.plan == nil || takes(others.plan, e.id)) {
				reaching = append(reaching, e)
			}
		}
	}
	slices.SortFunc(reaching, func(a, b *entry) int { return a.id.compare(b.id) })
	ids := make([]poolID, len(reaching))
	for i, e := range reaching {
		ids[i] = e.id
		list := e.slices
		switch inOrder := ordered[e.shared]; {
		case natural:
		case inOrder != nil:
			list = inOrder
		default:
			list = m.ordered(e, v.shape, v.worth)
		}
		out.Slices = append(out.Slices, list...)
	}
	out.Allocated = m.allocatedIn(ids)
	return out
}

// takes tells whether a plan takes something of a pool.
func takes(p *Plan, id poolID) bool {
	return slices.ContainsFunc(p.Chosen, func(c Chosen) bool { return c.Driver == id.driver && c.Pool == id.name })
}
