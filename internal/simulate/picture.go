package simulate

import (
	"cmp"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/pkg/intent"
)

// poolLabels name a node's pool on the clouds that have such a thing, and where
// nothing else does, its machine type.
var poolLabels = []string{"cloud.google.com/gke-nodepool", "eks.amazonaws.com/nodegroup", "kubernetes.azure.com/agentpool",
	"karpenter.sh/nodepool", "node.cluster.x-k8s.io/deployment-name", v1.LabelInstanceTypeStable}

func poolOf(node *v1.Node) string {
	for _, label := range poolLabels {
		if pool := node.Labels[label]; pool != "" {
			return pool
		}
	}
	return ""
}

// machines are the nodes and what they are filled with.
type machines struct {
	nodes    []*v1.Node
	hardware *hardware
	// targets are the lines of nodes, nil if the profile has none.
	targets func(*v1.Node) float64
}

// infos sorts pods to their nodes.
func (f *machines) infos(pods []*v1.Pod) []fwk.NodeInfo {
	byNode := map[string][]*v1.Pod{}
	for _, pod := range pods {
		byNode[pod.Spec.NodeName] = append(byNode[pod.Spec.NodeName], pod)
	}
	out := make([]fwk.NodeInfo, len(f.nodes))
	for i, node := range f.nodes {
		info := framework.NewNodeInfo(byNode[node.Name]...)
		info.SetNode(node)
		out[i] = info
	}
	return out
}

// draw pictures all nodes as they are with these pods and claims.
func (f *machines) draw(pods []*v1.Pod, claims []resourceapi.ResourceClaim) []placement.Node {
	holds := map[int][]held{}
	for _, h := range heldBy(claims) {
		if at, known := f.hardware.pieces[h.id]; known {
			holds[at.layout] = append(holds[at.layout], h)
		}
	}
	out := []placement.Node{}
	for _, info := range f.infos(pods) {
		node, has, used := info.Node(), info.GetAllocatable(), info.GetRequested()
		n := placement.Node{Name: node.Name, Zone: node.Labels[v1.LabelTopologyZone], Arch: node.Labels[v1.LabelArchStable], Pool: poolOf(node),
			Pods:   guests(info),
			CPU:    placement.Amount{Used: used.GetMilliCPU(), Allocatable: has.GetMilliCPU()},
			Memory: placement.Amount{Used: used.GetMemory(), Allocatable: has.GetMemory()},
			GPUs:   append(f.hardware.published(node.Name, holds), f.hardware.counted(info)...)}
		if n.GPUs == nil {
			n.GPUs = []placement.GPU{}
		}
		if f.targets != nil {
			n.TargetPercent = f.targets(node)
		}
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b placement.Node) int {
		return cmp.Or(strings.Compare(a.Zone, b.Zone), strings.Compare(a.Name, b.Name))
	})
	return out
}

// guests counts the pods that keep a node in use.
func guests(info fwk.NodeInfo) (count int) {
	for _, p := range info.GetPods() {
		if !intent.IsNodeAgent(p.GetPod()) {
			count++
		}
	}
	return count
}

func percent(a placement.Amount) float64 {
	if a.Allocatable == 0 {
		return 0
	}
	return rounded(100 * float64(a.Used) / float64(a.Allocatable))
}
