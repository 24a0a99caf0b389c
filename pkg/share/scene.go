package share

// maxHeld bounds how many different amounts of idle GPU are told apart within a
// node for one task. Machines have at most 16 GPUs.
const maxHeld = 16

// held is GPUs of a node that fit the task and have the same amount idle, in
// thousandths: the first of them, and how many.
type held struct {
	idle  int64
	first int
	times int
}

// scene is one question to Best, worked out: what is idle on the node before
// and after, and the ways, called tries, to choose the GPUs.
type scene struct {
	node          *Node
	ask           ask
	cpu, cpuAfter int64
	gpu, gpuAfter int64

	// held is ascending by idle. A task for one GPU may take any of them, each
	// is a try. A task for several takes the tightest, all from the front; this
	// is its one try, and times says how many of each it takes. A task for none
	// has one try, which takes nothing.
	held  [maxHeld]held
	n     int
	tries int
	loss  [maxHeld]float64
}

// find fills held.
func (s *scene) find() {
	s.tries = 1
	if s.ask.gpus == 0 {
		return
	}
	for i, g := range s.node.GPUs {
		if g = idle(g); g >= s.ask.gpu {
			s.hold(g, i)
		}
	}
	if s.ask.gpus == 1 {
		s.tries = s.n
		return
	}
	left := s.ask.gpus
	for i := range s.n {
		s.held[i].times = min(s.held[i].times, left)
		if left -= s.held[i].times; left == 0 {
			s.n = i + 1
			break
		}
	}
}

// hold inserts a GPU with this much idle; of too many different amounts it
// keeps the smallest.
func (s *scene) hold(milli int64, gpu int) {
	at := s.n
	for at > 0 && s.held[at-1].idle >= milli {
		at--
	}
	switch {
	case at < s.n && s.held[at].idle == milli:
		s.held[at].times++
		return
	case at == maxHeld:
		return
	}
	s.n = min(s.n+1, maxHeld)
	copy(s.held[at+1:s.n], s.held[at:s.n-1])
	s.held[at] = held{idle: milli, first: gpu, times: 1}
}

// taken returns the GPUs that a try takes, with times of each.
func (s *scene) taken(try int) []held {
	if s.ask.gpus == 1 {
		return s.held[try : try+1]
	}
	return s.held[:s.n]
}

// times is how many of the GPUs a try takes.
func (s *scene) times(h held) int {
	if s.ask.gpus == 1 {
		return 1
	}
	return h.times
}

// Pick appends to into the GPUs that a task takes on the node, by index, the
// first of them as Best returns it, and nothing if it does not fit. A task for
// one GPU takes the one that costs least; a task for several takes the
// tightest, which are the first fully idle ones if it wants whole GPUs.
func (o *Outlook) Pick(n *Node, t *Task, into []int) []int {
	_, gpu, ok := o.Best(n, t)
	if !ok || gpu < 0 {
		return into
	}
	a := t.ask()
	if a.gpus == 1 {
		return append(into, gpu)
	}
	// The next one is the least (idle, index) above the one before.
	lastIdle, last := int64(-1), -1
	for range a.gpus {
		next, least := -1, int64(Whole+1)
		for i, g := range n.GPUs {
			g = idle(g)
			if g >= a.gpu && g < least && (g > lastIdle || g == lastIdle && i > last) {
				next, least = i, g
			}
		}
		into = append(into, next)
		lastIdle, last = least, next
	}
	return into
}
