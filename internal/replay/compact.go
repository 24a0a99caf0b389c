package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"plimsoll.dev/scheduler/internal/openb"
)

// Compact places all pods of a list, with their cores and memory only, on nodes of
// the trace's sizes without their GPUs, and looks for how few nodes will do.
//
// The nodes are put in an order by the seed, and so are the pods. Bisection finds a
// number of nodes, the first of that order, which take every pod while one fewer do
// not; each try is a placement from the start. A policy might fail with n nodes and
// succeed with fewer: it is a number of nodes that suffices, not a proof that no
// smaller one would.
type Compact struct {
	Nodes []openb.Node
	Pods  []openb.Pod
	// Seed decides both orders, and among nodes that score alike.
	Seed   uint64
	Policy Policy
	// Progress, if set, is told before every try how many nodes it has, after how
	// many tries.
	Progress func(tries, nodes int)
}

// Compacted is what came of a Compact.
type Compacted struct {
	Policy string
	Pods   int
	// Fewest nodes took every pod. Bound is the number of nodes, the first of the
	// same order, that have as many cores and as much memory as the pods ask for:
	// no policy could do with fewer of that order. Fewest is 0 if not even all nodes
	// took every pod.
	Fewest, Bound int
	// Touched is how many nodes took a pod when all were offered, and Unplaced how
	// many pods fitted nowhere then.
	Touched, Unplaced int
	// Tries is how often the list was placed, or was tried to be.
	Tries int
	// Seconds is how long all of them took.
	Seconds float64
}

// Run looks for the fewest nodes.
func (c *Compact) Run(ctx context.Context) (*Compacted, error) {
	nodes, pods := c.withoutGPUs()
	out := &Compacted{Policy: c.Policy.Name, Pods: len(pods), Bound: bound(nodes, pods)}
	if len(pods) == 0 || out.Bound == 0 {
		return nil, errors.New("compacting: want pods, and nodes that have as much as all of them ask for")
	}
	began := time.Now()
	var err error
	if out.Touched, out.Unplaced, err = c.try(ctx, out, nodes, pods, len(pods)); err != nil {
		return nil, err
	}
	if out.Unplaced == 0 {
		// Nodes that are enough, and one fewer than could be.
		enough, short := len(nodes), out.Bound-1
		for enough-short > 1 {
			n := (enough + short) / 2
			_, unplaced, err := c.try(ctx, out, nodes[:n], pods, 0)
			if err != nil {
				return nil, err
			}
			if unplaced == 0 {
				enough = n
			} else {
				short = n
			}
		}
		out.Fewest = enough
	}
	out.Seconds = time.Since(began).Seconds()
	return out, nil
}

// try places the pods on the nodes, until more than a number of them fitted nowhere.
func (c *Compact) try(ctx context.Context, out *Compacted, nodes []openb.Node, pods []openb.Pod, tolerated int) (touched, unplaced int, err error) {
	if c.Progress != nil {
		c.Progress(out.Tries, len(nodes))
	}
	out.Tries++
	w, err := newWorld(ctx, c.Policy, nodes, c.Seed, nil)
	if err != nil {
		return 0, 0, err
	}
	defer w.close()
	for i := range pods {
		if err := context.Cause(ctx); err != nil {
			return 0, 0, err
		}
		who, _, err := w.arrive(ctx, &pods[i], fmt.Sprintf("pod-%05d", i))
		if err != nil {
			return 0, 0, err
		}
		if who == nil {
			unplaced++
		}
		if unplaced > tolerated {
			break
		}
	}
	return w.tally.touched, unplaced, nil
}

// withoutGPUs are the nodes and pods in the seed's orders.
func (c *Compact) withoutGPUs() ([]openb.Node, []openb.Pod) {
	rnd := random(c.Seed, streamNodes)
	nodes, pods := make([]openb.Node, len(c.Nodes)), make([]openb.Pod, len(c.Pods))
	for i, at := range rnd.Perm(len(nodes)) {
		n := &c.Nodes[at]
		nodes[i] = openb.Node{Name: n.Name, CPUMilli: n.CPUMilli, MemoryMiB: n.MemoryMiB}
	}
	for i, at := range rnd.Perm(len(pods)) {
		p := &c.Pods[at]
		pods[i] = openb.Pod{Name: p.Name, CPUMilli: p.CPUMilli, MemoryMiB: p.MemoryMiB}
	}
	return nodes, pods
}

// bound is how many nodes, the first of the list, have as much as the pods ask for;
// 0 if all of them have less.
func bound(nodes []openb.Node, pods []openb.Pod) int {
	var cpu, memory int64
	for i := range pods {
		cpu += pods[i].CPUMilli
		memory += pods[i].MemoryMiB
	}
	for i := range nodes {
		cpu -= nodes[i].CPUMilli
		memory -= nodes[i].MemoryMiB
		if cpu <= 0 && memory <= 0 {
			return i + 1
		}
	}
	return 0
}
