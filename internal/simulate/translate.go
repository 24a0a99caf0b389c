package simulate

import (
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
)

// translated is an object as it is to be written.
func (c *copier) translated(object runtime.Object) (*unstructured.Unstructured, error) {
	object = object.DeepCopyObject()
	kinds, _, err := scheme.Scheme.ObjectKinds(object)
	if err != nil {
		return nil, err
	}
	reduce(object)
	switch o := object.(type) {
	case *v1.PersistentVolume:
		if ref := o.Spec.ClaimRef; ref != nil {
			ref.UID, ref.ResourceVersion = c.uidOf(ref.UID), ""
		}
	case *resourceapi.ResourceClaim:
		for i := range o.Status.ReservedFor {
			o.Status.ReservedFor[i].UID = c.uidOf(o.Status.ReservedFor[i].UID)
		}
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{Object: fields}
	u.SetGroupVersionKind(kinds[0])
	owners := u.GetOwnerReferences()
	for i := range owners {
		owners[i].UID = c.uidOf(owners[i].UID)
	}
	meta := map[string]any{"name": u.GetName()}
	u.Object["metadata"] = withoutEmpty(meta, u)
	if pod, is := object.(*v1.Pod); is && pod.DeletionTimestamp != nil {
		u.SetFinalizers([]string{leaving})
	}
	if len(owners) > 0 {
		u.SetOwnerReferences(owners)
	}
	return u, nil
}

// reduce leaves of an object what a new one may have, and schedulers look at.
func reduce(object runtime.Object) {
	switch o := object.(type) {
	case *v1.Pod:
		o.Spec.EphemeralContainers = nil
	case *v1.Service:
		// Addresses, families and ports of one cluster clash with those of another.
		o.Spec = v1.ServiceSpec{Selector: o.Spec.Selector, ClusterIP: v1.ClusterIPNone}
		o.Status = v1.ServiceStatus{}
	case *batchv1.Job:
		// The selector that was generated names the UID that the Job had, and so do the
		// labels of its pods.
		if o.Spec.Selector != nil {
			o.Spec.ManualSelector = ptr.To(true)
		}
		// Conditions and times may not be set at once, or not as older controllers did.
		o.Status = batchv1.JobStatus{Active: o.Status.Active, Succeeded: o.Status.Succeeded, Failed: o.Status.Failed, FailedIndexes: o.Status.FailedIndexes}
	}
}

// withoutEmpty keeps of an object's metadata what another cluster can be given.
func withoutEmpty(out map[string]any, u *unstructured.Unstructured) map[string]any {
	old, _ := u.Object["metadata"].(map[string]any)
	keep := []string{"namespace", "labels", "annotations"}
	if u.GetKind() == "ResourceClaim" {
		keep = append(keep, "finalizers") // without it no allocation is accepted
	}
	for _, key := range keep {
		if value, has := old[key]; has {
			out[key] = value
		}
	}
	return out
}

// uidOf is what stands for an object in the copy; what is not there keeps its own.
func (c *copier) uidOf(old types.UID) types.UID {
	if uid, known := c.uids[old]; known {
		return uid
	}
	return old
}

func name(m metav1.Object) string {
	if m.GetNamespace() == "" {
		return m.GetName()
	}
	return m.GetNamespace() + "/" + m.GetName()
}

func resourceOf(object runtime.Object) (schema.GroupVersionResource, string, error) {
	if u, is := object.(*unstructured.Unstructured); is {
		resource, _ := meta.UnsafeGuessKindToResource(u.GroupVersionKind())
		return resource, u.GetKind(), nil
	}
	kinds, _, err := scheme.Scheme.ObjectKinds(object)
	if err != nil {
		return schema.GroupVersionResource{}, "", err
	}
	resource, _ := meta.UnsafeGuessKindToResource(kinds[0])
	return resource, kinds[0].Kind, nil
}
