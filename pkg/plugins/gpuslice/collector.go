package gpuslice

import (
	"cmp"
	"context"
	"maps"
	"slices"

	corelisters "k8s.io/client-go/listers/core/v1"

	"plimsoll.dev/scheduler/pkg/devices"
	"plimsoll.dev/scheduler/pkg/inventory"
	"plimsoll.dev/scheduler/pkg/metrics"
	"plimsoll.dev/scheduler/pkg/share"
)

// expose has the metrics of what is left computed from this profile's model, for
// as long as the scheduler runs.
func (p *GPUSlice) expose(ctx context.Context, poolLabel string) {
	c := &collector{model: p.manager.model, worth: p.learner.worth, feed: p.manager.feed,
		nodes: p.handle.SharedInformerFactory().Core().V1().Nodes().Lister(), poolLabel: poolLabel}
	metrics.GPUStock.Feed(ctx, c.collect)
}

// collector sums up what nodes have left. It runs in the goroutine of a scrape,
// beside scheduling.
type collector struct {
	model     *devices.Model
	worth     func() *devices.Worth
	feed      *feed
	nodes     corelisters.NodeLister
	poolLabel string
}

// group is what GPUs are summed by.
type group struct{ pool, model string }

func (g group) compare(h group) int {
	return cmp.Or(cmp.Compare(g.pool, h.pool), cmp.Compare(g.model, h.model))
}

// total is the sum over a group.
type total struct {
	whole, sliced, shared devices.States
	slices                devices.Slices
	possible              map[string]int
	sharedFree            int64
}

func (c *collector) collect(emit metrics.Emit) {
	// On a quiet cluster no pod brings the model up to date. If it cannot be, what it
	// knows is reported.
	_ = c.feed.refresh()
	totals := map[group]*total{}
	for _, s := range c.model.Stock(c.worth()) {
		node, err := c.nodes.Get(s.Node)
		if err != nil {
			continue // gone: nothing can be placed on it
		}
		g := group{inventory.PoolOf(node, c.poolLabel), s.Model}
		if totals[g] == nil {
			totals[g] = &total{possible: map[string]int{}}
		}
		totals[g].add(&s)
	}
	for _, g := range slices.SortedFunc(maps.Keys(totals), group.compare) {
		totals[g].emit(g, emit)
	}
}

func (t *total) add(s *devices.NodeStock) {
	t.whole.Add(s.Whole)
	t.sliced.Add(s.Sliced)
	t.shared.Add(s.Shared)
	t.slices.Add(s.Slices)
	t.sharedFree += s.SharedFree
	for _, p := range s.Possible {
		t.possible[p.Partition] += p.Count
	}
}

func (t *total) emit(g group, emit metrics.Emit) {
	for _, name := range slices.Sorted(maps.Keys(t.possible)) {
		emit(metrics.PlacementsPossible, float64(t.possible[name]), g.pool, g.model, name)
	}
	if s := t.slices; s.Sum() > 0 {
		emit(metrics.GPUSlices, float64(s.Allocated), g.pool, g.model, "allocated")
		emit(metrics.GPUSlices, float64(s.Free)-s.Stranded, g.pool, g.model, "usable")
		emit(metrics.GPUSlices, s.Stranded, g.pool, g.model, "stranded")
		emit(metrics.GPUSlices, float64(s.Unavailable), g.pool, g.model, "unavailable")
		emit(metrics.Fragmentation, s.Fragmentation(), g.pool, g.model)
	}
	emitStates(emit, g, "whole", t.whole)
	emitStates(emit, g, "sliced", t.sliced)
	emitStates(emit, g, "shared", t.shared)
	if t.shared.Sum() > 0 {
		emit(metrics.SharedGPUsFree, float64(t.sharedFree)/share.Whole, g.pool, g.model)
	}
}

// emitStates reports a kind of which there is at least one.
func emitStates(emit metrics.Emit, g group, kind string, s devices.States) {
	if s.Sum() == 0 {
		return
	}
	emit(metrics.GPUs, float64(s.Free), g.pool, g.model, kind, "free")
	emit(metrics.GPUs, float64(s.Partly), g.pool, g.model, kind, "partly")
	emit(metrics.GPUs, float64(s.Allocated), g.pool, g.model, kind, "allocated")
	emit(metrics.GPUs, float64(s.Unavailable), g.pool, g.model, kind, "unavailable")
}
