package gpuslice

import (
	"context"
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/klog/v2"

	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/pkg/devices"
	"plimsoll.dev/scheduler/pkg/gpus"
	"plimsoll.dev/scheduler/pkg/metrics"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// placement is which devices a pod took.
type placement struct {
	// units are what it took of device plugins, in words; "" if nothing.
	units string
	names []string
	// plan is nil if the allocator chose alone.
	plan *devices.Plan
}

// Clone implements fwk.StateData.
func (p *placement) Clone() fwk.StateData { return p }

// The results by which plans are counted.
const (
	planFollowed = "followed"
	planDiffered = "differed"
	planNone     = "none"
)

// placed compares what was allocated with the plan. A difference is no error,
// the allocator is right; but the model should have known.
func (p *GPUSlice) placed(ctx context.Context, r *request, taken []*resourceapi.AllocationResult, pod *v1.Pod, node string) *placement {
	out := &placement{units: p.unitsOn(r, node)}
	if len(taken) == 0 {
		if out.units == "" {
			return nil
		}
		return out
	}
	switch {
	case r.onModel:
		out.plan = r.plan
	case r.view != nil:
		out.plan = r.view.Plan(node)
	}
	got := map[string]int{}
	for _, allocation := range taken {
		for i := range allocation.Devices.Results {
			d := &allocation.Devices.Results[i]
			out.names = append(out.names, d.Device)
			got[d.Driver+"/"+d.Pool+"/"+d.Device]++
		}
	}
	result := planNone
	if out.plan != nil {
		result = planFollowed
		for i := range out.plan.Chosen {
			c := &out.plan.Chosen[i]
			got[c.Driver+"/"+c.Pool+"/"+c.Device]--
		}
		for _, n := range got {
			if n != 0 {
				result = planDiffered
			}
		}
		if result == planDiffered {
			klog.FromContext(ctx).V(2).Info("The allocator took other devices than planned",
				"pod", klog.KObj(pod), "node", node, "took", out.names, "planned", out.plan.Chosen)
			out.plan = nil
		}
	}
	metrics.Plans.WithLabelValues(p.handle.ProfileName(), result).Inc()
	return out
}

func (p *GPUSlice) report(ctx context.Context, placed *placement, pod *v1.Pod, nodeName string) {
	reason := placed.reason()
	klog.FromContext(ctx).V(3).Info("Placed pod", "pod", klog.KObj(pod), "node", nodeName, "reason", reason.Message)
	if p.recorder != nil {
		p.recorder.Placed(pod.Namespace, pod.Name, string(pod.UID), nodeName, reason)
	}
}

// unitsOn says what the pod takes of a node's device plugins.
func (p *GPUSlice) unitsOn(r *request, nodeName string) string {
	if r.units == nil {
		return ""
	}
	node, err := p.handle.SnapshotSharedLister().NodeInfos().Get(nodeName)
	if err != nil {
		return ""
	}
	facts := p.gpus.Facts(node.Node())
	var out []string
	for _, w := range r.wants {
		i := slices.IndexFunc(facts.Offers, func(o gpus.Offer) bool { return o.Resource == w.Resource })
		if i < 0 {
			continue // by claims
		}
		o := &facts.Offers[i]
		memory := "unknown memory"
		if o.MemoryMiB > 0 {
			memory = gpus.GiB(o.MemoryMiB)
		}
		out = append(out, fmt.Sprintf("%d %s of %s, %s", w.Count, w.Resource, memory, o.Isolation))
	}
	return strings.Join(out, "; ")
}

// reason says a placement in words.
func (p *placement) reason() verdict.Reason {
	if len(p.names) == 0 {
		return verdict.Say(verdict.GPUsTaken, "units", p.units)
	}
	names := strings.Join(p.names, ", ")
	if p.plan == nil {
		return verdict.Say(verdict.DevicesAllotted, "devices", names)
	}
	return verdict.Say(verdict.DevicesChosen, "devices", names, "loss", fmt.Sprintf("%.2f", float64(p.plan.Cost.Loss)/1e6))
}
