package zone

import "slices"

// Slot is room for some pods on a node.
type Slot struct {
	Node NodeID
	Pods int64
}

// Plan lays pods out in a domain: into the smallest child that holds all of them,
// or else into the largest children first and the smallest sufficient for the
// rest; nodes likewise. Fewer than pods come out if the domain is too small. The
// slots are in the order in which they are filled, one for each node in use.
//
// It is the rule that Kueue's topology-aware scheduling calls BestFit: few
// domains, and the last one no larger than it must be.
func (r *Room) Plan(d DomainID, pods int64) []Slot {
	if d < 0 || pods <= 0 {
		return nil
	}
	return r.plan(nil, d, pods)
}

// plan appends the slots of a domain.
func (r *Room) plan(slots []Slot, d DomainID, pods int64) []Slot {
	t := r.tree
	if d+1 == t.domains[d].end { // no narrower domain
		return r.planNodes(slots, t.Nodes(d), pods)
	}
	var parts []part
	direct := t.order[t.domains[d].first:t.rest(d)]
	if room := r.before[t.rest(d)] - r.before[t.domains[d].first]; room > 0 {
		parts = append(parts, part{int32(d), room})
	}
	for c := d + 1; c < t.domains[d].end; c = t.domains[c].end {
		if room := r.In(c); room > 0 {
			parts = append(parts, part{int32(c), room})
		}
	}
	for _, p := range fill(parts, pods) {
		if DomainID(p.id) == d { // those without a narrower domain, as one part
			slots = r.planNodes(slots, direct, p.pods)
			continue
		}
		slots = r.plan(slots, DomainID(p.id), p.pods)
	}
	return slots
}

// planNodes appends the slots of nodes.
func (r *Room) planNodes(slots []Slot, nodes []NodeID, pods int64) []Slot {
	parts := make([]part, 0, len(nodes))
	for _, n := range nodes {
		if room := r.On(n); room > 0 {
			parts = append(parts, part{int32(n), room})
		}
	}
	for _, p := range fill(parts, pods) {
		slots = append(slots, Slot{Node: NodeID(p.id), Pods: p.pods})
	}
	return slots
}

// part is a domain or a node and the pods it has room for, later those it gets.
type part struct {
	id   int32
	pods int64
}

// fill chooses among parts with room: the smallest that holds all pods or, as
// long as none does, the largest. Of equal ones the earlier.
func fill(parts []part, pods int64) []part {
	slices.SortStableFunc(parts, func(a, b part) int {
		if a.pods > b.pods {
			return -1
		}
		if a.pods < b.pods {
			return 1
		}
		return 0
	})
	for i := range parts {
		if parts[i].pods < pods {
			pods -= parts[i].pods
			continue
		}
		last := i
		for j := i + 1; j < len(parts) && parts[j].pods >= pods; j++ {
			if parts[j].pods < parts[last].pods {
				last = j
			}
		}
		parts[i] = part{parts[last].id, pods}
		return parts[:i+1]
	}
	return parts
}
