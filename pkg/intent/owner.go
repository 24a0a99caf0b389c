package intent

import (
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// IsNodeAgent reports whether the pod comes with its node (a DaemonSet's pod or
// a static one): it goes where its node is and leaves with it, so it neither
// keeps a node in use nor counts as demand.
func IsNodeAgent(pod *v1.Pod) bool {
	if _, mirror := pod.Annotations[v1.MirrorPodAnnotationKey]; mirror {
		return true
	}
	owner := metav1.GetControllerOfNoCopy(pod)
	return owner != nil && (owner.Kind == "DaemonSet" || owner.Kind == "Node")
}

// IsFinished reports whether the pod no longer uses what it requested.
func IsFinished(pod *v1.Pod) bool {
	return pod.Status.Phase == v1.PodSucceeded || pod.Status.Phase == v1.PodFailed
}
