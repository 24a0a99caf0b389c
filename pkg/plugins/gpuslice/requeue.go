package gpuslice

import (
	"context"
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
	"k8s.io/kubernetes/pkg/scheduler/util"

	"plimsoll.dev/scheduler/internal/adapt"
	"plimsoll.dev/scheduler/pkg/intent"
)

// EventsToRegister names what can cure a rejection: all that the wrapped plugin
// names for claims (its node events serve labels as well), and
//
//	AnnotationInvalid   a change of the pod's own annotations
//	claims              a pod that gives up before it is bound
//	GPU…                a node that is new, or whose labels or GPUs changed
//
// It is asked once all plugins of all profiles are made, before anything is
// scheduled. A profile that runs DynamicResources beside this plugin would
// allocate every claim twice; the scheduler must not start.
func (p *GPUSlice) EventsToRegister(ctx context.Context) ([]fwk.ClusterEventWithHint, error) {
	if err := p.alone(); err != nil {
		return nil, err
	}
	events, err := p.dra.EventsToRegister(ctx)
	if err != nil {
		return nil, err
	}
	node := fwk.ClusterEvent{Resource: fwk.Node, ActionType: fwk.Add | fwk.UpdateNodeLabel | fwk.UpdateNodeAllocatable | fwk.UpdateNodeTaint}
	served := false
	for i := range events {
		served = served || events[i].Event.Resource == fwk.Node
		if events[i].Event.Resource == fwk.ResourceClaim {
			events[i].Event.ActionType |= fwk.Delete
			events[i].QueueingHintFn = p.afterClaimChange(events[i].QueueingHintFn)
		}
		if events[i].Event.Resource == fwk.ResourceSlice {
			// What is left of a pool that was incomplete may be all devices there are.
			events[i].Event.ActionType |= fwk.Delete
		}
	}
	if !served { // DRA is off
		events = append(events, fwk.ClusterEventWithHint{Event: node})
	}
	return append(events,
		// Annotations have no action of their own, they come as a general update.
		adapt.On(fwk.Pod, fwk.Update, p.afterOwnChange),
		adapt.On(fwk.Pod, fwk.Delete, p.afterPodLeft)), nil
}

// afterClaimChange has the model see a claim before a pod is tried because of it:
// our own handler of the informer may be later than the queue's. A claim that is
// deleted in one go gives its devices back as well.
func (p *GPUSlice) afterClaimChange(next fwk.QueueingHintFn) fwk.QueueingHintFn {
	return func(logger klog.Logger, pod *v1.Pod, before, after any) (fwk.QueueingHint, error) {
		was, is, err := util.As[*resourceapi.ResourceClaim](before, after)
		if err != nil {
			return fwk.Queue, err
		}
		p.manager.claims.changed(event{was, is})
		if is != nil {
			if !freed(was, is) && ofAnother(is, pod) {
				return fwk.QueueSkip, nil
			}
			return next(logger, pod, before, after)
		}
		if was != nil && (was.Status.Allocation != nil || ownedBy(was, pod)) {
			return fwk.Queue, nil
		}
		return fwk.QueueSkip, nil
	}
}

// ownedBy tells whether a claim was made for a pod.
func ownedBy(claim *resourceapi.ResourceClaim, pod *v1.Pod) bool {
	owner := metav1.GetControllerOfNoCopy(claim)
	return owner != nil && owner.UID == pod.UID
}

// freed tells whether a claim has given devices back.
func freed(was, is *resourceapi.ResourceClaim) bool {
	return was != nil && was.Status.Allocation != nil && is.Status.Allocation == nil
}

// ofAnother tells of a claim that was made for another pod, as nearly all are of which
// a pod in the queue hears, without looking the pod's own claims up: every event of
// every claim asks about every pod that waits.
func ofAnother(claim *resourceapi.ResourceClaim, pod *v1.Pod) bool {
	if claim.Namespace != pod.Namespace {
		return true
	}
	owner := metav1.GetControllerOfNoCopy(claim)
	if owner == nil || owner.UID == pod.UID || owner.Kind == "PodGroup" { // the last: of its pods
		return false
	}
	for i := range pod.Spec.ResourceClaims {
		if name := pod.Spec.ResourceClaims[i].ResourceClaimName; name != nil && *name == claim.Name {
			return false
		}
	}
	return true
}

// afterPodLeft lets pods be tried again when one that was on its way to a node with
// its claims has not arrived: what it had reserved was never written, so that no
// claim changes. Of one that has run the claims tell.
func (p *GPUSlice) afterPodLeft(_ klog.Logger, _ *v1.Pod, before, _ any) (fwk.QueueingHint, error) {
	left, _, err := util.As[*v1.Pod](before, nil)
	if err != nil {
		return fwk.Queue, err
	}
	if left.Status.Phase == v1.PodRunning || left.Status.Phase == v1.PodSucceeded || left.Status.Phase == v1.PodFailed {
		return fwk.QueueSkip, nil
	}
	if len(left.Spec.ResourceClaims) == 0 && len(extendedResources(left)) == 0 {
		return fwk.QueueSkip, nil
	}
	return fwk.Queue, nil
}

// alone makes sure that the profile does not run DynamicResources as well.
func (p *GPUSlice) alone() error {
	if runs(p.handle, names.DynamicResources) {
		return fmt.Errorf("profile %q enables %s beside %s, which does its work: disable it (plugins.multiPoint.disabled)",
			p.handle.ProfileName(), names.DynamicResources, Name)
	}
	return nil
}

// runs tells whether the profile runs a plugin at a point where claims count.
func runs(handle fwk.Handle, name string) bool {
	framework, ok := handle.(interface{ ListPlugins() *config.Plugins })
	if !ok {
		return false
	}
	plugins := framework.ListPlugins()
	for _, set := range []config.PluginSet{plugins.PreEnqueue, plugins.PreFilter, plugins.Filter, plugins.PostFilter,
		plugins.Score, plugins.Reserve, plugins.PreBind} {
		if slices.ContainsFunc(set.Enabled, func(one config.Plugin) bool { return one.Name == name }) {
			return true
		}
	}
	return false
}

// afterOwnChange sees every update of every pod, and asks first whose it is.
func (p *GPUSlice) afterOwnChange(_ klog.Logger, pod *v1.Pod, before, after any) (fwk.QueueingHint, error) {
	was, is, err := util.As[*v1.Pod](before, after)
	if err != nil {
		return fwk.Queue, err
	}
	if is == nil || is.UID != pod.UID || was != nil && !intent.Changed(was, is) {
		return fwk.QueueSkip, nil
	}
	return fwk.Queue, nil
}
