package offline

import (
	"context"
	"fmt"
	"time"

	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/dynamic-resource-allocation/structured"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
)

// patience is how long the scheduler may take to see an object, and look how
// often it is asked.
const (
	patience = 10 * time.Second
	look     = time.Millisecond
)

// watched returns a channel that is closed once claims are watched: the fake
// client forgets what was created between the list and the watch.
func watched(client *fake.Clientset) <-chan struct{} {
	began := make(chan struct{})
	client.PrependWatchReactor("resourceclaims", func(action clienttesting.Action) (bool, watch.Interface, error) {
		var options metav1.ListOptions
		if a, ok := action.(clienttesting.WatchActionImpl); ok {
			options = a.ListOptions
		}
		w, err := client.Tracker().Watch(action.GetResource(), action.GetNamespace(), options)
		if err != nil {
			return false, nil, err
		}
		select {
		case <-began:
		default:
			close(began)
		}
		return true, w, nil
	})
	return began
}

// dra is what the scheduler knows of devices; all profiles share it.
func (c *Cluster) dra() fwk.SharedDRAManager {
	for _, fw := range c.sched.Profiles {
		return fw.SharedDRAManager()
	}
	return nil
}

// waitForSlices returns once the scheduler sees all ResourceSlices, which it
// tracks apart from its informers.
func (c *Cluster) waitForSlices(ctx context.Context, objects []runtime.Object) error {
	want := 0
	for _, o := range objects {
		if _, ok := o.(*resourceapi.ResourceSlice); ok {
			want++
		}
	}
	err := wait.PollUntilContextTimeout(ctx, look, patience, true, func(context.Context) (bool, error) {
		seen, err := c.dra().ResourceSlices().ListWithDeviceTaintRules()
		return len(seen) == want, err
	})
	if err != nil {
		return fmt.Errorf("waiting for %d ResourceSlices: %w", want, err)
	}
	return nil
}

// AddClaims adds claims, and returns once the scheduler sees them.
func (c *Cluster) AddClaims(ctx context.Context, claims ...*resourceapi.ResourceClaim) error {
	select {
	case <-c.claimsWatched:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for _, claim := range claims {
		if _, err := c.client.ResourceV1().ResourceClaims(claim.Namespace).Create(ctx, claim, metav1.CreateOptions{}); err != nil {
			return err
		}
		err := wait.PollUntilContextTimeout(ctx, look, patience, true, func(context.Context) (bool, error) {
			_, err := c.dra().ResourceClaims().Get(claim.Namespace, claim.Name)
			return err == nil, nil
		})
		if err != nil {
			return fmt.Errorf("waiting for claim %s: %w", klog.KObj(claim), err)
		}
	}
	return nil
}

// Allocated is what placed pods hold of devices.
func (c *Cluster) Allocated() (*structured.AllocatedState, error) {
	return c.dra().ResourceClaims().GatherAllocatedState()
}
