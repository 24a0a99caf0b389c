package binpack

import (
	"context"
	"fmt"
	"sync"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/internal/adapt"
	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/inventory"
	"plimsoll.dev/scheduler/pkg/load"
	"plimsoll.dev/scheduler/pkg/metrics"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// Name is the plugin's name in scheduler configurations.
const Name = "BinPack"

const (
	requestKey   fwk.StateKey = Name + "/request"
	bestKey      fwk.StateKey = Name + "/best"
	placementKey fwk.StateKey = Name + "/placement"
)

var (
	_ fwk.PreFilterPlugin   = (*BinPack)(nil)
	_ fwk.FilterPlugin      = (*BinPack)(nil)
	_ fwk.ScorePlugin       = (*BinPack)(nil)
	_ fwk.ScoreExtensions   = (*BinPack)(nil)
	_ fwk.ReservePlugin     = (*BinPack)(nil)
	_ fwk.PostBindPlugin    = (*BinPack)(nil)
	_ fwk.SignPlugin        = (*BinPack)(nil)
	_ fwk.EnqueueExtensions = (*BinPack)(nil)
)

// BinPack is the plugin of one profile. Everything it holds is fixed once it is
// built, or safe for concurrent use.
type BinPack struct {
	handle   fwk.Handle
	scale    *load.Scale
	meter    *inventory.Meter
	lines    *lines
	shapes   *shapes
	measured *measured // nil if measured usage is off
	recorder verdict.Recorder
	// scores tells whether the profile has the plugin score at all.
	scores func() bool
}

// New returns the plugin's factory; the recorder, which may be nil, is told why
// pods were placed.
func New(recorder verdict.Recorder) func(context.Context, runtime.Object, fwk.Handle) (fwk.Plugin, error) {
	return func(ctx context.Context, raw runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
		args, err := DecodeArgs(raw)
		if err != nil {
			return nil, err
		}
		scale, names, err := args.scale()
		if err != nil {
			return nil, err
		}
		meter := inventory.NewMeter(names)
		p := &BinPack{
			handle: handle, scale: scale, meter: meter, recorder: recorder,
			lines: newLines(&args, scale), shapes: newShapes(meter, args.ShapeHalfLifePods),
			// Later: the profile is not complete yet.
			scores: sync.OnceValue(func() bool { return scoresIn(handle) }),
		}
		metrics.Register()
		pods := handle.SharedInformerFactory().Core().V1().Pods().Informer()
		if _, err := pods.AddEventHandler(p.shapes.handler()); err != nil {
			return nil, fmt.Errorf("watching pods to learn their shapes: %w", err)
		}
		if args.MeasuredUsage != nil {
			if p.measured, err = startMeasuring(ctx, args.MeasuredUsage, names, handle); err != nil {
				return nil, err
			}
		}
		return p, nil
	}
}

// Name implements fwk.Plugin.
func (p *BinPack) Name() string { return Name }

// request is all that a cycle needs of its pod, and the view of the cluster's
// mix and usage it was begun with. It never changes.
type request struct {
	needs inventory.Needs
	// target is 0 unless the pod has its own.
	target load.BasisPoints
	mix    *load.Mix
	usage  usageView
}

// Clone implements fwk.StateData.
func (r *request) Clone() fwk.StateData { return r }

// best is the highest score of the nodes that were compared.
type best int64

// Clone implements fwk.StateData.
func (b best) Clone() fwk.StateData { return b }

func bestOf(scores fwk.NodeScoreList) best {
	var top int64
	for i := range scores {
		top = max(top, scores[i].Score)
	}
	return best(top)
}

// PreFilter reads the pod. It refuses a pod whose annotations are wrong, and
// skips Filter where no ceiling applies.
func (p *BinPack) PreFilter(_ context.Context, state fwk.CycleState, pod *v1.Pod, _ []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	asked, err := intent.Parse(pod)
	if err != nil {
		return nil, adapt.Refuse(err)
	}
	state.Write(requestKey, &request{
		needs: p.meter.Pod(pod), target: load.Percent(asked.TargetPercent),
		mix: p.shapes.mix.Load(), usage: p.measured.view(),
	})
	if !p.lines.ceilings || intent.IsNodeAgent(pod) {
		return nil, fwk.NewStatus(fwk.Skip)
	}
	return nil, nil
}

// PreFilterExtensions is nil: Filter reads everything from the node it is given.
func (p *BinPack) PreFilterExtensions() fwk.PreFilterExtensions { return nil }

// Filter refuses a node that the pod would load above its ceiling.
func (p *BinPack) Filter(_ context.Context, state fwk.CycleState, _ *v1.Pod, node fwk.NodeInfo) *fwk.Status {
	r, err := adapt.State[*request](state, requestKey)
	if err != nil {
		return fwk.AsStatus(err)
	}
	line := p.lines.of(node.Node())
	if line.ceiling == 0 {
		return nil
	}
	over := p.overCeiling(line, node, &r.needs)
	switch {
	case over < 0:
		return nil
	case p.overCeilingAlone(line, node, &r.needs) >= 0:
		// Evicting every other pod would not help.
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, line.refusals[over])
	}
	return fwk.NewStatus(fwk.Unschedulable, line.refusals[over])
}

// Score is the model's score of the node; only its order matters.
func (p *BinPack) Score(_ context.Context, state fwk.CycleState, _ *v1.Pod, node fwk.NodeInfo) (int64, *fwk.Status) {
	r, err := adapt.State[*request](state, requestKey)
	if err != nil {
		return 0, fwk.AsStatus(err)
	}
	return p.read(r, node).Score, nil
}

// ScoreExtensions implements fwk.ScorePlugin.
func (p *BinPack) ScoreExtensions() fwk.ScoreExtensions { return p }

// NormalizeScore keeps the order of the nodes, exactly at the top, and below at
// least the sides of the line.
func (p *BinPack) NormalizeScore(_ context.Context, state fwk.CycleState, _ *v1.Pod, scores fwk.NodeScoreList) *fwk.Status {
	if len(scores) > 1 { // one alone is compared with nothing
		state.Write(bestKey, bestOf(scores))
	}
	adapt.DenseRankBySide(scores, adapt.Bounds{load.Opens.LeastScore(), load.Under.LeastScore()})
	return nil
}

// Reserve notes why this node was chosen, while the snapshot still shows it as
// it was.
func (p *BinPack) Reserve(_ context.Context, state fwk.CycleState, _ *v1.Pod, nodeName string) *fwk.Status {
	r, err := adapt.State[*request](state, requestKey)
	if err != nil {
		return fwk.AsStatus(err)
	}
	node, err := p.handle.SnapshotSharedLister().NodeInfos().Get(nodeName)
	if err != nil {
		return fwk.AsStatus(fmt.Errorf("reading node %s from the snapshot: %w", nodeName, err))
	}
	placed := &placement{reading: p.read(r, node), usage: r.usage.state(nodeName)}
	// Without other candidates, or with a batch's scores, nothing was compared.
	top, err := adapt.State[best](state, bestKey)
	switch {
	case adapt.Narrowed(state) && placed.reading.Side != load.Under:
		placed.choice = outweighed // by nodes' devices; those left out may pack better
	case err != nil:
		placed.choice = none
	case int64(top) > placed.reading.Score:
		placed.choice = outweighed
	}
	state.Write(placementKey, placed)
	return nil
}

// Unreserve has nothing to undo.
func (p *BinPack) Unreserve(context.Context, fwk.CycleState, *v1.Pod, string) {}

// PostBind reports the placement.
func (p *BinPack) PostBind(ctx context.Context, state fwk.CycleState, pod *v1.Pod, nodeName string) {
	placed, err := adapt.State[*placement](state, placementKey)
	if err != nil {
		return // not reserved by us: nothing to report
	}
	p.report(ctx, placed, pod, nodeName)
}

// SignPod signs what is read of the pod.
func (p *BinPack) SignPod(_ context.Context, pod *v1.Pod) ([]fwk.SignFragment, *fwk.Status) {
	return []fwk.SignFragment{
		{Key: Name + ".Needs()", Value: p.meter.Pod(pod)},
		{Key: intent.Prefix + "*", Value: intent.Given(pod)},
		{Key: Name + ".IsNodeAgent()", Value: intent.IsNodeAgent(pod)},
	}, nil
}

// read asks the model about a node.
func (p *BinPack) read(r *request, node fwk.NodeInfo) load.Reading {
	facts := load.Node{Empty: inventory.Empty(node)}
	p.meter.Allocatable(node, &facts.Allocatable)
	p.meter.Assumed(node, &facts.Used)
	r.usage.blend(node.Node().Name, &facts.Used)
	target := r.target
	if target == 0 {
		target = p.lines.of(node.Node()).target
	}
	return p.scale.Read(&facts, &r.needs.Assumed, target, r.mix)
}

// overCeiling returns the resource that the pod would load above the ceiling, -1
// if none. A resource that the pod does not ask for is not its doing.
func (p *BinPack) overCeiling(l *line, node fwk.NodeInfo, needs *inventory.Needs) int {
	var used load.Vector
	p.meter.Requested(node, &used)
	return p.passes(l, node, &used, needs)
}

// overCeilingAlone is the same for a node without other pods.
func (p *BinPack) overCeilingAlone(l *line, node fwk.NodeInfo, needs *inventory.Needs) int {
	return p.passes(l, node, &load.Vector{}, needs)
}

func (p *BinPack) passes(l *line, node fwk.NodeInfo, used *load.Vector, needs *inventory.Needs) int {
	var allocatable load.Vector
	p.meter.Allocatable(node, &allocatable)
	after := used.Plus(&needs.Requested)
	for i, need := range needs.Requested {
		if need == 0 {
			after[i] = 0
		}
	}
	if share, dominant := p.scale.Utilization(&allocatable, &after); share > l.ceiling {
		return dominant
	}
	return -1
}
