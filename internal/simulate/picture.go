package simulate

import (
	"cmp"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
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
			Pods:   len(info.GetPods()),
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

// history is the order in which pods were placed, and where they are at the end.
type history struct {
	// before are the pods that ran from the start.
	before []*v1.Pod
	// arrived are the pods that were submitted, in that order, with their node;
	// late are those that found one only after all had arrived.
	arrived []*v1.Pod
	late    map[types.UID]bool
	claims  []resourceapi.ResourceClaim
}

// mostPoints bounds how many points a series has.
const mostPoints = 100

// series is how the cluster filled.
func (f *machines) series(h *history) []placement.Point {
	m := newMeter(f, h)
	out := []placement.Point{m.point(0)}
	step := max(1, (len(h.arrived)+mostPoints-1)/mostPoints)
	for i, pod := range h.arrived {
		if pod.Spec.NodeName != "" && !h.late[pod.UID] {
			m.place(pod)
		}
		if (i+1)%step == 0 || i == len(h.arrived)-1 {
			out = append(out, m.point(i+1))
		}
	}
	for _, pod := range h.arrived {
		if pod.Spec.NodeName != "" && h.late[pod.UID] {
			m.place(pod)
		}
	}
	if len(h.late) > 0 {
		out[len(out)-1] = m.point(len(h.arrived))
	}
	return out
}

// meter adds up what placed pods use.
type meter struct {
	cpu, memory, gpus placement.Amount // gpus in thousandths
	used              map[int]int64    // thousandths of a GPU, by layout
	byPod             map[string][]held
	share             func(held) (layout int, milli int64)
	units             map[string]float64
	inUse             map[string]bool
	placed            int
}

func newMeter(f *machines, h *history) *meter {
	m := &meter{used: map[int]int64{}, byPod: map[string][]held{}, inUse: map[string]bool{}}
	infos := f.infos(nil)
	m.units = f.hardware.unitsOf(infos)
	for _, info := range infos {
		m.cpu.Allocatable += info.GetAllocatable().GetMilliCPU()
		m.memory.Allocatable += info.GetAllocatable().GetMemory()
		for resource, share := range m.units {
			n := info.GetAllocatable().GetScalarResources()[v1.ResourceName(resource)]
			m.gpus.Allocatable += int64(1000 * share * float64(n))
		}
	}
	m.gpus.Allocatable += 1000 * int64(len(f.hardware.layouts))
	for _, one := range heldBy(h.claims) {
		m.byPod[one.pod] = append(m.byPod[one.pod], one)
	}
	m.share = func(one held) (int, int64) {
		at, known := f.hardware.pieces[one.id]
		if !known {
			return -1, 0
		}
		l := &f.hardware.layouts[at.layout]
		return at.layout, int64(10 * part(l, &l.Pieces[at.piece], one).Percent)
	}
	for _, pod := range h.before {
		m.place(pod)
	}
	m.placed = 0
	return m
}

func (m *meter) place(pod *v1.Pod) {
	requests := (&framework.PodInfo{Pod: pod}).CalculateResource()
	m.cpu.Used += requests.Resource.GetMilliCPU()
	m.memory.Used += requests.Resource.GetMemory()
	m.gpus.Used += int64(1000 * gpusAsked(pod, m.units))
	for _, one := range m.byPod[pod.Namespace+"/"+pod.Name] {
		if layout, milli := m.share(one); layout >= 0 {
			m.used[layout] += milli
			m.gpus.Used += milli
		}
	}
	if !intent.IsNodeAgent(pod) {
		m.inUse[pod.Spec.NodeName] = true
	}
	m.placed++
}

func (m *meter) point(arrived int) placement.Point {
	broken := placement.Amount{Allocatable: m.gpus.Allocatable}
	for _, used := range m.used {
		if used > 0 && used < 1000 {
			broken.Used += 1000 - used
		}
	}
	return placement.Point{Arrived: arrived, Placed: m.placed, CPUPercent: percent(m.cpu), MemoryPercent: percent(m.memory), GPUPercent: percent(m.gpus), FragmentedGPUPercent: percent(broken), NodesInUse: len(m.inUse)}
}

func percent(a placement.Amount) float64 {
	if a.Allocatable == 0 {
		return 0
	}
	return rounded(100 * float64(a.Used) / float64(a.Allocatable))
}
