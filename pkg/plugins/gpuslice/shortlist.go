package gpuslice

import (
	"cmp"
	"context"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/internal/adapt"
	"plimsoll.dev/scheduler/pkg/devices"
	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/metrics"
)

const (
	// shortlistFrom is from how many nodes on a shortlist is made: fewer are looked
	// at sooner than they are put in order.
	shortlistFrom = 32
	// maxProbes is how many nodes are asked about before all are looked at: when the
	// best ones for devices are no good otherwise, nothing is known of the rest.
	maxProbes = 64
)

// What the other plugins are shown of the nodes, by which attempts are counted.
const (
	shownShortlist = "shortlist"
	shownAll       = "all"
)

// shortlist narrows the nodes to those of which one will be chosen, so that the
// framework need not filter and score all others: the model has judged them already,
// in a tenth of the time. It returns nil where that cannot be told before.
//
// Nodes are taken in the order of their devices, until some node passes all
// filters. All nodes as good as that one are on the list, for the other plugins to
// choose from; none that is worse for its devices can win, see chain. What
// may count for more than devices do, a node's platform and its soft taints, puts
// nodes into different parts. Each has a best node of its own; the list ends with the
// worst of these, and has all that are better, so that nodes are as many places apart
// as among all. A pod with a preference of its own is shown all nodes.
func (p *GPUSlice) shortlist(ctx context.Context, state fwk.CycleState, pod *v1.Pod, asked *intent.Intent, r *request, nodes []fwk.NodeInfo) (out *fwk.PreFilterResult) {
	defer func() {
		shown := shownAll
		if out != nil {
			shown = shownShortlist
		}
		metrics.Searches.WithLabelValues(p.handle.ProfileName(), shown).Inc()
	}()
	if p.everyNode || len(nodes) < shortlistFrom || r.distrusted || r.natural || r.units != nil || len(r.extended) > 0 || prefers(pod, asked) {
		return nil
	}
	if _, wide := p.wide.Get(pod.UID); wide {
		p.wide.Remove(pod.UID)
		return nil
	}
	chain := p.chain.of(ctx, p.handle)
	if chain.framework == nil {
		return nil
	}
	s := p.sorted(ctx, state, pod, r, nodes)
	if s == nil {
		return nil
	}
	chosen, left, err := p.narrow(ctx, chain, state, pod, s)
	if err != nil {
		klog.FromContext(ctx).V(4).Info("All nodes are looked at for a pod with claims", "pod", klog.KObj(pod), "why", err.Error())
	}
	if chosen == nil {
		return nil
	}
	r.shortlisted = true
	if left {
		adapt.MarkNarrowed(state)
	}
	return &fwk.PreFilterResult{NodeNames: chosen}
}

// prefers tells whether the pod has a preference among nodes that counts as much as
// their devices do, or belongs to a group, of which others wait while it looks again.
func prefers(pod *v1.Pod, asked *intent.Intent) bool {
	if group, found := intent.GroupOf(pod, &asked.Topology); found && group.Key.Kind != intent.GroupByOwner {
		return true
	}
	if !asked.Arch.Preference.Empty() || asked.Topology.Gathers() || asked.Topology.MinPerZone > 0 || len(asked.Topology.Near) > 0 {
		return true
	}
	if a := pod.Spec.Affinity; a != nil && (a.NodeAffinity != nil && len(a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution) > 0 ||
		a.PodAffinity != nil && len(a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution) > 0 ||
		a.PodAntiAffinity != nil && len(a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution) > 0) {
		return true
	}
	return slices.ContainsFunc(pod.Spec.TopologySpreadConstraints, func(c v1.TopologySpreadConstraint) bool { return c.WhenUnsatisfiable == v1.ScheduleAnyway })
}

// narrow has the other plugins choose among the tiers, and tells whether some that may
// fit are left out. It returns nil if they have a say that outweighs the tiers, or if
// looking at all nodes costs no more.
func (p *GPUSlice) narrow(ctx context.Context, chain *chain, state fwk.CycleState, pod *v1.Pod, s *sorting) (chosen sets.Set[string], left bool, err error) {
	probe, err := adapt.NewProbe(ctx, chain.framework, state, pod)
	if err != nil {
		return nil, false, err
	}
	silent, err := probe.Silent(ctx, s.nodes[:1])
	if err != nil || !chain.decides(silent) {
		return nil, false, err
	}
	best, err := s.best(func(node fwk.NodeInfo) (bool, error) { return probe.Fits(ctx, node) })
	if err != nil || best == nil || !chain.apart(silent) && several(best) {
		return nil, false, err
	}
	chosen, left = s.choose(best)
	return chosen, left, nil
}

// several tells whether there is more than one part with a node that fits.
func several(best []int64) bool {
	parts := 0
	for _, place := range best {
		if place != noTier {
			parts++
		}
	}
	return parts > 1
}

// lookAgain has a pod that no node of its shortlist took tried again with all nodes, as
// soon as nothing else is in the queue and after its back-off at the latest: what
// the probe saw, such as pods that are nominated, has changed since. Nobody is to be
// evicted for that.
func (p *GPUSlice) lookAgain(logger klog.Logger, pod *v1.Pod) *fwk.Status {
	p.wide.Add(pod.UID, true)
	p.handle.Activate(logger, map[string]*v1.Pod{klog.KObj(pod).String(): pod})
	return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "the nodes that were best for the pod's devices have changed; all are looked at next")
}

// part is what may count for more than a node's devices.
type part struct {
	platform int
	// soft are the taints that pods would rather not be with.
	soft string
}

func (p *GPUSlice) partOf(node *v1.Node) part {
	out := part{platform: p.platforms.Kind(node)}
	for i := range node.Spec.Taints {
		if t := &node.Spec.Taints[i]; t.Effect == v1.TaintEffectPreferNoSchedule {
			out.soft += t.ToString() + "\n"
		}
	}
	return out
}

// roster is what is looked up of every node but does not change with its pods, in the
// snapshot's order, which hardly changes: finding a node there by its name is what
// would cost most. It belongs to the scheduling cycle.
type roster struct {
	edition uint64
	seats   []seat
	parts   map[part]int32
}

type seat struct {
	node  *v1.Node
	place int // in views
	part  int32
}

// open makes the roster fit the view and a snapshot of so many nodes.
func (r *roster) open(view *devices.View, nodes int) {
	if r.edition != view.Edition() || len(r.parts) > nodes {
		*r = roster{edition: view.Edition()}
	}
	if r.parts == nil {
		r.parts = map[part]int32{}
	}
	if short := nodes - len(r.seats); short > 0 {
		r.seats = append(r.seats, make([]seat, short)...)
	}
	clear(r.seats[nodes:]) // nodes that are gone are let go of
	r.seats = r.seats[:nodes]
}

func (p *GPUSlice) seatOf(i int, view *devices.View, node *v1.Node) *seat {
	s := &p.roster.seats[i]
	if s.node == node {
		return s
	}
	is := p.partOf(node)
	number, known := p.roster.parts[is]
	if !known {
		number = int32(len(p.roster.parts)) //nolint:gosec // no more than nodes
		p.roster.parts[is] = number
	}
	*s = seat{node, view.Place(node.Name), number}
	return s
}

// sorting is the nodes whose devices serve a pod, in their order.
type sorting struct {
	nodes []fwk.NodeInfo
	// tier of each node, an index into tiers; noTier if it cannot take the pod.
	tier  []int32
	tiers []tier
	// parts are the tiers of each part, best first.
	parts [][]int32
	// unknown are parts with nodes of which only the allocator can tell. These come
	// after all others.
	unknown []bool
}

const noTier = -1

// tier is nodes of one part with one place in the order.
type tier struct {
	part  int32
	place int64
}

// sorted puts the nodes in order. It is nil if none can take the pod.
func (p *GPUSlice) sorted(ctx context.Context, state fwk.CycleState, pod *v1.Pod, r *request, nodes []fwk.NodeInfo) *sorting {
	p.roster.open(r.view, len(nodes))
	kinds := kinds{found: map[rating]int{}}
	kindOf := make([]int32, len(nodes))
	var unknown []int32
	some := false
	for i, node := range nodes {
		kindOf[i] = noTier
		seat := p.seatOf(i, r.view, node.Node())
		switch r.view.AnswerAt(seat.place) {
		case devices.Refused:
			continue
		case devices.Unknown:
			if r.listed {
				return nil // it may serve an alternative that the user likes better
			}
			if !slices.Contains(unknown, seat.part) {
				unknown = append(unknown, seat.part)
			}
			continue
		}
		if p.chain.full(r, node) {
			continue
		}
		if !some {
			some = true
			r.outlook = p.outlook()
		}
		st := standing{name: seat.node.Name}
		plan, facts := r.view.StandingAt(seat.place)
		if status := p.stand(ctx, state, pod, &st, r, node, plan, facts); !status.IsSuccess() {
			return nil
		}
		kindOf[i] = int32(kinds.of(&st)) //nolint:gosec // no more than nodes
	}
	if !some {
		return nil
	}
	s := newSorting(nodes, p.roster.seats, kindOf, len(p.roster.parts), &kinds)
	for _, part := range unknown {
		s.unknown[part] = true
	}
	return s
}

// newSorting gathers the nodes by part and place. It takes kindOf over.
func newSorting(nodes []fwk.NodeInfo, seats []seat, kindOf []int32, parts int, kinds *kinds) *sorting {
	places, _ := kinds.places()
	s := &sorting{nodes: nodes, tier: kindOf, parts: make([][]int32, parts), unknown: make([]bool, parts)}
	index := map[tier]int32{}
	for i, kind := range kindOf {
		if kind == noTier {
			continue
		}
		t := tier{seats[i].part, places[kind]}
		at, known := index[t]
		if !known {
			at = int32(len(s.tiers)) //nolint:gosec // no more than nodes
			index[t] = at
			s.tiers = append(s.tiers, t)
			s.parts[t.part] = append(s.parts[t.part], at)
		}
		s.tier[i] = at
	}
	for _, tiers := range s.parts {
		slices.SortFunc(tiers, func(a, b int32) int { return cmp.Compare(s.tiers[a].place, s.tiers[b].place) })
	}
	return s
}

// best returns, of each part, the place of the first tier of which some node fits,
// noTier if none does. It is nil if nothing fits, or if that cannot be told.
func (s *sorting) best(fits func(fwk.NodeInfo) (bool, error)) ([]int64, error) {
	best := make([]int64, len(s.parts))
	probes, some := 0, false
	for part, tiers := range s.parts {
		best[part] = noTier
		for _, t := range tiers {
			for i := 0; i < len(s.nodes) && best[part] == noTier; i++ {
				if s.tier[i] != t {
					continue
				}
				if probes++; probes > maxProbes {
					return nil, nil
				}
				fit, err := fits(s.nodes[i])
				if err != nil {
					return nil, err
				}
				if fit {
					best[part], some = s.tiers[t].place, true
				}
			}
			if best[part] != noTier {
				break
			}
		}
		if best[part] == noTier && s.unknown[part] {
			return nil, nil
		}
	}
	if !some {
		return nil, nil
	}
	return best, nil
}

// choose lists the nodes between the best of their part and the worst of these, and
// tells whether it leaves out some that may fit. It is nil if more than half of all
// would be listed, or more places than scores can tell apart.
func (s *sorting) choose(best []int64) (chosen sets.Set[string], left bool) {
	worst := slices.Max(best)
	if worst >= fwk.MaxScore {
		return nil, false
	}
	left = slices.Contains(s.unknown, true)
	list := make([]string, 0, len(s.nodes)/2)
	for i, node := range s.nodes {
		if s.tier[i] == noTier {
			continue
		}
		t := s.tiers[s.tier[i]]
		switch {
		case best[t.part] == noTier, t.place < best[t.part]: // asked about, in vain
		case t.place > worst:
			left = true
		case len(list) == cap(list):
			return nil, false
		default:
			list = append(list, node.Node().Name)
		}
	}
	return sets.New(list...), left
}
