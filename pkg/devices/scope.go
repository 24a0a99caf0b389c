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
	// planned, unless a request asks for all devices: others change nothing then.
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
	out := &Scope{Fresh: !v.elsewhere || m.sharing == v.sharing}
	own, reaching := v.ownScope(out, node.Name, natural)
	inOrder := map[*pool][]*resourceapi.ResourceSlice{}
	if len(m.foreign) > 0 {
		f := m.fabricOf(m.reachOf(node))
		var others *planned
		if !natural {
			others = v.sharedScope(out, node, own, f)
			for i, list := range f.slicesOf(others) {
				if list != nil {
					inOrder[f.pools[i]] = list
				}
			}
		}
		for _, e := range f.entries {
			if others == nil || out.Plan == nil || v.shape.all || takes(others.plan, e.id) {
				reaching = append(reaching, e)
			}
		}
	}
	slices.SortFunc(reaching, func(a, b *entry) int { return a.id.compare(b.id) })
	ids := make([]poolID, len(reaching))
	for i, e := range reaching {
		ids[i] = e.id
		list := e.slices
		switch {
		case natural:
		case e.local != nil:
			list = m.ordered(e, v.shape, v.worth)
		case inOrder[e.shared] != nil:
			list = inOrder[e.shared]
		}
		out.Slices = append(out.Slices, list...)
	}
	out.Allocated = m.allocatedIn(ids)
	return out
}

// ownScope notes the plan of a node's own devices, and returns it with their pools.
func (v *View) ownScope(out *Scope, name string, natural bool) (own *planned, pools []*entry) {
	n := v.m.nodes[name]
	at, seen := v.index[name]
	if n == nil {
		out.Fresh = out.Fresh && !seen
		return nil, nil
	}
	if !natural {
		own = v.m.plan(n, v.shape, v.worth)
		out.Plan = own.plan
	}
	out.Fresh = out.Fresh && seen
	if seen {
		before := v.plans[at].Load()
		out.Fresh = out.Fresh && (before == nil || v.nodes[at] == n && before.version == n.version)
	}
	for _, local := range n.pools {
		pools = append(pools, v.m.pools[local.id])
	}
	return own, pools
}

// sharedScope notes the plan of both halves. It returns that of the fabric, nil if
// nothing is left to it, or if only the allocator can tell.
func (v *View) sharedScope(out *Scope, on *v1.Node, own *planned, f *node) *planned {
	m := v.m
	part := allRequests
	if own != nil {
		part = own.left
	}
	if m.elsewhere(v.shape); part == 0 || own != nil && own.natural && !own.idle || len(v.shape.elsewhere) == 0 {
		return nil
	}
	others := m.planPart(f, v.shape, v.worth, part)
	before := v.fabrics[fabricPlan{m.reachOf(on).key, part}]
	out.Fresh = out.Fresh && before != nil && before.version == f.version
	out.Plan = together(own, others)
	return others
}

// takes tells whether a plan takes something of a pool.
func takes(p *Plan, id poolID) bool {
	return slices.ContainsFunc(p.Chosen, func(c Chosen) bool { return c.Driver == id.driver && c.Pool == id.name })
}
