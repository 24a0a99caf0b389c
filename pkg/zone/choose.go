package zone

import "slices"

// Ask is what a group asks of its domain.
type Ask struct {
	// Pods is how many must fit.
	Pods int64
	// Required: all within one domain of it; 0 if the whole cluster will do.
	Required Ref
	// Preferred is where climbing begins; 0, or a level broader than the required
	// one, for the required level.
	Preferred Ref
	// Within confines the choice to a domain that the group is bound to already;
	// Root if none. None leaves no choice.
	Within DomainID
	// Roomy takes the domain with the most room, for a group that will be larger than
	// Pods: of the required level first, then within it.
	Roomy bool
	// Except are domains not to choose, at any level, with all they contain. A
	// domain around one may be chosen, but not for the room in it.
	Except []DomainID
}

// Choice is where a group goes.
type Choice struct {
	// Fits tells whether a domain holds the whole group.
	Fits bool
	// Domain is the chosen one: the tightest, or roomiest, at the narrowest level that
	// holds the group. If none does, the one that holds most at the broadest level
	// that would do; None if no node has the required level's label, or all that
	// have it are outside Within or in Except.
	Domain DomainID
	// Bound is the domain of the required level around Domain, Root if none is
	// required, None if Domain is.
	Bound DomainID
	// Climbed: Domain is broader than what was preferred.
	Climbed bool
	// Room is what Domain holds, without what is in Except.
	Room int64
}

// Choose picks the domain of a group. It begins with the domains of the preferred
// level and climbs: if none holds the group, on to the domains around them, at
// most to those of the required level. Of the first that do hold it, the one with
// the least room is taken, which leaves the larger ones whole; of equal ones the
// first in path order.
func (r *Room) Choose(ask Ask) Choice {
	if ask.Within < 0 {
		return Choice{Domain: None, Bound: None}
	}
	c := chooser{Room: r, ask: ask, except: r.tree.outermost(ask.Except)}
	if ask.Preferred == 0 || ask.Required != 0 && ask.Preferred.first() < ask.Required.first() {
		c.ask.Preferred = ask.Required
	}
	if ask.Roomy && ask.Required != 0 {
		if d := c.roomiest(c.at(ask.Required)); d != None {
			c.ask.Within = d
		}
	}
	tier := c.at(c.ask.Preferred)
	for len(tier) > 0 {
		if d := c.best(tier); d != None {
			return c.choice(d, true)
		}
		tier = c.climb(tier)
	}
	// Whole domains of the required level may lack the preferred label.
	broadest := c.at(c.ask.Required)
	if d := c.best(broadest); d != None {
		return c.choice(d, true)
	}
	return c.choice(c.roomiest(broadest), false)
}

// chooser is one run of Choose.
type chooser struct {
	*Room
	ask Ask
	// except holds no domain that lies in another one of it.
	except []DomainID
}

// outermost sorts domains and leaves out those inside another one.
func (t *Tree) outermost(domains []DomainID) []DomainID {
	if len(domains) == 0 {
		return nil
	}
	sorted := slices.Sorted(slices.Values(domains))
	kept := sorted[:0]
	for _, d := range sorted {
		if d >= 0 && (len(kept) == 0 || !t.Inside(kept[len(kept)-1], d)) {
			kept = append(kept, d)
		}
	}
	return kept
}

// at are the domains of a level that may be chosen, in path order: what of them
// is inside Within. The level 0 is the whole.
func (c *chooser) at(ref Ref) []DomainID {
	if ref == 0 {
		return []DomainID{c.ask.Within}
	}
	var found []DomainID
	if around := c.tree.Around(c.ask.Within, ref); around != None {
		found = append(found, c.ask.Within)
	} else {
		for _, d := range c.tree.At(ref) {
			if c.tree.Inside(c.ask.Within, d) {
				found = append(found, d)
			}
		}
	}
	return slices.DeleteFunc(found, func(d DomainID) bool { return !c.narrow(d) })
}

// narrow tells whether a domain lies within one domain of the required level.
func (c *chooser) narrow(d DomainID) bool {
	return c.ask.Required == 0 || c.tree.domains[d].levels&c.ask.Required != 0
}

// climb turns a tier into the next broader one; it is empty at the end.
func (c *chooser) climb(tier []DomainID) []DomainID {
	up := tier[:0]
	for _, d := range tier {
		p := c.tree.domains[d].parent
		if p == None || !c.narrow(p) || !c.tree.Inside(c.ask.Within, p) {
			continue
		}
		if len(up) == 0 || up[len(up)-1] != p {
			up = append(up, p)
		}
	}
	return up
}

// room is what a domain holds outside Except; false if it is inside.
func (c *chooser) room(d DomainID) (int64, bool) {
	room := c.In(d)
	for _, e := range c.except {
		if c.tree.Inside(e, d) {
			return 0, false
		}
		if c.tree.Inside(d, e) {
			room -= c.In(e)
		}
	}
	return room, true
}

// best is the domain to take of those that hold the group; None if none does.
func (c *chooser) best(tier []DomainID) DomainID {
	if !c.ask.Roomy {
		return c.tightest(tier)
	}
	d := c.roomiest(tier)
	if d == None {
		return None
	}
	if room, _ := c.room(d); room < c.ask.Pods {
		return None
	}
	return d
}

// tightest is the domain with the least room of those that hold the group.
func (c *chooser) tightest(tier []DomainID) DomainID {
	best, least := None, int64(0)
	for _, d := range tier {
		room, ok := c.room(d)
		if !ok || room < c.ask.Pods || best != None && (room > least || room == least && d > best) {
			continue
		}
		best, least = d, room
	}
	return best
}

// roomiest is the domain with the most room.
func (c *chooser) roomiest(tier []DomainID) DomainID {
	best, most := None, int64(0)
	for _, d := range tier {
		if room, ok := c.room(d); ok && (best == None || room > most) {
			best, most = d, room
		}
	}
	return best
}

// choice describes a domain as chosen.
func (c *chooser) choice(d DomainID, fits bool) Choice {
	if d == None {
		return Choice{Domain: None, Bound: None}
	}
	bound := Root
	if c.ask.Required != 0 {
		bound = c.tree.Around(d, c.ask.Required)
	}
	room, _ := c.room(d)
	return Choice{
		Fits:    fits,
		Domain:  d,
		Bound:   bound,
		Climbed: c.ask.Preferred != 0 && c.tree.domains[d].levels&c.ask.Preferred == 0,
		Room:    room,
	}
}
