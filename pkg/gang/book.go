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
	members map[string]*Member
	started bool
	hold    *Hold
	// expires is when the hold ends, keep how long it outlasts a change.
	expires time.Time
	keep    time.Duration
	// waits is since when a member waits for the others, zero if none does, and
	// deadline when they wait no longer.
	waits, deadline time.Time
	// failures in a row, and when to try again; except are domains, as paths,
	// that turned out not to do.
	failures  int
	notBefore time.Time
	except    []string
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
	defer b.mu.Unlock()
	g := b.groups[key]
	if g == nil {
		g = &group{members: map[string]*Member{}}
		b.groups[key] = g
	}
	known := g.members[m.UID]
	if known == nil {
		known = &Member{}
		g.members[m.UID] = known
	}
	known.UID, known.Name, known.Revision = m.UID, m.Name, m.Revision
	if m.Node == "" {
		return
	}
	if known.Node == "" && g.hold != nil { // placed by somebody else
		g.hold.take(m.Node)
		b.publish()
	}
	known.Node, known.bound, known.parked = m.Node, true, false
	g.started = true
}

// Remove forgets a pod that is gone, finished or about to go.
func (b *Book[K]) Remove(key K, uid string) {
	b.mu.Lock()
	free := false
	if g := b.groups[key]; g != nil && g.members[uid] != nil {
		delete(g.members, uid)
		if len(g.members) == 0 {
			free = g.hold != nil
			delete(b.groups, key)
			b.publish()
		} else {
			g.settle()
		}
	}
	b.mu.Unlock()
	if free {
		b.freed()
	}
}

// settle ends what depends on members having a place once none has.
func (g *group) settle() {
	for _, m := range g.members {
		if m.Node != "" {
			return
		}
	}
	g.started, g.waits = false, time.Time{}
}

// Assume notes that a member is about to be bound to a node, where it uses up
// room that is held for it.
func (b *Book[K]) Assume(key K, uid, node string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.groups[key]
	if g == nil || g.members[uid] == nil || g.members[uid].Node != "" {
		return
	}
	g.members[uid].Node, g.members[uid].parked = node, false
	if g.hold != nil {
		g.hold.take(node)
		g.expires = now.Add(g.keep)
		b.publish()
	}
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
	node := g.members[uid].Node
	g.members[uid].Node = ""
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
		g.members[uid].parked = true
	}
}

// Hold has room kept for a group, in place of what was kept before. It outlasts
// the last member that took its place by keep.
func (b *Book[K]) Hold(key K, h *Hold, now time.Time, keep time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if g := b.groups[key]; g != nil {
		g.hold, g.keep, g.expires = h, keep, now.Add(keep)
		b.publish()
	}
}

// Wait notes that a member waits for the others. The first to do so sets how long
// they all wait.
func (b *Book[K]) Wait(key K, now time.Time, patience time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if g := b.groups[key]; g != nil && g.waits.IsZero() {
		g.waits, g.deadline = now, now.Add(patience)
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
	g.started, g.failures, g.except, g.waits = true, 0, nil, time.Time{}
	return g.assumed(), since
}

// Fail ends the attempt of a group that has not started: its hold is given up, no
// member has a place any more, and it tries again later, not in the domain except
// ("" for any). It returns the UIDs of the members that have to give way, and how
// long the group waits; ok is false if there was nothing to give up.
func (b *Book[K]) Fail(key K, except string, now time.Time) (assumed []string, wait time.Duration, ok bool) {
	b.mu.Lock()
	g := b.groups[key]
	if g == nil || g.started || g.hold == nil && g.waits.IsZero() {
		b.mu.Unlock()
		return nil, 0, false
	}
	free := g.hold != nil
	g.hold, g.waits = nil, time.Time{}
	g.failures++
	wait = backoff(g.failures)
	g.notBefore = now.Add(wait)
	if except != "" && !slices.Contains(g.except, except) {
		g.except = append(slices.Clone(g.except), except)
	}
	assumed = g.assumed()
	for _, uid := range assumed {
		g.members[uid].Node = ""
	}
	b.publish()
	b.mu.Unlock()
	if free {
		b.freed()
	}
	return assumed, wait, true
}

// Reconsider forgets which domains turned out not to do.
func (b *Book[K]) Reconsider(key K) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if g := b.groups[key]; g != nil {
		g.except = nil
	}
}

// assumed lists the members that have a place the API server does not know of.
func (g *group) assumed() []string {
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
