package offline

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
	"k8s.io/dynamic-resource-allocation/structured"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
)

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

// AddClaims adds claims that do not exist yet, and returns once the scheduler and
// every plugin that watches claims have seen them.
func (c *Cluster) AddClaims(ctx context.Context, claims ...*resourceapi.ResourceClaim) error {
	for _, claim := range claims {
		claim = claim.DeepCopy()
		resource, m, err := c.stamp(claim)
		if err == nil {
			err = c.client.Tracker().Create(resource, claim, m.GetNamespace())
		}
		if err != nil {
			return fmt.Errorf("adding claim %s: %w", klog.KObj(claim), err)
		}
		if err := c.waitSeen(ctx, claim, versionOf(claim)); err != nil {
			return err
		}
	}
	return nil
}

// WriteClaims has binding write what a pod holds of devices into its claims, as
// upstream's does. Otherwise it stays in flight for good: that is as true, but every
// pod counts all of it anew, which takes longer with every pod placed.
func (c *Cluster) WriteClaims() {
	c.writes = true
	// The client leaves versions to the API server.
	c.client.PrependReactor("update", "resourceclaims", func(action clienttesting.Action) (bool, runtime.Object, error) {
		update, ok := action.(clienttesting.UpdateAction)
		if !ok {
			return false, nil, nil
		}
		_, _, err := c.stamp(update.GetObject())
		return err != nil, nil, err
	})
}

// writeClaims runs the PreBind plugins, and returns once what they wrote is seen.
func (c *Cluster) writeClaims(ctx context.Context, w waiting) error {
	status := w.fw.RunPreBindPreFlights(ctx, w.state, w.pod, w.pod.Spec.NodeName)
	if status.IsSuccess() {
		status = w.fw.RunPreBindPlugins(ctx, w.state, w.pod, w.pod.Spec.NodeName)
	}
	if !status.IsSuccess() && !status.IsSkip() {
		return fmt.Errorf("binding pod %s: %w", klog.KObj(w.pod), status.AsError())
	}
	return c.eachClaim(w.pod, func(claim runtime.Object) error { return c.waitSeen(ctx, claim, versionOf(claim)) })
}

// eachClaim calls do for every claim that the pod names, as it is stored.
func (c *Cluster) eachClaim(pod *v1.Pod, do func(runtime.Object) error) error {
	for i := range pod.Spec.ResourceClaims {
		name, _, err := resourceclaim.Name(pod, &pod.Spec.ResourceClaims[i])
		if err != nil {
			return fmt.Errorf("pod %s: %w", klog.KObj(pod), err)
		}
		if name == nil {
			continue
		}
		claim, err := c.client.Tracker().Get(resourceapi.SchemeGroupVersion.WithResource("resourceclaims"), pod.Namespace, *name)
		if err == nil {
			err = do(claim)
		}
		if err != nil {
			return fmt.Errorf("claim %s of pod %s: %w", *name, klog.KObj(pod), err)
		}
	}
	return nil
}

// Allocated is what placed pods hold of devices.
func (c *Cluster) Allocated() (*structured.AllocatedState, error) {
	return c.dra().ResourceClaims().GatherAllocatedState()
}
