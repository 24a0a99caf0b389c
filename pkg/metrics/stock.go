package metrics

import (
	"context"
	"slices"
	"sync"

	"k8s.io/component-base/metrics"
)

// Description is a gauge that is computed when it is scraped.
type Description struct {
	// Name is the full name.
	Name   string
	Labels []string
	Help   string
}

// Type is that of the exposition format.
func (*Description) Type() string { return "gauge" }

// The gauges of GPUs that are published as devices. Nobody writes to them. The
// help says once what holds for all: which nodes are counted, and by whom.
var (
	// PlacementsPossible is what the cluster has left, in the users' own terms.
	PlacementsPossible = &Description{
		Name: prefix + "placements_possible", Labels: []string{"pool", "model", "partition"},
		Help: "How many more slices of a size (partition: 3g.40gb) would fit now if nothing else were asked for: sizes exclude each other, do not add them up. " +
			"Counted are GPUs that drivers publish as devices on one node; for nodes with a device plugin, kube-state-metrics has nvidia.com/mig-*. " +
			"Every replica of the scheduler reports the same: take the max over instances, not the sum.",
	}
	// GPUSlices adds up to all slices there are.
	GPUSlices = &Description{
		Name: prefix + "slices", Labels: []string{"pool", "model", "state"},
		Help: "Memory slices of GPUs that can be partitioned: allocated; usable; stranded (free, but a GPU filled with one size of slice is expected to leave them, by profileMix); " +
			"unavailable (free, but tainted or in a pool that the allocator refuses). The states add up to all slices.",
	}
	// Fragmentation follows from GPUSlices.
	Fragmentation = &Description{
		Name: prefix + "fragmentation_ratio", Labels: []string{"pool", "model"},
		Help: "Stranded slices as a share of usable and stranded ones, 0 where none is left. An empty GPU is above 0 if some size of slice does not fill it.",
	}
	// GPUs adds up to all GPUs there are.
	GPUs = &Description{
		Name: prefix + "gpus", Labels: []string{"pool", "model", "kind", "state"},
		Help: "GPUs by kind: whole (one device), sliced (several devices, or a part of a GPU), shared (one device for several claims); and by state: " +
			"free, partly (something is allocated and more would fit), allocated (nothing more fits), unavailable (what is left is tainted or in a pool that the allocator refuses). " +
			"The states add up to all GPUs.",
	}
	// SharedGPUsFree is what is left of GPUs of the kind shared.
	SharedGPUsFree = &Description{
		Name: prefix + "shared_gpus_free", Labels: []string{"pool", "model"},
		Help: "What is free of GPUs that claims share, in GPUs, by the capacity of which least is left: 0.5 is half of one. Unavailable ones do not count.",
	}
)

const prefix = namespace + "_" + gpuSlice + "_"

// Described lists the metrics that are computed when they are scraped, in the
// order of the reference page, which they follow after All.
func Described() []*Description {
	return []*Description{PlacementsPossible, GPUSlices, Fragmentation, GPUs, SharedGPUsFree}
}

// Emit reports one value; labels are in the order of the description's. No two
// values may have the same labels.
type Emit func(d *Description, value float64, labels ...string)

// Source computes the values at the time of a scrape, in a goroutine of its own.
type Source func(Emit)

// Stock collects the described metrics from the newest source.
type Stock struct {
	metrics.BaseStableCollector
	descs map[*Description]*metrics.Desc

	mu sync.Mutex
	// sources are those whose contexts have not ended, the newest last.
	sources []*sourced
}

type sourced struct {
	source Source
	// endless: its context never ends.
	endless bool
}

// GPUStock is that of the process.
var GPUStock = NewStock()

// NewStock returns a collector without a source, which collects nothing.
func NewStock() *Stock {
	s := &Stock{descs: map[*Description]*metrics.Desc{}}
	for _, d := range Described() {
		s.descs[d] = metrics.NewDesc(d.Name, d.Help, d.Labels, nil, metrics.ALPHA, "")
	}
	return s
}

// Feed makes the source the newest until its context ends. The one before it
// then takes its place again. A source whose context never ends is dropped for
// the next one.
func (s *Stock) Feed(ctx context.Context, source Source) {
	added := &sourced{source: source, endless: ctx.Done() == nil}
	s.mu.Lock()
	s.sources = slices.DeleteFunc(s.sources, func(known *sourced) bool { return known.endless })
	s.sources = append(s.sources, added)
	s.mu.Unlock()
	context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sources = slices.DeleteFunc(s.sources, func(known *sourced) bool { return known == added })
	})
}

// newest returns nil if there is none.
func (s *Stock) newest() Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sources) == 0 {
		return nil
	}
	return s.sources[len(s.sources)-1].source
}

// DescribeWithStability implements metrics.StableCollector.
func (s *Stock) DescribeWithStability(ch chan<- *metrics.Desc) {
	for _, d := range Described() {
		ch <- s.descs[d]
	}
}

// CollectWithStability implements metrics.StableCollector.
func (s *Stock) CollectWithStability(ch chan<- metrics.Metric) {
	source := s.newest()
	if source == nil {
		return
	}
	source(func(d *Description, value float64, labels ...string) {
		// An error would be that of a label that is no text; a scrape must not fail,
		// let alone panic, over what some driver publishes.
		if m, err := metrics.NewConstMetric(s.descs[d], metrics.GaugeValue, value, labels...); err == nil {
			ch <- m
		}
	})
}
