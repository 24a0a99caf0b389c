package devices

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

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
	// landmarks are labels of which every node has one that is included; none if no
	// labels tell.
	landmarks []landmark
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

// landmark is a label of nodes with its value, or a node's name, which has no key.
type landmark struct{ label, value string }

// landmarksOf finds for each term of a selector the labels of which a node must have
// one. It reports false if there is a term that does not say: nodes must then be asked.
func landmarksOf(selector *v1.NodeSelector) ([]landmark, bool) {
	var out []landmark
	for i := range selector.NodeSelectorTerms {
		term := &selector.NodeSelectorTerms[i]
		at, label := fewest(term.MatchFields), "" // the only field of nodes is their name
		if at == nil {
			if at = fewest(term.MatchExpressions); at == nil {
				return nil, false
			}
			label = at.Key
		}
		for _, value := range at.Values {
			out = append(out, landmark{label, value})
		}
	}
	return out, true
}

// fewest is the requirement that names the fewest values which are allowed; nil if
// there is none.
func fewest(of []v1.NodeSelectorRequirement) *v1.NodeSelectorRequirement {
	var out *v1.NodeSelectorRequirement
	for i := range of {
		if r := &of[i]; r.Operator == v1.NodeSelectorOpIn && (out == nil || len(r.Values) < len(out.Values)) {
			out = r
		}
	}
	return out
}

// reach is which selections include a node.
type reach struct {
	// labelled is the node as it was judged: informers replace what changes.
	labelled *v1.Node
	// seats are those of the selections, in their order, and key is the same as text.
	seats []int
	key   string
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
		made.landmarks = []landmark{{"", *name}}
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
		} else {
			made.landmarks, _ = landmarksOf(selector)
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
	m.seats, m.anywhere = m.seats[:0:0], m.anywhere[:0:0]
	m.reaches, m.landmarks = map[string]*reach{}, map[landmark][]*selection{}
	seated := map[*selection]bool{}
	for _, e := range m.foreign {
		for _, s := range e.selections {
			if !seated[s] {
				seated[s] = true
				s.seat, s.entries = len(m.seats), nil
				m.seats = append(m.seats, s)
				for _, at := range s.landmarks {
					m.landmarks[at] = append(m.landmarks[at], s)
				}
				if len(s.landmarks) == 0 {
					m.anywhere = append(m.anywhere, s)
				}
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
	out := &reach{labelled: node}
	ask := func(those []*selection) {
		for _, s := range those {
			if s.includes(node) {
				out.seats = append(out.seats, s.seat)
			}
		}
	}
	ask(m.anywhere)
	ask(m.landmarks[landmark{"", node.Name}])
	for label, value := range node.Labels {
		ask(m.landmarks[landmark{label, value}])
	}
	slices.Sort(out.seats)
	out.seats = slices.Compact(out.seats) // one with several terms has several landmarks
	var key []byte
	for _, seat := range out.seats {
		key = append(strconv.AppendInt(key, int64(seat), 10), ' ')
	}
	out.key = string(key)
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
