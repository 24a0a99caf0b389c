package gang

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Book is what is known of all groups; K identifies one. It is safe for
// concurrent use.
type Book[K comparable] struct {
	// freed is told, without a lock, that held room became free.
	freed func()

	mu      sync.Mutex
	groups  map[K]*group
	charges atomic.Pointer[Charges[K]]
}

type group struct {
	name    string
	members map[string]*Member
	// pending, assumed, bound and parked count the members of each kind.
	pending, assumed, bound, parked int64
	started                         bool
	hold                            *Hold
	// expires is when the hold ends, keep how long it outlasts a change.
	expires time.Time
	keep    time.Duration
	// idle: a member found no place although the group has started; no room is
	// held for it again until another does.
	idle bool
	// waits is since when a member waits for the others, zero if none does, and
	// deadline when they wait no longer. attempt counts the failures there ever
	// were, so that what is left of one attempt does not end the next.
	waits, deadline time.Time
	attempt         int
	// except are domains, as paths, that turned out not to do; failures is how
	// often in a row all had been tried, or none could be blamed; notBefore is when
	// to try again, failed when it last did not work.
	failures  int
	notBefore time.Time
	failed    time.Time
	except    []string
}

// count keeps the group's counts true around a change of one member.
func (g *group) count(m *Member, by int64) {
	switch {
	case m.Node == "":
		g.pending += by
	case m.bound:
		g.bound += by
	default:
		g.assumed += by
	}
	if m.parked {
		g.parked += by
	}
}

// change does something to a member.
func (g *group) change(m *Member, do func()) {
	g.count(m, -1)
	do()
	g.count(m, 1)
}

// NewBook returns an empty book; freed, which may be nil, is told when held room
// becomes free other than by a member taking it.
func NewBook[K comparable](freed func()) *Book[K] {
	if freed == nil {
		freed = func() {}
	}
	return &Book[K]{freed: freed, groups: map[K]*group{}}
}

// Charges is what is held for groups now; nil if nothing is.
func (b *Book[K]) Charges() Charges[K] {
	if c := b.charges.Load(); c != nil {
		return *c
	}
	return nil
}

// Observe notes that a pod exists and, if it has one, its node. A member that was
// assumed on a node stays there although the API server does not know it yet.
func (b *Book[K]) Observe(key K, m Member) {
	b.mu.Lock()
	g := b.groups[key]
	if g == nil {
		g = &group{members: map[string]*Member{}}
		b.groups[key] = g
	}
	if m.Group != "" {
		g.name = m.Group
	}
	known := g.members[m.UID]
	if known == nil {
		known = &Member{}
		g.members[m.UID] = known
		g.count(known, 1)
	}
	known.UID, known.Name, known.Revision, known.Alone = m.UID, m.Name, m.Revision, m.Alone
	free := false
	if m.Node != "" {
		if known.Node == "" && g.hold != nil { // placed by somebody else
			free = g.hold.take(m.Node)
			b.publish()
		}
		g.change(known, func() { known.Node, known.bound, known.parked = m.Node, true, false })
		g.started = g.started || !known.Alone
	}
	b.unlock(free)
}

// unlock ends a change, and tells if it freed room.
func (b *Book[K]) unlock(free bool) {
	b.mu.Unlock()
	if free {
		b.freed()
	}
}

// Remove forgets a pod that is gone, finished or about to go.
func (b *Book[K]) Remove(key K, uid string) {
	b.mu.Lock()
	free := false
	if g := b.groups[key]; g != nil && g.members[uid] != nil {
		g.count(g.members[uid], -1)
		delete(g.members, uid)
		if len(g.members) == 0 {
			free = g.hold != nil
			delete(b.groups, key)
			b.publish()
		} else {
			g.settle()
		}
	}
	b.unlock(free)
}

// settle ends what depends on members having a place once none has.
func (g *group) settle() {
	if g.assumed+g.bound == 0 {
		g.started, g.idle, g.waits = false, false, time.Time{}
	}
}

// Assume notes that a member is about to be bound to a node, where it uses up
// room that is held for it.
func (b *Book[K]) Assume(key K, uid, node string, now time.Time) {
	b.mu.Lock()
	free := false
	if g := b.groups[key]; g != nil && g.members[uid] != nil && g.members[uid].Node == "" {
		m := g.members[uid]
		g.change(m, func() { m.Node, m.parked = node, false })
		g.idle = false
		if g.hold != nil {
			free = g.hold.take(node)
			g.expires = now.Add(g.keep)
			b.publish()
		}
	}
	b.unlock(free)
}

// Forget notes that a member was not bound after all. The room it leaves is held
// for it if the group's hold still stands.
func (b *Book[K]) Forget(key K, uid string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.groups[key]
	if g == nil || g.members[uid] == nil || g.members[uid].bound || g.members[uid].Node == "" {
		return
	}
	m := g.members[uid]
	node := m.Node
	g.change(m, func() { m.Node = "" })
	g.settle()
	if g.hold != nil {
		g.hold.Slots[node]++
		b.publish()
	}
}

// Park notes that a member is held back.
func (b *Book[K]) Park(key K, uid string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if g := b.groups[key]; g != nil && g.members[uid] != nil {
		m := g.members[uid]
		g.change(m, func() { m.parked = true })
	}
}

// Hold has room kept for a group, in place of what was kept before. It outlasts
// the last member that took its place by keep.
func (b *Book[K]) Hold(key K, h *Hold, now time.Time, keep time.Duration) {
	b.mu.Lock()
	free := false
	if g := b.groups[key]; g != nil && !g.idle {
		free = g.hold != nil
		g.hold, g.keep, g.expires = h, keep, now.Add(keep)
		b.publish()
	}
	b.unlock(free)
}

// Idle gives up what is held for a group that has started, of which a member
// finds no place: no room is held for it again until another member does.
func (b *Book[K]) Idle(key K) {
	b.mu.Lock()
	free := false
	if g := b.groups[key]; g != nil {
		free, g.hold, g.idle = g.hold != nil, nil, true
		b.publish()
	}
	b.unlock(free)
}

// Wait notes that a member waits for the others. The first to do so sets how long
// they all wait. It returns the number of the group's attempt, and whether the
// member is the first of it.
func (b *Book[K]) Wait(key K, now time.Time, patience time.Duration) (attempt int, first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.groups[key]
	if g == nil {
		return 0, false
	}
	if first = g.waits.IsZero(); first {
		g.waits, g.deadline = now, now.Add(patience)
	}
	return g.attempt, first
}

// Extend lets the members that wait for each other do so until then, at least.
func (b *Book[K]) Extend(key K, until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.groups[key]
	if g == nil {
		return
	}
	if until.After(g.deadline) {
		g.deadline = until
	}
	if until.After(g.expires) {
		g.expires = until
	}
}

// Start notes that enough members have a place: they need not wait for each other
// any more. It returns the UIDs of those that may be waiting, and since when;
// none if the group had started before.
func (b *Book[K]) Start(key K) (assumed []string, since time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.groups[key]
	if g == nil || g.started {
		return nil, time.Time{}
	}
	since = g.waits
	g.started, g.idle, g.failures, g.except, g.waits = true, false, 0, nil, time.Time{}
	return g.assumedMembers(), since
}

// Fail ends an attempt of a group that has not started: its hold is given up, no
// member has a place any more, and it tries again later, not in the domain except
// ("" for any). It returns the UIDs of the members that have to give way, and how
// long the group waits: longer each time that it has tried all domains in vain. ok
// is false if there was nothing to give up, or the attempt, Now for the one that is
// on, is over already.
func (b *Book[K]) Fail(key K, except string, attempt int, now time.Time) (assumed []string, wait time.Duration, ok bool) {
	b.mu.Lock()
	g := b.groups[key]
	if g == nil || g.started || g.hold == nil && g.waits.IsZero() && except == "" || attempt != Now && attempt != g.attempt {
		b.mu.Unlock()
		return nil, 0, false
	}
	free := g.hold != nil
	g.hold, g.waits = nil, time.Time{}
	g.attempt++
	wait = backoff(g.failures + 1)
	if except == "" {
		g.failures++
	}
	g.notBefore, g.failed = now.Add(wait), now
	if except != "" && !slices.Contains(g.except, except) {
		g.except = append(slices.Clone(g.except), except)
	}
	assumed = g.assumedMembers()
	for _, uid := range assumed {
		m := g.members[uid]
		g.change(m, func() { m.Node = "" })
	}
	b.publish()
	b.unlock(free)
	return assumed, wait, true
}

// Now is the attempt that is on.
const Now = -1

// Reconsider forgets which domains turned out not to do: all of them were tried.
func (b *Book[K]) Reconsider(key K) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if g := b.groups[key]; g != nil {
		g.except = nil
		g.failures++
	}
}

// assumedMembers lists those that have a place the API server does not know of.
func (g *group) assumedMembers() []string {
	if g.assumed == 0 {
		return nil
	}
	var out []string
	for _, m := range g.members {
		if m.Node != "" && !m.bound {
			out = append(out, m.UID)
		}
	}
	slices.Sort(out)
	return out
}

// publish renews the charges; the caller holds the lock.
func (b *Book[K]) publish() {
	charges := Charges[K]{}
	for key, g := range b.groups {
		if g.hold == nil {
			continue
		}
		for node, pods := range g.hold.Slots {
			charges[node] = append(charges[node], Charge[K]{key, g.hold.Name, g.hold.Priority, g.hold.Soft, g.hold.Need, pods})
		}
	}
	if len(charges) == 0 {
		b.charges.Store(nil)
		return
	}
	b.charges.Store(&charges)
}
