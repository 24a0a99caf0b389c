package simulate

import (
	"context"
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"
)

// releaseClaim gives back what a pod that is gone had of a claim.
func releaseClaim(ctx context.Context, client kubernetes.Interface, pod *v1.Pod, name string) error {
	// The scheduler may be giving it to another pod.
	return retry.RetryOnConflict(retry.DefaultRetry, func() error { return tryRelease(ctx, client, pod, name) })
}

func tryRelease(ctx context.Context, client kubernetes.Interface, pod *v1.Pod, name string) error {
	claims := client.ResourceV1().ResourceClaims(pod.Namespace)
	claim, err := claims.Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("reading claim %s/%s: %w", pod.Namespace, name, err)
	}
	claim.Status.ReservedFor = slices.DeleteFunc(claim.Status.ReservedFor, func(r resourceapi.ResourceClaimConsumerReference) bool { return r.UID == pod.UID })
	if len(claim.Status.ReservedFor) == 0 {
		claim.Status.Allocation = nil
	}
	claim, err = claims.UpdateStatus(ctx, claim, metav1.UpdateOptions{})
	if err == nil && claim.Status.Allocation == nil {
		claim.Finalizers = slices.DeleteFunc(claim.Finalizers, func(f string) bool { return f == resourceapi.Finalizer })
		claim, err = claims.Update(ctx, claim, metav1.UpdateOptions{})
	}
	if err == nil && metav1.IsControlledBy(claim, pod) {
		err = claims.Delete(ctx, name, metav1.DeleteOptions{})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("giving back claim %s/%s: %w", pod.Namespace, name, err)
	}
	return nil
}
