package offline

import (
	"context"
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
)

// noteEvictions remembers the pods that plugins delete: those they preempt.
func (c *Cluster) noteEvictions() {
	c.client.PrependReactor("delete", "pods", func(action clienttesting.Action) (bool, runtime.Object, error) {
		gone, ok := action.(clienttesting.DeleteAction)
		if !ok {
			return false, nil, nil
		}
		pod, err := c.client.Tracker().Get(action.GetResource(), gone.GetNamespace(), gone.GetName())
		if pod, is := pod.(*v1.Pod); err == nil && is {
			c.evictedMu.Lock()
			c.evicted = append(c.evicted, pod.DeepCopy())
			c.evictedMu.Unlock()
		}
		return false, nil, nil
	})
}

// Evicted lists the pods that plugins have deleted since it was last called, when
// everybody has seen that they are gone. What their claims held has been given
// back, as the controller of claims would.
func (c *Cluster) Evicted(ctx context.Context) ([]*v1.Pod, error) {
	c.evictedMu.Lock()
	evicted := c.evicted
	c.evicted = nil
	c.evictedMu.Unlock()
	for _, pod := range evicted {
		delete(c.applied, pod.UID)
		if err := c.waitSeen(ctx, pod, ""); err != nil {
			return nil, err
		}
		if err := c.eachClaim(pod, func(claim runtime.Object) error { return c.release(ctx, pod, claim) }); err != nil {
			return nil, err
		}
	}
	return evicted, nil
}

// release gives back what a pod that is gone had of a claim.
func (c *Cluster) release(ctx context.Context, pod *v1.Pod, object runtime.Object) error {
	claim, ok := object.(*resourceapi.ResourceClaim)
	if !ok {
		return fmt.Errorf("want a ResourceClaim, got a %T", object)
	}
	if metav1.IsControlledBy(claim, pod) {
		return c.Delete(ctx, claim)
	}
	claim = claim.DeepCopy()
	claim.Status.ReservedFor = slices.DeleteFunc(claim.Status.ReservedFor, func(r resourceapi.ResourceClaimConsumerReference) bool { return r.UID == pod.UID })
	if len(claim.Status.ReservedFor) == 0 {
		claim.Status.Allocation = nil
	}
	return c.Apply(ctx, claim)
}

// Pods lists all pods as they are stored.
func (c *Cluster) Pods(ctx context.Context) ([]v1.Pod, error) {
	list, err := c.client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing pods: %w", err)
	}
	return list.Items, nil
}

// Claims lists all claims as they are stored. What placed pods hold is written to
// them only after WriteClaims.
func (c *Cluster) Claims(ctx context.Context) ([]resourceapi.ResourceClaim, error) {
	list, err := c.client.ResourceV1().ResourceClaims(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing claims: %w", err)
	}
	return list.Items, nil
}
