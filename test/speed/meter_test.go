package speed

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	compbasemetrics "k8s.io/component-base/metrics"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/metrics"

	own "plimsoll.dev/scheduler/pkg/metrics"
)

// durations are how long scheduling has taken so far, and what it looked at.
type durations struct {
	// Algorithm has one observation per attempt, Reserve one per pod that found a
	// node.
	Algorithm, Reserve histogram
	// Shortlists is for how many attempts the other plugins were shown the best nodes only.
	Shortlists float64
}

// since returns what came after an earlier state.
func (d durations) since(earlier durations) durations {
	return durations{d.Algorithm.since(earlier.Algorithm), d.Reserve.since(earlier.Reserve), d.Shortlists - earlier.Shortlists}
}

// perPod is the mean of algorithm and Reserve together in seconds.
func (d durations) perPod() float64 { return d.Algorithm.mean() + d.Reserve.mean() }

// meter reads the metrics of the scheduler of this process.
type meter struct {
	// registry has three metrics, so that reading them in the middle of scheduling is
	// cheap.
	registry compbasemetrics.KubeRegistry
	// marks are the numbers of attempts after which durations are noted, rising.
	marks []int

	mu sync.Mutex
	// noted are the durations after the attempts of marks. Guarded by mu.
	noted []durations
	err   error // guarded by mu
}

func newMeter(marks []int) (*meter, error) {
	m := &meter{registry: compbasemetrics.NewKubeRegistry(), marks: marks}
	err := errors.Join(m.registry.Register(metrics.SchedulingAlgorithmLatency), m.registry.Register(metrics.FrameworkExtensionPointDuration),
		m.registry.Register(own.Searches))
	if err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	return m, nil
}

// attend has the meter note durations from within the scheduling loop of a scheduler
// that does not run yet: bindings, which can be seen from outside, lag behind.
func (m *meter) attend(sched *scheduler.Scheduler) {
	attempts, next := 0, sched.SchedulePod // of one goroutine, the loop
	sched.SchedulePod = func(ctx context.Context, f framework.Framework, state fwk.CycleState, pod *framework.QueuedPodInfo) (scheduler.ScheduleResult, error) {
		if slices.Contains(m.marks, attempts) {
			m.note()
		}
		attempts++
		return next(ctx, f, state, pod)
	}
}

func (m *meter) note() {
	d, err := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.noted = append(m.noted, d)
	m.err = errors.Join(m.err, err)
}

// all returns the durations after each of the marks that was reached and, last of
// all, those up to now.
func (m *meter) all() ([]durations, error) {
	d, err := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	return append(slices.Clone(m.noted), d), errors.Join(m.err, err)
}

func (m *meter) now() (durations, error) {
	families, err := m.registry.Gather()
	if err != nil {
		return durations{}, fmt.Errorf("gathering metrics: %w", err)
	}
	var d durations
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			switch family.GetName() {
			case "scheduler_scheduling_algorithm_duration_seconds":
				d.Algorithm = d.Algorithm.plus(newHistogram(metric.GetHistogram()))
			case "plimsoll_gpuslice_searches_total":
				for _, label := range metric.GetLabel() {
					if label.GetName() == "nodes" && label.GetValue() == "shortlist" {
						d.Shortlists += metric.GetCounter().GetValue()
					}
				}
			case "scheduler_framework_extension_point_duration_seconds":
				for _, label := range metric.GetLabel() {
					if label.GetName() == "extension_point" && label.GetValue() == metrics.Reserve {
						d.Reserve = d.Reserve.plus(newHistogram(metric.GetHistogram()))
					}
				}
			}
		}
	}
	return d, nil
}

// cpuSeconds is what this process has used of the CPU so far.
func cpuSeconds() (float64, error) {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0, fmt.Errorf("reading the CPU time used: %w", err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds(), nil
}

// settledHeap is what is alive on the heap once it does not get less: informers
// and bindings take a moment to finish.
func settledHeap() uint64 {
	const (
		pause    = 200 * time.Millisecond
		tries    = 25
		settled  = 3 // readings in a row that show nothing new
		noiseB   = 256 << 10
		gcPasses = 2 // the second one frees what finalizers held, and empties sync.Pools
	)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	least, calm := uint64(1<<63), 0
	for range tries {
		for range gcPasses {
			runtime.GC()
		}
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		if stats.HeapAlloc+noiseB < least {
			calm = 0
		} else if calm++; calm == settled {
			return min(least, stats.HeapAlloc)
		}
		least = min(least, stats.HeapAlloc)
		<-tick.C
	}
	return least
}
