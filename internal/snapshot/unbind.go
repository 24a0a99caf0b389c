package snapshot

import (
	"slices"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/component-helpers/storage/ephemeral"

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
// next scheduler makes its own. Volumes stay bound, but are detached where no pod that
// stays uses them. Claims that the pods lack are made of their templates. Pods and
// claims that change are replaced, so that other snapshots of the same objects stay as
// they are.
func Unbind(s *Snapshot, keep func(*v1.Pod) bool) int {
	s.Pods, s.Objects = slices.Clone(s.Pods), slices.Clone(s.Objects)
	s.detach(keep)
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

// attachment is a volume on a node.
type attachment struct{ node, volume string }

// detach drops the attachments of volumes whose pods are taken off, but on nodes where
// a pod that stays uses them. A scheduler counts an attachment against the node's limit
// even if no pod is there, and would count the volume again for the pod that comes back.
func (s *Snapshot) detach(keep func(*v1.Pod) bool) {
	volumes := map[key]string{} // by claim
	for _, claim := range objectsOf[*v1.PersistentVolumeClaim](s) {
		volumes[key{namespace: claim.Namespace, name: claim.Name}] = claim.Spec.VolumeName
	}
	loose, used := sets.New[string](), sets.New[attachment]()
	for _, pod := range s.Pods {
		if pod.Spec.NodeName == "" {
			continue
		}
		for _, name := range volumeClaims(pod) {
			volume := volumes[key{namespace: pod.Namespace, name: name}]
			if keep(pod) {
				used.Insert(attachment{pod.Spec.NodeName, volume})
			} else {
				loose.Insert(volume)
			}
		}
	}
	s.Objects = slices.DeleteFunc(s.Objects, func(o runtime.Object) bool {
		attached, ok := o.(*storagev1.VolumeAttachment)
		if !ok || attached.Spec.Source.PersistentVolumeName == nil {
			return false
		}
		volume := *attached.Spec.Source.PersistentVolumeName
		return loose.Has(volume) && !used.Has(attachment{attached.Spec.NodeName, volume})
	})
}

// volumeClaims are the names of the volume claims that a pod uses.
func volumeClaims(pod *v1.Pod) []string {
	var out []string
	for i := range pod.Spec.Volumes {
		volume := &pod.Spec.Volumes[i]
		switch {
		case volume.PersistentVolumeClaim != nil:
			out = append(out, volume.PersistentVolumeClaim.ClaimName)
		case volume.Ephemeral != nil:
			out = append(out, ephemeral.VolumeClaimName(pod, volume))
		}
	}
	return out
}

// Idle are the objects as they would be if no pod ran anywhere: claims have no devices
// unless somebody else than pods reserves them, and no volume is attached. Claims that
// change are replaced.
func Idle(objects []runtime.Object) []runtime.Object {
	out := make([]runtime.Object, 0, len(objects))
	for _, obj := range objects {
		switch o := obj.(type) {
		case *storagev1.VolumeAttachment:
			continue
		case *resourceapi.ResourceClaim:
			if o.Status.Allocation != nil && !slices.ContainsFunc(o.Status.ReservedFor, notForPods) {
				o = o.DeepCopy()
				o.Status = resourceapi.ResourceClaimStatus{}
				obj = o
			}
		}
		out = append(out, obj)
	}
	return out
}

// notForPods tells whether it is neither a pod nor a group of them that reserves.
func notForPods(c resourceapi.ResourceClaimConsumerReference) bool {
	return (c.APIGroup != "" || c.Resource != "pods") && (c.APIGroup != schedulingv1.GroupName || c.Resource != "podgroups")
}
