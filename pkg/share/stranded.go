package share

// Stranding is idle GPU, in thousandths, of which the next task of the mix is
// expected to find Fragments and Coreless of no use to it.
type Stranding struct {
	Idle float64
	// Fragments are too small for the task, or of a model it does not accept.
	Fragments float64
	// Coreless would do, but the node has no cores to go with them.
	Coreless float64
}

// Stranded returns what is idle and what is stranded on the node, averaged over
// the GPU tasks of the mix. Before a mix is known, nothing counts as stranded.
func (o *Outlook) Stranded(n *Node) Stranding {
	s := Stranding{Idle: float64(n.idleGPU())}
	for i := range o.groups {
		g := &o.groups[i]
		small, fitting := g.count(n)
		lost := g.lose(n.Model, small, fitting, n.idleGPU(), max(n.IdleCPUMilli, 0))
		s.Fragments += lost.fragments
		s.Coreless += lost.barred + lost.starved
	}
	return s
}

// count sums what is idle in GPUs too small for the group, and counts the GPUs
// that are not.
func (g *group) count(n *Node) (small int64, fitting int) {
	for _, r := range n.GPUs {
		if r = idle(r); r < g.gpu {
			small += r
		} else {
			fitting++
		}
	}
	return small, fitting
}

// lost is the idle GPU a group cannot use, in thousandths times popularity.
type lost struct {
	fragments float64 // too small, too few, or of another model
	barred    float64 // lost to classes that find too few cores for one task
	starved   float64 // beyond the tasks there are cores for
}

// lose works out what the group loses of a node with this much idle in small
// pieces and in all, this many GPUs that fit, and this much idle CPU.
func (g *group) lose(m Model, small int64, fitting int, gpu, cpu int64) (l lost) {
	if fitting < g.gpus || !g.models.has(m) {
		l.fragments = g.popularity * float64(gpu)
		return l
	}
	l.fragments = g.popularity * float64(small)
	usable := float64(gpu - small)
	for i := range g.classes {
		c := &g.classes[i]
		if c.cpu > cpu {
			l.barred += c.popularity * usable
		} else if fed := c.reach * float64(cpu); fed < usable && c.cpu > 0 {
			l.starved += c.popularity * (usable - fed)
		}
	}
	return l
}
