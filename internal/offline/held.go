package offline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/dynamic-resource-allocation/structured"
	fwk "k8s.io/kube-scheduler/framework"
)

// Pod returns the pod of that name as the API has it, which the caller must not
// change.
func (c *Cluster) Pod(namespace, name string) (*v1.Pod, error) {
	return stored[*v1.Pod](c, v1.SchemeGroupVersion.WithResource("pods"), namespace, name)
}

// Claim returns the claim of that name as the API has it, which the caller must
// not change. What a pod holds in flight is not written there.
func (c *Cluster) Claim(namespace, name string) (*resourceapi.ResourceClaim, error) {
	return stored[*resourceapi.ResourceClaim](c, resourceapi.SchemeGroupVersion.WithResource("resourceclaims"), namespace, name)
}

func stored[T any](c *Cluster, resource schema.GroupVersionResource, namespace, name string) (T, error) {
	var none T
	object, err := c.client.Tracker().Get(resource, namespace, name)
	if err != nil {
		return none, fmt.Errorf("reading %s/%s: %w", namespace, name, err)
	}
	typed, ok := object.(T)
	if !ok {
		return none, fmt.Errorf("reading %s/%s: want a %T, got a %T", namespace, name, none, object)
	}
	return typed, nil
}

// DeviceClasses lists the names of the device classes there are, sorted.
func (c *Cluster) DeviceClasses() ([]string, error) {
	classes, err := c.dra().DeviceClasses().List()
	if err != nil {
		return nil, fmt.Errorf("listing device classes: %w", err)
	}
	var out []string
	for _, class := range classes {
		out = append(out, class.Name)
	}
	slices.Sort(out)
	return out, nil
}

// Weights are the weights of the plugins that score, in the evaluated pod's
// profile.
func (e *Evaluation) Weights() map[string]int64 {
	out := map[string]int64{}
	for _, p := range e.fw.ListPlugins().Score.Enabled {
		out[p.Name] = int64(p.Weight)
	}
	return out
}

// KeepAskOnce runs do, and then has AskOnce as if it had not been called meanwhile.
func (c *Cluster) KeepAskOnce(do func() error) error {
	kept := maps.Clone(c.askOnce)
	defer func() { c.askOnce = kept }()
	return do()
}

// AskedToWait lists the plugins for which a pod waits in Permit, sorted; none if it
// does not wait.
func (c *Cluster) AskedToWait(namespace, name string) []string {
	for _, w := range c.waiting {
		if w.pod.Namespace != namespace || w.pod.Name != name {
			continue
		}
		if held := w.fw.GetWaitingPod(w.pod.UID); held != nil {
			return slices.Sorted(slices.Values(held.GetPendingPlugins()))
		}
	}
	return nil
}

// TryOn has plugins reserve a node for the evaluated pod, tells them that it was
// bound, so that they say why, and takes all of that back. It returns the devices
// that were reserved for it, sorted; the status says why plugins would not have
// it. Permit is not asked, and the evaluation is good for nothing more.
func (c *Cluster) TryOn(ctx context.Context, e *Evaluation, node string) ([]structured.DeviceID, *fwk.Status, error) {
	pod := e.pod.DeepCopy()
	pod.Spec.NodeName = node
	// Of claims that were reserved for the pod before, giving back takes that, too.
	claims, err := c.claimsOf(pod)
	if err != nil {
		return nil, nil, err
	}
	taken, status, err := c.reserve(ctx, e, pod, node)
	e.fw.RunReservePluginsUnreserve(ctx, e.state, pod, node)
	for _, claim := range claims {
		is, lost := c.Claim(claim.Namespace, claim.Name)
		if lost == nil && !equality.Semantic.DeepEqual(is.Status, claim.Status) {
			lost = c.Apply(ctx, claim)
		}
		err = errors.Join(err, lost)
	}
	return taken, status, err
}

// claimsOf copies the claims of a pod that there are.
func (c *Cluster) claimsOf(pod *v1.Pod) ([]*resourceapi.ResourceClaim, error) {
	var out []*resourceapi.ResourceClaim
	err := c.eachClaim(pod, func(object runtime.Object) error {
		claim, ok := object.(*resourceapi.ResourceClaim)
		if !ok {
			return fmt.Errorf("want a ResourceClaim, got a %T", object)
		}
		out = append(out, claim.DeepCopy())
		return nil
	})
	return out, err
}

// reserve has plugins reserve the node and tells them that the pod was bound. It
// returns the devices that were reserved.
func (c *Cluster) reserve(ctx context.Context, e *Evaluation, pod *v1.Pod, node string) ([]structured.DeviceID, *fwk.Status, error) {
	before, err := c.Allocated()
	if err != nil {
		return nil, nil, err
	}
	if status := e.fw.RunReservePluginsReserve(ctx, e.state, pod, node); !status.IsSuccess() {
		return nil, status, nil
	}
	after, err := c.Allocated()
	if err != nil {
		return nil, nil, err
	}
	e.fw.RunPostBindPlugins(ctx, e.state, pod, node)
	return moreIn(before, after), nil, nil
}

// moreIn lists the devices of which more is allocated after than before.
func moreIn(before, after *structured.AllocatedState) []structured.DeviceID {
	var out []structured.DeviceID
	for id := range after.AllocatedDevices {
		if !before.AllocatedDevices.Has(id) {
			out = append(out, id)
		}
	}
	for id, capacity := range after.AggregatedCapacity {
		for name, amount := range capacity {
			if was := before.AggregatedCapacity[id][name]; was == nil || was.Cmp(*amount) < 0 {
				out = append(out, id)
				break
			}
		}
	}
	slices.SortFunc(out, func(a, b structured.DeviceID) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(out)
}
