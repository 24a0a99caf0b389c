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
		if found.any(selected) {
			return true
		}
	}
	return false
}

// elsewhere looks at a shape's requests once per state of what is published.
// A request that only such pools serve is left out of a node's plan, and planned for
// in the node's fabric.
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

// leftOver tells which requests a node's own devices leave to the pools that it shares
// with others, and whether it has nothing of use for any of them. It reports false if
// the halves cannot be told apart: the allocator then decides about the whole shape.
func (q *search) leftOver() (left requests, idle, known bool) {
	if slices.ContainsFunc(q.n.pools, func(p *pool) bool { return q.m.counted[p.id.name] && slices.ContainsFunc(p.slices, counts) }) {
		return 0, false, false // counters are kept by the name of the pool
	}
	if q.useless() {
		return allRequests, true, true
	}
	for i := range q.shape.claims {
		c := &q.shape.claims[i]
		for j := range c.requests {
			leaves, known := q.leaves(c, &c.requests[j])
			if !known {
				return 0, false, false
			}
			if leaves {
				left |= c.requests[j].bit
			}
		}
	}
	return left, false, true
}

// useless tells whether no device of the node is what any request selects.
func (q *search) useless() bool {
	for _, p := range q.n.pools {
		if p.unusable != "" {
			return false
		}
		for i := range q.shape.claims {
			for j := range q.shape.claims[i].requests {
				for _, a := range q.shape.claims[i].requests[j].alternatives {
					if q.m.match(p, a.selector).any(selected) {
						return false
					}
				}
			}
		}
	}
	return true
}

// leaves tells whether a request is left to shared pools. It reports false if both a
// node's own devices and others could serve it, or if it is tied to other requests.
func (q *search) leaves(c *claim, r *request) (leaves, known bool) {
	for k := range r.alternatives {
		a := &r.alternatives[k]
		if !q.shape.elsewhere[a.selector] {
			continue
		}
		leaves = true
		if a.all || len(r.alternatives) > 1 {
			return false, false
		}
		for i := range c.constraints {
			if c.constraints[i].covers(r, a) {
				return false, false
			}
		}
		for _, p := range q.n.pools {
			if p.unusable == "" && len(q.m.match(p, a.selector).candidates) > 0 {
				return false, false
			}
		}
	}
	return leaves, true
}
