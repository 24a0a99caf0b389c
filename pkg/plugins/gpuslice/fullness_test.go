package gpuslice

import (
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"

	"plimsoll.dev/scheduler/pkg/share"
)

// TestFullnessCountsPublishedAndPluginGPUs: one of two GPUs of drivers is in use,
// and three of four of a device plugin.
func TestFullnessCountsPublishedAndPluginGPUs(t *testing.T) {
	b := newBench(t)
	if got := b.fullness.of(b.GPUSlice); got != 0 {
		t.Errorf("%v in use before the model has seen anything, want 0", got)
	}
	b.manager.model.Refresh(b.dra.slices)
	b.take("node-a")
	if got := b.fullness.of(b.GPUSlice); got != .5 {
		t.Errorf("%v of two published GPUs in use, want .5", got)
	}
	node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "counted", Labels: map[string]string{"nvidia.com/gpu.product": "NVIDIA-L4", "nvidia.com/gpu.count": "4"}},
		Status: v1.NodeStatus{Allocatable: v1.ResourceList{"nvidia.com/gpu": resource.MustParse("4")}}}
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "holder", UID: "holder"}, Spec: v1.PodSpec{NodeName: node.Name,
		Containers: []v1.Container{{Resources: v1.ResourceRequirements{Requests: v1.ResourceList{"nvidia.com/gpu": resource.MustParse("3")}}}}}}
	b.handle = &fakeHandle{profile: t.Name(), snapshot: internalcache.NewSnapshot([]*v1.Pod{pod}, []*v1.Node{b.node("node-a").Node(), b.node("node-b").Node(), node})}
	b.gpus.Observe(node)
	if got, want := b.fullness.of(b.GPUSlice), 4./6; got != want {
		t.Errorf("%v of six GPUs in use, want %v", got, want)
	}
}

// TestFullnessIsMeasuredOnceInAWhile: with 40 nodes, by every third pod.
func TestFullnessIsMeasuredOnceInAWhile(t *testing.T) {
	b := newBench(t)
	nodes := []*v1.Node{b.node("node-a").Node(), b.node("node-b").Node()}
	for i := range 38 {
		nodes = append(nodes, &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("plain-%02d", i)}})
	}
	b.handle = &fakeHandle{profile: t.Name(), snapshot: internalcache.NewSnapshot(nil, nodes)}
	b.manager.model.Refresh(b.dra.slices)
	var got []float64
	for i := range 6 {
		if i == 1 {
			b.take("node-a")
		}
		got = append(got, b.fullness.of(b.GPUSlice))
	}
	if want := "[0 0 0 0.5 0.5 0.5]"; fmt.Sprint(got) != want {
		t.Errorf("measured %v, want %s", got, want)
	}
}

// TestNodesAreComparedByTheOutlookOfAClusterAsFull: the pod's request carries it.
func TestNodesAreComparedByTheOutlookOfAClusterAsFull(t *testing.T) {
	b := newBench(t)
	b.manager.model.Refresh(b.dra.slices)
	if b.outlook() != b.learner.tasks.Outlook() {
		t.Error("nothing is known of the mix, and room is asked for")
	}
	for range 64 {
		b.learner.tasks.Observe(&share.Task{CPUMilli: 1000, GPUMilli: share.Whole, GPUs: 1})
	}
	all := b.learner.tasks.Outlook()
	if got := b.outlook(); got != all.At(0) || got == all {
		t.Error("an empty cluster is not judged as one")
	}
	b.take("node-a")
	b.take("node-b")
	if got := b.outlook(); got != all {
		t.Error("a full cluster is not judged as one")
	}
}
