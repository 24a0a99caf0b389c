package topology

import (
	"context"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"plimsoll.dev/scheduler/pkg/gang"
	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/metrics"
)

const (
	// tick is how late what time brings about is noticed at most; every
	// sweepEvery-th time all that is known is looked at again.
	tick       = 500 * time.Millisecond
	sweepEvery = 60
	// mostDebtors bounds how many pods are remembered that held room kept out;
	// the queue's own flush serves those beyond.
	mostDebtors = 10_000
	// rejectFor is how long a member is looked for that does not wait yet.
	rejectFor = 10 * time.Second
)

// wakes is what is to be done outside of locks and scheduling cycles: queues take
// locks under which plugins run. It is safe for concurrent use.
type wakes struct {
	signal chan struct{}

	mu sync.Mutex
	// groups have members to try; sizes of theirs, or of other groups, have changed;
	// fewer have lost members and not started.
	groups map[intent.GroupKey]struct{}
	sizes  map[sizeOf]struct{}
	fewer  map[intent.GroupKey]struct{}
	// freed counts how often held room became free, served how much of that the
	// debtors were woken for: pods that held room kept out, by namespace/name.
	freed, served uint64
	debtors       map[string]types.UID
	// rejects are members that should wait no longer.
	rejects map[types.UID]*rejection
	// holds are groups that are held back.
	holds map[intent.GroupKey]*heldGroup
	// scout is a member that is let into the queue although it is held back: only its
	// being tried tells that this process schedules.
	scout *v1.Pod
}

// sizeOf is whose size has changed: groups with pods of the owner of that UID, and the
// PodGroup of that name; all groups if both are empty.
type sizeOf struct{ namespace, id string }

type rejection struct {
	message string
	until   time.Time
}

func newWakes() *wakes {
	return &wakes{
		signal: make(chan struct{}, 1), groups: map[intent.GroupKey]struct{}{}, sizes: map[sizeOf]struct{}{}, fewer: map[intent.GroupKey]struct{}{},
		debtors: map[string]types.UID{}, rejects: map[types.UID]*rejection{}, holds: map[intent.GroupKey]*heldGroup{},
	}
}

func (w *wakes) note(do func()) {
	w.mu.Lock()
	do()
	w.mu.Unlock()
	select {
	case w.signal <- struct{}{}:
	default: // one is on its way
	}
}

// group notes that the members of a group that are held back can be tried.
func (w *wakes) group(key intent.GroupKey) { w.note(func() { w.groups[key] = struct{}{} }) }

// shrunk notes that a group has lost a member. It is served with the next beat: many
// go at once, and each time all others are looked at.
func (w *wakes) shrunk(key intent.GroupKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fewer[key] = struct{}{}
}

// lessened returns the groups that lost a member since it was last asked.
func (w *wakes) lessened() map[intent.GroupKey]struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.fewer
	w.fewer = map[intent.GroupKey]struct{}{}
	return out
}

// frees is how often held room has become free so far.
func (w *wakes) frees() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.freed
}

// debtor notes that a pod was, or was not, kept out by room held for others. If
// some became free since it looked, it is tried again at once.
func (w *wakes) debtor(r *request, is bool) {
	w.note(func() {
		name := klog.KObj(r.pod).String()
		if is && len(w.debtors) < mostDebtors {
			w.debtors[name] = r.pod.UID
			w.served = min(w.served, r.freed)
		} else if !is {
			delete(w.debtors, name)
		}
	})
}

// reject notes that a member is to be rejected as soon as it waits.
func (w *wakes) reject(uid types.UID, message string) {
	w.note(func() { w.rejects[uid] = &rejection{message: message} })
}

// forgive notes that a member has a place again: what it was to be rejected from
// is over.
func (w *wakes) forgive(uid types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.rejects, uid)
}

// roomFreed is told that held room became free.
func (p *Topology) roomFreed() { p.wakes.note(func() { p.wakes.freed++ }) }

// sizeChanged is told whose size may be another now, as podgroups.Options.OnChange is.
func (p *Topology) sizeChanged(namespace, id string) {
	p.wakes.note(func() { p.wakes.sizes[sizeOf{namespace, id}] = struct{}{} })
}

// run does what was noted, and what time brings about, until the context ends.
func (p *Topology) run(ctx context.Context) {
	ticker := p.clock.NewTicker(tick)
	defer ticker.Stop()
	for beats := 1; ; {
		select {
		case <-ctx.Done():
			return
		case <-p.wakes.signal:
			p.serve()
		case <-ticker.C():
			p.beat(beats%sweepEvery == 0)
			beats++
		}
	}
}

// serve does what was noted.
func (p *Topology) serve() {
	w := p.wakes
	w.mu.Lock()
	groups, sizes := w.groups, w.sizes
	w.groups, w.sizes = map[intent.GroupKey]struct{}{}, map[sizeOf]struct{}{}
	var debtors map[string]types.UID
	if w.freed != w.served {
		debtors, w.debtors, w.served = w.debtors, map[string]types.UID{}, w.freed
	}
	w.mu.Unlock()
	pods := map[string]*v1.Pod{}
	for key := range p.resized(sizes) {
		p.recheck(key)
		p.reconsider(key, pods)
	}
	for key := range groups {
		p.collectParked(key, pods)
	}
	for name, uid := range debtors {
		p.collect(name, uid, pods)
	}
	p.activate(pods)
	p.rejectLate()
}

// resized are the groups of which the size has changed.
func (p *Topology) resized(sizes map[sizeOf]struct{}) map[intent.GroupKey]struct{} {
	out := map[intent.GroupKey]struct{}{}
	for changed := range sizes {
		keys := p.members.ownedBy(types.UID(changed.id))
		if changed == (sizeOf{}) {
			keys = p.groups.Keys(p.mine)
		}
		for _, kind := range []intent.GroupKind{intent.GroupByPodGroup, intent.GroupNative} {
			keys = append(keys, intent.GroupKey{Scheduler: p.handle.ProfileName(), Namespace: changed.namespace, Kind: kind, ID: changed.id})
		}
		for _, key := range keys {
			out[key] = struct{}{}
		}
	}
	return out
}

// reconsider collects the members of a group that is smaller now, or has another size,
// if nothing holds them back: where all of it found no room, this much may.
func (p *Topology) reconsider(key intent.GroupKey, pods map[string]*v1.Pod) {
	if p.groups.View(key).Started {
		p.collectParked(key, pods)
		return
	}
	for _, m := range p.groups.Pending(key) {
		pod := p.podOf(m.Name)
		if pod == nil || string(pod.UID) != m.UID {
			continue
		}
		r := p.memberOf(pod)
		if r == nil {
			continue
		}
		if reason, held := p.heldBack(r); held {
			p.wakes.held(key, pod, reason, p.clock.Now())
			continue
		}
		p.collect(m.Name, pod.UID, pods)
	}
}

// collectParked adds the members of a group that are held back.
func (p *Topology) collectParked(key intent.GroupKey, into map[string]*v1.Pod) {
	for _, m := range p.groups.Parked(key) {
		p.collect(m.Name, types.UID(m.UID), into)
	}
}

// recheck lets a group start of which, now that it is smaller, enough members have
// a place.
func (p *Topology) recheck(key intent.GroupKey) {
	for _, m := range p.groups.Placed(key) { // noted, perhaps, before their size was known
		if pod := p.podOf(m.Name); pod != nil && string(pod.UID) == m.UID && counts(pod) {
			if r := p.memberOf(pod); r != nil {
				p.members.note(pod, r)
			}
		}
	}
	view := p.groups.View(key)
	if !view.Waits || view.Started {
		return
	}
	for _, m := range p.groups.Placed(key) {
		if pod := p.podOf(m.Name); pod != nil {
			if r := p.memberOf(pod); r != nil && r.size.Missing == "" && view.Placed() >= r.gang {
				p.begin(key)
			}
			return
		}
	}
}

// beat does what time has brought about.
func (p *Topology) beat(sweep bool) {
	now := p.clock.Now()
	due := p.groups.Tick(now, p.mine)
	pods := map[string]*v1.Pod{}
	p.allow(due.Started)
	for _, key := range due.TimedOut {
		if p.victimsLeave(key) {
			p.groups.Extend(key, now.Add(p.timeout))
		} else if _, ok := p.giveWay(key, "", gang.Now); ok {
			metrics.Groups.WithLabelValues(p.handle.ProfileName(), "timed_out").Inc()
		}
	}
	for _, key := range due.Again {
		for _, m := range p.groups.Pending(key) {
			p.collect(m.Name, types.UID(m.UID), pods)
		}
	}
	for key := range p.wakes.lessened() {
		p.reconsider(key, pods)
	}
	if sweep {
		p.sweep(pods)
	}
	p.activate(pods)
	p.rejectLate()
	p.tellHeld()
	p.gauge()
}

// sweep collects all that is held back, drops members that are gone, should their
// end have come before they were noted, and looks at Services.
func (p *Topology) sweep(pods map[string]*v1.Pod) {
	for key, all := range p.groups.All(p.mine) {
		for _, m := range all {
			if !p.exists(m.Name, types.UID(m.UID)) {
				p.members.drop(types.UID(m.UID))
				p.groups.Remove(key, m.UID)
			}
		}
		p.collectParked(key, pods)
	}
	p.checkHints()
}

func (p *Topology) mine(key intent.GroupKey) bool { return key.Scheduler == p.handle.ProfileName() }

// collect adds the pod of that name and UID if it still waits for a node.
func (p *Topology) collect(name string, uid types.UID, into map[string]*v1.Pod) {
	if pod := p.podOf(name); pod != nil && pod.UID == uid && pod.Spec.NodeName == "" {
		into[name] = pod
	}
}

func (p *Topology) activate(pods map[string]*v1.Pod) {
	if len(pods) > 0 {
		p.handle.Activate(klog.Background(), pods)
	}
}

// rejectLate rejects members that did not wait yet when they should have given
// way: between our Permit and the framework's waiting lies a moment.
func (p *Topology) rejectLate() {
	w, now := p.wakes, p.clock.Now()
	w.mu.Lock()
	todo := make(map[types.UID]string, len(w.rejects))
	for uid, one := range w.rejects {
		if one.until.IsZero() {
			one.until = now.Add(rejectFor)
		}
		todo[uid] = one.message
		if now.After(one.until) {
			delete(w.rejects, uid)
		}
	}
	w.mu.Unlock()
	for uid, message := range todo {
		if p.reject(uid, message) {
			w.mu.Lock()
			delete(w.rejects, uid)
			w.mu.Unlock()
		}
	}
}

// gauge publishes for how many pods room is held.
func (p *Topology) gauge() {
	var pods int64
	for _, charged := range p.groups.Charges() {
		for i := range charged {
			if p.mine(charged[i].Group) && !charged[i].Soft {
				pods += charged[i].Pods
			}
		}
	}
	metrics.ReservedPods.WithLabelValues(p.handle.ProfileName()).Set(float64(pods))
}
