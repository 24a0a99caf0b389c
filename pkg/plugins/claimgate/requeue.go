package claimgate

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/util"

	"plimsoll.dev/scheduler/internal/adapt"
)

// How soon a claim is looked at again of which the tracker has not heard: it is late
// by what the queue does for every event of a claim, and looking costs a microsecond.
const soon, late = 5 * time.Millisecond, 40 * time.Millisecond

// newQueue has no limit for all claims together: many are late at a time.
func newQueue() workqueue.TypedRateLimitingInterface[cache.ObjectName] {
	return workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[cache.ObjectName](soon, late))
}

// EventsToRegister names what can let a pod in that this plugin holds: its own
// status. Of its claims the queue is told without an event, see let.
func (g *ClaimGate) EventsToRegister(context.Context) ([]fwk.ClusterEventWithHint, error) {
	if g.tracker == nil {
		return nil, nil
	}
	return []fwk.ClusterEventWithHint{adapt.On(fwk.Pod, fwk.UpdatePodGeneratedResourceClaim, g.afterOwnChange)}, nil
}

// afterOwnChange queues a pod whose status names the last of its claims.
func (g *ClaimGate) afterOwnChange(_ klog.Logger, pod *v1.Pod, _, after any) (fwk.QueueingHint, error) {
	_, is, err := util.As[*v1.Pod](nil, after)
	if err != nil {
		return fwk.Queue, err
	}
	if is.UID != pod.UID {
		return fwk.QueueSkip, nil
	}
	_, waits := g.judge(is)
	return adapt.Hint(!waits), nil
}

// watch has the plugin see claims that are new, and pods that need not wait any more.
func (g *ClaimGate) watch() error {
	factory := g.handle.SharedInformerFactory()
	claims, pods := factory.Resource().V1().ResourceClaims().Informer(), factory.Core().V1().Pods().Informer()
	g.claims, g.pods = claims.GetStore(), pods.GetStore()
	_, err := claims.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(claim any) { g.note(nil, claim) },
		UpdateFunc: g.note,
	})
	if err != nil {
		return fmt.Errorf("watching resource claims: %w", err)
	}
	_, err = pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: g.changed,
		DeleteFunc: func(pod any) { g.changed(pod, nil) },
	})
	if err != nil {
		return fmt.Errorf("watching pods: %w", err)
	}
	return nil
}

// changed forgets a pod that is gone, or was put on a node by somebody else. Of one that
// was deleted and made anew while nobody watched, informers tell as of a change; the
// queue lets the new one take the place of the old, without asking what it waits for.
func (g *ClaimGate) changed(before, after any) {
	if gone, ok := before.(cache.DeletedFinalStateUnknown); ok {
		before = gone.Obj
	}
	was, is, err := util.As[*v1.Pod](before, after)
	if err != nil || was == nil || is != nil && is.UID == was.UID && is.Spec.NodeName == "" {
		return
	}
	g.held.remove(was.UID)
	if is != nil && is.UID != was.UID && is.Spec.SchedulerName == g.handle.ProfileName() && len(is.Spec.ResourceClaims) > 0 {
		g.handle.Activate(g.logger, map[string]*v1.Pod{string(is.UID): is})
	}
}

// hold has a pod wait for a claim. Its event may have come already: when the pod's
// status did not name it yet, or when only the tracker was late.
func (g *ClaimGate) hold(pod *v1.Pod, l *lack) {
	g.held.add(pod, l.claim)
	if stored := stored[*resourceapi.ResourceClaim](g.claims, l.claim); stored != nil && (l.known == nil || !alike(l.known, stored)) {
		g.created.Add(l.claim)
	}
	if is := stored[*v1.Pod](g.pods, cache.MetaObjectToName(pod)); is == nil || is.UID != pod.UID || is.Spec.NodeName != "" {
		g.held.remove(pod.UID) // it need not wait any more, and changed may have heard of it
	}
}

// stored is what an informer has of an object, nil if nothing.
func stored[T *resourceapi.ResourceClaim | *v1.Pod](store cache.Store, name cache.ObjectName) T {
	object, _, err := store.GetByKey(name.String())
	if err != nil {
		return nil
	}
	typed, _ := object.(T)
	return typed
}

// alike tells of two states of a claim whether the same pods may use it.
func alike(a, b *resourceapi.ResourceClaim) bool {
	if a.UID != b.UID {
		return false
	}
	ofA, ofB := metav1.GetControllerOfNoCopy(a), metav1.GetControllerOfNoCopy(b)
	return ofA == ofB || ofA != nil && ofB != nil && ofA.UID == ofB.UID
}

// note puts a claim down for which pods wait: one that is new, or has another owner.
// What else happens to claims is for those who may use them.
func (g *ClaimGate) note(before, after any) {
	was, is, err := util.As[*resourceapi.ResourceClaim](before, after)
	if err != nil || is == nil || was != nil && alike(was, is) {
		return
	}
	if claim := cache.MetaObjectToName(is); g.held.waits(claim) {
		g.created.Add(claim)
	}
}

// run lets pods in until the queue of claims is shut down.
func (g *ClaimGate) run() {
	for {
		claim, done := g.created.Get()
		if done {
			return
		}
		if g.let(claim) {
			g.created.Forget(claim)
		} else {
			g.created.AddRateLimited(claim)
		}
		g.created.Done(claim)
	}
}

// let activates the pods that wait for a claim, which has PreEnqueue judge them again,
// and hold those that still lack something. It returns false if the tracker does not
// know of the claim what the informer does, so that they would only be held again.
//
// No pod is missed. It waits before it looks whether the informer has the claim, and
// the informer has it before note looks whether a pod waits. A pod that waits is in the
// queue by the time that Activate gets the queue's lock. For one that takes another's
// place in the queue see changed.
func (g *ClaimGate) let(claim cache.ObjectName) bool {
	is := stored[*resourceapi.ResourceClaim](g.claims, claim)
	if is == nil {
		return true // gone again: if it comes back, note hears of it
	}
	if known, err := g.tracker.Get(claim.Namespace, claim.Name); err != nil || !alike(known, is) {
		return false
	}
	if pods := g.held.take(claim); len(pods) > 0 {
		g.handle.Activate(g.logger, pods)
	}
	return true
}
