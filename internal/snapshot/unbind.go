package snapshot

import (
	"slices"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"

	"plimsoll.dev/scheduler/pkg/intent"
)

// IsNodeAgent reports whether the pod comes with its node: a DaemonSet's pod, or a
// static one.
func IsNodeAgent(pod *v1.Pod) bool { return intent.IsNodeAgent(pod) }

// StaysBeside returns what reports whether schedulers of these names, beginning from
// scratch, find a pod in its place: it comes with its node, it is being deleted and
// will not come again, or another scheduler has placed it and would do so again.
func StaysBeside(schedulers sets.Set[string]) func(*v1.Pod) bool {
	return func(pod *v1.Pod) bool {
		return IsNodeAgent(pod) || pod.DeletionTimestamp != nil || !schedulers.Has(pod.Spec.SchedulerName)
	}
}

// Unbind takes every pod off its node that keep does not want to stay, and returns
// how many. Their status is that of new pods. Claims that none but such pods reserve
// give back their devices, those of pods without a node included, for which keep is
// asked as well; claims that a scheduler made for extended resources go, since the
// next scheduler makes its own. Volumes stay bound. Claims that the pods lack are made
// of their templates. Pods and claims that change are replaced, so that other
// snapshots of the same objects stay as they are.
func Unbind(s *Snapshot, keep func(*v1.Pod) bool) int {
	s.Pods, s.Objects = slices.Clone(s.Pods), slices.Clone(s.Objects)
	unbound := 0
	gone := sets.New[types.UID]()
	dropped := sets.New[key]()
	for i, pod := range s.Pods {
		if keep(pod) {
			continue
		}
		gone.Insert(pod.UID)
		if made := pod.Status.ExtendedResourceClaimStatus; made != nil {
			dropped.Insert(key{resourceapi.SchemeGroupVersion.WithKind(claimKind).GroupKind(), pod.Namespace, made.ResourceClaimName})
		}
		if pod.Spec.NodeName != "" {
			unbound++
		}
		s.Pods[i] = asNew(pod)
	}
	s.Objects = slices.DeleteFunc(s.Objects, func(o runtime.Object) bool { return dropped.Has(keyOf(o)) })
	for i, obj := range s.Objects {
		if claim, ok := obj.(*resourceapi.ResourceClaim); ok {
			s.Objects[i] = release(claim, gone)
		}
	}
	s.makeClaims()
	s.sortObjects()
	return unbound
}

// asNew is the pod as it was before it was placed. It keeps its claims.
func asNew(pod *v1.Pod) *v1.Pod {
	out := pod.DeepCopy()
	out.Spec.NodeName = ""
	out.Status = v1.PodStatus{Phase: v1.PodPending, QOSClass: pod.Status.QOSClass, ResourceClaimStatuses: out.Status.ResourceClaimStatuses}
	return out
}

// release takes the claim from pods that are gone, and the devices from one that
// nobody has then.
func release(claim *resourceapi.ResourceClaim, gone sets.Set[types.UID]) *resourceapi.ResourceClaim {
	isGone := func(c resourceapi.ResourceClaimConsumerReference) bool {
		return c.APIGroup == "" && c.Resource == "pods" && gone.Has(c.UID)
	}
	if !slices.ContainsFunc(claim.Status.ReservedFor, isGone) {
		return claim
	}
	out := claim.DeepCopy()
	out.Status.ReservedFor = slices.DeleteFunc(out.Status.ReservedFor, isGone)
	if len(out.Status.ReservedFor) == 0 {
		out.Status = resourceapi.ResourceClaimStatus{}
	}
	return out
}
