package share

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// Bounds of what a Mix remembers and how often it looks up.
const (
	// maxTracked classes are counted; the rarest half is forgotten beyond.
	maxTracked = 512
	// A new Outlook is made at every doubling of the arrivals from firstOutlook
	// on, and then every outlookEvery arrivals.
	firstOutlook, outlookEvery = 16, 500
	// halfKnown arrivals are needed before the mix counts for half; until
	// then it would be a handful of odd tasks that decides.
	halfKnown = 50
)

// Class is a kind of task and the share of arrivals, 0 to 1, that are of it.
type Class struct {
	Task
	Share float64
}

// class is what tells one class from another. CPU is rounded up to a few
// binary digits, because tasks that differ by a hundredth of a core pack alike
// and the number of classes must stay small; GPU amounts are exact, because
// three times 333 fit where three times 334 do not.
type class struct {
	cpu, gpu int64
	gpus     int
	models   modelSet
}

func classOf(t *Task) class {
	a := t.ask()
	return class{cpu: coarse(a.cpu), gpu: a.gpu, gpus: a.gpus, models: setOf(t.Models)}
}

// coarse rounds up to five binary digits, an error below 1/16.
func coarse(cpu int64) int64 {
	const most = 1 << 40 // a thousand million cores; more would overflow
	cpu = min(cpu, most)
	step := int64(1)
	for cpu/step >= 32 {
		step *= 2
	}
	return (cpu + step - 1) / step * step
}

// Mix learns what tasks arrive and, every so often, draws the conclusions into
// an Outlook. It forgets: a task counts half as much after a half-life of other
// GPU tasks. Several goroutines may use one Mix.
type Mix struct {
	outlook atomic.Pointer[Outlook]

	mu      sync.Mutex
	weights Weights
	supply  Supply
	counts  map[class]float64
	// one is the weight of the next arrival: it grows, instead of all older
	// counts shrinking.
	one, growth float64
	seen, next  int
}

// NewMix returns a Mix that knows nothing yet. The half-life is in GPU tasks, at
// least 1; the weights are usually DefaultWeights.
func NewMix(halfLife int, weights Weights) *Mix {
	m := &Mix{
		weights: weights, counts: map[class]float64{}, one: 1, next: firstOutlook,
		growth: math.Exp2(1 / float64(max(halfLife, 1))),
	}
	m.outlook.Store(NewOutlook(nil, nil, 0, weights))
	return m
}

// SetSupply tells the mix how many GPUs the cluster has of each model. It takes
// effect with the next Outlook.
func (m *Mix) SetSupply(s Supply) {
	kept := make(Supply, len(s))
	for model, n := range s {
		kept[model] = n
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.supply = kept
}

// Observe counts the arrival of a task; call it once for every task, not for
// every attempt to place it. Tasks for the CPU only say nothing of what idle GPU
// is good for and are not counted. One in outlookEvery calls makes a new
// Outlook, see BenchmarkOutlook for what that costs.
func (m *Mix) Observe(t *Task) {
	c := classOf(t)
	if c.gpus == 0 || c.gpu > Whole {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts[c] += m.one
	m.one *= m.growth
	if m.one > 1e100 {
		for c := range m.counts {
			m.counts[c] /= m.one
		}
		m.one = 1
	}
	if len(m.counts) > maxTracked {
		for _, c := range m.ranked()[maxTracked/2:] {
			delete(m.counts, c.class)
		}
	}
	if m.seen++; m.seen >= m.next {
		m.next = min(2*m.seen, m.seen+outlookEvery)
		m.refresh()
	}
}

// Outlook returns the latest conclusions; it is never nil.
func (m *Mix) Outlook() *Outlook { return m.outlook.Load() }

// Refresh makes a new Outlook now.
func (m *Mix) Refresh() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refresh()
}

func (m *Mix) refresh() {
	ranked := m.ranked()
	m.outlook.Store(build(ranked, m.supply, float64(m.seen)/float64(m.seen+halfKnown), m.weights))
}

// counted is a class with its weight.
type counted struct {
	class
	weight float64
}

// ranked lists the classes, the most frequent first.
func (m *Mix) ranked() []counted {
	out := make([]counted, 0, len(m.counts))
	for c, w := range m.counts {
		out = append(out, counted{c, w})
	}
	slices.SortFunc(out, moreFrequent)
	return out
}

// moreFrequent is a total order of classes.
func moreFrequent(a, b counted) int {
	return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.gpu, b.gpu), cmp.Compare(a.gpus, b.gpus),
		cmp.Compare(a.cpu, b.cpu), cmp.Compare(a.models, b.models))
}
