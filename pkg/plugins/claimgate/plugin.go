package claimgate

import (
	"context"
	"fmt"
	"sync"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/features"

	"plimsoll.dev/scheduler/pkg/verdict"
)

// Name is the plugin's name in scheduler configurations.
const Name = "ClaimGate"

var (
	_ fwk.PreEnqueuePlugin  = (*ClaimGate)(nil)
	_ fwk.EnqueueExtensions = (*ClaimGate)(nil)
)

// ClaimGate is the plugin of one profile.
type ClaimGate struct {
	handle fwk.Handle
	logger klog.Logger
	// tracker is what DynamicResources goes by, which may be later than the informer.
	// It is nil if DRA is off.
	tracker fwk.ResourceClaimTracker
	// claims and pods are the informers' stores.
	claims, pods cache.Store
	// groups: a claim made for a pod's PodGroup is the pod's as well.
	groups bool
	held   *held
	// created are claims for which pods wait.
	created workqueue.TypedRateLimitingInterface[cache.ObjectName]
	// start lets pods in from now on. Before the first of them comes to the queue, the
	// handle cannot activate any.
	start func()
}

// New is the plugin's factory. It takes no arguments.
func New(ctx context.Context, args runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
	if args != nil {
		return nil, fmt.Errorf("%s takes no arguments, and pluginConfig gives it some: leave its entry out", Name)
	}
	g := &ClaimGate{handle: handle, logger: klog.FromContext(ctx), held: newHeld(), groups: utilfeature.DefaultFeatureGate.Enabled(features.DRAWorkloadResourceClaims)}
	if !utilfeature.DefaultFeatureGate.Enabled(features.DynamicResourceAllocation) {
		return g, nil
	}
	g.tracker = handle.SharedDRAManager().ResourceClaims()
	g.created = newQueue()
	context.AfterFunc(ctx, g.created.ShutDown)
	g.start = sync.OnceFunc(func() { go g.run() })
	return g, g.watch()
}

// Name implements fwk.Plugin.
func (g *ClaimGate) Name() string { return Name }

// PreEnqueue holds a pod back while one of its claims is missing.
func (g *ClaimGate) PreEnqueue(_ context.Context, pod *v1.Pod) *fwk.Status {
	if len(pod.Spec.ResourceClaims) == 0 || g.tracker == nil {
		return nil
	}
	g.start()
	if reason, waits := g.judge(pod); waits {
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, reason.Message)
	}
	return nil
}

// judge says what a pod waits for, and sees to it that it is let in then. A pod that was
// made anew under its name is judged in place of the old one: the queue may be late.
func (g *ClaimGate) judge(pod *v1.Pod) (reason verdict.Reason, waits bool) {
	if is := stored[*v1.Pod](g.pods, cache.MetaObjectToName(pod)); is != nil && is.UID != pod.UID {
		pod = is
	}
	// A pod that lacks nothing stays among those held until let takes it: not only the
	// queue asks, and whoever asks first must not have let pass it over.
	reason, l := g.lack(pod)
	if l != nil && l.claim.Name != "" {
		g.hold(pod, l)
	}
	return reason, l != nil
}

// lack is the first claim that a pod cannot use.
type lack struct {
	// claim is zero as long as it has no name.
	claim cache.ObjectName
	// known is what the tracker has under that name, or nil.
	known *resourceapi.ResourceClaim
}

// lack judges as DynamicResources does; nil if all claims are there.
func (g *ClaimGate) lack(pod *v1.Pod) (verdict.Reason, *lack) {
	for i := range pod.Spec.ResourceClaims {
		asked := &pod.Spec.ResourceClaims[i]
		name, mustBeOurs, err := resourceclaim.Name(pod, asked)
		switch {
		case err != nil && asked.ResourceClaimTemplateName != nil:
			return verdict.Say(verdict.ClaimUnmade, "template", *asked.ResourceClaimTemplateName), &lack{}
		case err != nil:
			return verdict.Say(verdict.ClaimUnusable, "claim", asked.Name, "why", err.Error()), &lack{}
		case name == nil:
			continue // none was needed
		}
		l := &lack{claim: cache.NewObjectName(pod.Namespace, *name)}
		if l.known, err = g.tracker.Get(pod.Namespace, *name); err != nil {
			l.known = nil
			return verdict.Say(verdict.ClaimMissing, "claim", *name), l
		}
		if l.known.DeletionTimestamp != nil {
			return verdict.Say(verdict.ClaimUnusable, "claim", *name, "why", "it is being deleted"), l
		}
		if !mustBeOurs {
			continue
		}
		inGroup := pod.Spec.SchedulingGroup != nil && pod.Spec.SchedulingGroup.PodGroupName != nil
		if err := resourceclaim.IsForPod(pod, l.known, g.groups && inGroup); err != nil {
			return verdict.Say(verdict.ClaimUnusable, "claim", *name, "why", err.Error()), l
		}
	}
	return verdict.Reason{}, nil
}
