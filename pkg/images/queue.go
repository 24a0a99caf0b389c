package images

import "context"

// task is what a worker does, without the store's lock.
type task interface {
	// host is whom the task asks: tasks for one host take only a part of the
	// workers.
	host() string
	run(ctx context.Context, s *Store)
}

// queue hands tasks to workers, host by host in turn, so that a registry that
// answers slowly, or not at all, does not hold up the images of all others.
// Guarded by the store's lock. Each inquiry and each view is in it once at
// most, and pinned: what bounds pins bounds the queue.
type queue struct {
	// perHost is how many workers one host may keep busy.
	perHost int
	lines   map[string]*line
	// ready are the lines that have a task which may be taken.
	ready []*line
}

// line is the queue of one host, in order of arrival.
type line struct {
	tasks []task
	busy  int
	// isReady: it is listed in ready.
	isReady bool
}

func newQueue(workers int) *queue {
	return &queue{perHost: (workers + 1) / 2, lines: map[string]*line{}}
}

func (q *queue) push(t task) {
	l := q.lines[t.host()]
	if l == nil {
		l = &line{}
		q.lines[t.host()] = l
	}
	l.tasks = append(l.tasks, t)
	q.list(l)
}

// pop takes a task, which the caller says is done later; nil if there is none
// that may be begun.
func (q *queue) pop() task {
	if len(q.ready) == 0 {
		return nil
	}
	l := q.ready[0]
	q.ready[0] = nil
	q.ready = q.ready[1:]
	l.isReady = false
	t := l.tasks[0]
	l.tasks[0] = nil
	l.tasks = l.tasks[1:]
	l.busy++
	q.list(l)
	return t
}

func (q *queue) done(t task) {
	l := q.lines[t.host()]
	l.busy--
	if q.list(l); l.busy == 0 && len(l.tasks) == 0 {
		delete(q.lines, t.host())
	}
}

func (q *queue) list(l *line) {
	if !l.isReady && len(l.tasks) > 0 && l.busy < q.perHost {
		l.isReady = true
		q.ready = append(q.ready, l)
	}
}
