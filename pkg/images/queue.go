package images

import (
	"context"
	"slices"
	"time"
)

// apiServer is the host of tasks that ask no registry.
const apiServer = ""

const (
	// fewestPerHost is how many workers one host may keep busy if nothing else is
	// said.
	fewestPerHost = 4
	// After an attempt without an answer, a host is left alone for a while.
	firstPause, lastPause = time.Second, 30 * time.Second
	// suspectedFor is how long it is remembered that a host did not answer if
	// nobody asks for more: somewhat longer than the longest pause of an image.
	suspectedFor = 10 * time.Minute
	// mostSuspects bounds how many hosts are remembered for that alone.
	mostSuspects = 1000
)

// task is what a worker does, without the store's lock.
type task interface {
	// host is whom the task asks.
	host() string
	// run reports whether the host answered, if only with an error.
	run(ctx context.Context, s *Store) (answered bool)
	// abandon takes the task out of the queue if nobody cares for it any more.
	// The lock is held.
	abandon(s *Store, now time.Time) bool
}

// queue hands tasks to workers, host by host in turn, so that a registry that
// answers slowly, or not at all, does not hold up the images of all others:
//
//   - A host has one worker until its first answer, then perHost.
//   - A host that did not answer is suspect until it does: one worker, and a
//     pause after each attempt, during which its tasks hold none.
//   - All hosts that are suspect or have not answered yet have three quarters of
//     the workers at most, together: those that answer always find some.
//
// Guarded by the store's lock. Each inquiry and each view is in it once at
// most, and pinned: what bounds pins bounds the queue.
type queue struct {
	store *Store
	// perHost and perSuspects are shares of the workers.
	perHost, perSuspects int
	lines                map[string]*line
	// ready are the lines of hosts that answer which have a task to be taken;
	// suspects those of all other hosts.
	ready, suspects []*line
	// busy counts tasks being done; probing those of hosts among suspects.
	busy, probing int
}

// line is the queue of one host, in order of arrival.
type line struct {
	host  string
	tasks []task
	busy  int
	// probing says that the task being done counts as one of a suspect's.
	probing bool
	// isReady: it is listed in ready or suspects.
	isReady bool
	// trusted: the last attempt that ended was answered.
	trusted bool
	// strikes counts the attempts in a row that were not; paused is set while
	// the host is left alone for it.
	strikes int
	paused  bool
	// alarm ends the pause, and later the suspicion.
	alarm   alarm
	forgive time.Time
}

func newQueue(s *Store, workers, perHost int) *queue {
	half, most := (workers+1)/2, (3*workers+3)/4
	return &queue{store: s, perHost: min(perHost, half), perSuspects: most, lines: map[string]*line{}}
}

func (q *queue) push(t task) {
	host := t.host()
	l := q.lines[host]
	if l == nil {
		l = &line{host: host, trusted: host == apiServer}
		l.alarm.ring = func(now time.Time) { q.rings(l, now) }
		q.lines[host] = l
	}
	l.tasks = append(l.tasks, t)
	q.list(l)
}

// pop takes a task, which the caller says is done later; nil if there is none
// that may be begun.
func (q *queue) pop() task {
	from := &q.ready
	if len(q.suspects) > 0 && q.probing < q.perSuspects {
		from = &q.suspects
	}
	if len(*from) == 0 {
		return nil
	}
	l := (*from)[0]
	(*from)[0] = nil
	*from = (*from)[1:]
	l.isReady = false
	t := l.tasks[0]
	l.tasks[0] = nil
	l.tasks = l.tasks[1:]
	q.busy++
	l.busy++
	if !l.trusted {
		l.probing = true
		q.probing++
	}
	q.list(l)
	return t
}

// done ends what pop began.
func (q *queue) done(t task, answered bool, now time.Time) {
	l := q.lines[t.host()]
	q.busy--
	l.busy--
	if l.probing && l.busy == 0 {
		l.probing = false
		q.probing--
	}
	switch {
	case answered:
		l.trusted, l.strikes, l.paused = true, 0, false
		q.store.stopAlarm(&l.alarm)
	case !l.paused: // or else it began before the pause, and tells nothing new
		pause := double(firstPause, lastPause, l.strikes)
		l.trusted, l.strikes, l.paused = false, l.strikes+1, true
		l.forgive = now.Add(suspectedFor)
		q.unlist(l)
		q.store.setAlarm(&l.alarm, now.Add(pause))
	}
	q.list(l)
	q.drop(l, now)
}

// rings ends a pause. What nobody cares for any more leaves the line then: it
// moves too slowly to come to an end by itself.
func (q *queue) rings(l *line, now time.Time) {
	if l.paused {
		kept := l.tasks[:0]
		for _, t := range l.tasks {
			if !t.abandon(q.store, now) {
				kept = append(kept, t)
			}
		}
		clear(l.tasks[len(kept):])
		l.tasks, l.paused = kept, false
		q.list(l)
		q.store.work.Signal()
	}
	q.drop(l, now)
}

// list makes the next task of a line available.
func (q *queue) list(l *line) {
	limit := 1
	if l.trusted {
		limit = q.perHost
	}
	if l.isReady || l.paused || len(l.tasks) == 0 || l.busy >= limit {
		return
	}
	l.isReady = true
	if !l.trusted {
		q.suspects = append(q.suspects, l)
	} else {
		q.ready = append(q.ready, l)
	}
}

func (q *queue) unlist(l *line) {
	if l.isReady {
		is := func(other *line) bool { return other == l }
		q.ready, q.suspects = slices.DeleteFunc(q.ready, is), slices.DeleteFunc(q.suspects, is)
		l.isReady = false
	}
}

// hasMore reports whether another worker finds something to do.
func (q *queue) hasMore() bool {
	return len(q.ready) > 0 || len(q.suspects) > 0 && q.probing < q.perSuspects
}

// drop forgets a line that has nothing to do, unless it is under suspicion.
func (q *queue) drop(l *line, now time.Time) {
	if l.busy > 0 || len(l.tasks) > 0 {
		return
	}
	if l.strikes > 0 && now.Before(l.forgive) && len(q.lines) <= mostSuspects {
		if !l.paused {
			q.store.setAlarm(&l.alarm, l.forgive)
		}
		return
	}
	q.store.stopAlarm(&l.alarm)
	delete(q.lines, l.host)
}
