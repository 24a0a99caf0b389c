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

// maxFabrics bounds how many fabrics are remembered: beyond, they are made anew.
const maxFabrics = 1000

// selectionFor is the one selection of nodes that all devices of a pool are for; nil
// if they are for different nodes, or if that cannot be told.
func (m *Model) selectionFor(list []*resourceapi.ResourceSlice) *selection {
	var sole *selection
	same := func(name *string, all *bool, selector *v1.NodeSelector) bool {
		found := m.selectionOf(name, all, selector)
		if found == nil || sole != nil && sole != found || found.all && (all == nil || !*all) {
			return false // the last: its selector cannot be read
		}
		sole = found
		return true
	}
	for _, s := range list {
		switch {
		case len(s.Spec.SharedCounters) > 0:
		case s.Spec.PerDeviceNodeSelection == nil || !*s.Spec.PerDeviceNodeSelection:
			if !same(s.Spec.NodeName, s.Spec.AllNodes, s.Spec.NodeSelector) {
				return nil
			}
		case s.Spec.NodeName != nil || s.Spec.AllNodes != nil || s.Spec.NodeSelector != nil || len(s.Spec.Devices) == 0,
			!m.features.PartitionableDevices: // the slice is not seen
			return nil
		default:
			for i := range s.Spec.Devices {
				if d := &s.Spec.Devices[i]; !same(d.NodeName, d.AllNodes, d.NodeSelector) {
					return nil
				}
			}
		}
	}
	return sole
}

// fabricOf finds what nodes with this key reach of pools that they share, as if it
// were a node of its own: all of them are served from it alike. A pool that cannot
// be planned for makes the fabric obscure.
func (m *Model) fabricOf(key string) *node {
	if known := m.fabrics[key]; known != nil {
		return known
	}
	if len(m.fabrics) >= maxFabrics {
		clear(m.fabrics)
	}
	f := &node{fabric: true}
	for _, e := range m.foreign {
		if !e.reaches(key) {
			continue
		}
		f.obscure = f.obscure || e.shared == nil
		if e.shared != nil {
			f.pools = append(f.pools, e.shared)
		}
	}
	f.arrange()
	m.fabrics[key] = f
	return f
}

// touched notes that something changed in a pool that nodes share.
func (m *Model) touched(p *pool) {
	for key, f := range m.fabrics {
		if key[p.selection.seat] == '1' {
			f.version++
		}
	}
}

// fabricPlan names a plan of a view: for which nodes, in which edition of what is
// published, and for which requests.
type fabricPlan struct {
	edition uint64
	key     string
	part    requests
}

// shared returns how the pools that a node shares with others serve some requests.
// As with nodes, the view's first answer stays.
func (v *View) shared(node *v1.Node, part requests) *planned {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	v.m.settle()
	at := fabricPlan{v.m.published, v.m.reachOf(node).key, part}
	if known := v.fabrics[at]; known != nil {
		return known
	}
	v.m.budget = v.budget
	p := v.m.planPart(v.m.fabricOf(at.key), v.shape, v.worth, part)
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
