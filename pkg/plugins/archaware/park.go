package archaware

import (
	"context"
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/metrics"
)

// waitingImages is the index of pods that have no node yet, by image.
func waitingImages(profile string) string { return "plimsoll.dev/waiting-images/" + profile }

// indexWaiting keys pods of the profile that have no node yet.
func indexWaiting(profile string) func(any) ([]string, error) {
	return func(obj any) ([]string, error) {
		pod, ok := obj.(*v1.Pod)
		if !ok || pod.Spec.NodeName != "" || pod.Spec.SchedulerName != profile {
			return nil, nil
		}
		return intent.Images(pod), nil
	}
}

// changed has all pods tried again that wait for a node and for which something
// new is known of one of their images. No event of the cluster tells the queue.
// The queue takes its lock, so this must not run under any of ours.
func (p *ArchAware) changed(image string) {
	waiting, err := p.handle.SharedInformerFactory().Core().V1().Pods().Informer().GetIndexer().
		ByIndex(waitingImages(p.handle.ProfileName()), image)
	if err != nil {
		klog.ErrorS(err, "Looking up pods that wait for an image", "image", image)
		return
	}
	pods := make([]*v1.Pod, 0, len(waiting))
	for _, obj := range waiting {
		if pod, ok := obj.(*v1.Pod); ok {
			pods = append(pods, pod)
		}
	}
	p.activate(pods)
}

func (p *ArchAware) activate(pods []*v1.Pod) {
	if len(pods) == 0 {
		return
	}
	byName := make(map[string]*v1.Pod, len(pods))
	for _, pod := range pods {
		byName[klog.KObj(pod).String()] = pod
	}
	p.handle.Activate(klog.Background(), byName)
}

// janitorPeriod is how late a pod may be let go at most; every sweepEvery-th time
// the janitor also sweeps.
const (
	janitorPeriod = time.Second
	sweepEvery    = 60
)

// parked are the pods that are held back for their images. Whatever happens to
// the store's own notice, each is woken at its deadline: the queue never does
// that for a pod that a plugin keeps out of it. A pod waits for its images once;
// when its deadline has come it is held back no more, unless its images change.
type parked struct {
	profile  string
	deadline time.Duration
	clock    clock.WithTicker
	wake     func([]*v1.Pod)
	// waits tells whether a pod of that key and UID is there and has no node.
	waits func(key string, uid types.UID) bool

	mu   sync.Mutex
	pods map[types.UID]*parkedPod
	// held are those of pods whose deadline is yet to come.
	held int
}

type parkedPod struct {
	key string
	// pod is nil once it was woken.
	pod    *v1.Pod
	images []string
	until  time.Time
	over   bool
}

func newParked(profile string, deadline time.Duration, c clock.WithTicker, wake func([]*v1.Pod), waits func(string, types.UID) bool) *parked {
	return &parked{profile: profile, deadline: deadline, clock: c, wake: wake, waits: waits, pods: map[types.UID]*parkedPod{}}
}

// add parks the pod; one that is parked already keeps its deadline. It is false
// for a pod whose deadline has come: that must wait no longer.
func (p *parked) add(pod *v1.Pod) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	before, found := p.pods[pod.UID]
	if found && slices.Equal(before.images, intent.Images(pod)) {
		return now.Before(before.until)
	}
	p.drop(pod.UID)
	p.pods[pod.UID] = &parkedPod{key: klog.KObj(pod).String(), pod: pod, images: intent.Images(pod), until: now.Add(p.deadline)}
	p.count(1)
	return true
}

// letGo ends the parking of a pod that has nothing to wait for. That it has
// waited all its time is not forgotten.
func (p *parked) letGo(pod *v1.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if one, found := p.pods[pod.UID]; found && !one.over {
		p.drop(pod.UID)
	}
}

// holds tells whether the pod is held back.
func (p *parked) holds(pod *v1.Pod) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	one, found := p.pods[pod.UID]
	return found && !one.over
}

// forget drops a pod that needs us no more: it has a node, or is gone.
func (p *parked) forget(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(uid)
}

func (p *parked) drop(uid types.UID) {
	one, found := p.pods[uid]
	if !found {
		return
	}
	delete(p.pods, uid)
	if !one.over {
		p.count(-1)
	}
}

func (p *parked) count(change int) {
	p.held += change
	metrics.ParkedPods.WithLabelValues(p.profile).Set(float64(p.held))
}

// janitor wakes pods whose deadline has come, until the context is done.
func (p *parked) janitor(ctx context.Context) {
	ticker := p.clock.NewTicker(janitorPeriod)
	defer ticker.Stop()
	for round := 0; ; round++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
			p.wake(p.due())
			if round%sweepEvery == 0 {
				p.sweep()
			}
		}
	}
}

// due lists the pods whose deadline has come since it was asked last.
func (p *parked) due() []*v1.Pod {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*v1.Pod
	now := p.clock.Now()
	for _, one := range p.pods {
		if !one.over && !now.Before(one.until) {
			one.over = true
			p.count(-1)
			out = append(out, one.pod)
			one.pod = nil
		}
	}
	return out
}

// sweep drops pods that are gone. Their deletion tells us, unless it came before
// they were parked: the queue may be behind.
func (p *parked) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for uid, one := range p.pods {
		if one.over && !p.waits(one.key, uid) {
			p.drop(uid)
		}
	}
}

// waits tells whether a pod of that key and UID is there and has no node.
func (p *ArchAware) waits(key string, uid types.UID) bool {
	obj, found, err := p.handle.SharedInformerFactory().Core().V1().Pods().Informer().GetIndexer().GetByKey(key)
	if err != nil || !found {
		return false
	}
	pod, ok := obj.(*v1.Pod)
	return ok && pod.UID == uid && pod.Spec.NodeName == ""
}
