package topology

import (
	"k8s.io/apimachinery/pkg/util/sets"
	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/pkg/gang"
	"plimsoll.dev/scheduler/pkg/verdict"
	"plimsoll.dev/scheduler/pkg/zone"
)

// place decides where the pod's group goes; a status says why it goes nowhere.
func (p *Topology) place(state fwk.CycleState, r *request, nodes []fwk.NodeInfo) *fwk.Status {
	r.tree, r.bound = p.zones.Tree(nodes), zone.None
	if refused := p.refs(r); refused != nil {
		return refused
	}
	if !r.gathers() {
		r.bound = zone.Root
		return nil
	}
	if !r.member {
		r.bound, r.lone = zone.Root, r.required
		if r.required != 0 && len(r.tree.At(r.required)) == 0 {
			r.bound = zone.None
			return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, r.noLevel(p).Message)
		}
		return nil
	}
	if state.IsPodGroupSchedulingCycle() {
		r.need = p.needFor(r)
		return p.tryOut(r, nodes)
	}
	if reason, held := p.heldBack(r); held { // PreEnqueue does not run before every try
		p.park(r, reason)
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, reason.Message)
	}
	return p.seat(r, nodes)
}

// seat finds the domain of the pod's group, and has room held in it for all that
// is still to come of the group.
func (p *Topology) seat(r *request, nodes []fwk.NodeInfo) *fwk.Status {
	view := p.groups.View(r.group.Key)
	if r.sit(view.Hold) {
		p.cellsOf(r)
		return nil
	}
	r.need = p.needFor(r)
	total := max(r.size.Total, r.size.Whole, r.size.Gang)
	if total == 0 {
		total = max(view.All(), 1)
	}
	want := max(total-view.Placed(), 1)
	if view.Placed() > 0 {
		if room, found := p.goOn(r, nodes); found {
			p.hold(r, room, want)
			return nil
		}
	}
	least := want
	if r.size.Whole > 0 {
		least = max(r.size.Whole-view.Placed(), 1)
	}
	r.except = r.find(view.Except)
	// A group that has just failed evicts nobody: what it failed for may keep it off
	// the next domain, too.
	evict := p.mayEvict(r) && !view.Failed
	room, choice := p.choose(r, nodes, want, least, evict)
	if !choice.Fits && len(r.except) > 0 {
		// What was found not to do may do by now.
		p.groups.Reconsider(r.group.Key)
		r.except = nil
		room, choice = p.choose(r, nodes, want, least, evict)
	}
	switch {
	case choice.Domain == zone.None:
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, r.noLevel(p).Message)
	case r.strict && !choice.Fits:
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, r.noRoom(choice, least).Message)
	}
	r.bound, r.target, r.climbed = choice.Bound, choice.Domain, choice.Climbed
	if choice.Fits {
		p.hold(r, room, want)
	}
	return nil
}

// sit takes the group's domain from what is held for it, and tells whether there
// is such a domain.
func (r *request) sit(h *gang.Hold) bool {
	if h == nil {
		return false
	}
	bound, found := r.tree.Find(h.Bound)
	target, foundTarget := r.tree.Find(h.Target)
	if !found || !foundTarget {
		return false // labels have changed
	}
	r.bound, r.target, r.climbed = bound, target, h.Climbed
	return true
}

// find returns the domains of these paths that there are.
func (r *request) find(paths []string) []zone.DomainID {
	var out []zone.DomainID
	for _, path := range paths {
		if d, found := r.tree.Find(path); found {
			out = append(out, d)
		}
	}
	return out
}

// goOn keeps a group where its members are: in the required domain with the most
// of them and, within it, as near as can be to the narrow one with the most. It is
// false if no member is in any domain.
func (p *Topology) goOn(r *request, nodes []fwk.NodeInfo) (*zone.Room, bool) {
	r.bound = zone.Root
	if r.required != 0 {
		if r.bound = p.mostIn(r, r.required, zone.Root); r.bound == zone.None {
			return nil, false
		}
	}
	narrow := r.preferred
	if narrow == 0 {
		narrow = r.required
	}
	r.target = zone.None
	if narrow != 0 {
		r.target = p.mostIn(r, narrow, r.bound)
	}
	if r.target == zone.None {
		r.target = r.bound
	}
	largest, hardest := p.shapes(r)
	r.shape = largest
	return p.room(r, nodes, hardest.pod, &largest, look{}), true
}

// nearest plans pods into the room that is left around a domain, within another:
// what the domain itself cannot take goes next door.
func nearest(tree *zone.Tree, room *zone.Room, d, within zone.DomainID, pods int64) []zone.Slot {
	var out []zone.Slot
	for {
		slots := room.Plan(d, pods)
		out = append(out, slots...)
		for _, slot := range slots {
			pods -= slot.Pods
		}
		if pods <= 0 || d == within {
			return out
		}
		full, before := d, room
		room = zone.NewRoom(tree, func(n zone.NodeID) int64 {
			if tree.Contains(full, n) {
				return 0
			}
			return before.On(n)
		})
		d = tree.Parent(d)
	}
}

// mostIn is the domain of the level, within another, with the most members; the
// first of equals, None if none of them is in any.
func (p *Topology) mostIn(r *request, ref zone.Ref, within zone.DomainID) zone.DomainID {
	counts := map[zone.DomainID]int{}
	p.groups.EachPlace(r.group.Key, func(node, _ string) {
		n, found := r.tree.Node(node)
		if !found || !r.tree.Contains(within, n) {
			return
		}
		if d := r.tree.DomainOf(n, ref); d != zone.None {
			counts[d]++
		}
	})
	best := zone.None
	for d, count := range counts {
		if best == zone.None || count > counts[best] || count == counts[best] && d < best {
			best = d
		}
	}
	return best
}

// hold has room held in the target for so many pods, as many as fit.
func (p *Topology) hold(r *request, room *zone.Room, pods int64) {
	slots := map[string]int64{}
	for _, slot := range nearest(r.tree, room, r.target, r.bound, pods) {
		slots[r.tree.NodeName(slot.Node)] += slot.Pods
	}
	p.groups.Hold(r.group.Key, &gang.Hold{
		Name: r.group.Name, Bound: r.tree.Path(r.bound), Target: r.tree.Path(r.target), Climbed: r.climbed,
		Priority: r.priority, Soft: !r.strict, Need: r.need.held(&r.shape), Slots: slots,
	}, p.clock.Now(), p.keep)
	p.cellsOf(r)
}

// noLevel says that no node has the required level's label.
func (r *request) noLevel(p *Topology) verdict.Reason {
	return verdict.Say(verdict.LevelNowhere, "level", r.asked.Required, "labels", p.labelsOf(r.asked.Required))
}

// noRoom says what the best domain holds of the group.
func (r *request) noRoom(choice zone.Choice, want int64) verdict.Reason {
	domain := r.tree.Path(choice.Domain)
	if choice.Domain != zone.Root {
		domain = "domain " + domain
	}
	return verdict.Say(verdict.GroupFitsNowhere, "domain", domain, "room", choice.Room, "pods", want, "group", r.group.Name)
}

// nameSets holds the names of domains' nodes for one tree.
type nameSets struct {
	tree *zone.Tree
	sets map[zone.DomainID]sets.Set[string]
}

// of returns the names of the domain's nodes, which the caller must not change.
func (n *nameSets) of(tree *zone.Tree, d zone.DomainID) sets.Set[string] {
	if n.tree != tree || n.sets == nil {
		n.tree, n.sets = tree, map[zone.DomainID]sets.Set[string]{}
	}
	names, found := n.sets[d]
	if !found {
		nodes := tree.Nodes(d)
		names = make(sets.Set[string], len(nodes))
		for _, node := range nodes {
			names.Insert(tree.NodeName(node))
		}
		n.sets[d] = names
	}
	return names
}
