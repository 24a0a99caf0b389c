package topology

import (
	"maps"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// quiet is how long a group is held back before an event says so.
const quiet = 10 * time.Second

// heldGroup is why a group is held back, and since when.
type heldGroup struct {
	pod    *v1.Pod
	reason verdict.Reason
	since  time.Time
	told   bool
}

// held notes why a group is held back.
func (w *wakes) held(key intent.GroupKey, pod *v1.Pod, reason verdict.Reason, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h := w.holds[key]; h != nil {
		h.pod, h.reason = pod, reason
		return
	}
	w.holds[key] = &heldGroup{pod: pod, reason: reason, since: now}
}

// scouts tells whether the pod is the scout.
func (w *wakes) scouts(uid types.UID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.scout != nil && w.scout.UID == uid
}

// park notes that a member is held back. Nothing in the pod's status says so: if it
// lasts, an event does.
func (p *Topology) park(r *request, reason verdict.Reason) {
	p.groups.Park(r.group.Key, string(r.pod.UID))
	p.wakes.held(r.group.Key, r.pod, reason, p.clock.Now())
}

// tellHeld says of groups that have been held back for a while why: the status of
// a pod that is kept out of the queue does not. A process that stands by is silent.
func (p *Topology) tellHeld() {
	w, now, leads := p.wakes, p.clock.Now(), p.shared.leads.Load()
	w.mu.Lock()
	keys := slices.Collect(maps.Keys(w.holds))
	w.mu.Unlock()
	over := map[intent.GroupKey]bool{}
	for _, key := range keys { // not under the lock: the book has its own
		over[key] = p.groups.View(key).Parked == 0
	}
	var tell []heldGroup
	w.mu.Lock()
	for _, key := range keys {
		h := w.holds[key]
		switch {
		case over[key]:
			delete(w.holds, key)
		case !h.told && now.Sub(h.since) >= quiet:
			h.told = leads
			tell = append(tell, *h)
		}
	}
	w.mu.Unlock()
	if !leads {
		p.sendScout(tell)
		return
	}
	for i := range tell {
		p.handle.EventRecorder().Eventf(tell[i].pod, nil, v1.EventTypeWarning, string(verdict.GroupHeldBack), "Scheduling", "%s", tell[i].reason.Message)
	}
}

// sendScout lets one member of groups that are held back into the queue, unless one
// is there: should this process schedule, and have nothing but such groups, it would
// not know. Where it does, the member is tried and refused, and then it is known.
func (p *Topology) sendScout(held []heldGroup) {
	w := p.wakes
	w.mu.Lock()
	scout := w.scout
	w.mu.Unlock()
	if scout != nil && p.exists(klog.KObj(scout).String(), scout.UID) {
		return
	}
	i := slices.IndexFunc(held, func(h heldGroup) bool { return len(h.pod.Spec.SchedulingGates) == 0 })
	if i < 0 {
		return
	}
	w.mu.Lock()
	w.scout = held[i].pod
	w.mu.Unlock()
	pods := map[string]*v1.Pod{}
	p.collect(klog.KObj(held[i].pod).String(), held[i].pod.UID, pods)
	p.activate(pods)
}
