package stack

import (
	"runtime"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// mortalClock is the wall clock, until it dies: then whoever waits on it wakes, and whoever comes to wait
// on it again ends. The delaying queues inside kwok's controllers loop over clock.After in a goroutine of
// their own that nothing else can stop; they are the only ones that call After.
type mortalClock struct {
	clock.RealClock

	mu      sync.Mutex
	dead    bool                           // guarded by mu
	waiting map[chan time.Time]*time.Timer // guarded by mu; each channel has room for one value
}

func newMortalClock() *mortalClock {
	return &mortalClock{waiting: map[chan time.Time]*time.Timer{}}
}

// After is clock.Clock's. On a dead clock it ends the calling goroutine.
func (c *mortalClock) After(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		runtime.Goexit()
	}
	ch := make(chan time.Time, 1)
	c.waiting[ch] = time.AfterFunc(d, func() { c.wake(ch) })
	return ch
}

func (c *mortalClock) wake(ch chan time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.waiting[ch]; ok {
		delete(c.waiting, ch)
		ch <- time.Now()
	}
}

// die wakes everyone for the last time.
func (c *mortalClock) die() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = true
	for ch, timer := range c.waiting {
		timer.Stop()
		ch <- time.Now()
	}
	clear(c.waiting)
}
