package binpack

import (
	"context"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"

	"plimsoll.dev/scheduler/pkg/load"
	"plimsoll.dev/scheduler/pkg/metrics"
	"plimsoll.dev/scheduler/pkg/usage"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// placement is why a pod went where it went.
type placement struct {
	reading load.Reading
	choice  choice
	// usage is what was known of the node's usage; empty if it is not measured.
	usage usage.State
}

// choice is what packing had to do with it.
type choice int

const (
	decided    choice = iota
	outweighed        // another node packs better
	none              // nothing was compared
)

// Clone implements fwk.StateData.
func (p *placement) Clone() fwk.StateData { return p }

func (p *BinPack) report(ctx context.Context, placed *placement, pod *v1.Pod, nodeName string) {
	if p.scores() {
		p.count(placed)
	}
	reason := p.reason(placed)
	klog.FromContext(ctx).V(3).Info("Placed pod", "pod", klog.KObj(pod), "node", nodeName, "reason", reason.Message)
	if p.recorder != nil {
		p.recorder.Placed(pod.Namespace, pod.Name, string(pod.UID), nodeName, reason)
	}
}

func (p *BinPack) count(placed *placement) {
	profile, reading := p.handle.ProfileName(), placed.reading
	metrics.Placements.WithLabelValues(profile, reading.Side.String()).Inc()
	metrics.PlacementUtilization.WithLabelValues(profile).
		Observe(float64(reading.Utilization) / float64(reading.Target))
	if placed.usage != "" && placed.usage != usage.Fresh {
		metrics.UsageFallbacks.WithLabelValues(profile, string(placed.usage)).Inc()
	}
}

// scoresIn tells whether a profile has the plugin score; one that cannot be asked is
// taken to.
func scoresIn(handle fwk.Handle) bool {
	framework, ok := handle.(interface{ ListPlugins() *config.Plugins })
	return !ok || slices.ContainsFunc(framework.ListPlugins().Score.Enabled, func(one config.Plugin) bool { return one.Name == Name })
}

// reason says a placement in words.
func (p *BinPack) reason(placed *placement) verdict.Reason {
	r := placed.reading
	code := map[load.Side]verdict.Code{
		load.Under: verdict.PackedUnderTarget,
		load.Opens: verdict.OpenedEmptyNode,
		load.Over:  verdict.PackedOverTarget,
	}[r.Side]
	switch {
	case placed.choice == none || !p.scores():
		code = verdict.NotPacked
	case placed.choice == outweighed:
		code = verdict.PackingOutweighed
	}
	return verdict.Say(code, "resource", p.scale.Resource(r.Dominant).Name,
		"utilization", r.Utilization, "target", r.Target)
}
