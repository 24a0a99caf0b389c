package intent

import (
	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/scheduler-plugins/apis/scheduling/v1alpha1"
)

// GroupKind says what makes pods a group.
type GroupKind string

// The kinds of groups, in the order in which they take each other's place.
const (
	GroupNative       GroupKind = "native"     // spec.schedulingGroup
	GroupByAnnotation GroupKind = "annotation" // GroupName
	GroupByPodGroup   GroupKind = "PodGroup"   // the label of scheduler-plugins, scheduling.x-k8s.io/pod-group
	GroupByOwner      GroupKind = "owner"      // the controlling owner
)

// GroupKey identifies a group. It is comparable.
type GroupKey struct {
	// Scheduler is the one that the pods ask for: what another places is never
	// waited for.
	Scheduler, Namespace string
	Kind                 GroupKind
	// ID is the group's name, or the owner's UID.
	ID string
}

// Group is what a pod belongs to.
type Group struct {
	Key GroupKey
	// Name is what reasons call it: train-42, or ReplicaSet/web-5d4f.
	Name string
	// Owner is the pod's controlling owner, whatever makes the group; nil if
	// none. It is the pod's own, not to be written.
	Owner *metav1.OwnerReference
}

// GroupOf returns the pod's group; false if it belongs to none. Pods that come
// with their node are no group by their owner: each has its own place.
//
// The native group comes first: the scheduler itself places its pods together,
// whatever an annotation says. Without its feature gates, the API server drops
// the field.
func GroupOf(pod *v1.Pod, asked *Topology) (Group, bool) {
	owner := metav1.GetControllerOfNoCopy(pod)
	group := func(kind GroupKind, id, name string) (Group, bool) {
		key := GroupKey{Scheduler: pod.Spec.SchedulerName, Namespace: pod.Namespace, Kind: kind, ID: id}
		return Group{Key: key, Name: name, Owner: owner}, true
	}
	if native := pod.Spec.SchedulingGroup; native != nil && native.PodGroupName != nil && *native.PodGroupName != "" {
		return group(GroupNative, *native.PodGroupName, *native.PodGroupName)
	}
	if asked != nil && asked.Group != "" {
		return group(GroupByAnnotation, asked.Group, asked.Group)
	}
	if name := pod.Labels[v1alpha1.PodGroupLabel]; name != "" {
		return group(GroupByPodGroup, name, name)
	}
	if owner != nil && owner.UID != "" && !IsNodeAgent(pod) {
		return group(GroupByOwner, string(owner.UID), owner.Kind+"/"+owner.Name)
	}
	return Group{}, false
}

// Revision is the revision of its owner's template that the pod was made from:
// pod-template-hash or controller-revision-hash; "" if it has neither.
func Revision(pod *v1.Pod) string {
	if hash := pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey]; hash != "" {
		return hash
	}
	return pod.Labels[appsv1.ControllerRevisionHashLabelKey]
}

// SpreadsOver tells whether the pod's own topologySpreadConstraints speak of the
// node label.
func SpreadsOver(pod *v1.Pod, key string) bool {
	for i := range pod.Spec.TopologySpreadConstraints {
		if pod.Spec.TopologySpreadConstraints[i].TopologyKey == key {
			return true
		}
	}
	return false
}
