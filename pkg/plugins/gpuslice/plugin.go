package gpuslice

import (
	"context"
	"fmt"
	"sync"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/dynamicresources"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/feature"
	"k8s.io/utils/clock"
	"k8s.io/utils/lru"

	"plimsoll.dev/scheduler/internal/adapt"
	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/inventory"
	"plimsoll.dev/scheduler/pkg/metrics"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// Name is the plugin's name in scheduler configurations.
const Name = "GPUSlice"

const (
	requestKey   fwk.StateKey = Name + "/request"
	placementKey fwk.StateKey = Name + "/placement"
)

var (
	_ fwk.PreEnqueuePlugin  = (*GPUSlice)(nil)
	_ fwk.PreFilterPlugin   = (*GPUSlice)(nil)
	_ fwk.FilterPlugin      = (*GPUSlice)(nil)
	_ fwk.PostFilterPlugin  = (*GPUSlice)(nil)
	_ fwk.PreScorePlugin    = (*GPUSlice)(nil)
	_ fwk.ScorePlugin       = (*GPUSlice)(nil)
	_ fwk.ScoreExtensions   = (*GPUSlice)(nil)
	_ fwk.ReservePlugin     = (*GPUSlice)(nil)
	_ fwk.PreBindPlugin     = (*GPUSlice)(nil)
	_ fwk.PostBindPlugin    = (*GPUSlice)(nil)
	_ fwk.SignPlugin        = (*GPUSlice)(nil)
	_ fwk.EnqueueExtensions = (*GPUSlice)(nil)
)

// inner is what is used of the wrapped plugin.
type inner interface {
	fwk.PreEnqueuePlugin
	fwk.PreFilterPlugin
	fwk.FilterPlugin
	fwk.PostFilterPlugin
	fwk.ScorePlugin
	fwk.ReservePlugin
	fwk.PreBindPlugin
	fwk.SignPlugin
	fwk.EnqueueExtensions
}

// GPUSlice is the plugin of one profile.
type GPUSlice struct {
	handle    fwk.Handle
	dra       inner
	manager   *manager
	gpus      *inventory.GPUs
	published published
	learner   *learner
	fullness  fullness
	platforms *inventory.Platforms
	chain     chain
	roster    roster
	spare     bool
	firstFit  bool
	everyNode bool
	// gated: ClaimGate is in the profile. It is known when all plugins are made.
	gated    func() bool
	recorder verdict.Recorder
	// features are those of the process.
	features feature.Features
	refusals refusals
	// distrusted are pods, by UID, about which model and allocator disagreed, reproduced
	// those of which the log says how, and wide those that are to be shown all nodes next
	// time.
	distrusted, reproduced, wide *lru.Cache
}

// New returns the plugin's factory. All profiles of a process share the model,
// which is made when the first of them is: only then are the feature gates
// settled. The recorder, which may be nil, is told why pods were placed.
func New(shared *Shared, recorder verdict.Recorder) func(context.Context, runtime.Object, fwk.Handle) (fwk.Plugin, error) {
	return func(ctx context.Context, raw runtime.Object, fh fwk.Handle) (fwk.Plugin, error) {
		args, err := DecodeArgs(raw)
		if err != nil {
			return nil, err
		}
		settings, err := args.dynamicResources()
		if err != nil {
			return nil, err
		}
		learner, err := newLearner(&args)
		if err != nil {
			return nil, err
		}
		features := feature.NewSchedulerFeaturesFromGates(utilfeature.DefaultFeatureGate)
		m, err := shared.of(ctx, fh, &features)
		if err != nil {
			return nil, err
		}
		p := &GPUSlice{handle: fh, recorder: recorder, learner: learner, spare: *args.SpareGPUNodes, firstFit: shared.FirstFit, everyNode: shared.EveryNode, gpus: inventory.NewGPUs(), platforms: inventory.NewPlatforms(),
			features: features, distrusted: lru.New(rememberedPods), reproduced: lru.New(rememberedPods), wide: lru.New(rememberedPods), refusals: newRefusals(clock.RealClock{}), manager: m}
		p.gated = sync.OnceValue(func() bool { return runs(fh, claimGate) })
		if m.claims != nil {
			m.claims.wakers.Store(fh.ProfileName(), func() { p.wake(klog.FromContext(ctx)) })
		}
		wrapped, err := dynamicresources.New(ctx, settings, &handle{fh, p.manager}, features)
		if err != nil {
			return nil, fmt.Errorf("starting DynamicResources inside %s: %w", Name, err)
		}
		var ok bool
		if p.dra, ok = wrapped.(inner); !ok {
			return nil, fmt.Errorf("starting DynamicResources inside %s: %T lacks an extension point", Name, wrapped)
		}
		metrics.Register()
		if features.EnableDynamicResourceAllocation {
			p.expose(ctx, args.PoolLabel)
		}
		return p, p.watch(features.EnableDynamicResourceAllocation)
	}
}

// Name implements fwk.Plugin.
func (p *GPUSlice) Name() string { return Name }

// PreEnqueue keeps pods whose claims do not exist yet out of the queue, unless
// ClaimGate does.
func (p *GPUSlice) PreEnqueue(ctx context.Context, pod *v1.Pod) *fwk.Status {
	if p.gated() {
		return nil
	}
	return p.dra.PreEnqueue(ctx, pod)
}

// PreFilter reads the pod and looks at the model as it does, and shows the plugins
// that follow a shortlist of nodes if none of the others can win. If the model cannot
// answer for the pod as a whole, the wrapped plugin builds its allocator over the
// whole cluster, with the devices that are planned for each node first.
func (p *GPUSlice) PreFilter(ctx context.Context, state fwk.CycleState, pod *v1.Pod, nodes []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	if adapt.IsProbe(state) {
		return nil, nil // whose probe it is
	}
	asked, err := intent.Parse(pod)
	if err != nil {
		return nil, adapt.Refuse(err)
	}
	r := p.read(pod, &asked)
	if len(r.wants) == 0 && len(r.extended) == 0 && len(pod.Spec.ResourceClaims) == 0 {
		if err := intent.NeedsGPU(pod); err != nil {
			return nil, adapt.Refuse(err)
		}
	}
	if status := p.allocatedWithinLimits(r); status != nil {
		return nil, status
	}
	if status := p.look(r); status != nil {
		return nil, status
	}
	p.learner.observe(r, p.census)
	state.Write(requestKey, r)
	if p.answerable(state, pod, r) {
		r.claims, r.onModel = true, true
		r.distrusted = p.distrusts(pod)
		return p.shortlist(ctx, state, pod, &asked, r, nodes), nil
	}
	var result *fwk.PreFilterResult
	var status *fwk.Status
	p.manager.show(r.ordered(), func() { result, status = p.dra.PreFilter(ctx, state, pod, nodes) })
	switch {
	case status.IsSkip() && !r.checksLabels():
		return result, status
	case status.IsSkip():
		return result, nil
	}
	if r.claims = status.IsSuccess(); r.claims {
		p.count(answeredByCluster)
	}
	return result, status
}

// PreFilterExtensions is nil, as that of the wrapped plugin: evicting a pod does
// not free its devices at once.
func (p *GPUSlice) PreFilterExtensions() fwk.PreFilterExtensions { return nil }

// Filter asks the model or the allocator about claims, and the node's labels about
// what the pod wants of device plugins.
func (p *GPUSlice) Filter(ctx context.Context, state fwk.CycleState, pod *v1.Pod, node fwk.NodeInfo) *fwk.Status {
	r, err := adapt.State[*request](state, requestKey)
	if err != nil {
		return fwk.AsStatus(err)
	}
	switch {
	case r.onModel:
		if status := p.filterOnModel(ctx, state, pod, r, node); !status.IsSuccess() {
			return status
		}
	case r.claims:
		if status := p.dra.Filter(ctx, state, pod, node); !status.IsSuccess() {
			return r.explained(status, node)
		}
		if status := r.withinLimits(node); status != nil {
			return status
		}
	}
	if r.checksLabels() && !r.byClaims(node) {
		return r.refusal(p.gpus.Facts(node.Node()))
	}
	return nil
}

// PostFilter lets the wrapped plugin give up allocations that stand in the way.
func (p *GPUSlice) PostFilter(ctx context.Context, state fwk.CycleState, pod *v1.Pod, statuses fwk.NodeToStatusReader) (*fwk.PostFilterResult, *fwk.Status) {
	r, err := adapt.State[*request](state, requestKey)
	switch {
	case err == nil && r.shortlisted:
		p.count(r.answeredBy())
		return nil, p.lookAgain(klog.FromContext(ctx), pod)
	case err == nil && r.onModel:
		p.count(r.answeredBy())
		p.refused(klog.FromContext(ctx), pod, r)
		return p.cleanUp(ctx, state, pod, r, statuses)
	case err != nil || !r.claims:
		return nil, fwk.NewStatus(fwk.Unschedulable) // refused by another plugin, or without claims
	}
	return p.dra.PostFilter(ctx, state, pod, statuses)
}

// PreScore puts the nodes in order; a pod for which all are alike costs no more.
func (p *GPUSlice) PreScore(ctx context.Context, state fwk.CycleState, pod *v1.Pod, nodes []fwk.NodeInfo) *fwk.Status {
	r, err := adapt.State[*request](state, requestKey)
	if err != nil {
		return fwk.AsStatus(err)
	}
	if adapt.IsProbe(state) {
		return fwk.NewStatus(fwk.Skip) // which asks about the others
	}
	differ, status := p.compare(ctx, state, pod, r, nodes)
	if !status.IsSuccess() || differ {
		return status
	}
	return fwk.NewStatus(fwk.Skip)
}

// Score is the node's place in that order, negated: only the order matters.
func (p *GPUSlice) Score(_ context.Context, state fwk.CycleState, _ *v1.Pod, node fwk.NodeInfo) (int64, *fwk.Status) {
	r, err := adapt.State[*request](state, requestKey)
	if err != nil {
		return 0, fwk.AsStatus(err)
	}
	if r.places == nil {
		return -p.worthOf(node.Node()), nil // asks for no GPU
	}
	place, compared := r.places[node.Node()]
	if !compared {
		return 0, fwk.AsStatus(fmt.Errorf("node %s was not among those that were compared", klog.KObj(node.Node())))
	}
	return -place, nil
}

// ScoreExtensions implements fwk.ScorePlugin.
func (p *GPUSlice) ScoreExtensions() fwk.ScoreExtensions { return p }

// NormalizeScore keeps the order of the nodes, exactly at the top.
func (p *GPUSlice) NormalizeScore(_ context.Context, _ fwk.CycleState, _ *v1.Pod, scores fwk.NodeScoreList) *fwk.Status {
	adapt.DenseRank(scores)
	return nil
}

// Reserve has the wrapped plugin take the devices, after it has confirmed what the
// model said of the node, and compares them with the plan.
func (p *GPUSlice) Reserve(ctx context.Context, state fwk.CycleState, pod *v1.Pod, nodeName string) *fwk.Status {
	r, err := adapt.State[*request](state, requestKey)
	onModel := err == nil && r.onModel
	if onModel {
		if status := p.confirm(ctx, state, pod, r, nodeName); !status.IsSuccess() {
			return status
		}
	}
	var status *fwk.Status
	taken := p.manager.reserving(func() { status = p.dra.Reserve(ctx, state, pod, nodeName) })
	if !status.IsSuccess() {
		return status
	}
	if r != nil {
		if status := p.takenWithinLimits(r, taken); status != nil {
			// The framework undoes the reservation. No event would tell when to try
			// again what only this order of devices has led to: the model's will be
			// another, if it was not asked.
			p.distrusted.Remove(pod.UID)
			return fwk.AsStatus(fmt.Errorf("devices for pod %s on node %s: %s", klog.KObj(pod), nodeName, status.Message()))
		}
		if placed := p.placed(ctx, r, taken, pod, nodeName); placed != nil {
			state.Write(placementKey, placed)
		}
	}
	if onModel {
		p.distrusted.Remove(pod.UID)
		r.settle()
	}
	return nil
}

// Unreserve gives the devices back.
func (p *GPUSlice) Unreserve(ctx context.Context, state fwk.CycleState, pod *v1.Pod, nodeName string) {
	p.dra.Unreserve(ctx, state, pod, nodeName)
}

// PreBindPreFlight tells whether PreBind has anything to do.
func (p *GPUSlice) PreBindPreFlight(ctx context.Context, state fwk.CycleState, pod *v1.Pod, nodeName string) (*fwk.PreBindPreFlightResult, *fwk.Status) {
	return p.dra.PreBindPreFlight(ctx, state, pod, nodeName)
}

// PreBind writes the allocation.
func (p *GPUSlice) PreBind(ctx context.Context, state fwk.CycleState, pod *v1.Pod, nodeName string) *fwk.Status {
	return p.dra.PreBind(ctx, state, pod, nodeName)
}

// PostBind reports the placement.
func (p *GPUSlice) PostBind(ctx context.Context, state fwk.CycleState, pod *v1.Pod, nodeName string) {
	if placed, err := adapt.State[*placement](state, placementKey); err == nil {
		p.report(ctx, placed, pod, nodeName)
	}
}

// SignPod signs what is read of the pod. Pods with claims are not alike: the
// wrapped plugin declines.
func (p *GPUSlice) SignPod(ctx context.Context, pod *v1.Pod) ([]fwk.SignFragment, *fwk.Status) {
	fragments, status := p.dra.SignPod(ctx, pod)
	if !status.IsSuccess() {
		return nil, status
	}
	return append(fragments,
		fwk.SignFragment{Key: Name + ".PodGPUs()", Value: inventory.PodGPUs(pod)},
		fwk.SignFragment{Key: intent.Prefix + "*", Value: intent.Given(pod)}), nil
}
