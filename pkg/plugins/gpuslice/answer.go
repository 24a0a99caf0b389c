package gpuslice

import (
	"context"
	"fmt"
	"sync"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/structured"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/pkg/devices"
	"plimsoll.dev/scheduler/pkg/metrics"
)

// The parties by which attempts are counted.
const (
	answeredByModel     = "model"
	answeredByAllocator = "allocator"
	answeredByCluster   = "cluster"
)

func (p *GPUSlice) count(by string) {
	metrics.DeviceAnswers.WithLabelValues(p.handle.ProfileName(), by).Inc()
}

// look looks at the model as the pod does.
func (p *GPUSlice) look(r *request) *fwk.Status {
	if r.shape == nil {
		return nil
	}
	if err := p.manager.feed.refresh(); err != nil {
		return fwk.AsStatus(err)
	}
	r.view = p.manager.model.View(r.shape, p.learner.worth())
	return nil
}

// ordered is what the wrapped plugin is shown if it looks at the whole cluster.
func (r *request) ordered() *shown {
	if r.view == nil || r.natural {
		return nil
	}
	return &shown{slices: r.view.Ordered()}
}

// answerable tells whether nodes can be judged without the wrapped plugin having
// looked at the pod. All that it checks of the pod alone was seen to be well, or
// it is left to find, and to word, what is wrong. It also has to see claims that
// are allocated already, for it keeps what it does about them to itself.
func (p *GPUSlice) answerable(state fwk.CycleState, pod *v1.Pod, r *request) bool {
	c := p.manager.claims
	switch {
	case r.view == nil || !r.fresh, c == nil || c.strangers.Load() || !c.synced(),
		r.listed && !p.features.EnableDRAPrioritizedList,
		// Pods of a native group share claims in flight, and keep what was found for
		// them from one pass over the group to the next.
		state.GetPodGroupSchedulingCycle() != nil,
		// Both bring claims into play of which the pod's spec says nothing.
		p.features.EnableDRANodeAllocatableResources, p.features.EnableDRAWorkloadResourceClaims:
		return false
	}
	return len(r.extended) == 0 || len(c.extendedOf(pod)) == 0
}

// distrusts tells whether model and allocator disagreed about the pod before.
func (p *GPUSlice) distrusts(pod *v1.Pod) bool {
	_, yes := p.distrusted.Get(pod.UID)
	return yes
}

// filterOnModel judges a node by the model, and asks the allocator where the model
// cannot tell.
func (p *GPUSlice) filterOnModel(ctx context.Context, state fwk.CycleState, pod *v1.Pod, r *request, node fwk.NodeInfo) *fwk.Status {
	if r.servedByPlugins(pod, node) {
		return nil
	}
	if r.planned(node) && !r.distrusted {
		switch answer, why := r.view.Judge(node.Node()); answer {
		case devices.Fits:
			return nil
		case devices.Refused:
			return r.refuse(why)
		}
		if status := r.withinLimits(node); status != nil {
			return status
		}
	}
	a := p.asked(ctx, state, pod, r, node)
	if !a.status.IsSuccess() {
		return r.explained(a.status, node)
	}
	if r.distrusted {
		if status := r.withinLimits(node); status != nil {
			return status
		}
	}
	r.asked.Store(node.Node().Name, a)
	r.askedAny.Store(true)
	return nil
}

// answer is what the wrapped plugin said of a node, and all nodes like it.
type answer struct {
	once   sync.Once
	node   fwk.NodeInfo
	state  fwk.CycleState
	status *fwk.Status
}

// asked asks the wrapped plugin about a node. Of nodes that publish nothing of use and
// reach the same pools it is asked about the first only: it could not tell them
// apart, except by what their device plugins have.
func (p *GPUSlice) asked(ctx context.Context, state fwk.CycleState, pod *v1.Pod, r *request, node fwk.NodeInfo) *answer {
	a := &answer{}
	if key, alike := r.view.Alike(node.Node()); alike && len(r.extended) == 0 {
		known, _ := r.alike.LoadOrStore(key, a)
		a = known.(*answer)
	}
	a.once.Do(func() {
		a.node, a.state = node, state.Clone()
		a.status, _ = p.ask(ctx, a.state, pod, node, r.scope(node))
	})
	return a
}

// ask runs the wrapped plugin's PreFilter and Filter on one node, with all that it
// has to know of that, and tells whether Filter was reached. The state is the
// pod's, or a copy that only this node uses.
func (p *GPUSlice) ask(ctx context.Context, state fwk.CycleState, pod *v1.Pod, node fwk.NodeInfo, scope *devices.Scope) (status *fwk.Status, filtered bool) {
	what := &shown{slices: scope.Slices, allocated: scope.Allocated, claims: p.manager.claims.extendedOf(pod), part: true}
	p.manager.show(what, func() { _, status = p.dra.PreFilter(ctx, state, pod, nil) })
	if !status.IsSuccess() {
		return status, false
	}
	return p.dra.Filter(ctx, state, pod, node), true
}

// scope is what the wrapped plugin is shown of a node: best devices first, if the
// model is to be relied on and speaks of the claims that the pod has there.
func (r *request) scope(node fwk.NodeInfo) *devices.Scope {
	if r.natural || r.distrusted || !r.planned(node) {
		return r.view.NaturalScope(node.Node())
	}
	return r.view.Scope(node.Node())
}

// listed is how early the alternatives that the pod would take of a node stand in
// the user's lists. The plan is the model's, nil if it has none.
func (p *GPUSlice) listed(ctx context.Context, state fwk.CycleState, pod *v1.Pod, r *request, node fwk.NodeInfo, plan *devices.Plan) (int64, *fwk.Status) {
	if !r.onModel {
		return p.dra.Score(ctx, state, pod, node)
	}
	if r.askedAny.Load() {
		if known, found := r.asked.Load(node.Node().Name); found {
			a := known.(*answer)
			return p.dra.Score(ctx, a.state, pod, a.node)
		}
	}
	if plan != nil && !r.view.Shares() {
		return plan.Rank, nil
	}
	return r.view.Rank(node.Node()), nil
}

// confirm asks the wrapped plugin about the node that was chosen, and leaves it
// ready to reserve. If it refuses, the pod is to be tried again soon: no event
// would come that tells when.
func (p *GPUSlice) confirm(ctx context.Context, state fwk.CycleState, pod *v1.Pod, r *request, nodeName string) *fwk.Status {
	node, err := p.handle.SnapshotSharedLister().NodeInfos().Get(nodeName)
	if err != nil {
		return fwk.AsStatus(fmt.Errorf("confirming devices for pod %s: %w", klog.KObj(pod), err))
	}
	if stranger, err := p.stranger(node, r.view.Shares()); err != nil {
		return fwk.AsStatus(fmt.Errorf("confirming devices for pod %s: %w", klog.KObj(pod), err))
	} else if stranger != nil {
		p.manager.claims.met(klog.FromContext(ctx), stranger)
		return fwk.AsStatus(fmt.Errorf("confirming devices for pod %s on node %s: another profile is placing pod %s on node %s",
			klog.KObj(pod), nodeName, klog.KObj(stranger), stranger.Spec.NodeName))
	}
	scope := r.scope(node)
	_, asked := r.asked.Load(nodeName)
	status, filtered := p.ask(ctx, state, pod, node, scope)
	if status.IsSuccess() {
		r.plan = scope.Plan
		p.count(r.answeredBy())
		return nil
	}
	if filtered && status.Code() == fwk.UnschedulableAndUnresolvable && scope.Fresh && !asked && p.unchanged(pod, r) {
		p.disagree(ctx, pod, r, node, scope, status)
	}
	return fwk.AsStatus(fmt.Errorf("devices for pod %s on node %s are no longer to be had: %s", klog.KObj(pod), nodeName, status.Message()))
}

// stranger finds a pod that another profile of this process has given devices which may
// be the node's: those of its own, or of a pool that it shares with others.
func (p *GPUSlice) stranger(node fwk.NodeInfo, shared bool) (*v1.Pod, error) {
	c, classes := p.manager.claims, p.manager.DeviceClassResolver()
	if pod := c.strangerOn(node, classes); pod != nil || !shared {
		return pod, nil
	}
	all, err := p.handle.SnapshotSharedLister().NodeInfos().List()
	if err != nil {
		return nil, fmt.Errorf("listing nodes: %w", err)
	}
	return c.strangerAnywhere(all, classes), nil
}

// answeredBy is who judged the nodes in this cycle.
func (r *request) answeredBy() string {
	by := answeredByModel
	r.asked.Range(func(any, any) bool {
		by = answeredByAllocator
		return false
	})
	return by
}

// disagree notes that the allocator refused what the model had found, though
// nothing changed in between: the pod is tried again without the model.
func (p *GPUSlice) disagree(ctx context.Context, pod *v1.Pod, r *request, node fwk.NodeInfo, scope *devices.Scope, status *fwk.Status) {
	metrics.Disagreements.WithLabelValues(p.handle.ProfileName()).Inc()
	p.distrusted.Add(pod.UID, true)
	logger := klog.FromContext(ctx)
	logger.Error(nil, "The allocator refused devices that the model had found; the pod is tried again without the model",
		"pod", klog.KObj(pod), "node", klog.KObj(node.Node()), "planned", scope.Plan, "refused", status.Message())
	if _, before := p.reproduced.Get(pod.UID); before {
		return
	}
	p.reproduced.Add(pod.UID, true)
	text, err := r.view.Reproducer(scope, node.Node(), r.specs(), p.manager.DeviceClasses()).YAML()
	if err != nil {
		logger.Error(err, "What it takes to reproduce the disagreement cannot be written", "pod", klog.KObj(pod))
		return
	}
	logger.Info("What it takes to reproduce the disagreement; save it and run hack/drafuzz -replay FILE", "pod", klog.KObj(pod), "reproducer", string(text))
}

// specs are the pod's claims without names, and without what drivers are told,
// which may be confidential.
func (r *request) specs() []*resourceapi.ResourceClaim {
	out := make([]*resourceapi.ResourceClaim, len(r.asks))
	for i, ask := range r.asks {
		name := fmt.Sprintf("claim-%d", i)
		out[i] = &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID(name)}, Spec: *ask.Spec}
		out[i].Spec.Devices.Config = nil
	}
	return out
}

// unchanged tells whether the pod's claims, and the classes they name, are still
// those that its cycle began with.
func (p *GPUSlice) unchanged(pod *v1.Pod, r *request) bool {
	if len(r.extended) > 0 && len(p.manager.claims.extendedOf(pod)) > 0 {
		return false // of an earlier attempt, and late
	}
	var again request
	asks := p.asks(pod, &again)
	if !again.fresh || len(asks) != len(r.asks) {
		return false
	}
	for i := range asks {
		// The scheduler's cache replaces what changes.
		if asks[i].Name != extendedClaim && asks[i].Spec != r.asks[i].Spec {
			return false
		}
	}
	shape, err := p.manager.model.Shape(asks, r.limits, p.manager.DeviceClasses())
	return err == nil && shape == r.shape
}

// cleanUp has the wrapped plugin delete a claim that an earlier attempt made for
// the pod's extended resources, if one has turned up since PreFilter. Otherwise
// there is nothing to give up: none of the pod's claims is allocated.
func (p *GPUSlice) cleanUp(ctx context.Context, state fwk.CycleState, pod *v1.Pod, r *request, statuses fwk.NodeToStatusReader) (*fwk.PostFilterResult, *fwk.Status) {
	var left []*resourceapi.ResourceClaim
	if len(r.extended) > 0 {
		left = p.manager.claims.extendedOf(pod)
	}
	if len(left) == 0 {
		return nil, fwk.NewStatus(fwk.Unschedulable)
	}
	var status *fwk.Status
	what := &shown{allocated: &structured.AllocatedState{}, claims: left, part: true}
	p.manager.show(what, func() { _, status = p.dra.PreFilter(ctx, state, pod, nil) })
	if !status.IsSuccess() {
		return nil, fwk.NewStatus(fwk.Unschedulable, status.Message())
	}
	return p.dra.PostFilter(ctx, state, pod, statuses)
}
