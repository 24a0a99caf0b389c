package claimgate

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
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
	// tracker is what DynamicResources goes by, which may be later than the informer.
	tracker fwk.ResourceClaimTracker
	// claims and pods are the informers' stores, pods with the index byClaim.
	claims, pods cache.Indexer
	// groups: a claim made for a pod's PodGroup is the pod's as well.
	groups bool
	// created are claims for which pods wait.
	created workqueue.TypedRateLimitingInterface[cache.ObjectName]
}

// New is the plugin's factory. It takes no arguments.
func New(ctx context.Context, args runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
	if args != nil {
		return nil, fmt.Errorf("%s takes no arguments, and pluginConfig gives it some: leave its entry out", Name)
	}
	g := &ClaimGate{handle: handle, groups: utilfeature.DefaultFeatureGate.Enabled(features.DRAWorkloadResourceClaims)}
	if !utilfeature.DefaultFeatureGate.Enabled(features.DynamicResourceAllocation) {
		return g, nil
	}
	g.tracker = handle.SharedDRAManager().ResourceClaims()
	return g, g.watch(ctx)
}

// Name implements fwk.Plugin.
func (g *ClaimGate) Name() string { return Name }

// PreEnqueue holds a pod back while one of its claims is missing.
func (g *ClaimGate) PreEnqueue(_ context.Context, pod *v1.Pod) *fwk.Status {
	if reason, held := g.awaits(pod); held {
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, reason.Message)
	}
	return nil
}

// awaits says what a pod's claims lack, as DynamicResources judges it.
func (g *ClaimGate) awaits(pod *v1.Pod) (reason verdict.Reason, held bool) {
	if g.tracker == nil {
		return verdict.Reason{}, false
	}
	for i := range pod.Spec.ResourceClaims {
		asked := &pod.Spec.ResourceClaims[i]
		name, mustBeOurs, err := resourceclaim.Name(pod, asked)
		switch {
		case err != nil && asked.ResourceClaimTemplateName != nil:
			return verdict.Say(verdict.ClaimUnmade, "template", *asked.ResourceClaimTemplateName), true
		case err != nil:
			return verdict.Say(verdict.ClaimUnusable, "claim", asked.Name, "why", err.Error()), true
		case name == nil:
			continue // none was needed
		}
		claim, err := g.tracker.Get(pod.Namespace, *name)
		if err != nil {
			g.expect(cache.NewObjectName(pod.Namespace, *name))
			return verdict.Say(verdict.ClaimMissing, "claim", *name), true
		}
		if claim.DeletionTimestamp != nil {
			return verdict.Say(verdict.ClaimUnusable, "claim", *name, "why", "it is being deleted"), true
		}
		if !mustBeOurs {
			continue
		}
		if err := resourceclaim.IsForPod(pod, claim, g.groups); err != nil {
			return verdict.Say(verdict.ClaimUnusable, "claim", *name, "why", err.Error()), true
		}
	}
	return verdict.Reason{}, false
}
