package devices

import "slices"

// servedElsewhere tells whether a pool that is not on one node alone has devices
// for a selector: on a network, or of several nodes. Which nodes reach them, and
// which of them are free, is left to the allocator. A selector that fails on such
// a device counts as served: the model cannot tell.
func (m *Model) servedElsewhere(s *selector) bool {
	for _, e := range m.foreign {
		found := m.match(e.foreign, s)
		if found.err != nil {
			return true
		}
		for i := range found.selected {
			if found.selected[i] {
				return true
			}
		}
	}
	return false
}

// elsewhere looks at a shape's requests once per state of what is published.
// A request that only such pools serve is left out of plans. If both a node's
// own devices and others could serve it, or a constraint ties it to other
// requests, the allocator decides alone.
func (m *Model) elsewhere(s *Shape) {
	if s.elsewhereAt == m.published {
		return
	}
	s.elsewhereAt, s.elsewhere = m.published, nil
	if len(m.foreign) == 0 {
		return
	}
	s.elsewhere = map[*selector]bool{}
	for i := range s.claims {
		for j := range s.claims[i].requests {
			for _, a := range s.claims[i].requests[j].alternatives {
				if m.servedElsewhere(a.selector) {
					s.elsewhere[a.selector] = true
				}
				if a.all && slices.ContainsFunc(m.foreign, func(e *entry) bool { return e.foreign.unusable != "" }) {
					s.elsewhere[a.selector] = true // fails where one of these is reached
				}
			}
		}
	}
}

// leaves tells whether a request of the shape is left to the allocator on a node,
// and whether the whole shape has to be.
func (q *search) leaves(c *claim, r *request) (request, all bool) {
	for k := range r.alternatives {
		a := &r.alternatives[k]
		if !q.shape.elsewhere[a.selector] {
			continue
		}
		request = true
		if a.all || len(r.alternatives) > 1 {
			return false, true
		}
		for i := range c.constraints {
			if c.constraints[i].covers(r, a) {
				return false, true
			}
		}
		for _, p := range q.n.pools {
			if p.unusable == "" && len(q.m.match(p, a.selector).candidates) > 0 {
				return false, true
			}
		}
	}
	return request, false
}

// leavesAll tells whether nothing of the shape is planned on the node.
func (q *search) leavesAll() bool {
	planned := false
	for i := range q.shape.claims {
		c := &q.shape.claims[i]
		for j := range c.requests {
			request, all := q.leaves(c, &c.requests[j])
			if all {
				return true
			}
			planned = planned || !request
		}
	}
	return !planned
}
