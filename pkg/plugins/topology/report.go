package topology

import (
	"context"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"

	"plimsoll.dev/scheduler/pkg/metrics"
	"plimsoll.dev/scheduler/pkg/verdict"
	"plimsoll.dev/scheduler/pkg/zone"
)

// report counts the placement and says what decided it.
func (p *Topology) report(ctx context.Context, r *request, pod *v1.Pod, nodeName string) {
	n, found := r.tree.Node(nodeName)
	if !found {
		return
	}
	label, reason := p.decided(r, n)
	metrics.TopologyPlacements.WithLabelValues(p.handle.ProfileName(), label).Inc()
	if reason.Message == "" {
		return
	}
	klog.FromContext(ctx).V(3).Info("Chose domain", "pod", klog.KObj(pod), "node", nodeName, "reason", reason.Message)
	if p.recorder != nil {
		p.recorder.Placed(pod.Namespace, pod.Name, string(pod.UID), nodeName, reason)
	}
}

// decided says what decided the domain, as a metric's label and in words; without
// words if nothing was decided.
func (p *Topology) decided(r *request, n zone.NodeID) (string, verdict.Reason) {
	view := p.groups.View(r.group.Key)
	total, placed := max(r.size.Total, r.size.Gang, view.All(), 1), max(view.Placed(), 1)
	if r.gathers() && r.target != zone.Root {
		switch inside := r.tree.Contains(r.target, n); {
		case inside && !r.climbed:
			return "together", verdict.Say(verdict.GroupTogether, "domain", r.tree.Path(r.target), "group", r.group.Name, "placed", placed, "total", total)
		case inside:
			return "climbed", verdict.Say(verdict.GroupClimbed, "domain", r.tree.Path(r.target), "level", r.narrowest(), "group", r.group.Name, "total", total)
		default:
			return "apart", verdict.Say(verdict.GroupApart, "domain", r.tree.Path(r.target), "group", r.group.Name)
		}
	}
	if r.gathers() && r.asked.Gathers() {
		return "climbed", verdict.Say(verdict.GroupClimbed, "domain", r.tree.Path(zone.Root), "level", r.narrowest(),
			"group", r.group.Name, "total", total)
	}
	if z := r.zones; z != nil {
		return p.decidedZone(r, z, n)
	}
	if r.strict && r.member {
		return "together", verdict.Say(verdict.GroupTogether, "domain", r.tree.Path(r.target), "group", r.group.Name, "placed", placed, "total", total)
	}
	if r.asked.MinPerZone > 0 && p.spreadByOthers(r) {
		return "left_to_constraints", verdict.Say(verdict.SpreadLeftToPod)
	}
	return "none", verdict.Reason{}
}

func (p *Topology) decidedZone(r *request, z *zoneRanks, n zone.NodeID) (string, verdict.Reason) {
	i, found := slices.BinarySearch(z.ids, r.tree.DomainOf(n, z.ref))
	if !found {
		return "none", verdict.Reason{}
	}
	domain := r.tree.Path(z.ids[i])
	if z.spread {
		return "spread", verdict.Say(verdict.SpreadOverZones, "domain", domain, "count", z.counts[i]+1, "replicas", z.replicas, "zones", z.use)
	}
	total := int64(0)
	for _, count := range z.ready {
		total += count
	}
	name := r.tree.Value(z.ids[i])
	if z.ready[name] == 0 {
		return "far", verdict.Say(verdict.PeersElsewhere, "domain", domain, "services", services(r), "total", total)
	}
	return "near", verdict.Say(verdict.PeersNear, "domain", domain, "ready", z.ready[name], "total", total, "services", services(r))
}

// narrowest is the level that the pod would like best.
func (r *request) narrowest() string {
	if r.asked.Preferred != "" {
		return r.asked.Preferred
	}
	return r.asked.Required
}

func services(r *request) string {
	names := ""
	for i, peer := range r.asked.Near {
		if i > 0 {
			names += ", "
		}
		names += peer.Service
	}
	return names
}

// labelsOf lists the label keys of a level, for the reader of a reason.
func (p *Topology) labelsOf(word string) string {
	out := ""
	for _, level := range p.levels {
		if level.Alias == word || level.Key == word {
			if out != "" {
				out += ", "
			}
			out += level.Key
		}
	}
	return out
}
