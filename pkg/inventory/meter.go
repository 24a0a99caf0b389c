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
	readings []reading
}

// reading says where the framework keeps one resource.
type reading struct {
	kind kind
	name v1.ResourceName
}

type kind uint8

const (
	scalar kind = iota
	cpu
	memory
	ephemeral
	pods
)

// NewMeter returns a Meter of at most load.MaxResources resources.
func NewMeter(names []v1.ResourceName) *Meter {
	kinds := map[v1.ResourceName]kind{
		v1.ResourceCPU: cpu, v1.ResourceMemory: memory, v1.ResourceEphemeralStorage: ephemeral, v1.ResourcePods: pods,
	}
	m := &Meter{}
	for _, name := range names[:min(len(names), load.MaxResources)] {
		m.readings = append(m.readings, reading{kinds[name], name})
	}
	return m
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
func (m *Meter) Pod(pod *v1.Pod) Needs {
	// Not NewPodInfo, which also parses affinity terms.
	amounts := (&framework.PodInfo{Pod: pod}).CalculateResource()
	var out Needs
	m.read(amounts.Resource, amounts.Resource.GetMilliCPU(), amounts.Resource.GetMemory(), 1, &out.Requested)
	m.read(amounts.Resource, amounts.Non0CPU, amounts.Non0Mem, 1, &out.Assumed)
	return out
}

// Allocatable reads what the node offers.
func (m *Meter) Allocatable(node fwk.NodeInfo, into *load.Vector) {
	all := node.GetAllocatable()
	m.read(all, all.GetMilliCPU(), all.GetMemory(), int64(all.GetAllowedPodNumber()), into)
}

// Requested reads what the node's pods ask for.
func (m *Meter) Requested(node fwk.NodeInfo, into *load.Vector) {
	asked := node.GetRequested()
	m.read(asked, asked.GetMilliCPU(), asked.GetMemory(), int64(len(node.GetPods())), into)
}

// Assumed reads what the node's pods ask for, with the framework's stand-ins
// for those that request no CPU or memory.
func (m *Meter) Assumed(node fwk.NodeInfo, into *load.Vector) {
	asked, non0 := node.GetRequested(), node.GetNonZeroRequested()
	m.read(asked, non0.GetMilliCPU(), non0.GetMemory(), int64(len(node.GetPods())), into)
}

// read runs for every node of every pod.
func (m *Meter) read(from fwk.Resource, milliCPU, bytes, podCount int64, into *load.Vector) {
	for i := range m.readings {
		switch r := &m.readings[i]; r.kind {
		case cpu:
			into[i] = milliCPU
		case memory:
			into[i] = bytes
		case ephemeral:
			into[i] = from.GetEphemeralStorage()
		case pods:
			into[i] = podCount
		case scalar:
			if all := from.GetScalarResources(); len(all) > 0 {
				into[i] = all[r.name]
			} else {
				into[i] = 0
			}
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
