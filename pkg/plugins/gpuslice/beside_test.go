package gpuslice

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	fwk "k8s.io/kube-scheduler/framework"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"plimsoll.dev/scheduler/pkg/intent"
)

// amounts makes a list of name, amount pairs.
func amounts(pairs ...string) v1.ResourceList {
	out := v1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		out[v1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return out
}

// pluginNode is a node of 64 cores whose GPUs a device plugin offers.
func pluginNode(name string, labels map[string]string, gpus ...string) *v1.Node {
	has := amounts(append(gpus, "cpu", "64", "memory", "1Ti", "pods", "110")...)
	return &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Status: v1.NodeStatus{Allocatable: has, Capacity: has}}
}

func amd(vram, gpus string) map[string]string {
	return map[string]string{"amd.com/gpu.vram": vram, "beta.amd.com/gpu.vram." + vram: gpus, "amd.com/gpu.product-name": "MI-" + vram}
}

func running(node string, requests ...string) *v1.Pod {
	return &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "on-" + node, UID: "on"}, Spec: v1.PodSpec{NodeName: node,
		Containers: []v1.Container{{Resources: v1.ResourceRequirements{Requests: amounts(requests...)}}}}}
}

// besideNICs is a bench whose drivers publish NICs, and whose pod asks for one, or for
// all, beside a GPU of a device plugin.
func besideNICs(t *testing.T, all bool, pods []*v1.Pod, nodes ...*v1.Node) *bench {
	t.Helper()
	b := newBench(t)
	for _, s := range b.dra.slices {
		s.Spec.Devices = []resourceapi.Device{{Name: "nic-0"}}
	}
	if all {
		b.claim.Spec.Devices.Requests[0].Exactly = &resourceapi.ExactDeviceRequest{DeviceClassName: "any", AllocationMode: resourceapi.DeviceAllocationModeAll}
	}
	b.handle = &fakeHandle{profile: t.Name(), snapshot: internalcache.NewSnapshot(pods, nodes)}
	for _, n := range nodes {
		b.gpus.Observe(n)
	}
	b.pod.Spec.Containers = []v1.Container{{Resources: v1.ResourceRequirements{Requests: amounts("amd.com/gpu", "1", "cpu", "1")}}}
	return b
}

// scores runs a cycle up to Score, over nodes that all pass.
func (b *bench) scores(names ...string) map[string]int64 {
	b.Helper()
	state := framework.NewCycleState()
	if _, status := b.PreFilter(b.Context(), state, b.pod, nil); status.IsRejected() {
		b.Fatalf("PreFilter: %v", status)
	}
	list := make([]fwk.NodeInfo, 0, len(names))
	for _, name := range names {
		if status := b.Filter(b.Context(), state, b.pod, b.node(name)); !status.IsSuccess() {
			b.Fatalf("%s: %v", name, status)
		}
		list = append(list, b.node(name))
	}
	return b.scored(state, list)
}

// TestAnnotationsBindNoNICs: a pod that asks for all NICs of a node says of its GPU what
// it must have.
func TestAnnotationsBindNoNICs(t *testing.T) {
	b := besideNICs(t, true, nil, pluginNode("node-a", amd("192G", "8"), "amd.com/gpu", "8"), pluginNode("node-b", amd("24G", "8"), "amd.com/gpu", "8"))
	b.pod.Annotations = map[string]string{intent.GPUMemory: "30Gi"}
	state, passed := b.cycle()
	if len(passed) != 1 || passed[0] != "node-a" {
		t.Errorf("passed %v, want node-a, whose GPUs are large enough: %v", passed, b.Filter(t.Context(), state, b.pod, b.node("node-a")))
	}
}

// TestTheSmallestGPUFirstBesideAClaim: node-b's is the last one free, which costs least,
// but node-a's suffice.
func TestTheSmallestGPUFirstBesideAClaim(t *testing.T) {
	for name, c := range map[string]struct {
		labels       map[string]string
		key, value   string
		better, than string
	}{
		"memory":    {amd("24G", "4"), intent.GPUMemory, "18Gi", "node-a", "node-b"},
		"isolation": {amd("96G", "2"), intent.GPUIsolation, "exclusive>mig", "node-b", "node-a"}, // four partitions of two
	} {
		t.Run(name, func(t *testing.T) {
			b := besideNICs(t, false, []*v1.Pod{running("node-b", "amd.com/gpu", "7", "cpu", "60")},
				pluginNode("node-a", c.labels, "amd.com/gpu", "4"), pluginNode("node-b", amd("192G", "8"), "amd.com/gpu", "8"))
			b.pod.Annotations = map[string]string{c.key: c.value}
			if got := b.scores("node-a", "node-b"); got[c.better] <= got[c.than] {
				t.Errorf("scores %v, want %s before %s", got, c.better, c.than)
			}
		})
	}
}

// TestGPUsOfADevicePluginAreLearntBesideAClaim: of whatever else the claim is.
func TestGPUsOfADevicePluginAreLearntBesideAClaim(t *testing.T) {
	for name, taken := range map[string]bool{"a NIC is free": false, "none is": true} {
		t.Run(name, func(t *testing.T) {
			b := besideNICs(t, false, nil, pluginNode("node-a", amd("24G", "4"), "amd.com/gpu", "4"), pluginNode("node-b", amd("24G", "4"), "amd.com/gpu", "4"))
			if taken {
				for _, s := range b.dra.slices {
					s.Spec.Devices = nil
				}
			}
			b.cycle()
			if b.learner.count != 1 {
				t.Error("nothing was learnt of a pod that takes a GPU of a device plugin beside a NIC")
			}
		})
	}
}
