package archaware

import (
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	v1helper "k8s.io/kubernetes/pkg/apis/core/v1/helper"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"plimsoll.dev/scheduler/pkg/arch"
)

// assume decides what images that are not known are taken to be built for:
// nothing in particular, if no node that the pod could use runs what is assumed.
// An assumption must not keep a pod from where it belongs: from a cluster of one
// architecture, from the pool it selects, from Windows, from the only nodes with
// room or GPUs for it. Where that cannot be told, the assumption only leans.
func (p *ArchAware) assume(r *request, pod *v1.Pod, nodes []fwk.NodeInfo) {
	if !r.asked.Preference.Empty() {
		return // the pod says itself what they are built for
	}
	d := demandsOf(pod)
	d.leaveOutUntold(nodes)
	for _, info := range nodes {
		if p.meets(&r.pod, info.Node()) && p.admits(d, info.Node(), info.GetAllocatable()) {
			r.pod.Assumed, r.leans = p.assumed, d.untold
			return
		}
	}
}

// meets tells whether the node runs what is assumed of images, and the pod may
// run on such nodes.
func (p *ArchAware) meets(asked *arch.Pod, node *v1.Node) bool {
	host := p.hosts.of(node)
	return (asked.OS == "" || asked.OS == host.Platform().OS) && host.Fit(p.assumed) != arch.NoFit
}

// demands are what a pod asks of a node, but for what is free there.
type demands struct {
	pod      *v1.Pod
	affinity nodeaffinity.RequiredNodeAffinity
	requests fwk.Resource
	// leftOut are extended resources that tell nothing.
	leftOut map[v1.ResourceName]bool
	// untold: the pod asks for what nodes do not show, so that a node which admits
	// it may still be none that can hold it.
	untold bool
}

func demandsOf(pod *v1.Pod) *demands {
	return &demands{
		pod: pod, affinity: nodeaffinity.GetRequiredNodeAffinity(pod),
		requests: (&framework.PodInfo{Pod: pod}).CalculateResource().Resource,
		untold:   len(pod.Spec.ResourceClaims) > 0,
	}
}

// leaveOutUntold leaves out extended resources that no node has: they may be
// devices of a DeviceClass, or an extender's.
func (d *demands) leaveOutUntold(nodes []fwk.NodeInfo) {
	for name, amount := range d.requests.GetScalarResources() {
		if amount == 0 || !v1helper.IsExtendedResourceName(name) || someHas(nodes, name) {
			continue
		}
		if d.leftOut == nil {
			d.leftOut = map[v1.ResourceName]bool{}
		}
		d.leftOut[name], d.untold = true, true
	}
}

func someHas(nodes []fwk.NodeInfo, name v1.ResourceName) bool {
	for _, info := range nodes {
		if info.GetAllocatable().GetScalarResources()[name] > 0 {
			return true
		}
	}
	return false
}

// within tells whether a node of that size could hold the pod if it were empty.
func (d *demands) within(size fwk.Resource) bool {
	if d.requests.GetMilliCPU() > size.GetMilliCPU() || d.requests.GetMemory() > size.GetMemory() ||
		d.requests.GetEphemeralStorage() > size.GetEphemeralStorage() {
		return false
	}
	for name, amount := range d.requests.GetScalarResources() {
		if amount > size.GetScalarResources()[name] && !d.leftOut[name] {
			return false
		}
	}
	return true
}

// admits tells whether a node of that size takes the pod but for what it has
// free.
func (p *ArchAware) admits(d *demands, node *v1.Node, size fwk.Resource) bool {
	if node.Spec.Unschedulable || !d.within(size) {
		return false
	}
	_, tainted := corev1.FindMatchingUntoleratedTaint(klog.Background(), node.Spec.Taints, d.pod.Spec.Tolerations,
		func(t *v1.Taint) bool {
			return t.Effect == v1.TaintEffectNoSchedule || t.Effect == v1.TaintEffectNoExecute
		}, p.operators)
	if tainted {
		return false
	}
	match, err := d.affinity.Match(node)
	return match && err == nil
}

// admitting are the platforms of nodes that the pod could use, each once.
func (p *ArchAware) admitting(pod *v1.Pod, nodes []fwk.NodeInfo) (out []*arch.Host) {
	d := demandsOf(pod)
	d.leaveOutUntold(nodes)
	for _, info := range nodes {
		if host := p.hosts.of(info.Node()); !slices.Contains(out, host) && p.admits(d, info.Node(), info.GetAllocatable()) {
			out = append(out, host)
		}
	}
	return out
}
