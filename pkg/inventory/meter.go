// Package inventory turns nodes into facts: amounts in the order of a list of
// resources, whether a node is in use, which pool it belongs to. It is the sole
// reader of node labels.
package inventory

import (
	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/load"
)

// Meter reads amounts of a fixed list of resources into vectors, in its order.
// Cores are counted in millicores, everything else in its base unit. All
// accounting of init containers, sidecars, overhead and pod-level resources is
// the scheduling framework's.
type Meter struct {
	names []v1.ResourceName
}

// NewMeter returns a Meter of at most load.MaxResources resources.
func NewMeter(names []v1.ResourceName) *Meter {
	return &Meter{names: append([]v1.ResourceName(nil), names[:min(len(names), load.MaxResources)]...)}
}

// Needs is what one pod takes.
type Needs struct {
	// Requested is what the pod asks for; a limit that is refused at must use
	// these.
	Requested load.Vector
	// Assumed is the same with the framework's stand-in for containers that
	// request no CPU or memory (100m and 200MB), so that pods without
	// requests do not all count as nothing.
	Assumed load.Vector
}

// Pod reads a pod's needs.
func (m *Meter) Pod(pod *v1.Pod) (Needs, error) {
	info, err := framework.NewPodInfo(pod)
	if err != nil {
		return Needs{}, err
	}
	amounts := info.CalculateResource()
	var out Needs
	m.read(amounts.Resource, 1, &out.Requested)
	m.withStandIns(&out.Assumed, out.Requested, amounts.Non0CPU, amounts.Non0Mem)
	return out, nil
}

// Allocatable reads what the node offers.
func (m *Meter) Allocatable(node fwk.NodeInfo, into *load.Vector) {
	all := node.GetAllocatable()
	m.read(all, int64(all.GetAllowedPodNumber()), into)
}

// Requested reads what the node's pods ask for.
func (m *Meter) Requested(node fwk.NodeInfo, into *load.Vector) {
	m.read(node.GetRequested(), int64(len(node.GetPods())), into)
}

// Assumed reads what the node's pods ask for, with the framework's stand-ins
// for those that request no CPU or memory.
func (m *Meter) Assumed(node fwk.NodeInfo, into *load.Vector) {
	m.Requested(node, into)
	non0 := node.GetNonZeroRequested()
	m.withStandIns(into, *into, non0.GetMilliCPU(), non0.GetMemory())
}

func (m *Meter) withStandIns(into *load.Vector, requested load.Vector, cpu, memory int64) {
	*into = requested
	for i, name := range m.names {
		switch name {
		case v1.ResourceCPU:
			into[i] = cpu
		case v1.ResourceMemory:
			into[i] = memory
		}
	}
}

func (m *Meter) read(from fwk.Resource, pods int64, into *load.Vector) {
	for i, name := range m.names {
		switch name {
		case v1.ResourceCPU:
			into[i] = from.GetMilliCPU()
		case v1.ResourceMemory:
			into[i] = from.GetMemory()
		case v1.ResourceEphemeralStorage:
			into[i] = from.GetEphemeralStorage()
		case v1.ResourcePods:
			into[i] = pods
		default:
			into[i] = from.GetScalarResources()[name]
		}
	}
}

// Empty reports whether nothing but node agents runs on the node, so that it
// could be given back.
func Empty(node fwk.NodeInfo) bool {
	for _, p := range node.GetPods() {
		if pod := p.GetPod(); !intent.IsNodeAgent(pod) && !intent.IsFinished(pod) {
			return false
		}
	}
	return true
}
