package gang

import (
	"maps"
	"slices"
	"time"
)

// View is a group at one moment.
type View struct {
	// Name is what reasons call it.
	Name string
	// Pending members have no place, Assumed ones have one that the API server
	// does not know of yet, Bound ones run there.
	Pending, Assumed, Bound int64
	// Parked of the pending ones are held back.
	Parked int64
	// Started: members need not wait for each other. Waits: some still do.
	Started, Waits bool
	// NotBefore is when a group that failed may try again. Failed: it has, not
	// long ago, and did not start since.
	NotBefore time.Time
	Failed    bool
	// Except are domains that turned out not to do.
	Except []string
	// Hold is what is kept for it, without its slots; nil if nothing is.
	Hold *Hold
	// Held is for how many pods.
	Held int64
}

// All is how many members there are.
func (v View) All() int64 { return v.Pending + v.Assumed + v.Bound }

// Placed is how many of them have a place.
func (v View) Placed() int64 { return v.Assumed + v.Bound }

// View returns the group as it is now; the zero View if it has no members.
func (b *Book[K]) View(key K) View {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.groups[key]
	if g == nil {
		return View{}
	}
	v := View{
		Name: g.name, Pending: g.pending, Assumed: g.assumed, Bound: g.bound, Parked: g.parked,
		Started: g.started, Waits: !g.waits.IsZero(), NotBefore: g.notBefore, Failed: !g.failed.IsZero(), Except: g.except,
	}
	if g.hold != nil {
		copied := *g.hold
		copied.Slots = nil
		v.Hold, v.Held = &copied, g.hold.Pods()
	}
	return v
}

// EachPlace tells the node and revision of every member that has a place, in no
// particular order. It runs under the book's lock: do must not call it.
func (b *Book[K]) EachPlace(key K, do func(node, revision string)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if g := b.groups[key]; g != nil {
		for _, m := range g.members {
			if m.Node != "" {
				do(m.Node, m.Revision)
			}
		}
	}
}

// Slots returns where room is held for a group, by node.
func (b *Book[K]) Slots(key K) map[string]int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if g := b.groups[key]; g != nil && g.hold != nil {
		return maps.Clone(g.hold.Slots)
	}
	return nil
}

// Pending lists the members without a place by name.
func (b *Book[K]) Pending(key K) []Member {
	b.mu.Lock()
	defer b.mu.Unlock()
	if g := b.groups[key]; g != nil {
		return g.list(func(m *Member) bool { return m.Node == "" })
	}
	return nil
}

// Parked lists the members that are held back, by name. They count as woken from
// now on.
func (b *Book[K]) Parked(key K) []Member {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.groups[key]
	if g == nil || g.parked == 0 {
		return nil
	}
	out := g.list(func(m *Member) bool { return m.parked })
	for _, m := range g.members {
		g.change(m, func() { m.parked = false })
	}
	return out
}

// Placed lists the members that have a place, by name.
func (b *Book[K]) Placed(key K) []Member {
	b.mu.Lock()
	defer b.mu.Unlock()
	if g := b.groups[key]; g != nil {
		return g.list(func(m *Member) bool { return m.Node != "" })
	}
	return nil
}

// All lists all members of all groups that are mine.
func (b *Book[K]) All(mine func(K) bool) map[K][]Member {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[K][]Member{}
	for key, g := range b.groups {
		if mine(key) {
			out[key] = g.list(func(*Member) bool { return true })
		}
	}
	return out
}

func (g *group) list(is func(*Member) bool) []Member {
	var found []*Member
	for _, m := range g.members {
		if is(m) {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, byName)
	out := make([]Member, len(found))
	for i, m := range found {
		out[i] = *m
	}
	return out
}

// Keys lists the groups for which is says so, in no particular order.
func (b *Book[K]) Keys(is func(K) bool) []K {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []K
	for key := range b.groups {
		if is(key) {
			out = append(out, key)
		}
	}
	return out
}

// Split lists the groups that have members with and members without a place, and
// nothing held for the latter: after a restart, they are to go on.
func (b *Book[K]) Split() []K {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []K
	for key, g := range b.groups {
		if g.assumed+g.bound > 0 && g.pending > 0 && g.hold == nil {
			out = append(out, key)
		}
	}
	return out
}

// Due is what time has brought about.
type Due[K comparable] struct {
	// TimedOut groups have waited too long for the rest of them.
	TimedOut []K
	// Started are the UIDs of members that may still wait, although they need
	// not: their groups have started.
	Started []string
	// Again are those whose time to try again has come.
	Again []K
}

// forgiven is after how long a failure counts no more.
const forgiven = 5 * time.Minute

// Tick lets holds expire, forgets old failures, and tells what is due, of the groups that are mine. A
// group is named in Again once for each time that it failed.
func (b *Book[K]) Tick(now time.Time, mine func(K) bool) Due[K] {
	b.mu.Lock()
	var due Due[K]
	free := false
	for key, g := range b.groups {
		if !mine(key) {
			continue
		}
		if g.hold != nil && g.waits.IsZero() && !now.Before(g.expires) {
			g.hold, free = nil, true
		}
		if g.started {
			g.waits, g.failed = time.Time{}, time.Time{}
			due.Started = append(due.Started, g.assumedMembers()...)
		} else if !g.waits.IsZero() && !now.Before(g.deadline) {
			due.TimedOut = append(due.TimedOut, key)
		}
		if !g.failed.IsZero() && now.Sub(g.failed) >= forgiven {
			g.failed, g.failures, g.except = time.Time{}, 0, nil
		}
		if !g.notBefore.IsZero() && !now.Before(g.notBefore) {
			g.notBefore = time.Time{}
			due.Again = append(due.Again, key)
		}
	}
	if free {
		b.publish()
	}
	b.mu.Unlock()
	if free {
		b.freed()
	}
	return due
}
