package intent

import (
	v1 "k8s.io/api/core/v1"
	"sigs.k8s.io/scheduler-plugins/apis/scheduling/v1alpha1"
)

// PodGroup is the name of the PodGroup that the pod names, native or of
// scheduler-plugins; "" if it names none.
func PodGroup(pod *v1.Pod) string {
	if native := pod.Spec.SchedulingGroup; native != nil && native.PodGroupName != nil && *native.PodGroupName != "" {
		return *native.PodGroupName
	}
	return pod.Labels[v1alpha1.PodGroupLabel]
}
