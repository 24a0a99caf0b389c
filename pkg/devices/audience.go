package devices

import (
	"encoding/json"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// audience is the nodes that a pool which is not on one node alone reaches with
// some device. Pools that say the same of nodes share one.
type audience struct {
	names     map[string]bool
	selectors []*nodeaffinity.NodeSelector
	// all: every node, be it that a slice says so or that a selector cannot be
	// read. The allocator looks again.
	all bool
}

// reach is which audiences a node is in.
type reach struct {
	// labelled is the node as it was judged: informers replace what changes.
	labelled *v1.Node
	// key is one bit for each audience.
	key string
}

// audienceOf finds the audience of a pool, or makes it.
func (m *Model) audienceOf(list []*resourceapi.ResourceSlice) *audience {
	var parts []string
	out := &audience{names: map[string]bool{}}
	add := func(name *string, all *bool, selector *v1.NodeSelector) {
		switch {
		case name != nil && *name != "":
			if !out.names[*name] {
				out.names[*name] = true
				parts = append(parts, "name "+*name)
			}
		case all != nil && *all:
			out.all = true
		case selector != nil:
			key, err := json.Marshal(selector)
			if err != nil || slices.Contains(parts, string(key)) {
				out.all = out.all || err != nil
				return
			}
			parts = append(parts, string(key))
			compiled, err := nodeaffinity.NewNodeSelector(selector)
			if err != nil {
				out.all = true
				return
			}
			out.selectors = append(out.selectors, compiled)
		}
	}
	for _, s := range list {
		add(s.Spec.NodeName, s.Spec.AllNodes, s.Spec.NodeSelector)
		if s.Spec.PerDeviceNodeSelection == nil || !*s.Spec.PerDeviceNodeSelection {
			continue
		}
		for i := range s.Spec.Devices {
			d := &s.Spec.Devices[i]
			add(d.NodeName, d.AllNodes, d.NodeSelector)
		}
	}
	slices.Sort(parts)
	key := strings.Join(parts, "\n")
	if out.all {
		key = "all"
	}
	if known := m.audiences[key]; known != nil {
		return known
	}
	m.audiences[key] = out
	return out
}

func (a *audience) includes(node *v1.Node) bool {
	return a.all || a.names[node.Name] ||
		slices.ContainsFunc(a.selectors, func(s *nodeaffinity.NodeSelector) bool { return s.Match(node) })
}

// seat lists the audiences of the pools as they are now, and forgets the others
// and which nodes were in them.
func (m *Model) seat() {
	m.seats = m.seats[:0:0]
	m.reaches = map[string]*reach{}
	at := map[*audience]int{}
	for _, e := range m.foreign {
		if _, seated := at[e.audience]; !seated {
			at[e.audience] = len(m.seats)
			m.seats = append(m.seats, e.audience)
		}
		e.seat = at[e.audience]
	}
	for key, a := range m.audiences {
		if _, seated := at[a]; !seated {
			delete(m.audiences, key)
		}
	}
}

// reachOf tells which audiences a node is in.
func (m *Model) reachOf(node *v1.Node) *reach {
	if known := m.reaches[node.Name]; known != nil && known.labelled == node {
		return known
	}
	key := make([]byte, len(m.seats))
	for i, a := range m.seats {
		key[i] = '0'
		if a.includes(node) {
			key[i] = '1'
		}
	}
	out := &reach{labelled: node, key: string(key)}
	m.reaches[node.Name] = out
	return out
}

// Alike returns a key that is the same for nodes of which the allocator says the
// same: they publish nothing of their own, and reach the same of what others
// publish. It reports false for a node that publishes something.
func (v *View) Alike(node *v1.Node) (string, bool) {
	if _, local := v.index[node.Name]; local {
		return "", false
	}
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	if v.m.nodes[node.Name] != nil {
		return "", false // published since
	}
	return v.m.reachOf(node).key, true
}
