package images

// slot is one remembered thing's place in the order of use. It is embedded in,
// or pointed to by, what it stands for.
type slot struct {
	// prev and next are nil while the slot is pinned or not remembered.
	prev, next *slot
	owner      forgetter
	bytes      int64
	// pins counts who needs the thing to stay: askers who wait for it, and the
	// work that is queued or done for it.
	pins int
}

// forgetter takes itself out of the store's maps; the lru has let go already.
type forgetter interface {
	forget(*Store)
}

// lru bounds the bytes of all that is remembered. Things are forgotten in the
// order of their last use. What is touched together is touched child first, so
// that nothing outlives what it points to. Guarded by the store's lock.
type lru struct {
	root slot // of a ring: next was used last, prev the longest ago
	max  int64
	// total includes what is held; held is what cannot be forgotten now: pinned
	// slots, and changes that listeners were not told yet.
	total, held int64
}

func newLRU(limit int64) *lru {
	l := &lru{max: limit}
	l.root.prev, l.root.next = &l.root, &l.root
	return l
}

func (l *lru) add(sl *slot, owner forgetter, bytes int64) {
	sl.owner, sl.bytes = owner, bytes
	l.total += bytes
	l.link(sl)
}

func (l *lru) remove(sl *slot) {
	if sl.pins > 0 {
		l.held -= sl.bytes
		sl.pins = 0
	} else {
		l.unlink(sl)
	}
	l.total -= sl.bytes
}

func (l *lru) touch(sl *slot) {
	if sl.pins == 0 && l.root.next != sl {
		l.unlink(sl)
		l.link(sl)
	}
}

func (l *lru) resize(sl *slot, bytes int64) {
	l.total += bytes - sl.bytes
	if sl.pins > 0 {
		l.held += bytes - sl.bytes
	}
	sl.bytes = bytes
}

func (l *lru) pin(sl *slot) {
	if sl.pins == 0 {
		l.unlink(sl)
		l.held += sl.bytes
	}
	sl.pins++
}

func (l *lru) unpin(sl *slot) {
	sl.pins--
	if sl.pins == 0 {
		l.held -= sl.bytes
		l.link(sl)
	}
}

// hold accounts for bytes outside of any slot; a negative number releases them.
func (l *lru) hold(bytes int64) {
	l.held += bytes
	l.total += bytes
}

// room reports whether more may be held. The other half of the bound is left to
// what is known, lest a flood of new images costs the answers for the old ones.
func (l *lru) room() bool { return l.held < l.max/2 }

// oldest is the slot to forget next; nil if all that is left is pinned.
func (l *lru) oldest() *slot {
	if l.root.prev == &l.root {
		return nil
	}
	return l.root.prev
}

func (l *lru) link(sl *slot) {
	sl.prev, sl.next = &l.root, l.root.next
	sl.prev.next, sl.next.prev = sl, sl
}

func (*lru) unlink(sl *slot) {
	sl.prev.next, sl.next.prev = sl.next, sl.prev
	sl.prev, sl.next = nil, nil
}
