package topology

import (
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"plimsoll.dev/scheduler/internal/adapt"
	"plimsoll.dev/scheduler/pkg/gang"
	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/metrics"
	"plimsoll.dev/scheduler/pkg/verdict"
	"plimsoll.dev/scheduler/pkg/zone"
)

// longest is how long the framework lets a member wait, which is its own bound: it
// ends the waiting of one pod, we that of all of them, at least graceful sooner,
// and say why.
const (
	longest  = 15 * time.Minute
	graceful = 30 * time.Second
)

// heldBack says why a member may not be tried yet.
func (p *Topology) heldBack(r *request) (verdict.Reason, bool) {
	if native(r.pod) {
		return verdict.Reason{}, false // upstream's own plugin does that
	}
	if r.size.Missing != "" && (r.gathers() || r.group.Key.Kind == intent.GroupByPodGroup) {
		return verdict.Say(verdict.GroupUnknown, "group", r.group.Name, "missing", r.size.Missing), true
	}
	if r.gang <= 1 {
		return verdict.Reason{}, false
	}
	view := p.groups.View(r.group.Key)
	if view.Started {
		return verdict.Reason{}, false
	}
	if have := max(view.All(), 1); have < r.gang {
		return verdict.Say(verdict.GroupIncomplete, "group", r.group.Name, "have", have, "size", r.gang, "source", r.size.Source), true
	}
	if wait := view.NotBefore.Sub(p.clock.Now()); wait > 0 {
		return verdict.Say(verdict.GroupBacksOff, "group", r.group.Name, "wait", seconds(wait)), true
	}
	return verdict.Reason{}, false
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.0fs", max(1, d.Seconds())) }

// permit lets a group start once enough of its members have a place, and has them
// wait until then.
func (p *Topology) permit(state fwk.CycleState, r *request, pod *v1.Pod) (*fwk.Status, time.Duration) {
	key := r.group.Key
	view := p.groups.View(key)
	if view.Started {
		return nil, 0
	}
	if view.Placed() >= r.gang {
		p.begin(key)
		return nil, 0
	}
	timeout := p.timeout
	if r.size.Timeout > 0 {
		timeout = min(r.size.Timeout, longest-graceful)
	}
	var first bool
	r.attempt, first = p.groups.Wait(key, p.clock.Now(), timeout)
	r.waited = true
	if first {
		p.pull(state, r, pod)
	}
	reason := verdict.Say(verdict.GroupWaits, "group", r.group.Name, "placed", view.Placed(), "size", r.gang)
	return fwk.NewStatus(fwk.Wait, reason.Message), longest
}

// begin lets a group start: those of its members that wait need not any more.
func (p *Topology) begin(key intent.GroupKey) {
	assumed, since := p.groups.Start(key)
	p.allow(assumed)
	metrics.Groups.WithLabelValues(p.handle.ProfileName(), "placed").Inc()
	if !since.IsZero() {
		metrics.GroupWait.WithLabelValues(p.handle.ProfileName()).Observe(p.clock.Now().Sub(since).Seconds())
	}
}

// allow ends the waiting of members.
func (p *Topology) allow(uids []string) {
	for _, uid := range uids {
		if waiting := p.handle.GetWaitingPod(types.UID(uid)); waiting != nil {
			waiting.Allow(Name)
		}
	}
}

// pull has the members that are still in the queue tried next: they may be in
// back-off or wait for an event. One that waits for its victims to go is left
// alone.
func (p *Topology) pull(state fwk.CycleState, r *request, pod *v1.Pod) {
	activate, err := adapt.State[*framework.PodsToActivate](state, framework.PodsToActivateKey)
	if err != nil {
		return
	}
	activate.Lock()
	defer activate.Unlock()
	for _, m := range p.groups.Pending(r.group.Key) {
		if other := p.podOf(m.Name); other != nil && other.UID != pod.UID && other.Status.NominatedNodeName == "" {
			activate.Map[m.Name] = other
		}
	}
}

// failed is told that a pod found no node. A group that has not started gives its
// domain up and tries another.
func (p *Topology) failed(r *request, statuses fwk.NodeToStatusReader) *fwk.Status {
	if r.charges != nil {
		p.wakes.debtor(r, r.keptOut(statuses))
	}
	if !r.strict || !r.member || r.tree == nil || r.bound == zone.None {
		return fwk.NewStatus(fwk.Unschedulable)
	}
	view, domain := p.groups.View(r.group.Key), r.tree.Path(r.bound)
	switch {
	case view.Started || r.gang <= 1 && view.Placed() > 0:
		p.groups.Idle(r.group.Key)
		if r.bound == zone.Root {
			return fwk.NewStatus(fwk.Unschedulable)
		}
		return fwk.NewStatus(fwk.Unschedulable, verdict.Say(verdict.GroupBound, "group", r.group.Name, "domain", domain).Message)
	case p.makesRoom(r):
		p.groups.Extend(r.group.Key, p.clock.Now().Add(p.timeout))
		return fwk.NewStatus(fwk.Unschedulable, verdict.Say(verdict.GroupMakesRoom, "group", r.group.Name, "domain", domain).Message)
	}
	except := "" // the pod was tried on all nodes that it is bound to, not just the target's
	if r.bound != zone.Root {
		except = domain
	}
	wait, gaveUp := p.giveWay(r.group.Key, except, gang.Now)
	if !gaveUp {
		return fwk.NewStatus(fwk.Unschedulable)
	}
	metrics.Groups.WithLabelValues(p.handle.ProfileName(), "gave_up").Inc()
	reason := verdict.Say(verdict.GroupGivesUp, "group", r.group.Name, "domain", domain, "wait", seconds(wait))
	return fwk.NewStatus(fwk.Unschedulable, reason.Message)
}

// makesRoom tells whether pods are about to leave the node that the pod is
// nominated to, for its sake: it then finds no other place for good reason.
func (p *Topology) makesRoom(r *request) bool {
	nominated := r.pod.Status.NominatedNodeName
	n, found := r.tree.Node(nominated)
	if nominated == "" || !found || !r.tree.Contains(r.bound, n) {
		return false
	}
	info, err := p.handle.SnapshotSharedLister().NodeInfos().Get(nominated)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(info.GetPods(), func(on fwk.PodInfo) bool {
		return on.GetPod().DeletionTimestamp != nil && corev1helpers.PodPriority(on.GetPod()) < r.priority
	})
}

// victimsLeave tells whether pods are about to leave a node for the sake of a member
// that is nominated to it: upstream does not try it again before they are gone. It
// may be asked outside of scheduling cycles.
func (p *Topology) victimsLeave(key intent.GroupKey) bool {
	nominees := map[string]int32{} // the highest priority of those nominated to a node
	for _, m := range p.groups.Pending(key) {
		pod := p.podOf(m.Name)
		if pod == nil || string(pod.UID) != m.UID || pod.Status.NominatedNodeName == "" {
			continue
		}
		priority, node := corev1helpers.PodPriority(pod), pod.Status.NominatedNodeName
		if highest, found := nominees[node]; !found || priority > highest {
			nominees[node] = priority
		}
	}
	if len(nominees) == 0 {
		return false
	}
	pods, err := p.handle.SharedInformerFactory().Core().V1().Pods().Lister().List(labels.Everything())
	return err == nil && slices.ContainsFunc(pods, func(pod *v1.Pod) bool {
		priority, nominated := nominees[pod.Spec.NodeName]
		return nominated && pod.DeletionTimestamp != nil && corev1helpers.PodPriority(pod) < priority
	})
}

// keptOut tells whether any node was refused because its room is held.
func (r *request) keptOut(statuses fwk.NodeToStatusReader) bool {
	for node := range r.charges {
		if statuses.Get(node).Plugin() == Name {
			return true
		}
	}
	return false
}

// giveWay ends an attempt of a group that has not started: those of its members
// that have a place leave it.
func (p *Topology) giveWay(key intent.GroupKey, except string, attempt int) (time.Duration, bool) {
	name := p.groups.View(key).Name
	assumed, wait, ok := p.groups.Fail(key, except, attempt, p.clock.Now())
	if !ok {
		return 0, false
	}
	message := verdict.Say(verdict.GroupGaveWay, "group", name, "wait", seconds(wait)).Message
	for _, uid := range assumed {
		if !p.reject(types.UID(uid), message) {
			p.wakes.reject(types.UID(uid), message)
		}
	}
	return wait, true
}

// reject ends the waiting of a member; false if it does not wait yet.
func (p *Topology) reject(uid types.UID, message string) bool {
	waiting := p.handle.GetWaitingPod(uid)
	return waiting != nil && waiting.Reject(Name, message)
}
