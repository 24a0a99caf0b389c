package topology

import (
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"plimsoll.dev/scheduler/internal/adapt"
	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/metrics"
	"plimsoll.dev/scheduler/pkg/verdict"
	"plimsoll.dev/scheduler/pkg/zone"
)

// graceful is how much longer than ourselves the framework waits for a member: it
// ends the waiting of one pod, we that of all of them, and say why.
const graceful = 5 * time.Second

// heldBack says why a member may not be tried yet.
func (p *Topology) heldBack(r *request) (verdict.Reason, bool) {
	if r.native() {
		return verdict.Reason{}, false // upstream's own plugin does that
	}
	if r.size.Missing != "" {
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
		assumed, since := p.groups.Start(key)
		for _, uid := range assumed {
			if waiting := p.handle.GetWaitingPod(types.UID(uid)); waiting != nil {
				waiting.Allow(Name)
			}
		}
		metrics.Groups.WithLabelValues(p.handle.ProfileName(), "placed").Inc()
		if !since.IsZero() {
			metrics.GroupWait.WithLabelValues(p.handle.ProfileName()).Observe(p.clock.Now().Sub(since).Seconds())
		}
		return nil, 0
	}
	timeout := p.timeout
	if r.size.Timeout > 0 {
		timeout = r.size.Timeout
	}
	p.groups.Wait(key, p.clock.Now(), timeout)
	r.waited = true
	p.pull(state, r, pod)
	reason := verdict.Say(verdict.GroupWaits, "group", r.group.Name, "placed", view.Placed(), "size", r.gang)
	return fwk.NewStatus(fwk.Wait, reason.Message), timeout + graceful
}

// pull has the members that are still in the queue tried next: they may be in
// back-off or wait for an event.
func (p *Topology) pull(state fwk.CycleState, r *request, pod *v1.Pod) {
	activate, err := adapt.State[*framework.PodsToActivate](state, framework.PodsToActivateKey)
	if err != nil {
		return
	}
	activate.Lock()
	defer activate.Unlock()
	for _, m := range p.groups.Pending(r.group.Key) {
		if other := p.podOf(m.Name); other != nil && other.UID != pod.UID {
			activate.Map[m.Name] = other
		}
	}
}

// failed is told that a pod found no node. A group that has not started gives its
// domain up and tries another.
func (p *Topology) failed(r *request, pod *v1.Pod, statuses fwk.NodeToStatusReader) *fwk.Status {
	if r.charges != nil {
		p.wakes.debtor(pod, r.keptOut(statuses))
	}
	if !r.strict || r.tree == nil || r.bound == zone.None {
		return fwk.NewStatus(fwk.Unschedulable)
	}
	except := ""
	if r.target != zone.Root {
		except = r.tree.Path(r.target)
	}
	if wait, gaveUp := p.giveWay(r.group.Key, r.group.Name, except); gaveUp {
		metrics.Groups.WithLabelValues(p.handle.ProfileName(), "gave_up").Inc()
		reason := verdict.Say(verdict.GroupGivesUp, "group", r.group.Name, "domain", r.tree.Path(r.target), "wait", seconds(wait))
		return fwk.NewStatus(fwk.Unschedulable, reason.Message)
	}
	if r.bound == zone.Root {
		return fwk.NewStatus(fwk.Unschedulable)
	}
	reason := verdict.Say(verdict.GroupBound, "group", r.group.Name, "domain", r.tree.Path(r.bound))
	return fwk.NewStatus(fwk.Unschedulable, reason.Message)
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

// giveWay ends the attempt of a group that has not started: those of its members
// that have a place leave it.
func (p *Topology) giveWay(key intent.GroupKey, name, except string) (time.Duration, bool) {
	assumed, wait, ok := p.groups.Fail(key, except, p.clock.Now())
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
