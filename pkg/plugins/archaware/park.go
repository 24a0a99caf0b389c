package archaware

import (
	"context"
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

// janitorPeriod is how late a pod may be let go at most.
const janitorPeriod = time.Second

// parked are the pods that are held back for their images. Whatever happens to
// the store's own notice, each is let go at its deadline: the queue never does
// that for a pod that a plugin keeps out of it.
type parked struct {
	profile  string
	deadline time.Duration
	clock    clock.WithTicker
	letGo    func([]*v1.Pod)

	mu   sync.Mutex
	pods map[types.UID]parkedPod
}

type parkedPod struct {
	pod   *v1.Pod
	until time.Time
}

func newParked(profile string, deadline time.Duration, c clock.WithTicker, letGo func([]*v1.Pod)) *parked {
	return &parked{profile: profile, deadline: deadline, clock: c, letGo: letGo, pods: map[types.UID]parkedPod{}}
}

// add parks the pod; one that is parked already keeps its deadline.
func (p *parked) add(pod *v1.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, found := p.pods[pod.UID]; !found {
		p.pods[pod.UID] = parkedPod{pod, p.clock.Now().Add(p.deadline)}
		p.gauge()
	}
}

// remove ends the parking of a pod, if it was parked.
func (p *parked) remove(pod *v1.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, found := p.pods[pod.UID]; found {
		delete(p.pods, pod.UID)
		p.gauge()
	}
}

func (p *parked) gauge() {
	metrics.ParkedPods.WithLabelValues(p.profile).Set(float64(len(p.pods)))
}

// janitor lets pods go whose deadline has come, until the context is done.
func (p *parked) janitor(ctx context.Context) {
	ticker := p.clock.NewTicker(janitorPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
			p.letGo(p.due())
		}
	}
}

// due takes out the pods whose deadline has come.
func (p *parked) due() []*v1.Pod {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*v1.Pod
	now := p.clock.Now()
	for uid, pod := range p.pods {
		if !pod.until.After(now) {
			out = append(out, pod.pod)
			delete(p.pods, uid)
		}
	}
	if len(out) > 0 {
		p.gauge()
	}
	return out
}
