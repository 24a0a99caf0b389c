package registry

import (
	"sync"
	"time"
)

// lapsing is a bounded map of what is good for a while only: whoever names
// images chooses its keys.
type lapsing[K comparable, V any] struct {
	// most is how many entries there may be.
	most int

	mu      sync.Mutex
	entries map[K]lapse[V]
}

type lapse[V any] struct {
	value V
	until time.Time
}

func newLapsing[K comparable, V any](most int) *lapsing[K, V] {
	return &lapsing[K, V]{most: most, entries: map[K]lapse[V]{}}
}

// get returns the value and for how long it is still good; 0 if there is none.
func (l *lapsing[K, V]) get(key K, now time.Time) (value V, left time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[key]
	if left = e.until.Sub(now); left <= 0 {
		return value, 0
	}
	return e.value, left
}

// put replaces the value. Its end only ever moves later.
func (l *lapsing[K, V]) put(key K, value V, until, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, found := l.entries[key]
	if before.until.After(until) {
		until = before.until
	}
	if !found && len(l.entries) >= l.most {
		l.shrink(now)
	}
	l.entries[key] = lapse[V]{value: value, until: until}
}

func (l *lapsing[K, V]) forget(key K) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.entries, key)
}

// shrink makes room for one: what has lapsed goes, or else what would lapse
// first. The lock is held.
func (l *lapsing[K, V]) shrink(now time.Time) {
	var first K
	var soonest time.Time
	for key, e := range l.entries {
		if !e.until.After(now) {
			delete(l.entries, key)
		} else if soonest.IsZero() || e.until.Before(soonest) {
			first, soonest = key, e.until
		}
	}
	if len(l.entries) >= l.most {
		delete(l.entries, first)
	}
}
