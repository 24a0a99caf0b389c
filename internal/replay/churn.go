package replay

import (
	"container/heap"
	"context"
	"fmt"
	"math"
	"time"

	"plimsoll.dev/scheduler/internal/openb"
)

// Churn lets pods come and go, as openb.Churn has them arrive. One that does not fit
// when it arrives is lost. Time is counted in mean lifetimes: first a warm-up, then
// what is measured.
type Churn struct {
	Nodes []openb.Node
	Pods  []openb.Pod
	// Load is what pods would hold on average if none were lost, as a multiple of
	// the GPUs. 0 is 1.
	Load   float64
	Seed   uint64
	Policy Policy
	// Known is as in Fill.
	Known bool
	// WarmUp and Measured are mean lifetimes. 0 are 1 and 2.
	WarmUp, Measured float64
	// Progress, if set, is told after every pod how many of about how many have
	// arrived.
	Progress func(done, all int)
}

// Churned is what came of a Churn, of the pods that arrived while it was measured.
type Churned struct {
	Policy string
	// Arrived counts them, Lost those that fitted nowhere; MultiGPU and
	// MultiGPULost are the same of those for several GPUs.
	Arrived, Lost, MultiGPU, MultiGPULost int
	// GPUAcceptedPercent is what of the GPU that they asked for was granted:
	// acceptance weighted by GPU. MultiGPUAcceptedPercent is the share of pods for
	// several GPUs that were placed.
	GPUAcceptedPercent, MultiGPUAcceptedPercent float64
	// AskedPercent is the GPU that they asked for in a mean lifetime, of all there
	// is: the load that chance made of the one that was meant.
	AskedPercent float64
	// Seconds is how long it took, without preparations.
	Seconds float64
}

// Run replays the trace. Errors are as those of Fill.Run.
func (c *Churn) Run(ctx context.Context) (*Churned, error) {
	with := *c
	for value, usual := range map[*float64]float64{&with.Load: 1, &with.WarmUp: 1, &with.Measured: 2} {
		if *value == 0 {
			*value = usual
		}
		if !(*value > 0) || math.IsInf(*value, 0) {
			return nil, fmt.Errorf("churning at load %v, for %v and then %v mean lifetimes: want all above 0", c.Load, c.WarmUp, c.Measured)
		}
	}
	arrivals, err := openb.NewChurn(c.Pods, openb.Capacity(c.Nodes), with.Load, c.Seed)
	if err != nil {
		return nil, err
	}
	w, err := newWorld(ctx, c.Policy, c.Nodes, c.Seed, nil)
	if err != nil {
		return nil, err
	}
	defer w.close()
	if c.Known {
		if err := w.learn(ctx, c.Pods, c.Seed); err != nil {
			return nil, fmt.Errorf("showing the scheduler the mix: %w", err)
		}
	}
	began := time.Now()
	run := &churning{Churn: &with, world: w, out: &Churned{Policy: c.Policy.Name}}
	if err := run.live(ctx, arrivals); err != nil {
		return nil, err
	}
	run.out.Seconds = time.Since(began).Seconds()
	return run.out, nil
}

// churning is a Churn under way.
type churning struct {
	*Churn
	world   *world
	out     *Churned
	arrived int
	leaving departures
	// asked and granted are thousandths of a GPU, of the pods that are measured.
	asked, granted int64
}

// live runs from the beginning to the end of what is measured.
func (c *churning) live(ctx context.Context, arrivals *openb.Churn) error {
	all := int(arrivals.PerLife * (1 + c.WarmUp + c.Measured))
	for next := range arrivals.All() {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if next.At > c.WarmUp+c.Measured {
			break
		}
		for len(c.leaving) > 0 && c.leaving[0].when <= next.At {
			if err := c.world.leave(ctx, heap.Pop(&c.leaving).(departure).who); err != nil {
				return err
			}
		}
		if err := c.arrive(ctx, &c.Pods[next.Pod], next.Leaving, next.At >= c.WarmUp); err != nil {
			return err
		}
		if c.Progress != nil {
			c.Progress(min(c.arrived, all), all)
		}
	}
	c.out.GPUAcceptedPercent = percent(c.granted, c.asked)
	c.out.AskedPercent = percent(c.asked, openb.Capacity(c.Nodes)) / c.Measured
	c.out.MultiGPUAcceptedPercent = percent(int64(c.out.MultiGPU-c.out.MultiGPULost), int64(c.out.MultiGPU))
	return nil
}

// arrive tries one pod.
func (c *churning) arrive(ctx context.Context, p *openb.Pod, until float64, measured bool) error {
	name := fmt.Sprintf("pod-%06d", c.arrived)
	c.arrived++
	who, _, err := c.world.arrive(ctx, p, name)
	switch {
	case err != nil:
		return err
	case who != nil:
		heap.Push(&c.leaving, departure{until, who})
	default:
		if err := c.world.remove(ctx, p, name); err != nil {
			return err
		}
	}
	if !measured {
		return nil
	}
	c.out.Arrived++
	c.asked += p.Asks()
	if p.GPUs > 1 {
		c.out.MultiGPU++
	}
	switch {
	case who != nil:
		c.granted += p.Asks()
	case p.GPUs > 1:
		c.out.MultiGPULost++
		fallthrough
	default:
		c.out.Lost++
	}
	return nil
}

// departure is when a tenant leaves.
type departure struct {
	when float64
	who  *tenant
}

// departures is a heap, the earliest first.
type departures []departure

func (d departures) Len() int           { return len(d) }
func (d departures) Less(i, j int) bool { return d[i].when < d[j].when }
func (d departures) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }

// Push implements heap.Interface.
func (d *departures) Push(x any) { *d = append(*d, x.(departure)) }

// Pop implements heap.Interface.
func (d *departures) Pop() any {
	last := len(*d) - 1
	out := (*d)[last]
	*d = (*d)[:last]
	return out
}
