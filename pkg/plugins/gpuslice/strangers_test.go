package gpuslice

import (
	"context"
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	fwk "k8s.io/kube-scheduler/framework"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/utils/ptr"
)

// beside puts a pod of another profile of this process on node-b, with a claim that
// holds a device, as far as upstream's cache knows.
func (b *bench) beside(device resourceapi.DeviceRequestAllocationResult) *resourceapi.ResourceClaim {
	b.Helper()
	b.manager.claims.join("plimsoll")
	b.pod.Spec.SchedulerName = "plimsoll"
	other := b.pod.DeepCopy()
	other.Name, other.UID, other.Spec.SchedulerName = "other", "other", v1.DefaultSchedulerName
	other.Spec.ResourceClaims[0].ResourceClaimName = ptr.To("d")
	if err := b.bound.Add(other.DeepCopy()); err != nil {
		b.Fatal(err)
	}
	other.Spec.NodeName = "node-b"
	claim := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "d", UID: "d", ResourceVersion: "2"}}
	claim.Status.Allocation = &resourceapi.AllocationResult{Devices: resourceapi.DeviceAllocationResult{Results: []resourceapi.DeviceRequestAllocationResult{device}}}
	b.dra.claims["default/d"] = claim
	nodes := []*v1.Node{b.node("node-a").Node(), b.node("node-b").Node()}
	b.handle = &fakeHandle{profile: b.TB.Name(), snapshot: internalcache.NewSnapshot([]*v1.Pod{other}, nodes)}
	return claim
}

// store has the informers know a claim so.
func (b *bench) store(claim *resourceapi.ResourceClaim) {
	b.Helper()
	if err := b.manager.claims.indexer.Add(claim); err != nil {
		b.Fatal(err)
	}
}

// TestAStrangerAnywhereMayHaveWhatNodesShare: a pod of a profile with DynamicResources,
// on another node, may just have been given the device that looks free here.
func TestAStrangerAnywhereMayHaveWhatNodesShare(t *testing.T) {
	for name, shared := range map[string]bool{"devices of each node": false, "a pool of all nodes": true} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			if shared {
				b.dra.slices = []*resourceapi.ResourceSlice{{ObjectMeta: metav1.ObjectMeta{Name: "fabric"}, Spec: resourceapi.ResourceSliceSpec{
					Driver: "gpu.example.com", AllNodes: ptr.To(true), Pool: resourceapi.ResourcePool{Name: "fabric", ResourceSliceCount: 1},
					Devices: []resourceapi.Device{gpu("gpu-0"), gpu("gpu-1")}}}}
			}
			claim := b.beside(resourceapi.DeviceRequestAllocationResult{Driver: "gpu.example.com", Pool: "fabric", Device: "gpu-0"})
			b.dra.pending["d"], claim.Status.Allocation = claim.Status.Allocation, nil // not written yet
			state, passed := b.cycle()
			if !slices.Contains(passed, "node-a") {
				t.Fatalf("passed %v, want node-a among them", passed)
			}
			if status := b.Reserve(t.Context(), state, b.pod, "node-a"); status.IsSuccess() == shared {
				t.Errorf("reserving: %v; want success: %t", status, !shared)
			}
			if got := b.manager.claims.strangers.Load(); got != shared {
				t.Errorf("the other profile is noticed: %t, want %t", got, shared)
			}
		})
	}
}

// TestNodesAreLookedAtOnceForStrangers: what was looked at costs nothing until it changes.
func TestNodesAreLookedAtOnceForStrangers(t *testing.T) {
	b := newBench(t)
	claim := b.beside(resourceapi.DeviceRequestAllocationResult{Driver: "gpu.example.com", Pool: "fabric", Device: "gpu-0"})
	nodes := []fwk.NodeInfo{b.node("node-a"), b.node("node-b")}
	b.store(claim)
	if pod := b.manager.claims.strangerAnywhere(nodes, oneClass{}); pod != nil {
		t.Fatalf("%s is a stranger, though its claim is known", pod.Name)
	}
	// Who looks again now takes it for a stranger.
	if err := b.manager.claims.indexer.Delete(claim); err != nil {
		t.Fatal(err)
	}
	b.manager.claims.follow(claim)
	if pod := b.manager.claims.strangerAnywhere(nodes, oneClass{}); pod != nil {
		t.Errorf("%s is a stranger, though its node has not changed", pod.Name)
	}
	changed, err := internalcache.NewSnapshot([]*v1.Pod{nodes[1].GetPods()[0].GetPod()}, []*v1.Node{nodes[1].Node()}).NodeInfos().List()
	if err != nil {
		t.Fatal(err)
	}
	if pod := b.manager.claims.strangerAnywhere(append(nodes[:1:1], changed...), oneClass{}); pod == nil {
		t.Error("found nothing on a node that has changed")
	}
}

// TestACacheThatIsLateMakesNoStranger: the informers may know that a claim was given back
// before upstream's cache does.
func TestACacheThatIsLateMakesNoStranger(t *testing.T) {
	for name, c := range map[string]struct {
		change func(b *bench, claim *resourceapi.ResourceClaim)
		safe   bool
	}{
		"given back since": {func(b *bench, claim *resourceapi.ResourceClaim) {
			given := claim.DeepCopy()
			given.ResourceVersion, given.Status.Allocation = "10", nil
			b.store(given)
		}, true},
		"given back before, and allocated again": {func(b *bench, claim *resourceapi.ResourceClaim) {
			given := claim.DeepCopy()
			given.ResourceVersion, given.Status.Allocation = "1", nil
			b.store(given)
		}, false},
		"deleted with its pod": {func(b *bench, _ *resourceapi.ResourceClaim) {
			if err := b.bound.Replace(nil, "1"); err != nil {
				b.Fatal(err)
			}
		}, true},
		"made a moment ago": {func(*bench, *resourceapi.ResourceClaim) {}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			claim := b.beside(resourceapi.DeviceRequestAllocationResult{Driver: "gpu.example.com", Pool: "node-b", Device: "gpu-0"})
			c.change(b, claim)
			state, _ := b.cycle()
			if status := b.Reserve(t.Context(), state, b.pod, "node-b"); status.IsSuccess() != c.safe || b.manager.claims.strangers.Load() == c.safe {
				t.Errorf("reserving: %v, another profile noticed: %t; want success: %t", status, b.manager.claims.strangers.Load(), c.safe)
			}
		})
	}
}

// registering is an inner plugin that names the event of slices that upstream does.
type registering struct{ inner }

func (registering) EventsToRegister(context.Context) ([]fwk.ClusterEventWithHint, error) {
	return []fwk.ClusterEventWithHint{{Event: fwk.ClusterEvent{Resource: fwk.ResourceSlice, ActionType: fwk.Add | fwk.Update}}}, nil
}

// TestAPodThatWantsAllDevicesIsTriedWhenABrokenPoolGoes: the allocator fails then, and
// the queue tries such a pod again by itself; a node that is refused waits for an event.
func TestAPodThatWantsAllDevicesIsTriedWhenABrokenPoolGoes(t *testing.T) {
	b := newBench(t)
	b.dra.slices = append(b.dra.slices, &resourceapi.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: "half-of-nics"}, Spec: resourceapi.ResourceSliceSpec{
		Driver: "nic.example.com", NodeName: ptr.To("node-a"), Pool: resourceapi.ResourcePool{Name: "nics", ResourceSliceCount: 2}, Devices: []resourceapi.Device{gpu("nic-0")}}})
	b.claim.Spec.Devices.Requests[0].Exactly.AllocationMode, b.claim.Spec.Devices.Requests[0].Exactly.Count = resourceapi.DeviceAllocationModeAll, 0
	if _, passed := b.cycle(); !slices.Equal(passed, []string{"node-b"}) {
		t.Fatalf("passed %v, want node-b alone", passed)
	}
	b.dra.slices = b.dra.slices[:2]
	if _, passed := b.cycle(); len(passed) != 2 {
		t.Fatalf("passed %v, want both once the broken pool is gone", passed)
	}
	b.GPUSlice.dra = registering{}
	events, err := b.EventsToRegister(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(events, func(e fwk.ClusterEventWithHint) bool {
		return e.Event.Resource == fwk.ResourceSlice && e.Event.ActionType&fwk.Delete != 0 && e.QueueingHintFn == nil
	}) {
		t.Errorf("events %v: want slices that are deleted among them", events)
	}
}
