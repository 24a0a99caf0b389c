package simulate

import (
	"context"
	"errors"
	"fmt"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"k8s.io/klog/v2"
)

// awaiting returns what tells for which of the pods that will be submitted an object
// was made, by its UID, "" for none: claims name their owner, and only after it can
// they be copied. Volumes name such a claim.
func awaiting(cluster *Cluster) func(runtime.Object) types.UID {
	ownerOf := func(object metav1.Object) types.UID {
		if owner := metav1.GetControllerOf(object); owner != nil && owner.Kind == "Pod" && cluster.Expected.Has(owner.UID) {
			return owner.UID
		}
		return ""
	}
	byClaim := map[types.NamespacedName]types.UID{}
	for _, object := range cluster.Objects {
		if claim, is := object.(*v1.PersistentVolumeClaim); is {
			byClaim[types.NamespacedName{Namespace: claim.Namespace, Name: claim.Name}] = ownerOf(claim)
		}
	}
	return func(object runtime.Object) types.UID {
		switch o := object.(type) {
		case *resourceapi.ResourceClaim:
			return ownerOf(o)
		case *v1.PersistentVolumeClaim:
			return ownerOf(o)
		case *v1.PersistentVolume:
			if ref := o.Spec.ClaimRef; ref != nil {
				return byClaim[types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}]
			}
		}
		return ""
	}
}

// copying is a gate that keeps a pod from being tried until its claims are there.
const copying = "plimsoll.dev/copying"

// pod creates a pod with the claims that were made for it.
func (c *copier) pod(ctx context.Context, pod *v1.Pod) (*v1.Pod, error) {
	if err := c.makeNamespace(ctx, pod, map[string]bool{}); err != nil {
		return nil, err
	}
	bare := pod.DeepCopy()
	bare.Status = v1.PodStatus{}
	claims := len(c.later[pod.UID]) > 0 || len(pod.Status.ResourceClaimStatuses) > 0
	if claims {
		bare.Spec.SchedulingGates = append(bare.Spec.SchedulingGates, v1.PodSchedulingGate{Name: copying})
	}
	created, err := c.create(ctx, bare)
	if err != nil {
		return nil, err
	}
	if claims {
		if created, err = c.addClaims(ctx, created, pod); err != nil {
			// Half of a pod must not stay for its group to count.
			return nil, errors.Join(err, c.remove(ctx, pod))
		}
	}
	out := &v1.Pod{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(created.Object, out); err != nil {
		return nil, fmt.Errorf("reading pod %s back: %w", klog.KObj(pod), err)
	}
	return out, nil
}

func (c *copier) remove(ctx context.Context, pod *v1.Pod) error {
	client := c.client.Resource(v1.SchemeGroupVersion.WithResource("pods")).Namespace(pod.Namespace)
	return client.Delete(ctx, pod.Name, *metav1.NewDeleteOptions(0))
}

// addClaims creates the claims of a pod that was copied, with their volumes, tells the
// pod of them, and lets it be tried.
func (c *copier) addClaims(ctx context.Context, created *unstructured.Unstructured, pod *v1.Pod) (*unstructured.Unstructured, error) {
	for _, object := range c.later[pod.UID] {
		if _, err := c.create(ctx, object); err != nil {
			return nil, err
		}
	}
	for _, object := range c.later[pod.UID] {
		if c.seen == nil {
			break
		}
		if err := c.seen(ctx, object); err != nil {
			return nil, err
		}
	}
	delete(c.later, pod.UID)
	told := pod.DeepCopy()
	told.Status = v1.PodStatus{ResourceClaimStatuses: pod.Status.ResourceClaimStatuses}
	if len(told.Status.ResourceClaimStatuses) > 0 {
		if _, err := c.writeStatus(ctx, created, told); err != nil {
			return nil, err
		}
	}
	gates := make([]any, len(pod.Spec.SchedulingGates))
	for i := range pod.Spec.SchedulingGates {
		gates[i] = map[string]any{"name": pod.Spec.SchedulingGates[i].Name}
	}
	client := c.client.Resource(v1.SchemeGroupVersion.WithResource("pods")).Namespace(pod.Namespace)
	var out *unstructured.Unstructured
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		fresh, err := client.Get(ctx, pod.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if err := unstructured.SetNestedSlice(fresh.Object, gates, "spec", "schedulingGates"); err != nil {
			return err
		}
		out, err = client.Update(ctx, fresh, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("letting pod %s be tried: %w", klog.KObj(pod), err)
	}
	return out, nil
}
