package devices

import (
	"cmp"
	"slices"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
)

// requests is a set of a shape's requests, one bit for each in their order.
type requests uint64

const (
	allRequests requests = 1<<64 - 1
	// maxRequests is how many the set can hold.
	maxRequests = 64
)

// maxFabricPools bounds what is remembered of fabrics, as the sum of their pools: beyond,
// they are made anew.
const maxFabricPools = 1_000_000

// selectionFor is the one selection of nodes that all devices of a pool are for; nil
// if they are for different nodes, if that cannot be told, or if some say it themselves
// and for others their slice does: devices could then not change places.
func (m *Model) selectionFor(list []*resourceapi.ResourceSlice) *selection {
	var sole *selection
	same := func(name *string, all *bool, selector *v1.NodeSelector) bool {
		found := m.selectionOf(name, all, selector)
		if found == nil || sole != nil && sole != found || found.all && (all == nil || !*all) || selector != nil && len(selector.NodeSelectorTerms) != 1 {
			return false // of the last two: its selector cannot be read, or not be handed on
		}
		sole = found
		return true
	}
	slicesSay, devicesSay := false, false
	for _, s := range list {
		switch {
		case len(s.Spec.SharedCounters) > 0:
		case s.Spec.PerDeviceNodeSelection == nil:
			slicesSay = true
			if !same(s.Spec.NodeName, s.Spec.AllNodes, s.Spec.NodeSelector) {
				return nil
			}
		case !*s.Spec.PerDeviceNodeSelection || s.Spec.NodeName != nil || s.Spec.AllNodes != nil || s.Spec.NodeSelector != nil,
			len(s.Spec.Devices) == 0, !m.features.PartitionableDevices: // the last: the slice is not seen
			return nil
		default:
			devicesSay = true
			for i := range s.Spec.Devices {
				if d := &s.Spec.Devices[i]; !same(d.NodeName, d.AllNodes, d.NodeSelector) {
					return nil
				}
			}
		}
	}
	if slicesSay && devicesSay {
		return nil
	}
	return sole
}

// fabricOf finds what nodes of this reach have of pools that they share, as if it
// were a node of its own: all of them are served from it alike. A pool that cannot
// be planned for makes the fabric obscure.
func (m *Model) fabricOf(r *reach) *node {
	if known := m.fabrics[r.key]; known != nil {
		return known
	}
	if m.fabricPools > maxFabricPools {
		m.forgetFabrics()
	}
	f := &node{fabric: true, version: m.tick()}
	for _, seat := range r.seats {
		s := m.seats[seat]
		s.fabrics = append(s.fabrics, f)
		for _, e := range s.entries {
			if len(e.selections) > 1 && slices.Contains(f.entries, e) {
				continue
			}
			f.entries = append(f.entries, e)
			f.obscure = f.obscure || e.shared == nil
			if e.shared != nil {
				f.pools = append(f.pools, e.shared)
			}
		}
	}
	f.arrange()
	m.fabrics[r.key] = f
	m.fabricPools += 1 + len(f.entries)
	return f
}

func (m *Model) forgetFabrics() {
	m.fabrics, m.fabricPools = map[string]*node{}, 0
	for _, s := range m.seats {
		s.fabrics = nil
	}
}

// tick numbers the states of fabrics: one that is made anew is in another.
func (m *Model) tick() uint64 {
	m.ticks++
	return m.ticks
}

// touched notes that something changed in a pool that nodes share.
func (m *Model) touched(p *pool) {
	for _, f := range p.selection.fabrics {
		f.version = m.tick()
	}
}

// fabricPlan names a plan of a view: for which nodes, and for which requests.
type fabricPlan struct {
	key  string
	part requests
}

// shared returns how the pools that a node shares with others serve some requests.
// As with nodes, the view's first answer stays. Once other such pools are published, it
// is nil: what the node's own devices leave to them may be something else now.
func (v *View) shared(node *v1.Node, part requests) *planned {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	v.m.settle()
	if v.m.sharing != v.sharing {
		return nil
	}
	reached := v.m.reachOf(node)
	at := fabricPlan{reached.key, part}
	if known := v.fabrics[at]; known != nil {
		return known
	}
	v.m.budget = v.budget
	p := v.m.planPart(v.m.fabricOf(reached), v.shape, v.worth, part)
	v.budget = v.m.budget
	if v.fabrics == nil {
		v.fabrics = map[fabricPlan]*planned{}
	}
	v.fabrics[at] = p
	return p
}

// halves returns a node's plan and that of the pools which it shares with others, for
// the requests that its own devices do not serve. The first is nil if the node
// publishes nothing; the second if nothing is left to others, or if only the allocator
// can tell.
func (v *View) halves(node *v1.Node) (own, others *planned) {
	part := allRequests
	if place := v.Place(node.Name); place != Nowhere {
		own = v.at(place)
		if part = own.left; part == 0 || own.natural && !own.idle {
			return own, nil
		}
	}
	if v.shape.opaque != "" || !v.elsewhere {
		return own, nil
	}
	return own, v.shared(node, part)
}

// together is the plan of both halves, nil if one lacks its own.
func together(own, others *planned) *Plan {
	switch {
	case others.plan == nil || own != nil && own.plan == nil && !own.idle:
		return nil
	case own == nil || own.idle:
		return others.plan
	}
	out := &Plan{Cost: own.plan.Cost.plus(others.plan.Cost), Rank: own.plan.Rank + others.plan.Rank}
	out.Chosen = slices.Concat(own.plan.Chosen, others.plan.Chosen)
	slices.SortStableFunc(out.Chosen, func(a, b Chosen) int {
		return cmp.Or(cmp.Compare(a.claim, b.claim), cmp.Compare(a.request, b.request))
	})
	return out
}
