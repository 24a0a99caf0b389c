package gpuslice

import (
	"cmp"
	"slices"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/pkg/gpus"
	"plimsoll.dev/scheduler/pkg/share"
)

// bystand is what a node with GPUs loses to a pod that takes only its cores.
type bystand struct {
	node *v1.Node
	loss share.Loss
	// known: there is something to judge the loss by.
	known bool
	worth int64
}

// compareBystander puts the nodes in order for a pod that asks for no GPU: those
// without any first, then those whose GPUs stay most useful with the cores that are
// left, then those with the commonest. As long as nothing is known of what asks
// for GPUs, Score compares how common they are. A node that offers none of its GPUs at
// the moment is taken to lose as much as the worst of the others.
func (p *GPUSlice) compareBystander(r *request, nodes []fwk.NodeInfo) (differ bool) {
	if !p.spare || !p.gpus.Worth().Any() {
		return false
	}
	r.outlook = p.outlook()
	if r.outlook.Known() == 0 {
		return true
	}
	task := &share.Task{CPUMilli: r.cpu}
	var buffer [maxGPUs]int64
	var with []bystand
	var worst share.Loss
	for _, node := range nodes {
		worth := p.worthOf(node.Node())
		if worth == 0 {
			continue
		}
		b := bystand{node: node.Node(), worth: worth}
		if model, idle := p.idleOf(node, buffer[:], (*gpus.Node).Idle); len(idle) > 0 {
			b.loss, b.known = coarsely(p.lossOf(r, task, model, idle, node)), true
			worst = max(worst, b.loss)
		}
		with = append(with, b)
	}
	for i := range with {
		if !with[i].known {
			with[i].loss = worst
		}
	}
	slices.SortFunc(with, func(a, b bystand) int { return cmp.Or(a.compare(b), cmp.Compare(a.node.Name, b.node.Name)) })
	r.places = make(map[*v1.Node]int64, len(nodes))
	for _, node := range nodes {
		r.places[node.Node()] = 0
	}
	place := int64(0)
	if len(with) < len(nodes) {
		place = 1 // the others' is 0
	}
	for i := range with {
		if i > 0 && with[i-1].compare(with[i]) != 0 {
			place++
		}
		r.places[with[i].node] = place
	}
	return place > 0
}

func (a bystand) compare(b bystand) int {
	return cmp.Or(cmp.Compare(a.loss, b.loss), cmp.Compare(a.worth, b.worth))
}

func coarsely(l share.Loss) share.Loss { return share.Loss(coarse(l)) }

// idleOf is what is free of a node's GPUs, in thousandths, by what its driver
// publishes, or what is listed of its device plugin's. It may be in the buffer.
func (p *GPUSlice) idleOf(node fwk.NodeInfo, buffer []int64, list func(*gpus.Node, []int64) (int, string)) (model string, idle []int64) {
	if facts := p.manager.model.GPUs(node.Node().Name); facts != nil && len(facts.Idle) > 0 {
		return facts.Model, facts.Idle
	}
	var read gpus.Node
	p.gpus.Read(node, &read)
	if len(read.Offers) == 0 {
		return "", nil
	}
	n, model := list(&read, buffer)
	return model, buffer[:n]
}
