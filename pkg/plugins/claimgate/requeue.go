package claimgate

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/util"

	"plimsoll.dev/scheduler/internal/adapt"
)

// byClaim indexes the pods that are not on a node yet by the claims that they name.
const byClaim = "plimsoll.dev/claim"

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
	_, held := g.awaits(is)
	return adapt.Hint(!held), nil
}

// watch has the plugin see claims that are new, and the pods that name them.
func (g *ClaimGate) watch(ctx context.Context) error {
	factory := g.handle.SharedInformerFactory()
	claims, pods := factory.Resource().V1().ResourceClaims().Informer(), factory.Core().V1().Pods().Informer()
	g.claims, g.pods = claims.GetIndexer(), pods.GetIndexer()
	if _, known := g.pods.GetIndexers()[byClaim]; !known { // by another profile
		if err := pods.AddIndexers(cache.Indexers{byClaim: claimsOf}); err != nil {
			return fmt.Errorf("indexing pods by resource claim: %w", err)
		}
	}
	g.created = workqueue.NewTypedRateLimitingQueueWithConfig(workqueue.DefaultTypedControllerRateLimiter[cache.ObjectName](),
		workqueue.TypedRateLimitingQueueConfig[cache.ObjectName]{Name: Name + "/" + g.handle.ProfileName()})
	_, err := claims.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(claim any) { g.note(nil, claim) },
		UpdateFunc: g.note,
	})
	if err != nil {
		return fmt.Errorf("watching resource claims: %w", err)
	}
	context.AfterFunc(ctx, g.created.ShutDown)
	go g.run(klog.FromContext(ctx))
	return nil
}

// claimsOf lists the claims that a pod names which is not on a node yet.
func claimsOf(object any) ([]string, error) {
	pod, ok := object.(*v1.Pod)
	if !ok || pod.Spec.NodeName != "" || len(pod.Spec.ResourceClaims) == 0 {
		return nil, nil
	}
	keys := make([]string, 0, len(pod.Spec.ResourceClaims))
	for i := range pod.Spec.ResourceClaims {
		if name, _, err := resourceclaim.Name(pod, &pod.Spec.ResourceClaims[i]); err == nil && name != nil {
			keys = append(keys, cache.NewObjectName(pod.Namespace, *name).String())
		}
	}
	return keys, nil
}

// note puts a claim down for which pods may wait: one that is new, or has another
// owner. What else happens to claims is for those who may use them.
func (g *ClaimGate) note(before, after any) {
	was, is, err := util.As[*resourceapi.ResourceClaim](before, after)
	if err != nil || is == nil || was != nil && alike(was, is) {
		return
	}
	if key := cache.MetaObjectToName(is); len(g.named(key)) > 0 {
		g.created.Add(key)
	}
}

// expect puts a claim down that a pod did not find, if only the tracker is late: its
// event may have come when the pod's status did not name it yet.
func (g *ClaimGate) expect(claim cache.ObjectName) {
	if g.stored(claim) != nil {
		g.created.Add(claim)
	}
}

// stored is what the informer has of a claim, nil if nothing.
func (g *ClaimGate) stored(claim cache.ObjectName) *resourceapi.ResourceClaim {
	object, _, err := g.claims.GetByKey(claim.String())
	if err != nil {
		return nil
	}
	stored, _ := object.(*resourceapi.ResourceClaim)
	return stored
}

// alike tells of two states of a claim whether the same pods may use it.
func alike(a, b *resourceapi.ResourceClaim) bool {
	return a.UID == b.UID && equality.Semantic.DeepEqual(a.OwnerReferences, b.OwnerReferences)
}

// named lists the pods of this profile that name a claim.
func (g *ClaimGate) named(claim cache.ObjectName) map[string]*v1.Pod {
	objects, err := g.pods.ByIndex(byClaim, claim.String())
	if err != nil || len(objects) == 0 {
		return nil
	}
	pods := make(map[string]*v1.Pod, len(objects))
	for _, object := range objects {
		if pod, ok := object.(*v1.Pod); ok && pod.Spec.SchedulerName == g.handle.ProfileName() {
			pods[string(pod.UID)] = pod
		}
	}
	return pods
}

// run lets pods in until the queue of claims is shut down.
func (g *ClaimGate) run(logger klog.Logger) {
	for {
		claim, done := g.created.Get()
		if done {
			return
		}
		if g.let(logger, claim) {
			g.created.Forget(claim)
		} else {
			g.created.AddRateLimited(claim)
		}
		g.created.Done(claim)
	}
}

// let activates the pods that name a claim; those that something else keeps out
// stay where they are. It returns false if the tracker does not know of the claim
// what the informer does, so that pods would only be held again.
//
// No pod is missed. One that does not find its claim, which the informer has, puts it
// down itself. If the informer has not, the pod is indexed by the time that note hears
// of the claim, and in the queue when Activate gets the queue's lock.
func (g *ClaimGate) let(logger klog.Logger, claim cache.ObjectName) bool {
	stored := g.stored(claim)
	if stored == nil {
		return true // gone again
	}
	if known, err := g.tracker.Get(claim.Namespace, claim.Name); err != nil || !alike(known, stored) {
		return false
	}
	if pods := g.named(claim); len(pods) > 0 {
		g.handle.Activate(logger, pods)
	}
	return true
}
