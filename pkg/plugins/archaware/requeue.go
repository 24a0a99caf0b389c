package archaware

import (
	"context"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/util"

	"plimsoll.dev/scheduler/pkg/images"
	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/inventory"
)

// EventsToRegister names what can cure a rejection:
//
//	Image…, Arch…       a node of another platform, or without the taint
//	ImageHeld, Image…   other images, pull secrets or annotations in the pod
//	ArchTaintBlocks     a toleration in the pod
//
// What registries answer, and what is observed of images, is no event: changed
// tells the queue.
func (p *ArchAware) EventsToRegister(context.Context) ([]fwk.ClusterEventWithHint, error) {
	return []fwk.ClusterEventWithHint{
		// Labels and taints: a new node can be refused by a check that precedes
		// ours until its taints go.
		{Event: fwk.ClusterEvent{Resource: fwk.Node, ActionType: fwk.Add | fwk.UpdateNodeLabel | fwk.UpdateNodeTaint}, QueueingHintFn: p.afterNode},
		// Images and annotations have no action of their own, they come as a
		// general update.
		{Event: fwk.ClusterEvent{Resource: fwk.Pod, ActionType: fwk.Update}, QueueingHintFn: p.afterOwnChange},
	}, nil
}

// afterNode queues pods that a node could take which it could not before.
func (p *ArchAware) afterNode(_ klog.Logger, pod *v1.Pod, before, after any) (fwk.QueueingHint, error) {
	was, is, err := util.As[*v1.Node](before, after)
	if err != nil {
		return fwk.Queue, err
	}
	if is == nil || !p.takes(pod, is) {
		return fwk.QueueSkip, nil
	}
	if was != nil && p.takes(pod, was) {
		return fwk.QueueSkip, nil
	}
	return fwk.Queue, nil
}

// takes tells whether we would let the pod onto the node, by what is known now.
// What is not known yet might.
func (p *ArchAware) takes(pod *v1.Pod, node *v1.Node) bool {
	asked, err := intent.Parse(pod)
	if err != nil {
		return false // no node helps
	}
	if exempt(pod, &asked) {
		return true
	}
	if _, blocked := p.taintBlocks(pod, node); blocked {
		return false
	}
	selection := intent.SelectArchitectures(pod)
	r := &request{asked: asked.Arch}
	r.pod.Preference, r.pod.OS, r.pod.Beside = asked.Arch.Preference, intent.OS(pod), p.classes[intent.RuntimeClass(pod)]
	if asked.Arch.Policy == intent.ArchOff || asked.Arch.Policy == intent.ArchPrefer || selection.Stated {
		return p.judge(r, p.hosts.host(inventory.PlatformOf(node))).refusal == ""
	}
	who := asker(pod)
	for _, name := range intent.Images(pod) {
		if answer := p.images.Lookup(who, name); answer.State == images.Known {
			r.pod.Images = append(r.pod.Images, imageOf(name, &answer))
		}
	}
	return p.judge(r, p.hosts.host(inventory.PlatformOf(node))).refusal == ""
}

// afterOwnChange sees every update of every pod, and asks first whose it is.
func (p *ArchAware) afterOwnChange(_ klog.Logger, pod *v1.Pod, before, after any) (fwk.QueueingHint, error) {
	was, is, err := util.As[*v1.Pod](before, after)
	if err != nil {
		return fwk.Queue, err
	}
	if is == nil || is.UID != pod.UID || was != nil && !changed(was, is) {
		return fwk.QueueSkip, nil
	}
	return fwk.Queue, nil
}

// changed tells whether anything differs that we read of a pod.
func changed(was, is *v1.Pod) bool {
	return intent.Changed(was, is) ||
		!slices.Equal(intent.Images(was), intent.Images(is)) ||
		!slices.Equal(intent.PullSecrets(was), intent.PullSecrets(is)) ||
		len(was.Spec.Tolerations) != len(is.Spec.Tolerations) || // they are only ever added
		!equality.Semantic.DeepEqual(intent.SelectArchitectures(was), intent.SelectArchitectures(is))
}
