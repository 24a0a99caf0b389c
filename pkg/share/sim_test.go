package share

import (
	"math"
	"math/rand"
	"slices"
	"testing"

	"plimsoll.dev/scheduler/internal/openb"
)

// The protocol of the FGD paper: tasks arrive one by one, none leaves and none
// is tried again. Under churn, tasks live for an exponential time instead.

// simTask is a Task with what the model does not look at.
type simTask struct {
	Task
	memory int64
}

type simNode struct {
	Node
	memory int64
	// version counts the changes, for the cache of losses.
	version int
}

// trace is a cluster and the list of tasks that arrivals are drawn from.
type trace struct {
	nodes []simNode
	tasks []simTask
	// pods are what the tasks were made of.
	pods []openb.Pod
}

func (tr *trace) capacity() (milli int64) {
	for i := range tr.nodes {
		milli += int64(len(tr.nodes[i].GPUs)) * Whole
	}
	return milli
}

func (tr *trace) supply() Supply {
	s := Supply{}
	for i := range tr.nodes {
		s[tr.nodes[i].Model] += int64(len(tr.nodes[i].GPUs))
	}
	return s
}

// policy answers as Best does. A policy whose answers change is told by epoch
// that cached ones are void.
type policy interface {
	best(n *Node, t *Task) (loss float64, gpu int, ok bool)
	observe(t *Task)
	// filled says what share of the GPU is in use.
	filled(used float64)
	epoch() any
	// ties tells whether equal losses are settled at random.
	ties() bool
}

// known is a cached answer, for one version of a node.
type known struct {
	version int
	loss    float64
	gpu     int
}

// cluster runs a policy over the nodes of a trace.
type cluster struct {
	// tb fails if a policy breaks the rules.
	tb     testing.TB
	nodes  []simNode
	policy policy
	rnd    *rand.Rand
	cache  map[int][]known // by class, see trace.classes
	at     any
	// used of the capacity, in thousandths of a GPU.
	used, capacity int64
}

func newCluster(tb testing.TB, tr *trace, p policy, rnd *rand.Rand) *cluster {
	c := &cluster{tb: tb, nodes: slices.Clone(tr.nodes), policy: p, rnd: rnd, cache: map[int][]known{}, capacity: tr.capacity()}
	for i := range c.nodes {
		c.nodes[i].GPUs = slices.Clone(c.nodes[i].GPUs)
	}
	// The names that settle ties are dealt out anew for every run.
	rnd.Shuffle(len(c.nodes), func(i, j int) { c.nodes[i], c.nodes[j] = c.nodes[j], c.nodes[i] })
	return c
}

// place returns the node and the GPUs a task is put on, or -1.
func (c *cluster) place(class int, t *simTask) (at int, gpus []int) {
	c.policy.filled(float64(c.used) / float64(c.capacity))
	if e := c.policy.epoch(); e != c.at {
		c.at = e
		clear(c.cache)
	}
	cached := c.cache[class]
	if cached == nil {
		cached = make([]known, len(c.nodes))
		for i := range cached {
			cached[i].version = -1
		}
		c.cache[class] = cached
	}
	at, equal, least := -1, 0, math.Inf(1)
	for i := range c.nodes {
		n, k := &c.nodes[i], &cached[i]
		if k.version != n.version {
			*k = known{n.version, math.Inf(1), -1}
			if n.memory >= t.memory {
				if loss, gpu, ok := c.policy.best(&n.Node, &t.Task); ok {
					k.loss, k.gpu = loss, gpu
				}
			}
		}
		switch {
		case k.loss < least:
			at, equal, least = i, 1, k.loss
		case k.loss == least && at >= 0 && c.policy.ties():
			if equal++; c.rnd.Intn(equal) == 0 {
				at = i
			}
		}
	}
	if at < 0 {
		return -1, nil
	}
	n := &c.nodes[at]
	switch {
	case t.GPUs == 1:
		gpus = []int{cached[at].gpu}
	case t.GPUs > 1:
		for g, milli := range n.GPUs {
			if milli >= t.GPUMilli && len(gpus) < t.GPUs {
				gpus = append(gpus, g)
			}
		}
	}
	c.change(at, t, gpus, 1)
	return at, gpus
}

// change takes a task's resources on a node, or with sign -1 gives them back.
func (c *cluster) change(at int, t *simTask, gpus []int, sign int64) {
	n := &c.nodes[at]
	n.version++
	n.IdleCPUMilli -= sign * t.CPUMilli
	n.memory -= sign * t.memory
	for _, g := range gpus {
		n.GPUs[g] -= sign * t.GPUMilli
		c.used += sign * t.GPUMilli
	}
	if n.IdleCPUMilli < 0 || n.memory < 0 || (len(gpus) > 0 && slices.Min(n.GPUs) < 0) {
		c.tb.Fatalf("the policy places more on node %d than there is: %+v", at, *n)
	}
}

// classes numbers the tasks of a trace so that equal ones share a number.
func (tr *trace) classes() []int {
	type key struct {
		cpu, gpu, memory int64
		gpus             int
		models           modelSet
	}
	ids := map[key]int{}
	out := make([]int, len(tr.tasks))
	for i := range tr.tasks {
		t := &tr.tasks[i]
		k := key{t.CPUMilli, t.GPUMilli, t.memory, t.GPUs, setOf(t.Models)}
		if _, ok := ids[k]; !ok {
			ids[k] = len(ids)
		}
		out[i] = ids[k]
	}
	return out
}

// fill follows the protocol and returns the percentage of GPU that is not
// allocated when each of the ratios of it, in ascending order, was asked for.
func fill(tb testing.TB, tr *trace, p policy, seed int64, ratios ...float64) (unallocated []float64) {
	rnd := rand.New(rand.NewSource(seed))
	c, classes := newCluster(tb, tr, p, rnd), tr.classes()
	order := rnd.Perm(len(tr.tasks))
	capacity, arrived, allocated := float64(tr.capacity()), int64(0), int64(0)
	for i := 0; len(unallocated) < len(ratios); i++ {
		k := 0
		if i < len(order) {
			k = order[i]
		} else {
			k = rnd.Intn(len(tr.tasks))
		}
		t := &tr.tasks[k]
		asked := t.ask().total()
		for len(unallocated) < len(ratios) && float64(arrived+asked) > ratios[len(unallocated)]*capacity {
			unallocated = append(unallocated, 100*(1-float64(allocated)/capacity))
		}
		arrived += asked
		p.observe(&t.Task)
		if at, _ := c.place(classes[k], t); at >= 0 {
			allocated += asked
		}
	}
	return unallocated
}

// accepted is the outcome of a run under churn, in percent.
type accepted struct {
	gpu   float64 // of the GPU asked for
	multi float64 // of the tasks for several GPUs
}

// churn lets tasks come and go as openb.Churn and internal/replay do: the same seed has
// the same tasks come at the same times. One that does not fit is lost. One mean life
// passes, and two are measured.
func churn(tb testing.TB, tr *trace, p policy, seed uint64, load float64) accepted {
	const warmUp, end = 1, 3
	c, classes := newCluster(tb, tr, p, rand.New(rand.NewSource(int64(seed)))), tr.classes()
	arrivals, err := openb.NewChurn(tr.pods, tr.capacity(), load, seed)
	if err != nil {
		tb.Fatal(err)
	}
	var leaving departures
	var asked, got, multi, multiGot float64
	for next := range arrivals.All() {
		if next.At > end {
			break
		}
		for len(leaving) > 0 && leaving[0].when <= next.At {
			d := leaving.pop()
			c.change(d.at, d.task, d.gpus, -1)
		}
		t := &tr.tasks[next.Pod]
		p.observe(&t.Task)
		at, gpus := c.place(classes[next.Pod], t)
		if at >= 0 {
			leaving.push(departure{next.Leaving, at, t, gpus})
		}
		if next.At < warmUp {
			continue
		}
		milli := float64(t.ask().total())
		asked += milli
		if t.GPUs > 1 {
			multi++
		}
		if at >= 0 {
			got += milli
			if t.GPUs > 1 {
				multiGot++
			}
		}
	}
	return accepted{100 * got / asked, 100 * multiGot / max(multi, 1)}
}

type departure struct {
	when float64
	at   int
	task *simTask
	gpus []int
}

// departures is a heap, the earliest first.
type departures []departure

func (d *departures) push(x departure) {
	*d = append(*d, x)
	h := *d
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if h[up].when <= h[i].when {
			return
		}
		h[up], h[i] = h[i], h[up]
		i = up
	}
}

func (d *departures) pop() departure {
	h := *d
	first := h[0]
	last := len(h) - 1
	h[0] = h[last]
	h = h[:last]
	*d = h
	for i := 0; ; {
		least := i
		for _, down := range [...]int{2*i + 1, 2*i + 2} {
			if down < last && h[down].when < h[least].when {
				least = down
			}
		}
		if least == i {
			return first
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}
