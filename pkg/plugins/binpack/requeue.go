package binpack

import (
	"context"

	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/util"

	"plimsoll.dev/scheduler/internal/adapt"
	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/inventory"
)

// EventsToRegister names what can cure a rejection:
//
//	AnnotationInvalid   a change of the pod's own annotations, nothing else
//	OverCeiling         requests leaving a node, the pod asking for less, a
//	                    node that is new, grew, or changed its pool
func (p *BinPack) EventsToRegister(context.Context) ([]fwk.ClusterEventWithHint, error) {
	return []fwk.ClusterEventWithHint{
		adapt.On(fwk.Pod, fwk.Delete|fwk.UpdatePodScaleDown, p.afterPodLeft),
		// Annotations have no action of their own, they come as a general update.
		adapt.On(fwk.Pod, fwk.Update, p.afterOwnChange),
		// Without the taint upstream would add it, with a hint that always queues.
		adapt.On(fwk.Node, fwk.Add|fwk.UpdateNodeAllocatable|fwk.UpdateNodeLabel|fwk.UpdateNodeTaint, p.afterNodeChange),
	}, nil
}

// afterOwnChange sees every update of every pod, and asks first whose it is.
func (p *BinPack) afterOwnChange(_ klog.Logger, pod *v1.Pod, before, after any) (fwk.QueueingHint, error) {
	was, is, err := util.As[*v1.Pod](before, after)
	if err != nil {
		return fwk.Queue, err
	}
	if is == nil || is.UID != pod.UID {
		return fwk.QueueSkip, nil
	}
	return adapt.Hint(was == nil || intent.Changed(was, is) || p.asksLess(was, is)), nil
}

// afterPodLeft sees pods that were deleted, finished, scaled down, or are no
// longer nominated to a node.
func (p *BinPack) afterPodLeft(_ klog.Logger, pod *v1.Pod, before, after any) (fwk.QueueingHint, error) {
	was, is, err := util.As[*v1.Pod](before, after)
	if err != nil {
		return fwk.Queue, err
	}
	if _, err := intent.Parse(pod); err != nil || was == nil {
		return fwk.QueueSkip, nil
	}
	if was.Spec.NodeName == "" && was.Status.NominatedNodeName == "" {
		return fwk.QueueSkip, nil // it took nothing of any node
	}
	return adapt.Hint(is == nil || is.UID != pod.UID && p.asksLess(was, is)), nil
}

func (p *BinPack) afterNodeChange(_ klog.Logger, pod *v1.Pod, before, after any) (fwk.QueueingHint, error) {
	was, is, err := util.As[*v1.Node](before, after)
	if err != nil {
		return fwk.Queue, err
	}
	if _, err := intent.Parse(pod); err != nil {
		return fwk.QueueSkip, nil
	}
	needs := p.meter.Pod(pod)
	return adapt.Hint(is != nil && p.takesAlone(is, &needs) && (was == nil || p.offersMore(was, is))), nil
}

// asksLess reports whether any request went down between two states of a pod.
func (p *BinPack) asksLess(was, is *v1.Pod) bool {
	before, after := p.meter.Pod(was), p.meter.Pod(is)
	for i := range before.Requested {
		if after.Requested[i] < before.Requested[i] {
			return true
		}
	}
	return false
}

// takesAlone reports whether the node could take the pod if it were empty.
func (p *BinPack) takesAlone(node *v1.Node, needs *inventory.Needs) bool {
	info := framework.NewNodeInfo()
	info.SetNode(node)
	line := p.lines.of(node)
	return line.ceiling == 0 || p.overCeilingAlone(line, info, needs) < 0
}

// offersMore reports whether the node has more, or may be loaded higher, than
// it was.
func (p *BinPack) offersMore(was, is *v1.Node) bool {
	before, after := p.lines.of(was).ceiling, p.lines.of(is).ceiling
	if before != 0 && (after == 0 || after > before) {
		return true
	}
	for i := range p.scale.Len() {
		name := v1.ResourceName(p.scale.Resource(i).Name)
		old, now := was.Status.Allocatable[name], is.Status.Allocatable[name]
		if now.Cmp(old) > 0 {
			return true
		}
	}
	return false
}
