package archaware

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/tools/cache"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/utils/clock"

	"plimsoll.dev/scheduler/internal/adapt"
	"plimsoll.dev/scheduler/pkg/arch"
	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/inventory"
	"plimsoll.dev/scheduler/pkg/metrics"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// Name is the plugin's name in scheduler configurations.
const Name = "ArchAware"

const requestKey fwk.StateKey = Name + "/request"

var (
	_ fwk.PreEnqueuePlugin  = (*ArchAware)(nil)
	_ fwk.PreFilterPlugin   = (*ArchAware)(nil)
	_ fwk.FilterPlugin      = (*ArchAware)(nil)
	_ fwk.PreScorePlugin    = (*ArchAware)(nil)
	_ fwk.ScorePlugin       = (*ArchAware)(nil)
	_ fwk.PostBindPlugin    = (*ArchAware)(nil)
	_ fwk.SignPlugin        = (*ArchAware)(nil)
	_ fwk.EnqueueExtensions = (*ArchAware)(nil)
)

// ArchAware is the plugin of one profile. Everything it holds is fixed once it
// is built, or safe for concurrent use.
type ArchAware struct {
	handle    fwk.Handle
	recorder  verdict.Recorder
	images    Images
	platforms *inventory.Platforms
	hosts     *hosts
	parked    *parked
	scarcity  *scarcity
	told      *adapt.Told
	// nodesSeen tells whether our handler has seen all nodes there were.
	nodesSeen cache.ResourceEventHandlerRegistration

	closed    bool
	assumed   arch.Set
	preferred arch.Preference
	classes   map[string]*arch.Host
	// operators: taints and tolerations may compare numbers.
	operators bool
}

// New returns the plugin's factory. Profiles with equal settings share what they
// know of images. The recorder, which may be nil, is told why pods were placed.
func New(shared *Shared, recorder verdict.Recorder) func(context.Context, runtime.Object, fwk.Handle) (fwk.Plugin, error) {
	return func(ctx context.Context, raw runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
		args, err := DecodeArgs(raw)
		if err != nil {
			return nil, err
		}
		preferred, err := arch.FromOrder(args.PreferredArchitectures)
		if err != nil {
			return nil, err
		}
		p := &ArchAware{
			handle: handle, recorder: recorder, platforms: inventory.NewPlatforms(),
			closed: args.WhenUnknown == Closed, assumed: args.assumed(), preferred: preferred, classes: map[string]*arch.Host{},
			operators: utilfeature.DefaultFeatureGate.Enabled(features.TaintTolerationComparisonOperators), told: adapt.NewTold(clock.RealClock{}),
		}
		p.hosts = &hosts{platforms: p.platforms, fallback32: *args.Use32Bit}
		for _, class := range args.RuntimeClasses {
			platform, err := arch.Parse(class.Platform)
			if err != nil {
				return nil, err
			}
			p.classes[class.Name] = arch.NewHost(platform, *args.Use32Bit)
		}
		if *args.Flexibility {
			p.scarcity = newScarcity(args.DemandHalfLifePods)
		}
		metrics.Register()
		if p.images, err = shared.store(ctx, &args, handle); err != nil {
			return nil, fmt.Errorf("%s: %w", Name, err)
		}
		p.parked = newParked(handle.ProfileName(), args.deadline(), clock.RealClock{}, p.activate, p.waits)
		if err := p.watch(); err != nil {
			return nil, err
		}
		p.images.OnChange(p.changed)
		go p.parked.janitor(ctx)
		go p.learnBacklog(ctx)
		return p, nil
	}
}

// Name implements fwk.Plugin.
func (p *ArchAware) Name() string { return Name }

// PreEnqueue has the pod's images inspected, and holds it back until they are or
// its deadline has come. It runs under the queue's lock: it only looks into
// memory.
func (p *ArchAware) PreEnqueue(_ context.Context, pod *v1.Pod) *fwk.Status {
	asked, err := intent.Parse(pod)
	if err != nil || exempt(pod, &asked) {
		return nil // PreFilter says what is wrong
	}
	waiting := p.inspect(pod, &asked)
	if waiting == "" {
		p.parked.letGo(pod)
		return nil
	}
	if !p.parked.add(pod) {
		return nil // it has waited long enough
	}
	return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, held(waiting).Message)
}

// PreFilter reads the pod and judges every platform there is. It asks for the
// images again: PreEnqueue does not run for pods that come back from back-off,
// nor before images change in place.
func (p *ArchAware) PreFilter(_ context.Context, state fwk.CycleState, pod *v1.Pod, nodes []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	if adapt.IsProbe(state) {
		if r, err := adapt.State[*request](state, requestKey); err != nil || !r.filters {
			return nil, fwk.NewStatus(fwk.Skip)
		}
		return nil, nil
	}
	asked, err := intent.Parse(pod)
	if err != nil {
		return nil, adapt.Refuse(err)
	}
	if exempt(pod, &asked) {
		return nil, fwk.NewStatus(fwk.Skip)
	}
	r, refused := p.read(pod, &asked, nodes)
	if len(refused) > 0 {
		return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, refused...)
	}
	state.Write(requestKey, r)
	if !r.filters {
		return nil, fwk.NewStatus(fwk.Skip)
	}
	return nil, nil
}

// PreFilterExtensions is nil: no pod on a node changes what the node runs.
func (p *ArchAware) PreFilterExtensions() fwk.PreFilterExtensions { return nil }

// Filter looks up the verdict on the node's platform.
func (p *ArchAware) Filter(_ context.Context, state fwk.CycleState, pod *v1.Pod, info fwk.NodeInfo) *fwk.Status {
	r, err := adapt.State[*request](state, requestKey)
	if err != nil {
		return fwk.AsStatus(err)
	}
	node := info.Node()
	if j := p.verdict(r, node); j.refusal != "" {
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, j.refusal)
	}
	if len(node.Spec.Taints) > 0 {
		if reason, blocked := p.taintBlocks(pod, node); blocked {
			return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, reason.Message)
		}
	}
	return nil
}

// PreScore skips pods for which all platforms are alike.
func (p *ArchAware) PreScore(_ context.Context, state fwk.CycleState, _ *v1.Pod, _ []fwk.NodeInfo) *fwk.Status {
	if r, err := adapt.State[*request](state, requestKey); err != nil || !r.scores {
		return fwk.NewStatus(fwk.Skip) // exempt, or nothing to tell apart
	}
	return nil
}

// Score is that of the node's platform, 0 to 100.
func (p *ArchAware) Score(_ context.Context, state fwk.CycleState, _ *v1.Pod, info fwk.NodeInfo) (int64, *fwk.Status) {
	r, err := adapt.State[*request](state, requestKey)
	if err != nil {
		return 0, fwk.AsStatus(err)
	}
	return p.verdict(r, info.Node()).score, nil
}

// ScoreExtensions is nil: scores are on the framework's scale already.
func (p *ArchAware) ScoreExtensions() fwk.ScoreExtensions { return nil }

// PostBind reports the placement.
func (p *ArchAware) PostBind(ctx context.Context, state fwk.CycleState, pod *v1.Pod, nodeName string) {
	if r, err := adapt.State[*request](state, requestKey); err == nil {
		p.report(ctx, r, pod, nodeName)
	}
}

// SignPod signs what is read of the pod. What is known of its images is not: it
// is the same for all pods that name them alike.
func (p *ArchAware) SignPod(_ context.Context, pod *v1.Pod) ([]fwk.SignFragment, *fwk.Status) {
	return []fwk.SignFragment{
		{Key: Name + ".Images()", Value: intent.Images(pod)},
		{Key: Name + ".Mounted()", Value: intent.Mounted(pod)},
		{Key: Name + ".PullSecrets()", Value: append([]string{pod.Namespace}, intent.PullSecrets(pod)...)},
		{Key: Name + ".Runs()", Value: []string{intent.RuntimeClass(pod), intent.OS(pod)}},
		{Key: Name + ".SelectArchitectures()", Value: intent.SelectArchitectures(pod)},
		{Key: Name + ".Exempt()", Value: intent.IsNodeAgent(pod) || intent.NamesNode(pod)},
		{Key: Name + ".Tolerations()", Value: pod.Spec.Tolerations},
		{Key: Name + ".Requests()", Value: demandsOf(pod).requests},
		{Key: Name + ".Claims()", Value: len(pod.Spec.ResourceClaims) > 0},
		{Key: intent.Prefix + "*", Value: intent.Given(pod)},
	}, nil
}
