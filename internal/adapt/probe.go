package adapt

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	fwk "k8s.io/kube-scheduler/framework"
)

// Framework is what a Probe needs of a profile's framework, besides its Handle.
type Framework interface {
	fwk.Handle
	RunPreFilterPlugins(context.Context, fwk.CycleState, *v1.Pod) (*fwk.PreFilterResult, *fwk.Status, sets.Set[string])
}

// Probe asks the framework, in a PreFilter, what it is going to say of single nodes. It
// is for one goroutine.
//
// Which plugins skip Filter, the framework keeps to itself until all PreFilters are
// done, and it is not safe to call one that does. So a probe first has the framework
// read the pod once more, into a copy of the cycle's state.
type Probe struct {
	framework Framework
	pod       *v1.Pod
	state     *probing
	narrowed  *fwk.PreFilterResult
}

// NewProbe returns a probe for the cycle's pod. It is an error if a plugin refuses the
// pod.
func NewProbe(ctx context.Context, framework Framework, state fwk.CycleState, pod *v1.Pod) (*Probe, error) {
	p := &Probe{framework: framework, pod: pod, state: &probing{CycleState: state.Clone()}}
	var status *fwk.Status
	if p.narrowed, status, _ = framework.RunPreFilterPlugins(ctx, p.state, pod); !status.IsSuccess() {
		return nil, fmt.Errorf("probing pod %s/%s: %w", pod.Namespace, pod.Name, status.AsError())
	}
	return p, nil
}

// probing is a copy of a cycle's state that plugins can tell from it. Plugins are not
// measured a second time; PreFilter and PreScore as a whole are, which cannot be
// helped.
type probing struct{ fwk.CycleState }

// Clone implements fwk.CycleState.
func (s *probing) Clone() fwk.CycleState { return &probing{s.CycleState.Clone()} }

// ShouldRecordPluginMetrics implements fwk.CycleState.
func (s *probing) ShouldRecordPluginMetrics() bool { return false }

// IsProbe tells a plugin that it is asked by a probe: what its PreFilter wrote before,
// if it has been called, is in the state.
func IsProbe(state fwk.CycleState) bool {
	_, yes := state.(*probing)
	return yes
}

const narrowedKey fwk.StateKey = "plimsoll.dev/narrowed"

type mark struct{}

// Clone implements fwk.StateData.
func (m mark) Clone() fwk.StateData { return m }

// MarkNarrowed notes that the nodes that are scored may not be all that fit: some with
// worse devices were left out.
func MarkNarrowed(state fwk.CycleState) { state.Write(narrowedKey, mark{}) }

// Narrowed tells whether that was noted.
func Narrowed(state fwk.CycleState) bool {
	_, err := state.Read(narrowedKey)
	return err == nil
}

// Fits tells whether all filters let the pod onto the node. It is an error if one of
// them fails.
func (p *Probe) Fits(ctx context.Context, node fwk.NodeInfo) (bool, error) {
	if !p.narrowed.AllNodes() && !p.narrowed.NodeNames.Has(node.Node().Name) {
		return false, nil
	}
	status := p.framework.RunFilterPluginsWithNominatedPods(ctx, p.state, p.pod, node)
	if !status.IsSuccess() && !status.IsRejected() {
		return false, fmt.Errorf("probing node %s: %w", node.Node().Name, status.AsError())
	}
	return status.IsSuccess(), nil
}

// Silent returns the plugins that will not score the pod on the given nodes.
func (p *Probe) Silent(ctx context.Context, nodes []fwk.NodeInfo) (sets.Set[string], error) {
	if status := p.framework.RunPreScorePlugins(ctx, p.state, p.pod, nodes); !status.IsSuccess() {
		return nil, fmt.Errorf("probing scores of pod %s/%s: %w", p.pod.Namespace, p.pod.Name, status.AsError())
	}
	return p.state.GetSkipScorePlugins(), nil
}
