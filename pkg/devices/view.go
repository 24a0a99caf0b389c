package devices

import (
	"cmp"
	"maps"
	"slices"

	resourceapi "k8s.io/api/resource/v1"

	"plimsoll.dev/scheduler/pkg/share"
)

// View is what one pod's cycle sees: the slices in best-fit order, and each
// node's plan. It never changes.
type View struct {
	// Slices are all that were published, for the allocator.
	Slices []*resourceapi.ResourceSlice
	index  map[string]int
	plans  []*planned
	facts  []*NodeGPUs
	models []string
	// elsewhere: pools that are not local could serve some request.
	elsewhere bool
}

// Plan returns a node's plan, nil if the model found none or left the shape to
// the allocator.
func (v *View) Plan(node string) *Plan {
	at, found := v.index[node]
	if !found {
		return nil
	}
	return v.plans[at].plan
}

// Why says why a node has no plan. It is the zero Why if it has one, or if the
// model leaves it to the allocator.
func (v *View) Why(node string) Why {
	at, found := v.index[node]
	if !found && !v.elsewhere {
		return Why{Kind: NothingPublished}
	}
	if !found {
		return Why{} // what it reaches of other pools is not modelled
	}
	return v.plans[at].why
}

// GPUs are a node's GPUs at the time of the view, nil if it publishes none.
func (v *View) GPUs(node string) *NodeGPUs {
	at, found := v.index[node]
	if !found {
		return nil
	}
	return v.facts[at]
}

// Models are the GPU models, by product name, on which some device matches what
// is asked for, sorted; nil if that is every model there is.
func (v *View) Models() []string { return v.models }

// NodeGPUs are the GPUs behind a node's devices. They never change.
type NodeGPUs struct {
	// Model is the product name of the first that has one.
	Model string
	// Idle is what is free of each, in thousandths.
	Idle []int64
}

func (m *Model) arrange(s *Shape, w *Worth) *View {
	m.budget = viewBudget
	v := &View{Slices: make([]*resourceapi.ResourceSlice, 0, len(m.known)), index: m.index,
		plans: make([]*planned, len(m.all)), facts: make([]*NodeGPUs, len(m.all))}
	m.elsewhere(s)
	for _, other := range s.elsewhere {
		v.elsewhere = v.elsewhere || other
	}
	for i, n := range m.all {
		v.plans[i] = m.plan(n, s, w)
		if n.facts == nil {
			n.facts = n.readGPUs()
		}
		v.facts[i] = n.facts
	}
	for _, e := range m.order {
		v.Slices = append(v.Slices, m.arranged(e, v)...)
	}
	v.models = m.modelsOf(s, v.facts)
	return v
}

// modelsOf looks the shape's models up, anew if what is published changed.
func (m *Model) modelsOf(s *Shape, facts []*NodeGPUs) []string {
	if s.modelsAt == m.published {
		return s.models
	}
	all, some := map[string]bool{}, map[string]bool{}
	for i, n := range m.all {
		all[facts[i].Model] = true
		if m.matchesAny(n, s) {
			some[facts[i].Model] = true
		}
	}
	s.models, s.modelsAt = nil, m.published
	if len(some) < len(all) {
		s.models = slices.Sorted(maps.Keys(some))
	}
	return s.models
}

func (m *Model) matchesAny(n *node, s *Shape) bool {
	for _, p := range n.pools {
		if p.unusable != "" || p.opaque != "" {
			continue
		}
		for i := range s.claims {
			for j := range s.claims[i].requests {
				for _, a := range s.claims[i].requests[j].alternatives {
					if len(m.match(p, a.selector).candidates) > 0 {
						return true
					}
				}
			}
		}
	}
	return false
}

func (m *Model) arranged(e *entry, v *View) []*resourceapi.ResourceSlice {
	if e.local == nil {
		return e.slices
	}
	at := m.index[e.local.node]
	ordered := m.all[at].slicesOf(v.plans[at])
	if ordered == nil {
		return e.local.slices
	}
	for i, p := range m.all[at].pools {
		if p == e.local && ordered[i] != nil {
			return ordered[i]
		}
	}
	return e.local.slices
}

func (n *node) readGPUs() *NodeGPUs {
	out := &NodeGPUs{}
	for _, p := range n.pools {
		for i := range p.gpus {
			g := &p.gpus[i]
			if !p.isGPU(g) {
				continue
			}
			out.Model = cmp.Or(out.Model, g.model)
			out.Idle = append(out.Idle, p.idle(g))
		}
	}
	return out
}

func (p *pool) hasMemory(g *gpu) bool {
	return slices.ContainsFunc(g.members, func(i int) bool { return p.devices[i].memory > 0 })
}

// idle is what is free of a GPU, in thousandths.
func (p *pool) idle(g *gpu) int64 {
	d := &p.devices[g.members[0]]
	switch {
	case g.kind != nil:
		return int64(g.cells-g.used.Count()) * share.Whole / int64(g.cells)
	case len(g.members) == 1 && d.allocated:
		return 0
	case d.multi:
		return share.Whole - dominant(d, nil, nil)/1000
	}
	return share.Whole - millionths(g.busy, g.whole)/1000
}

// Any returns some node's plan, the first by the node's name; nil if there is
// none. Plans for one shape mostly differ in where, not in what.
func (v *View) Any() *Plan {
	for _, p := range v.plans {
		if p.plan != nil {
			return p.plan
		}
	}
	return nil
}
