package images

import (
	"container/heap"
	"context"
	"time"
)

// alarm is something to do at a time. Each thing that needs one owns it for
// life and sets it again and again, so the number of alarms is bounded by what
// is remembered.
type alarm struct {
	at    time.Time
	index int // in the heap plus 1; 0 if not set
	ring  func(now time.Time)
}

func (a *alarm) isSet() bool { return a.index > 0 }

// alarms is a heap of those that are set, the next one first.
type alarms []*alarm

func (h alarms) Len() int           { return len(h) }
func (h alarms) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h alarms) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}

// Push implements heap.Interface.
func (h *alarms) Push(x any) {
	a := x.(*alarm)
	*h = append(*h, a)
	a.index = len(*h)
}

// Pop implements heap.Interface.
func (h *alarms) Pop() any {
	last := len(*h) - 1
	a := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	a.index = 0
	return a
}

// setAlarm sets or moves the alarm. The lock is held.
func (s *Store) setAlarm(a *alarm, at time.Time) {
	a.at = at
	if a.isSet() {
		heap.Fix(&s.alarms, a.index-1)
	} else {
		heap.Push(&s.alarms, a)
	}
	if s.alarms[0] == a {
		select {
		case s.alarmMoved <- struct{}{}:
		default: // the watch is told already
		}
	}
}

// stopAlarm makes sure that the alarm does not ring. The lock is held.
func (s *Store) stopAlarm(a *alarm) {
	if a.isSet() {
		heap.Remove(&s.alarms, a.index-1)
	}
}

// farOff is how long the watch sleeps if no alarm is set.
const farOff = time.Hour

// ringAlarms rings what is due and returns when to look again.
func (s *Store) ringAlarms() (now, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now = s.clock.Now()
	for len(s.alarms) > 0 && !s.alarms[0].at.After(now) {
		heap.Pop(&s.alarms).(*alarm).ring(now)
	}
	s.shrink()
	if len(s.alarms) > 0 {
		return now, s.alarms[0].at
	}
	return now, now.Add(farOff)
}

// watch rings alarms until the context ends.
func (s *Store) watch(ctx context.Context) {
	for ctx.Err() == nil {
		now, next := s.ringAlarms()
		timer := s.clock.NewTimer(next.Sub(now))
		// The timer counts from when it was made. A clock that was set in
		// between would make it late.
		if s.clock.Since(now) > 10*time.Millisecond {
			timer.Stop()
			continue
		}
		select {
		case <-ctx.Done():
		case <-timer.C():
		case <-s.alarmMoved:
		}
		timer.Stop()
	}
}
