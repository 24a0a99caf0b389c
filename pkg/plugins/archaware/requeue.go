package archaware

import (
	"context"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/util"

	"plimsoll.dev/scheduler/internal/adapt"
	"plimsoll.dev/scheduler/pkg/arch"
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
		// ours until its taints go. Delete and allocatable: an assumption lasts as
		// long as some node can meet it and hold the pod, see sways.
		adapt.On(fwk.Node, fwk.Add|fwk.Delete|fwk.UpdateNodeLabel|fwk.UpdateNodeTaint|fwk.UpdateNodeAllocatable, p.afterNode),
		// Images and annotations have no action of their own, they come as a
		// general update.
		adapt.On(fwk.Pod, fwk.Update, p.afterOwnChange),
	}, nil
}

// afterNode queues pods that a node could take which it could not before, and
// pods that others may take since it changed. It runs under the queue's lock for
// every pod we refused.
func (p *ArchAware) afterNode(_ klog.Logger, pod *v1.Pod, before, after any) (fwk.QueueingHint, error) {
	was, is, err := util.As[*v1.Node](before, after)
	if err != nil {
		return fwk.Queue, err
	}
	if p.parked.holds(pod) {
		return fwk.QueueSkip, nil // it waits for no node
	}
	asked, err := intent.Parse(pod)
	if err != nil {
		return fwk.QueueSkip, nil // no node helps
	}
	if exempt(pod, &asked) {
		return fwk.Queue, nil
	}
	r := p.recall(pod, &asked)
	helps := is != nil && (was == nil || !p.alike(was, is)) && p.takes(r, pod, is) && (was == nil || !p.takes(r, pod, was))
	if helps || p.sways(r, pod, was, is) {
		return fwk.Queue, nil
	}
	return fwk.QueueSkip, nil
}

// alike tells whether two states of a node are the same to us.
func (p *ArchAware) alike(was, is *v1.Node) bool {
	a, b := inventory.ArchTaint(was), inventory.ArchTaint(is)
	return p.platforms.Kind(was) == p.platforms.Kind(is) && (a == nil) == (b == nil) && (a == nil || a.MatchTaint(b) && a.Value == b.Value)
}

// recall makes the request of a pod by what is known now of its images. One that is
// not known might run anywhere, unless the pod insists.
func (p *ArchAware) recall(pod *v1.Pod, asked *intent.Intent) *request {
	r := &request{asked: asked.Arch, pod: arch.Pod{Preference: asked.Arch.Preference, OS: intent.OS(pod),
		Closed: p.insists(asked), Beside: p.classes[intent.RuntimeClass(pod)]}}
	if asked.Arch.Policy == intent.ArchOff || asked.Arch.Policy == intent.ArchPrefer {
		return r
	}
	who := asker(pod)
	for _, name := range intent.Images(pod) {
		answer := p.images.Lookup(who, name)
		image := imageOf(pod, name, &answer)
		if !image.Known && !r.pod.Closed {
			image.Proven = arch.Set{} // it binds to no more than the assumption
		}
		r.pod.Images = append(r.pod.Images, image)
	}
	return r
}

// takes tells whether we would let the pod onto the node, by what is known now.
// What is not known yet might, and what its own selector allows wins.
func (p *ArchAware) takes(r *request, pod *v1.Pod, node *v1.Node) bool {
	if _, blocked := p.taintBlocks(pod, node); blocked {
		return false
	}
	j := r.pod.Judge(p.hosts.of(node))
	return j.Cause == arch.Fine || j.Cause.OfImages() && intent.SelectArchitectures(pod).Stated
}

// sways tells whether a node's change can free the pod to go to other nodes: an
// assumption binds as long as a node that meets it can hold the pod, and a failure
// counts as long as the pod can go elsewhere.
func (p *ArchAware) sways(r *request, pod *v1.Pod, was, is *v1.Node) bool {
	assumes, failed := r.unknown() != nil && !r.pod.Closed && r.asked.Preference.Empty(), r.pod.Failed()
	if !assumes && !failed {
		return false
	}
	d := demandsOf(pod)
	if d.untold && !failed {
		return false // it leans, and binds to nothing
	}
	kind := func(node *v1.Node) int {
		if node == nil || !failed && !p.meets(&r.pod, node) || !p.admits(d, node, framework.NewResource(node.Status.Allocatable)) {
			return -1
		}
		return p.platforms.Kind(node)
	}
	return kind(was) != kind(is)
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
		!slices.Equal(intent.Mounted(was), intent.Mounted(is)) ||
		!slices.Equal(intent.PullSecrets(was), intent.PullSecrets(is)) ||
		len(was.Spec.Tolerations) != len(is.Spec.Tolerations) || // they are only ever added
		!equality.Semantic.DeepEqual(intent.SelectArchitectures(was), intent.SelectArchitectures(is))
}
