package topology

import (
	"context"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/metrics"
)

const (
	// tick is how late what time brings about is noticed at most; every
	// sweepEvery-th time all that is held back is looked at again.
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
	// groups have members to try; all and freed are noted without saying which.
	groups     map[intent.GroupKey]struct{}
	namespaces map[string]struct{}
	freed      bool
	// debtors are pods that held room kept out, by namespace/name.
	debtors map[string]types.UID
	// rejects are members that should wait no longer.
	rejects map[types.UID]*rejection
}

type rejection struct {
	message string
	until   time.Time
}

func newWakes() *wakes {
	return &wakes{
		signal: make(chan struct{}, 1), groups: map[intent.GroupKey]struct{}{}, namespaces: map[string]struct{}{},
		debtors: map[string]types.UID{}, rejects: map[types.UID]*rejection{},
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

// debtor notes that a pod was, or was not, kept out by room held for others.
func (w *wakes) debtor(pod *v1.Pod, is bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := klog.KObj(pod).String()
	if is && len(w.debtors) < mostDebtors {
		w.debtors[name] = pod.UID
	} else if !is {
		delete(w.debtors, name)
	}
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
func (p *Topology) roomFreed() { p.wakes.note(func() { p.wakes.freed = true }) }

// sizesChanged is told that groups of a namespace, or of all if it is empty, may
// have another size now.
func (p *Topology) sizesChanged(namespace string) {
	p.wakes.note(func() { p.wakes.namespaces[namespace] = struct{}{} })
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
	groups, namespaces, freed := w.groups, w.namespaces, w.freed
	w.groups, w.namespaces, w.freed = map[intent.GroupKey]struct{}{}, map[string]struct{}{}, false
	var debtors map[string]types.UID
	if freed {
		debtors, w.debtors = w.debtors, map[string]types.UID{}
	}
	w.mu.Unlock()
	_, all := namespaces[""]
	if len(namespaces) > 0 {
		for _, key := range p.groups.Keys(p.mine) {
			if _, named := namespaces[key.Namespace]; all || named {
				groups[key] = struct{}{}
			}
		}
	}
	pods := map[string]*v1.Pod{}
	for key := range groups {
		for _, m := range p.groups.Parked(key) {
			p.collect(m.Name, types.UID(m.UID), pods)
		}
	}
	for name, uid := range debtors {
		p.collect(name, uid, pods)
	}
	p.activate(pods)
	p.rejectLate()
}

// beat does what time has brought about.
func (p *Topology) beat(sweep bool) {
	now := p.clock.Now()
	due := p.groups.Tick(now, p.mine)
	pods := map[string]*v1.Pod{}
	for _, key := range due.TimedOut {
		if _, ok := p.giveWay(key, p.nameOf(key), ""); ok {
			metrics.Groups.WithLabelValues(p.handle.ProfileName(), "timed_out").Inc()
		}
	}
	for _, key := range due.Again {
		for _, m := range p.groups.Pending(key) {
			p.collect(m.Name, types.UID(m.UID), pods)
		}
	}
	if sweep {
		for _, key := range p.groups.Keys(p.mine) {
			for _, m := range p.groups.Parked(key) {
				p.collect(m.Name, types.UID(m.UID), pods)
			}
		}
	}
	p.activate(pods)
	p.rejectLate()
	p.gauge()
}

func (p *Topology) mine(key intent.GroupKey) bool { return key.Scheduler == p.handle.ProfileName() }

func (p *Topology) nameOf(key intent.GroupKey) string {
	if view := p.groups.View(key); view.Hold != nil {
		return view.Hold.Name
	}
	return key.ID
}

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
