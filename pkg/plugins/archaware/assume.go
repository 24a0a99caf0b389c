package archaware

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/pkg/arch"
)

// assumption is what images that are not known are taken to be built for; empty,
// which is anything, if no node that the pod could use runs that. An assumption
// must not keep a pod from where it belongs: from a cluster of one architecture,
// from the pool it selects, from Windows.
func (p *ArchAware) assumption(asked *arch.Pod, pod *v1.Pod, nodes []fwk.NodeInfo) arch.Set {
	affinity := nodeaffinity.GetRequiredNodeAffinity(pod)
	for _, info := range nodes {
		node := info.Node()
		host := p.hosts.of(node)
		platform := host.Platform()
		if asked.OS != "" && asked.OS != platform.OS || !asked.Preference.Allows(platform.Architecture) || host.Fit(p.assumed) == arch.NoFit {
			continue
		}
		if p.admits(pod, &affinity, node) {
			return p.assumed
		}
	}
	return arch.Set{}
}

// admits tells whether a node takes the pod but for what it has free.
func (p *ArchAware) admits(pod *v1.Pod, affinity *nodeaffinity.RequiredNodeAffinity, node *v1.Node) bool {
	if node.Spec.Unschedulable {
		return false
	}
	_, tainted := corev1.FindMatchingUntoleratedTaint(klog.Background(), node.Spec.Taints, pod.Spec.Tolerations,
		func(t *v1.Taint) bool {
			return t.Effect == v1.TaintEffectNoSchedule || t.Effect == v1.TaintEffectNoExecute
		}, p.operators)
	if tainted {
		return false
	}
	match, err := affinity.Match(node)
	return match && err == nil
}
