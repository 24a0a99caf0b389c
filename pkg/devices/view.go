package devices

import (
	"cmp"
	"maps"
	"slices"
	"sync/atomic"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"

	"plimsoll.dev/scheduler/pkg/share"
)

// View is how one pod's cycle sees the devices. A node is planned when it is first
// asked about; from then on the answer for it stays as it is. It is safe for
// concurrent use.
type View struct {
	m     *Model
	shape *Shape
	worth *Worth
	index map[string]int
	nodes []*node
	plans []atomic.Pointer[planned]
	// elsewhere: pools that are not local could serve some request.
	elsewhere bool
	// edition is that of what is published, sharing that of what nodes share.
	edition, sharing uint64
	freed            uint64
	// fabrics are the plans of shared pools; guarded by the model's lock.
	fabrics map[fabricPlan]*planned
	// budget is what is left of what planning may cost; guarded by the model's lock.
	budget int
}

// Answer is what the model knows of a node.
type Answer uint8

// The answers. Unknown: only the allocator can tell.
const (
	Unknown Answer = iota
	Fits
	Refused
)

// Nowhere is the place of a node that publishes nothing.
const Nowhere = -1

// Place is where the view keeps a node, Nowhere if it publishes nothing. It is the
// same in all views of one edition.
func (v *View) Place(node string) int {
	if at, found := v.index[node]; found {
		return at
	}
	return Nowhere
}

// Spares tells whether nothing that a node publishes itself is planned for, while pools
// that nodes share may serve the shape there.
func (v *View) Spares(node string) bool {
	if !v.elsewhere || v.shape.opaque != "" {
		return false
	}
	at, found := v.index[node]
	if !found {
		return true
	}
	p := v.at(at)
	return p.idle || p.plan != nil && len(p.plan.Chosen) == 0
}

// Shares tells whether pools that nodes share could serve some request.
func (v *View) Shares() bool { return v.elsewhere }

// Edition counts how often what is published has changed.
func (v *View) Edition() uint64 { return v.edition }

// Answer tells whether the allocator would serve the shape on a node.
func (v *View) Answer(node *v1.Node) Answer {
	answer, _ := v.Judge(node)
	return answer
}

// Judge is Answer, and Why if it is Refused.
func (v *View) Judge(node *v1.Node) (Answer, Why) {
	switch known := v.AnswerAt(v.Place(node.Name)); {
	case known == Fits, known == Unknown && !v.elsewhere:
		return known, Why{}
	case known == Refused:
		return known, v.Why(node)
	}
	own, others := v.halves(node)
	switch {
	case others == nil || others.natural:
		return Unknown, Why{}
	case together(own, others) != nil:
		return Fits, Why{}
	case v.shape.distinct:
		return Unknown, Why{}
	}
	return Refused, v.why(node.Name, own, others)
}

// AnswerAt is Answer for the node at a place, as far as the node's own devices tell.
func (v *View) AnswerAt(place int) Answer {
	switch {
	case v.shape.opaque != "", place == Nowhere && (v.elsewhere || v.shape.bare):
		return Unknown // what it reaches of other pools is to be looked at
	case place == Nowhere:
		return Refused
	}
	p := v.at(place)
	switch {
	case p.natural, p.plan != nil && v.elsewhere, p.left != 0, p.plan == nil && v.shape.distinct:
		// Plans leave out what other pools serve, on which the allocator may fail. It
		// forgets devices that a claim wants distinct, and may find what the model does not.
		return Unknown
	case p.plan != nil:
		return Fits
	}
	return Refused
}

// Freed is the model's count when the view was made.
func (v *View) Freed() uint64 { return v.freed }

// at returns a node's plan.
func (v *View) at(i int) *planned {
	if known := v.plans[i].Load(); known != nil {
		return known
	}
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	if known := v.plans[i].Load(); known != nil {
		return known
	}
	v.m.settle()
	return v.planned(i)
}

// planned plans a node within the view's budget. The model is locked.
func (v *View) planned(i int) *planned {
	v.m.budget = v.budget
	p := v.m.plan(v.nodes[i], v.shape, v.worth)
	v.budget = v.m.budget
	v.plans[i].Store(p)
	return p
}

// Plan returns what is planned of a node's own devices, nil if the model found nothing
// or left the shape to the allocator.
func (v *View) Plan(node string) *Plan {
	at, found := v.index[node]
	if !found {
		return nil
	}
	return v.at(at).plan
}

// Standing is a node's plan, as Plan returns it, and its GPUs as they were when it
// was planned, nil if it publishes nothing.
func (v *View) Standing(node string) (*Plan, *NodeGPUs) { return v.StandingAt(v.Place(node)) }

// StandingAt is Standing for the node at a place.
func (v *View) StandingAt(place int) (*Plan, *NodeGPUs) {
	if place == Nowhere {
		return nil, nil
	}
	p := v.at(place)
	return p.plan, p.facts
}

// Why says why a node has no plan. It is the zero Why if it has one, or if the
// model leaves it to the allocator.
func (v *View) Why(node *v1.Node) Why {
	own, others := v.halves(node)
	if own == nil && !v.elsewhere {
		return Why{Kind: NothingPublished}
	}
	return v.why(node.Name, own, others)
}

// why is that of the half which cannot serve. Of a request that neither half does, it
// is what comes nearest.
func (v *View) why(node string, own, others *planned) Why {
	switch {
	case own != nil && own.why.Kind != Served:
		return own.why
	case others == nil:
		return Why{}
	case own == nil && others.barren:
		return Why{Kind: NothingPublished}
	case own == nil || others.why.Request == "":
		return others.why
	}
	if nearer := v.alone(node, own, &others.why); nearer.Kind > others.why.Kind {
		return nearer
	}
	return others.why
}

// Rank is that of what the node would give, see Plan. It is 0 if that is not known.
func (v *View) Rank(node *v1.Node) int64 {
	var rank int64
	own, others := v.halves(node)
	for _, half := range []*planned{own, others} {
		if half != nil && half.plan != nil {
			rank += half.plan.Rank
		}
	}
	return rank
}

// Models are the GPU models, by product name, on which some device matches what
// is asked for, sorted; nil if that is every model there is.
func (v *View) Models() []string {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	return v.m.modelsOf(v.shape)
}

// Any returns some node's plan, nil if there is none or none was found within
// bounds. Plans for one shape mostly differ in where, not in what.
func (v *View) Any() *Plan {
	for i := range v.plans {
		if known := v.plans[i].Load(); known != nil && known.plan != nil && len(known.plan.Chosen) > 0 {
			return known.plan
		}
	}
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	v.m.settle()
	for i := range v.nodes {
		if v.budget <= 0 {
			break
		}
		if v.plans[i].Load() != nil {
			continue
		}
		if p := v.planned(i); p.plan != nil && len(p.plan.Chosen) > 0 {
			return p.plan
		}
	}
	return nil
}

// Ordered returns all slices that are published, with the devices that are
// planned for each node first: an allocator that is given these, and takes the
// first that fits, follows the plans.
func (v *View) Ordered() []*resourceapi.ResourceSlice {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	v.m.settle()
	v.m.budget = orderBudget
	out := make([]*resourceapi.ResourceSlice, 0, len(v.m.known))
	for _, e := range v.m.order {
		out = append(out, v.m.ordered(e, v.shape, v.worth)...)
	}
	return out
}

// NodeGPUs are the GPUs behind a node's devices. They never change.
type NodeGPUs struct {
	// Model is the product name of the first that has one.
	Model string
	// Idle is what is free of each, in thousandths.
	Idle []int64
}

// Untouched tells whether there are several GPUs and none is in use: what takes whole
// nodes fits there only.
func (g *NodeGPUs) Untouched() bool {
	return g != nil && len(g.Idle) > 1 && !slices.ContainsFunc(g.Idle, func(milli int64) bool { return milli < share.Whole })
}

// modelsOf looks the shape's models up, anew if what is published changed.
func (m *Model) modelsOf(s *Shape) []string {
	if s.modelsAt == m.published {
		return s.models
	}
	all, some := map[string]bool{}, map[string]bool{}
	for _, n := range m.all {
		all[n.gpusOf().Model] = true
		if m.matchesAny(n, s) {
			some[n.gpusOf().Model] = true
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

// GPUs are a node's GPUs as they are now, nil if it publishes nothing. What it
// publishes need not be GPUs.
func (m *Model) GPUs(node string) *NodeGPUs {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[node]
	if n == nil {
		return nil
	}
	m.settle()
	return n.gpusOf()
}

// ordered returns the slices of a pool as the allocator shall see them.
func (m *Model) ordered(e *entry, s *Shape, w *Worth) []*resourceapi.ResourceSlice {
	if e.local == nil {
		return e.slices
	}
	n := m.nodes[e.local.node]
	ordered := n.slicesOf(m.plan(n, s, w))
	for i, p := range n.pools {
		if p == e.local && ordered != nil && ordered[i] != nil {
			return ordered[i]
		}
	}
	return e.local.slices
}

// gpusOf reads a node's GPUs once per state.
func (n *node) gpusOf() *NodeGPUs {
	if n.facts == nil {
		n.facts = n.readGPUs()
	}
	return n.facts
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
