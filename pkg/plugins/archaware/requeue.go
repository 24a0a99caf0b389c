package archaware

import (
	"context"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/util"

	"plimsoll.dev/scheduler/internal/adapt"
	"plimsoll.dev/scheduler/pkg/arch"
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
		// ours until its taints go. Delete: an assumption lasts as long as some
		// node can meet it.
		adapt.On(fwk.Node, fwk.Add|fwk.Delete|fwk.UpdateNodeLabel|fwk.UpdateNodeTaint, p.afterNode),
		// Images and annotations have no action of their own, they come as a
		// general update.
		adapt.On(fwk.Pod, fwk.Update, p.afterOwnChange),
	}, nil
}

// afterNode queues pods that a node could take which it could not before, and
// pods that wait on an assumption, which may have ended. It runs under the queue's
// lock for every pod we refused.
func (p *ArchAware) afterNode(_ klog.Logger, pod *v1.Pod, before, after any) (fwk.QueueingHint, error) {
	was, is, err := util.As[*v1.Node](before, after)
	if err != nil {
		return fwk.Queue, err
	}
	if p.parked.holds(pod) {
		return fwk.QueueSkip, nil // it waits for no node
	}
	asked, err := intent.Parse(pod)
	switch {
	case err != nil:
		return fwk.QueueSkip, nil // no node helps
	case exempt(pod, &asked) || p.assumes(pod, &asked):
		return fwk.Queue, nil
	case is == nil || !p.takes(pod, &asked, is):
		return fwk.QueueSkip, nil
	case was != nil && p.alike(was, is) || was != nil && p.takes(pod, &asked, was):
		return fwk.QueueSkip, nil
	}
	return fwk.Queue, nil
}

// alike tells whether two states of a node are the same to us.
func (p *ArchAware) alike(was, is *v1.Node) bool {
	a, b := inventory.ArchTaint(was), inventory.ArchTaint(is)
	return p.platforms.Kind(was) == p.platforms.Kind(is) && (a == nil) == (b == nil) && (a == nil || a.MatchTaint(b) && a.Value == b.Value)
}

// assumes tells whether an assumption about an image decides where the pod goes.
func (p *ArchAware) assumes(pod *v1.Pod, asked *intent.Intent) bool {
	if asked.Arch.Policy != intent.ArchDefault || p.closed || p.assumed.Empty() || !asked.Arch.Preference.Empty() {
		return false
	}
	who := asker(pod)
	return slices.ContainsFunc(intent.Images(pod), func(name string) bool {
		return p.images.Lookup(who, name).State != images.Known
	})
}

// takes tells whether we would let the pod onto the node, by what is known now.
// What is not known yet might.
func (p *ArchAware) takes(pod *v1.Pod, asked *intent.Intent, node *v1.Node) bool {
	if _, blocked := p.taintBlocks(pod, node); blocked {
		return false
	}
	r := &request{asked: asked.Arch}
	r.pod.Preference, r.pod.OS, r.pod.Beside = asked.Arch.Preference, intent.OS(pod), p.classes[intent.RuntimeClass(pod)]
	selection := intent.SelectArchitectures(pod)
	if asked.Arch.Policy == intent.ArchDefault && !selection.Stated || asked.Arch.Policy == intent.ArchStrict && !selection.Stated {
		who := asker(pod)
		for _, name := range intent.Images(pod) {
			if answer := p.images.Lookup(who, name); answer.State == images.Known {
				r.pod.Images = append(r.pod.Images, imageOf(name, &answer))
			}
		}
	}
	return r.pod.Judge(p.hosts.of(node)).Cause == arch.Fine
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
