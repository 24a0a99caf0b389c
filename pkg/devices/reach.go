package devices

import (
	"encoding/json"
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// selection is what slices or devices of pools that are not on one node alone say
// of the nodes they are for. All that say the same share one.
type selection struct {
	name     string
	selector *nodeaffinity.NodeSelector
	// all: every node, be it that a slice says so or that its selector cannot be
	// read. The allocator looks again.
	all bool
	// seat is its place among all selections; entries are the pools that say so, and
	// fabrics those that have them.
	seat    int
	entries []*entry
	fabrics []*node
}

func (s *selection) includes(node *v1.Node) bool {
	switch {
	case s.all:
		return true
	case s.selector != nil:
		return s.selector.Match(node)
	}
	return s.name == node.Name
}

// reach is which selections include a node.
type reach struct {
	// labelled is the node as it was judged: informers replace what changes.
	labelled *v1.Node
	// key has one digit for each selection.
	key string
}

// maxReaches bounds how many nodes are remembered: beyond, it begins anew.
const maxReaches = 20_000

// selectionsOf lists those of a pool. Slices of counters serve all nodes of their
// pool, whatever they select: where there are others, only these tell.
func (m *Model) selectionsOf(list []*resourceapi.ResourceSlice) []*selection {
	var out []*selection
	devices := slices.ContainsFunc(list, func(s *resourceapi.ResourceSlice) bool { return len(s.Spec.SharedCounters) == 0 })
	add := func(name *string, all *bool, selector *v1.NodeSelector) {
		found := m.selectionOf(name, all, selector)
		if found != nil && !slices.Contains(out, found) {
			out = append(out, found)
		}
	}
	for _, s := range list {
		if devices && len(s.Spec.SharedCounters) > 0 {
			continue
		}
		add(s.Spec.NodeName, s.Spec.AllNodes, s.Spec.NodeSelector)
		if s.Spec.PerDeviceNodeSelection == nil || !*s.Spec.PerDeviceNodeSelection {
			continue
		}
		for i := range s.Spec.Devices {
			d := &s.Spec.Devices[i]
			add(d.NodeName, d.AllNodes, d.NodeSelector)
		}
	}
	return out
}

// selectionOf finds a selection, or makes it; nil for one that selects nothing.
func (m *Model) selectionOf(name *string, all *bool, selector *v1.NodeSelector) *selection {
	made := &selection{}
	key := "all"
	switch {
	case name != nil && *name != "":
		made.name, key = *name, "name "+*name
	case all != nil && *all:
		made.all = true
	case selector != nil:
		text, err := json.Marshal(selector)
		if err == nil {
			made.selector, err = nodeaffinity.NewNodeSelector(selector)
			key = string(text)
		}
		if made.all = err != nil; made.all {
			key = "all"
		}
	default:
		return nil
	}
	if known := m.selections[key]; known != nil {
		return known
	}
	m.selections[key] = made
	return made
}

// seat numbers the selections of the pools as they are now, and forgets the others
// and which nodes they included.
func (m *Model) seat() {
	m.seats = m.seats[:0:0]
	m.reaches = map[string]*reach{}
	seated := map[*selection]bool{}
	for _, e := range m.foreign {
		for _, s := range e.selections {
			if !seated[s] {
				seated[s] = true
				s.seat, s.entries = len(m.seats), nil
				m.seats = append(m.seats, s)
			}
			s.entries = append(s.entries, e)
		}
	}
	m.forgetFabrics()
	for key, s := range m.selections {
		if !seated[s] {
			delete(m.selections, key)
		}
	}
}

// reachOf tells which selections include a node.
func (m *Model) reachOf(node *v1.Node) *reach {
	if known := m.reaches[node.Name]; known != nil && known.labelled == node {
		return known
	}
	if len(m.reaches) >= maxReaches {
		clear(m.reaches)
	}
	key := make([]byte, len(m.seats))
	for i, s := range m.seats {
		key[i] = '0'
		if s.includes(node) {
			key[i] = '1'
		}
	}
	out := &reach{labelled: node, key: string(key)}
	m.reaches[node.Name] = out
	return out
}

// Alike returns a key that is the same for nodes of which the allocator says the
// same: nothing that they publish themselves is of any use, and they reach the very
// same of what others publish. It reports false for all other nodes.
func (v *View) Alike(node *v1.Node) (string, bool) {
	place := v.Place(node.Name)
	if place != Nowhere && !v.at(place).idle {
		return "", false
	}
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	if now := v.m.nodes[node.Name]; (now == nil) != (place == Nowhere) || now != nil && now != v.nodes[place] {
		return "", false // published since
	}
	return fmt.Sprint(v.m.published, " ", v.m.reachOf(node).key), true
}
