package offline

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
	"k8s.io/dynamic-resource-allocation/structured"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
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
	c.nameClaims()
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
// It returns the pod as it is then: DynamicResources names in its status the claim
// that it makes for extended resources.
func (c *Cluster) writeClaims(ctx context.Context, w waiting) (*v1.Pod, error) {
	status := w.fw.RunPreBindPreFlights(ctx, w.state, w.pod, w.pod.Spec.NodeName)
	if status.IsSuccess() {
		// There is nobody who provides volumes, for which it would wait minutes.
		w.state.SetSkipPreBindPlugins(w.state.GetSkipPreBindPlugins().Clone().Insert(names.VolumeBinding))
		status = w.fw.RunPreBindPlugins(ctx, w.state, w.pod, w.pod.Spec.NodeName)
	}
	if status.IsSkip() {
		return w.pod, nil
	}
	if !status.IsSuccess() {
		return nil, fmt.Errorf("binding pod %s: %w", klog.KObj(w.pod), status.AsError())
	}
	pod := c.withExtended(w.pod)
	return pod, c.eachClaim(pod, func(claim runtime.Object) error { return c.waitSeen(ctx, claim, versionOf(claim)) })
}

// withExtended is a pod that knows the claim that was made for its extended
// resources, if there is one.
func (c *Cluster) withExtended(pod *v1.Pod) *v1.Pod {
	is, err := c.Pod(pod.Namespace, pod.Name)
	if err != nil || is.UID != pod.UID || is.Status.ExtendedResourceClaimStatus == nil {
		return pod
	}
	pod = pod.DeepCopy()
	pod.Status.ExtendedResourceClaimStatus = is.Status.ExtendedResourceClaimStatus.DeepCopy()
	return pod
}

// nameClaims does what an API server does with a claim that is created with only a
// generateName, as that for extended resources is. Whoever creates it looks for it
// among those that were seen, and looks again only after a second: it is seen when
// the client returns.
func (c *Cluster) nameClaims() {
	c.client.PrependReactor("create", "resourceclaims", func(action clienttesting.Action) (bool, runtime.Object, error) {
		create, ok := action.(clienttesting.CreateAction)
		if !ok {
			return false, nil, nil
		}
		claim, ok := create.GetObject().(*resourceapi.ResourceClaim)
		if !ok || claim.Name != "" || claim.GenerateName == "" {
			return false, nil, nil
		}
		claim.Name = fmt.Sprintf("%.58s%05d", claim.GenerateName, c.version+1)
		resource, _, err := c.stamp(claim)
		if err == nil {
			err = c.client.Tracker().Create(resource, claim, claim.Namespace)
		}
		if err != nil {
			return true, nil, fmt.Errorf("creating claim %s: %w", klog.KObj(claim), err)
		}
		return true, claim.DeepCopy(), c.waitSeen(context.Background(), claim, versionOf(claim))
	})
}

// claimNames are the names of the claims that a pod has. A template's claim has none
// before it is made.
func claimNames(pod *v1.Pod) []string {
	var out []string
	for i := range pod.Spec.ResourceClaims {
		if name, _, err := resourceclaim.Name(pod, &pod.Spec.ResourceClaims[i]); err == nil && name != nil {
			out = append(out, *name)
		}
	}
	if extended := pod.Status.ExtendedResourceClaimStatus; extended != nil && extended.ResourceClaimName != "" {
		out = append(out, extended.ResourceClaimName)
	}
	return out
}

// eachClaim calls do for every claim of the pod that there is, as it is stored.
func (c *Cluster) eachClaim(pod *v1.Pod, do func(runtime.Object) error) error {
	for _, name := range claimNames(pod) {
		claim, err := c.client.Tracker().Get(resourceapi.SchemeGroupVersion.WithResource("resourceclaims"), pod.Namespace, name)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err == nil {
			err = do(claim)
		}
		if err != nil {
			return fmt.Errorf("claim %s of pod %s: %w", name, klog.KObj(pod), err)
		}
	}
	return nil
}

// Allocated is what placed pods hold of devices.
func (c *Cluster) Allocated() (*structured.AllocatedState, error) {
	return c.dra().ResourceClaims().GatherAllocatedState()
}
