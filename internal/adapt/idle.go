package adapt

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
)

// Idle is a plugin that has nothing to say about any pod yet: its name is
// registered so that profiles can already list it, and it costs a pod nothing.
type Idle struct {
	name string
}

var (
	_ fwk.PreFilterPlugin = (*Idle)(nil)
	_ fwk.FilterPlugin    = (*Idle)(nil)
	_ fwk.PreScorePlugin  = (*Idle)(nil)
	_ fwk.ScorePlugin     = (*Idle)(nil)
	_ fwk.SignPlugin      = (*Idle)(nil)

	_ fwk.EnqueueExtensions = (*Idle)(nil)
)

// NewIdle returns the plugin. It takes no arguments, and says so if given any.
func NewIdle(name string, args runtime.Object) (*Idle, error) {
	var none struct{ TypeMeta }
	if err := DecodeArgs(args, &none); err != nil {
		return nil, fmt.Errorf("%s takes no arguments: %w", name, err)
	}
	return &Idle{name}, none.Validate(name)
}

// Name implements fwk.Plugin.
func (p *Idle) Name() string { return p.name }

// PreFilter skips the plugin's Filter for every pod.
func (p *Idle) PreFilter(context.Context, fwk.CycleState, *v1.Pod, []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	return nil, fwk.NewStatus(fwk.Skip)
}

// PreFilterExtensions implements fwk.PreFilterPlugin.
func (p *Idle) PreFilterExtensions() fwk.PreFilterExtensions { return nil }

// Filter is never reached, since PreFilter skips it; it would refuse nothing.
func (p *Idle) Filter(context.Context, fwk.CycleState, *v1.Pod, fwk.NodeInfo) *fwk.Status { return nil }

// PreScore skips the plugin's Score for every pod.
func (p *Idle) PreScore(context.Context, fwk.CycleState, *v1.Pod, []fwk.NodeInfo) *fwk.Status {
	return fwk.NewStatus(fwk.Skip)
}

// Score is never reached, since PreScore skips it; it would prefer nothing.
func (p *Idle) Score(context.Context, fwk.CycleState, *v1.Pod, fwk.NodeInfo) (int64, *fwk.Status) {
	return 0, nil
}

// ScoreExtensions implements fwk.ScorePlugin.
func (p *Idle) ScoreExtensions() fwk.ScoreExtensions { return nil }

// EventsToRegister is empty: the plugin refuses no pod, so no event can cure it.
// Left out, the framework would register every event there is.
func (p *Idle) EventsToRegister(context.Context) ([]fwk.ClusterEventWithHint, error) { return nil, nil }

// SignPod adds nothing to the signature: the plugin reads nothing of the pod.
func (p *Idle) SignPod(context.Context, *v1.Pod) ([]fwk.SignFragment, *fwk.Status) { return nil, nil }
