package binpack

import (
	"sync"
	"sync/atomic"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/inventory"
	"plimsoll.dev/scheduler/pkg/load"
)

// shapes learns the mix of recent pods from the pod informer, outside of any
// scheduling cycle. Cycles read the last published mix without a lock.
type shapes struct {
	meter *inventory.Meter
	mix   atomic.Pointer[load.Mix]

	mu   sync.Mutex // guards the rest
	hist *load.Histogram
	seen int
}

// A mix is published after each of the first pods, which change it most, and
// then every so often, since publishing costs more than observing.
const (
	publishEach  = 64
	publishEvery = 32
)

func newShapes(meter *inventory.Meter, halfLife int64) *shapes {
	return &shapes{meter: meter, hist: load.NewHistogram(int(halfLife))}
}

// handler observes every pod once, when it first appears; on start-up these are
// the pods that exist.
func (s *shapes) handler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{AddFunc: func(obj any) {
		if pod, ok := obj.(*v1.Pod); ok {
			s.observe(pod)
		}
	}}
}

func (s *shapes) observe(pod *v1.Pod) {
	if intent.IsNodeAgent(pod) || intent.IsFinished(pod) {
		return
	}
	needs := s.meter.Pod(pod)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hist.Observe(needs.Requested)
	if s.seen++; s.seen <= publishEach || s.seen%publishEvery == 0 {
		s.mix.Store(s.hist.Mix())
	}
}
