package topology

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
	"plimsoll.dev/scheduler/pkg/load"
	"plimsoll.dev/scheduler/pkg/zone"
)

// EventsToRegister names what can cure a rejection:
//
//	AnnotationInvalid                 a change of the pod's own annotations
//	GroupFitsNowhere, GroupBound      a node that is new, grew, or changed its labels or taints;
//	                                  requests leaving a node
//	LevelNowhere                      a node of that level
//	RoomKept                          nothing that is an event: see roomFreed and debtor
//	OutsideDomain, GroupMakesRoom     requests leaving a node
//
// What groups wait for, their pods, PodGroups, owners and time, is no event of a
// node: the plugin has them tried again itself.
func (p *Topology) EventsToRegister(context.Context) ([]fwk.ClusterEventWithHint, error) {
	return []fwk.ClusterEventWithHint{
		adapt.On(fwk.Pod, fwk.Delete|fwk.UpdatePodScaleDown, p.afterPodLeft),
		// Annotations have no action of their own, they come as a general update.
		adapt.On(fwk.Pod, fwk.Update, p.afterOwnChange),
		adapt.On(fwk.Node, fwk.Add|fwk.UpdateNodeAllocatable|fwk.UpdateNodeLabel|fwk.UpdateNodeTaint, p.afterNodeChange),
	}, nil
}

// afterOwnChange sees every update of every pod, and asks first whose it is.
func (p *Topology) afterOwnChange(_ klog.Logger, pod *v1.Pod, before, after any) (fwk.QueueingHint, error) {
	was, is, err := util.As[*v1.Pod](before, after)
	if err != nil {
		return fwk.Queue, err
	}
	if is == nil || is.UID != pod.UID {
		return fwk.QueueSkip, nil
	}
	return adapt.Hint(was == nil || intent.Changed(was, is) || intent.PodGroup(was) != intent.PodGroup(is) ||
		len(was.Spec.Tolerations) != len(is.Spec.Tolerations) || needOf(was).amounts != needOf(is).amounts), nil
}

// afterPodLeft sees pods that were deleted, finished or scaled down.
func (p *Topology) afterPodLeft(_ klog.Logger, pod *v1.Pod, before, after any) (fwk.QueueingHint, error) {
	was, is, err := util.As[*v1.Pod](before, after)
	if err != nil {
		return fwk.Queue, err
	}
	if was == nil || was.Spec.NodeName == "" && was.Status.NominatedNodeName == "" || !p.waitsForRoom(pod) {
		return fwk.QueueSkip, nil
	}
	need := needOf(pod)
	freed := need.meter.Pod(was).Requested
	if is != nil {
		still := need.meter.Pod(is).Requested
		for i := range freed {
			freed[i] -= still[i]
		}
	}
	return adapt.Hint(overlap(&need.amounts, &freed)), nil
}

// waitsForRoom tells whether room, of any kind, could be what the pod waits for.
func (p *Topology) waitsForRoom(pod *v1.Pod) bool {
	asked, err := intent.Parse(pod)
	if err != nil {
		return false
	}
	// One that asks nothing was kept out by room that is held for others.
	r := p.read(pod, &asked.Topology)
	if _, held := p.heldBack(r); held {
		return false
	}
	return true
}

// overlap tells whether any of what is needed was freed.
func overlap(need, freed *load.Vector) bool {
	for i := range need {
		if need[i] > 0 && freed[i] > 0 {
			return true
		}
	}
	return false
}

// afterNodeChange queues pods that the node takes, were it empty, and did not
// before, or takes more of, and those that domains matter to if it changed its own.
func (p *Topology) afterNodeChange(_ klog.Logger, pod *v1.Pod, before, after any) (fwk.QueueingHint, error) {
	was, is, err := util.As[*v1.Node](before, after)
	if err != nil {
		return fwk.Queue, err
	}
	asked, err := intent.Parse(pod)
	if err != nil || is == nil {
		return fwk.QueueSkip, nil
	}
	r := p.read(pod, &asked.Topology)
	if _, held := p.heldBack(r); held {
		return fwk.QueueSkip, nil
	}
	r.need = needOf(pod)
	if was != nil && r.gathers() && p.moved(was, is) {
		return fwk.Queue, nil // other nodes may have gone with it
	}
	now := p.takesAlone(r, is)
	return adapt.Hint(now > 0 && (was == nil || now > p.takesAlone(r, was))), nil
}

// takesAlone is how many pods of this kind the node would take if it were empty.
func (p *Topology) takesAlone(r *request, node *v1.Node) int64 {
	door := p.doorOf(r.pod)
	if !door.admits(node) || r.asked.Required != "" && !p.mayHaveLevel(node, r.asked.Required) {
		return 0
	}
	info := framework.NewNodeInfo()
	info.SetNode(node)
	var free load.Vector
	r.need.meter.Allocatable(info, &free)
	return zone.Fits((*zone.Amounts)(&free), (*zone.Amounts)(&r.need.amounts), door.most)
}

// mayHaveLevel tells whether the node is in a domain of the level, or may be: one that
// lacks the label is put where others are that have its value of a narrower one.
func (p *Topology) mayHaveLevel(node *v1.Node, word string) bool {
	values := inventory.Values(p.levels, node)
	reached := false
	for i, level := range p.levels {
		reached = reached || level.Alias == word || level.Key == word
		if !reached || values[i] == "" {
			continue
		}
		if level.Alias == word || level.Key == word || level.Key != v1.LabelHostname { // no others have that
			return true
		}
	}
	return false
}

// moved tells whether the node is in another domain now.
func (p *Topology) moved(was, is *v1.Node) bool {
	before, after := inventory.Values(p.levels, was), inventory.Values(p.levels, is)
	for i := range before {
		if before[i] != after[i] {
			return true
		}
	}
	return false
}
