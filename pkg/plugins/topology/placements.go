package topology

import (
	"cmp"
	"context"
	"slices"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/load"
	"plimsoll.dev/scheduler/pkg/zone"
)

// ScorePlacement rates one of the domains that upstream tried a native group out
// in: those that take more of its pods come first and, among those alike, those
// that have less room left. Only with the alpha gates of workload scheduling.
func (p *Topology) ScorePlacement(_ context.Context, _ fwk.PodGroupCycleState, group fwk.PodGroupInfo, placement *fwk.PodGroupAssignments) (int64, *fwk.Status) {
	placed := int64(len(placement.ProposedAssignments))
	pods := group.GetUnscheduledPods()
	if len(pods) == 0 {
		return placed * mostPods, nil
	}
	asked, err := intent.Parse(pods[0])
	if err != nil {
		return placed * mostPods, nil // its pods are told so
	}
	left := min(max(p.roomIn(p.read(pods[0], &asked.Topology), placement.Nodes)-placed, 0), mostPods-1)
	return placed*mostPods + mostPods - 1 - left, nil
}

// roomIn counts how many pods like this one the nodes take.
func (p *Topology) roomIn(r *request, nodes []fwk.NodeInfo) int64 {
	r.need = needOf(r.pod)
	door, sum := p.doorOf(r.pod), int64(0)
	for _, info := range nodes {
		if node := info.Node(); node == nil || !door.admits(node) {
			continue
		}
		var free load.Vector
		r.need.free(info, &free)
		sum += zone.Fits((*zone.Amounts)(&free), (*zone.Amounts)(&r.need.amounts), door.most)
	}
	return sum
}

// PlacementScoreExtensions returns the plugin itself.
func (p *Topology) PlacementScoreExtensions() fwk.PlacementScoreExtensions { return p }

// NormalizePlacementScore maps the ratings in order to 0..100.
func (p *Topology) NormalizePlacementScore(_ context.Context, _ fwk.PodGroupCycleState, _ fwk.PodGroupInfo, scores []fwk.PlacementScore) *fwk.Status {
	order := make([]int64, 0, len(scores))
	for i := range scores {
		order = append(order, scores[i].Score)
	}
	slices.SortFunc(order, func(a, b int64) int { return cmp.Compare(b, a) })
	order = slices.Compact(order)
	for i := range scores {
		place := slices.Index(order, scores[i].Score)
		scores[i].Score = max(fwk.MinScore, fwk.MaxScore-int64(place))
	}
	return nil
}

// tryOut decides for a pod of a native group, of which upstream tries all pods out
// in one cycle: what is decided for one must follow from where those before it
// are, and nothing is kept.
func (p *Topology) tryOut(r *request, nodes []fwk.NodeInfo) *fwk.Status {
	groups := p.handle.SnapshotSharedLister().PodGroupStates()
	group, err := groups.Get(r.pod.Namespace, intent.PodGroup(r.pod))
	if err != nil {
		return fwk.AsStatus(err)
	}
	placed := map[zone.DomainID]int{}
	best := zone.None
	for _, n := range nodes {
		for _, on := range n.GetPods() {
			if !sameNative(on.GetPod(), r.pod) {
				continue
			}
			if id, found := r.tree.Node(n.Node().Name); found && r.required != 0 {
				d := r.tree.DomainOf(id, r.required)
				if placed[d]++; d != zone.None && (best == zone.None || placed[d] > placed[best]) {
					best = d
				}
			}
		}
	}
	if best != zone.None {
		r.bound, r.target = best, best
		return nil
	}
	want := int64(max(len(group.UnscheduledPods()), 1))
	_, choice := p.choose(r, nodes, want, want, false)
	switch {
	case choice.Domain == zone.None:
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, r.noLevel(p).Message)
	case !choice.Fits && r.strict:
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, r.noRoom(choice, want).Message)
	}
	r.bound, r.target, r.climbed = choice.Bound, choice.Domain, choice.Climbed
	return nil
}

func sameNative(a, b *v1.Pod) bool {
	x, y := a.Spec.SchedulingGroup, b.Spec.SchedulingGroup
	return a.Namespace == b.Namespace && x != nil && y != nil && x.PodGroupName != nil && y.PodGroupName != nil && *x.PodGroupName == *y.PodGroupName
}
