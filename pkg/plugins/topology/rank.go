package topology

import (
	"slices"

	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/internal/adapt"
	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/load"
	"plimsoll.dev/scheduler/pkg/zone"
)

// zoneRanks is the order of zones for one pod.
type zoneRanks struct {
	ref zone.Ref
	// ids are the zones, by Tree.At; rank is each one's place, 0 the best, counts
	// how many of the group's pods of its revision it has.
	ids    []zone.DomainID
	rank   []int
	counts []int64
	// worst is the place of nodes without a zone.
	worst int
	// spread and near say what the order is by; use how many zones are wanted.
	spread, near bool
	replicas     int64
	use          int64
	ready        map[string]int64
}

// rank orders the domains that the pod's nodes are in; false if all are alike to
// the pod.
func (p *Topology) rank(r *request, nodes []fwk.NodeInfo) bool {
	p.rankZones(r, nodes)
	return r.zones != nil || r.asked.Gathers() && (r.target != r.bound || len(r.cells) > 0)
}

// cellsOf finds the domains just above nodes that the group uses or will.
func (p *Topology) cellsOf(r *request) {
	r.cells = map[zone.DomainID]struct{}{}
	note := func(node string) {
		if n, found := r.tree.Node(node); found && r.tree.Contains(r.bound, n) {
			r.cells[r.cell(n)] = struct{}{}
		}
	}
	for node := range p.groups.Slots(r.group.Key) {
		note(node)
	}
	p.groups.EachPlace(r.group.Key, func(node, _ string) { note(node) })
}

// cell is the narrowest domain around a node that has other nodes, too.
func (r *request) cell(n zone.NodeID) zone.DomainID {
	d := r.tree.Leaf(n)
	for d != zone.Root && len(r.tree.Nodes(d)) == 1 {
		d = r.tree.Parent(d)
	}
	return d
}

// zoneFactor keeps the order of zones below that of domains in a score.
const zoneFactor = 1 << 20

// score is higher for a node that is closer to the group's domain and, among
// those alike, in a better zone.
func (r *request) score(node string) int64 {
	n, found := r.tree.Node(node)
	if !found {
		return 0
	}
	score := int64(zoneFactor - 1)
	if z := r.zones; z != nil {
		score -= int64(z.of(r.tree, n))
	}
	if r.asked.Gathers() { // a gang that names no level is packed like other pods
		depth := 2 * r.tree.Depth(r.tree.Common(r.tree.Leaf(n), r.target))
		if _, used := r.cells[r.cell(n)]; used {
			depth++
		}
		score += zoneFactor * int64(depth)
	}
	return score
}

// of is the rank of a node's zone.
func (z *zoneRanks) of(tree *zone.Tree, n zone.NodeID) int {
	if i, found := slices.BinarySearch(z.ids, tree.DomainOf(n, z.ref)); found {
		return z.rank[i]
	}
	return z.worst
}

// rankZones orders the zones by what the pod asks of them: its share of replicas
// first, then the Services it talks to.
func (p *Topology) rankZones(r *request, nodes []fwk.NodeInfo) {
	r.zones = nil
	ref, found := r.tree.Ref(zoneAlias)
	spread := r.asked.MinPerZone > 0 && !p.spreadByOthers(r)
	if !found || !spread && len(r.asked.Near) == 0 {
		return
	}
	z := &zoneRanks{ref: ref, ids: r.tree.At(ref), spread: spread}
	if len(z.ids) == 0 {
		return
	}
	z.rank, z.counts = make([]int, len(z.ids)), make([]int64, len(z.ids))
	p.countReplicas(r, z)
	if spread {
		p.rankSpread(r, z, nodes)
	}
	if len(r.asked.Near) > 0 {
		p.rankNear(r, z)
	}
	if !z.spread && !z.near {
		return
	}
	z.worst = slices.Max(z.rank) + 1
	r.zones = z
}

// spreadByOthers tells whether the pod says itself how it is spread over zones:
// PodTopologySpread then does that.
func (p *Topology) spreadByOthers(r *request) bool {
	for _, level := range p.levels {
		if level.Alias == zoneAlias && intent.SpreadsOver(r.pod, level.Key) {
			return true
		}
	}
	return false
}

// countReplicas counts the group's pods of the pod's own revision by zone.
func (p *Topology) countReplicas(r *request, z *zoneRanks) {
	revision := intent.Revision(r.pod)
	p.groups.EachPlace(r.group.Key, func(node, other string) {
		if other != revision {
			return
		}
		if n, found := r.tree.Node(node); found {
			if i, found := slices.BinarySearch(z.ids, r.tree.DomainOf(n, z.ref)); found {
				z.counts[i]++
			}
		}
	})
}

func (p *Topology) rankSpread(r *request, z *zoneRanks, nodes []fwk.NodeInfo) {
	z.replicas = max(r.size.Total, r.size.Gang)
	if z.replicas == 0 {
		view := p.groups.View(r.group.Key)
		z.replicas = max(view.All(), 1)
	}
	states := make([]zone.ZoneState, len(z.ids))
	for i := range states {
		states[i].Replicas = z.counts[i]
	}
	p.roomByZone(r, z, states, nodes)
	spread := zone.Spread{Replicas: z.replicas, PerZone: r.asked.MinPerZone, MinZones: r.asked.MinZones}
	spread.Rank(states, z.rank)
	open := int64(0)
	for i := range states {
		if states[i].Room > 0 || states[i].Replicas > 0 {
			open++
		}
	}
	z.use = spread.Zones(open)
}

// roomByZone counts how many of the pods fit in each zone, over the nodes that
// can take the pod, up to all of them.
func (p *Topology) roomByZone(r *request, z *zoneRanks, states []zone.ZoneState, nodes []fwk.NodeInfo) {
	if r.need.meter == nil {
		r.need = needOf(r.pod)
	}
	for _, info := range nodes {
		n, found := r.tree.Node(info.Node().Name)
		if !found {
			continue
		}
		i, found := slices.BinarySearch(z.ids, r.tree.DomainOf(n, z.ref))
		if !found || states[i].Room >= z.replicas {
			continue
		}
		var free load.Vector
		r.need.free(info, &free)
		// A node that passed the filters takes at least the pod itself.
		states[i].Room += max(1, zone.Fits((*zone.Amounts)(&free), (*zone.Amounts)(&r.need.amounts), mostPods))
	}
}

// rankNear orders zones by the Services the pod talks to, after what they are
// ordered by already.
func (p *Topology) rankNear(r *request, z *zoneRanks) {
	shares, ready := p.sharesOf(r)
	if len(shares) == 0 {
		return // no endpoint is ready anywhere
	}
	z.near, z.ready = true, ready
	names := make([]string, len(z.ids))
	for i, d := range z.ids {
		names[i] = r.tree.Value(d)
	}
	rank := make([]int, len(z.ids))
	zone.RankNear(shares, names, z.counts, p.prices, rank)
	for i := range z.rank {
		z.rank[i] = z.rank[i]*len(z.ids) + rank[i]
	}
}

// sharesOf says where the pod's traffic goes: its Services weigh as it says, the
// endpoints of one alike. ready counts the endpoints by zone.
func (p *Topology) sharesOf(r *request) (shares zone.Peers, ready map[string]int64) {
	shares, ready = zone.Peers{}, map[string]int64{}
	sum := 0.0
	for _, peer := range r.asked.Near {
		byZone, _ := p.peers.Ready(r.pod.Namespace, peer.Service)
		total := int64(0)
		for _, count := range byZone {
			total += count
		}
		for name, count := range byZone {
			if name != "" && count > 0 {
				share := float64(peer.Weight) * float64(count) / float64(total)
				shares[name] += share
				ready[name] += count
				sum += share
			}
		}
	}
	for name := range shares {
		shares[name] /= sum
	}
	return shares, ready
}

// apart maps scores to 0..100: the best becomes 100, and those after it are as
// far apart as they can be, so that no other plugin's preference among nodes of a
// worse place makes up for it.
func apart(scores fwk.NodeScoreList) {
	const most = 20 // beyond, single steps do
	var kept [most + 1]int64
	distinct := kept[:0]
	for i := range scores {
		if !slices.Contains(distinct, scores[i].Score) {
			if len(distinct) == most {
				adapt.DenseRank(scores)
				return
			}
			distinct = append(distinct, scores[i].Score)
		}
	}
	slices.Sort(distinct)
	step := fwk.MaxScore / max(1, int64(len(distinct)-1))
	for i := range scores {
		place, _ := slices.BinarySearch(distinct, scores[i].Score)
		scores[i].Score = fwk.MaxScore - step*int64(len(distinct)-1-place)
	}
}
