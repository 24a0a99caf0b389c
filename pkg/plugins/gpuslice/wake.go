package gpuslice

import (
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"k8s.io/utils/lru"
)

// The queue hears of a claim that gives devices back, and tries pods again. Hints
// have the model look at the claim first, but only for pods that were parked then.
// One that was just about to be tried may still meet a model that has not heard,
// and no further event would come for it: such pods are woken once the model has.

const (
	// lateness is how far the model's informer may lag behind the queue's.
	lateness = time.Second
	// respite is how long a pod that was woken is not woken again: waking passes
	// over its back-off.
	respite = 10 * time.Second
	// maxRefused bounds how many pods are remembered.
	maxRefused = 64
)

// refusals are the pods that the model refused lately.
type refusals struct {
	clock clock.PassiveClock

	mu    sync.Mutex
	list  []refusal
	woken *lru.Cache // UID -> when
}

func newRefusals(clock clock.PassiveClock) refusals {
	return refusals{clock: clock, woken: lru.New(rememberedPods)}
}

type refusal struct {
	pod *v1.Pod
	at  time.Time
}

func (r *refusals) add(pod *v1.Pod) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.list) == maxRefused {
		r.list = append(r.list[:0], r.list[1:]...)
	}
	r.list = append(r.list, refusal{pod, r.clock.Now()})
}

// take returns those that may have met a model that was late, and forgets all.
func (r *refusals) take() map[string]*v1.Pod {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]*v1.Pod{}
	for _, one := range r.list {
		last, _ := r.woken.Get(one.pod.UID)
		if when, before := last.(time.Time); before && r.clock.Since(when) < respite || r.clock.Since(one.at) > lateness {
			continue
		}
		r.woken.Add(one.pod.UID, r.clock.Now())
		out[klog.KObj(one.pod).String()] = one.pod
	}
	clear(r.list)
	r.list = r.list[:0]
	return out
}

// refused notes that no node had devices for a pod. If some were given back since
// the pod's cycle looked, it is tried again at once.
func (p *GPUSlice) refused(logger klog.Logger, pod *v1.Pod, r *request) {
	p.refusals.add(pod)
	if p.manager.model.Freed() != r.view.Freed() {
		p.wake(logger)
	}
}

// wake has the pods tried again that the model may have refused too early.
func (p *GPUSlice) wake(logger klog.Logger) {
	if pods := p.refusals.take(); len(pods) > 0 {
		p.handle.Activate(logger, pods)
	}
}
