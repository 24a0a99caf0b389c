package gpuslice

import (
	"cmp"
	"context"
	"math"
	"slices"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/pkg/devices"
	"plimsoll.dev/scheduler/pkg/gpus"
	"plimsoll.dev/scheduler/pkg/share"
)

// standing is what one node has to offer a pod. Fields are compared in their
// order; see better.
type standing struct {
	name string
	// listed is how early the alternatives taken stand in the user's lists.
	listed int64
	plan   *devices.Plan
	// units: a device plugin of the node serves the pod.
	units bool
	// whole: the plan takes whole GPUs or shares, no slices; loss is then what
	// that costs the node.
	whole bool
	loss  share.Loss
	// untouched: none of the node's GPUs is in use, of several.
	untouched bool
	// rank is that of a device plugin's GPUs.
	rank gpus.Rank
}

// compare puts the nodes in order, and tells whether they differ.
func (p *GPUSlice) compare(ctx context.Context, state fwk.CycleState, pod *v1.Pod, r *request, nodes []fwk.NodeInfo) (bool, *fwk.Status) {
	if !r.claims && r.units == nil {
		return p.compareBystander(r, nodes), nil
	}
	if r.outlook == nil { // else as for the shortlist
		r.outlook = p.outlook()
	}
	kinds := kinds{found: map[rating]int{}}
	kindOf := make([]int, len(nodes))
	for i, node := range nodes {
		s := standing{name: node.Node().Name}
		if r.claims {
			if status := p.standDevices(ctx, state, pod, &s, r, node); !status.IsSuccess() {
				return false, status
			}
		}
		if r.units != nil {
			p.standUnits(&s, r, node)
		}
		kindOf[i] = kinds.of(&s)
	}
	places, differ := kinds.places()
	r.places = make(map[*v1.Node]int64, len(nodes))
	for i, node := range nodes {
		r.places[node.Node()] = places[kindOf[i]]
	}
	return differ, nil
}

// rating is all of a standing that better looks at.
type rating struct {
	listed       int64
	claims       bool
	cost         devices.Cost
	units, whole bool
	untouched    bool
	loss         int64
	rank         gpus.Rank
}

// kinds are standings that are rated alike: a thousand nodes are of a few.
type kinds struct {
	found  map[rating]int
	list   []standing
	last   rating
	lastAt int
}

func (k *kinds) of(s *standing) int {
	rated := rating{listed: s.listed, units: s.units, whole: s.whole, untouched: s.untouched, loss: coarse(s.loss), rank: s.rank}
	if s.plan != nil {
		rated.claims, rated.cost = true, s.plan.Cost
	}
	if len(k.list) > 0 && rated == k.last {
		return k.lastAt // many nodes on end are alike
	}
	at, known := k.found[rated]
	if !known {
		at = len(k.list)
		k.found[rated] = at
		k.list = append(k.list, *s)
	}
	k.last, k.lastAt = rated, at
	return at
}

// places are those of the kinds, 0 the best, and whether there are several.
func (k *kinds) places() (places []int64, differ bool) {
	order := make([]int, len(k.list))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(better(&k.list[a], &k.list[b]), cmp.Compare(k.list[a].name, k.list[b].name))
	})
	places = make([]int64, len(order))
	place := int64(0)
	for i, at := range order {
		if i > 0 && better(&k.list[order[i-1]], &k.list[at]) != 0 {
			place++
		}
		places[at] = place
	}
	return places, place > 0
}

// better is negative if a is. Nodes that differ in nothing are left to the
// other plugins.
func better(a, b *standing) int {
	if a.listed != b.listed {
		return cmp.Compare(b.listed, a.listed)
	}
	if a.plan != nil && b.plan != nil {
		return betterPlan(a, b)
	}
	if a.known() != b.known() {
		// A node that the model does not understand comes after those it does.
		return -cmp.Compare(bit(a.known()), bit(b.known()))
	}
	if a.plan != nil || b.plan != nil {
		return betterAcross(a, b)
	}
	return cmp.Or(fitting(&a.rank, &b.rank),
		cmp.Compare(bit(a.whole), bit(b.whole)), cmp.Compare(coarse(a.loss), coarse(b.loss)), a.rank.Compare(b.rank))
}

// fitting compares how near to what the pod asks for a device plugin's units are,
// which goes before what they cost.
func fitting(a, b *gpus.Rank) int {
	return cmp.Or(cmp.Compare(a.Isolation, b.Isolation), cmp.Compare(a.Division, b.Division), cmp.Compare(a.MemoryGiB, b.MemoryGiB))
}

func (s *standing) known() bool { return s.plan != nil || s.units }

// betterAcross compares a node that claims serve with one that a device plugin
// does, by what both know.
func betterAcross(a, b *standing) int {
	takenA, takenB := a.taken(), b.taken()
	return cmp.Or(fitting(&takenA, &takenB),
		cmp.Compare(bit(a.whole), bit(b.whole)), cmp.Compare(coarse(a.loss), coarse(b.loss)),
		cmp.Compare(bit(a.plan == nil), bit(b.plan == nil)))
}

// taken is the place of the isolation in the pod's preference and the memory in
// GiB, rounded up. A class selects what it serves as a GPU: devices of a claim are
// no divided ones.
func (s *standing) taken() gpus.Rank {
	if s.plan != nil {
		return gpus.Rank{Isolation: s.plan.Cost.Isolation, MemoryGiB: (s.plan.Cost.Memory + 1<<30 - 1) >> 30}
	}
	return s.rank
}

// coarse makes losses equal that differ by less than a thousandth of a GPU, such
// as by a few idle millicores: one place in the order outweighs all of packing.
func coarse(l share.Loss) int64 { return int64(math.Round(float64(l))) }

func betterPlan(a, b *standing) int {
	ca, cb := &a.plan.Cost, &b.plan.Cost
	first := cmp.Compare(ca.Isolation, cb.Isolation)
	if a.units && b.units {
		first = cmp.Or(first, fitting(&a.rank, &b.rank))
	}
	first = cmp.Or(first, cmp.Compare((ca.Memory+1<<30-1)>>30, (cb.Memory+1<<30-1)>>30), cmp.Compare(bit(a.whole), bit(b.whole)))
	if a.whole && b.whole {
		first = cmp.Or(first, cmp.Compare(ca.Memory, cb.Memory))
	}
	if first != 0 {
		return first
	}
	if a.whole {
		return cmp.Or(cmp.Compare(coarse(a.loss), coarse(b.loss)), ca.Compare(*cb), a.rank.Compare(b.rank))
	}
	return cmp.Or(ca.Compare(*cb), a.rank.Compare(b.rank), cmp.Compare(bit(a.untouched), bit(b.untouched)))
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// standDevices notes a node's plan, and what it costs the node as a whole.
func (p *GPUSlice) standDevices(ctx context.Context, state fwk.CycleState, pod *v1.Pod, s *standing, r *request, node fwk.NodeInfo) (status *fwk.Status) {
	var plan *devices.Plan
	var facts *devices.NodeGPUs
	if r.view != nil && (r.onModel || r.planned(node)) {
		plan, facts = r.view.Standing(s.name)
	}
	return p.stand(ctx, state, pod, s, r, node, plan, facts)
}

// stand notes what a plan costs.
func (p *GPUSlice) stand(ctx context.Context, state fwk.CycleState, pod *v1.Pod, s *standing, r *request, node fwk.NodeInfo, plan *devices.Plan, facts *devices.NodeGPUs) (status *fwk.Status) {
	if s.listed, status = p.listed(ctx, state, pod, r, node, plan); !status.IsSuccess() {
		return status
	}
	switch {
	case !r.planned(node):
		return nil
	case r.view.Spares(s.name): // what nodes share serves the pod, if anything does
		if p.spare {
			s.rank.Worth = p.worthOf(node.Node())
		}
		return nil
	case plan == nil:
		return nil
	}
	s.plan = plan
	task, has := wholesOfPlan(s.plan, r.cpu)
	switch {
	case has == wholesOnly:
		s.whole = true
		if facts != nil {
			s.loss = p.lossOf(r, &task, facts.Model, facts.Idle, node)
		}
	case has == noGPU && p.spare:
		s.rank.Worth = p.worthOf(node.Node()) // claims other devices than GPUs
	case has == someSlices:
		s.untouched = facts.Untouched()
	}
	return nil
}

// standUnits ranks a node's device-plugin GPUs.
func (p *GPUSlice) standUnits(s *standing, r *request, info fwk.NodeInfo) {
	var node gpus.Node
	p.gpus.Read(info, &node)
	s.units = r.units.Suits(node.Facts).Reason == gpus.Suitable
	s.rank = r.units.Rank(&node, p.gpus.Worth().Of(node.Facts))
	task := taskOfUnits(r)
	if task == nil || len(node.Offers) == 0 {
		return
	}
	var idle [maxGPUs]int64
	n, model := node.Wholes(idle[:])
	if n > 0 {
		s.whole = true
		s.loss = p.lossOf(r, task, model, idle[:n], info)
	}
}

// maxGPUs is how many GPUs of a node are looked at through a device plugin.
const maxGPUs = 64

// lossOf asks the model of whole GPUs and shares what a task costs a node.
func (p *GPUSlice) lossOf(r *request, task *share.Task, model string, idle []int64, node fwk.NodeInfo) share.Loss {
	n := share.Node{Model: p.learner.models.Of(model), GPUs: idle}
	n.IdleCPUMilli, n.CPUMilli = cores(node)
	t := *task
	// The node passed the filters: what looks too little in these terms (a share
	// of another capacity than the fullest, cores of init containers) is enough.
	t.Models = nil
	t.CPUMilli = min(t.CPUMilli, n.IdleCPUMilli)
	if most := largest(idle); t.GPUMilli < share.Whole && most > 0 {
		t.GPUMilli = min(t.GPUMilli, most)
	}
	loss, _, ok := r.outlook.Best(&n, &t)
	if !ok {
		return unknownLoss
	}
	return loss
}

// unknownLoss is that of a node that the model thinks cannot take the task: it
// comes last.
const unknownLoss share.Loss = 1e12

func largest(values []int64) (out int64) {
	for _, v := range values {
		out = max(out, v)
	}
	return out
}
