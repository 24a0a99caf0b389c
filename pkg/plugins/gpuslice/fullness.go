package gpuslice

import (
	"sync"

	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/pkg/gpus"
	"plimsoll.dev/scheduler/pkg/share"
)

// fullness is what share of the cluster's GPUs is in use. To know it, every node has
// to be looked at, and it changes slowly: one pod in so many measures it, the more
// nodes there are the fewer. It goes by pods, not by time, so that what is decided
// does not depend on how fast the machine is.
type fullness struct {
	mu   sync.Mutex
	left int
	used float64
}

// nodesPerPod is how many nodes are looked at per pod, on average.
const nodesPerPod = 16

// of returns the share, 0 to 1. It is called once per pod.
func (f *fullness) of(p *GPUSlice) float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left > 0 {
		f.left--
		return f.used
	}
	nodes, err := p.handle.SnapshotSharedLister().NodeInfos().List()
	if err != nil {
		return f.used
	}
	f.left = len(nodes) / nodesPerPod
	f.used = p.usedOf(nodes)
	return f.used
}

// usedOf is what share of the nodes' GPUs is in use. Cordoned nodes do not count:
// what is idle there is no room. Without GPUs that are known it is 1, for which the
// weights are made.
func (p *GPUSlice) usedOf(nodes []fwk.NodeInfo) float64 {
	var used, all int64
	var buffer [maxGPUs]int64
	for _, node := range nodes {
		if node.Node().Spec.Unschedulable {
			continue
		}
		_, idle := p.idleOf(node, buffer[:], (*gpus.Node).Wholes)
		for _, milli := range idle {
			used += share.Whole - min(max(milli, 0), share.Whole)
		}
		all += int64(len(idle)) * share.Whole
	}
	if all == 0 {
		return 1
	}
	return float64(used) / float64(all)
}

// outlook is the one for the cluster as full as it is.
func (p *GPUSlice) outlook() *share.Outlook {
	o := p.learner.tasks.Outlook()
	if o.Known() == 0 {
		return o
	}
	return o.At(p.fullness.of(p))
}
