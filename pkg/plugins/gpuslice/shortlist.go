package gpuslice

import (
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
// nodes into different parts; the best of each part are on the list. A pod with a
// preference of its own is shown all nodes.
func (p *GPUSlice) shortlist(ctx context.Context, state fwk.CycleState, pod *v1.Pod, asked *intent.Intent, r *request, nodes []fwk.NodeInfo) (out *fwk.PreFilterResult) {
	defer func() {
		shown := shownAll
		if out != nil {
			shown = shownShortlist
		}
		metrics.Searches.WithLabelValues(p.handle.ProfileName(), shown).Inc()
	}()
	if p.everyNode || len(nodes) < shortlistFrom || r.distrusted || r.natural || r.units != nil || len(r.extended) > 0 ||
		!asked.Arch.Preference.Empty() || asked.Topology.Gathers() || asked.Topology.MinPerZone > 0 || len(asked.Topology.Near) > 0 {
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
	chosen, err := p.narrow(ctx, chain, state, pod, s)
	if err != nil {
		klog.FromContext(ctx).V(4).Info("All nodes are looked at for a pod with claims", "pod", klog.KObj(pod), "why", err.Error())
		return nil
	}
	if len(chosen) == 0 || len(chosen) == len(nodes) {
		return nil
	}
	return &fwk.PreFilterResult{NodeNames: chosen}
}

// narrow has the other plugins choose among the tiers. It returns nothing if they
// have a say that outweighs the tiers.
func (p *GPUSlice) narrow(ctx context.Context, chain *chain, state fwk.CycleState, pod *v1.Pod, s *sorting) (sets.Set[string], error) {
	probe, err := adapt.NewProbe(ctx, chain.framework, state, pod)
	if err != nil {
		return nil, err
	}
	silent, err := probe.Silent(ctx, s.nodes[:1])
	if err != nil || !chain.decides(silent) {
		return nil, err
	}
	return s.best(func(node fwk.NodeInfo) (bool, error) { return probe.Fits(ctx, node) })
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
	// tier of each node, an index into tiers; none if it cannot serve the pod.
	tier  []int32
	tiers []tier
	// parts are the tiers of each part, best first.
	parts [][]int32
}

const noTier = -1

// tier is nodes of one part with one place in the order.
type tier struct {
	part  int32
	place int64
}

// sorted puts the nodes in order. It is nil if no node can serve the pod, or if the
// model cannot tell of some.
func (p *GPUSlice) sorted(ctx context.Context, state fwk.CycleState, pod *v1.Pod, r *request, nodes []fwk.NodeInfo) *sorting {
	p.roster.open(r.view, len(nodes))
	kinds := kinds{found: map[rating]int{}}
	kindOf := make([]int32, len(nodes))
	some := false
	for i, node := range nodes {
		kindOf[i] = noTier
		seat := p.seatOf(i, r.view, node.Node())
		switch r.view.AnswerAt(seat.place) {
		case devices.Refused:
			continue
		case devices.Unknown:
			return nil
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
	return newSorting(nodes, p.roster.seats, kindOf, len(p.roster.parts), &kinds)
}

// newSorting gathers the nodes by part and place. It takes kindOf over.
func newSorting(nodes []fwk.NodeInfo, seats []seat, kindOf []int32, parts int, kinds *kinds) *sorting {
	places, _ := kinds.places()
	s := &sorting{nodes: nodes, tier: kindOf, parts: make([][]int32, parts)}
	index := map[tier]int32{}
	for i, kind := range kindOf {
		if kind == noTier {
			continue
		}
		g := tier{seats[i].part, places[kind]}
		at, known := index[g]
		if !known {
			at = int32(len(s.tiers)) //nolint:gosec // no more than nodes
			index[g] = at
			s.tiers = append(s.tiers, g)
			s.parts[g.part] = append(s.parts[g.part], at)
		}
		s.tier[i] = at
	}
	for _, tiers := range s.parts {
		slices.SortFunc(tiers, func(a, b int32) int { return int(s.tiers[a].place - s.tiers[b].place) })
	}
	return s
}

// best returns, of each part, the first tier of which some node fits. It is empty if
// nothing fits, or if too many nodes would have to be asked about to tell.
func (s *sorting) best(fits func(fwk.NodeInfo) (bool, error)) (sets.Set[string], error) {
	chosen := sets.New[string]()
	probes := 0
	for _, tiers := range s.parts {
		for _, g := range tiers {
			found := false
			for i := 0; i < len(s.nodes) && !found; i++ {
				if s.tier[i] != g {
					continue
				}
				if probes++; probes > maxProbes {
					return nil, nil
				}
				var err error
				if found, err = fits(s.nodes[i]); err != nil {
					return nil, err
				}
			}
			if found {
				s.choose(g, chosen)
				break
			}
		}
	}
	return chosen, nil
}

func (s *sorting) choose(g int32, into sets.Set[string]) {
	for i, of := range s.tier {
		if of == g {
			into.Insert(s.nodes[i].Node().Name)
		}
	}
}
