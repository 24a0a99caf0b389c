package gpuslice

import (
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	fwk "k8s.io/kube-scheduler/framework"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"plimsoll.dev/scheduler/internal/adapt"
	"plimsoll.dev/scheduler/pkg/share"
)

// TestFullnessCountsPublishedAndPluginGPUs: one of two GPUs of drivers is in use,
// and three of four of a device plugin, beside which a driver publishes no GPUs. A
// cordoned node does not count.
func TestFullnessCountsPublishedAndPluginGPUs(t *testing.T) {
	b := newBench(t)
	if got := b.fullness.of(b.GPUSlice); got != 1 {
		t.Errorf("%v in use before the model has seen anything, want 1: all is taken to be", got)
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
	port := sliceOf(node.Name, resourceapi.Device{Name: "port-0"})
	port.Spec.Driver = "fabric.example.com"
	b.manager.model.Refresh(append(b.dra.slices, port))
	if facts := b.manager.model.GPUs(node.Name); facts == nil || len(facts.Idle) > 0 {
		t.Fatalf("the model knows %v of a node that publishes a port, want no GPUs", facts)
	}
	if got, want := b.fullness.of(b.GPUSlice), 4./6; got != want {
		t.Errorf("%v of six GPUs in use, want %v", got, want)
	}
	node = node.DeepCopy()
	node.Spec.Unschedulable = true
	b.handle = &fakeHandle{profile: t.Name(), snapshot: internalcache.NewSnapshot([]*v1.Pod{pod}, []*v1.Node{b.node("node-a").Node(), b.node("node-b").Node(), node})}
	if got := b.fullness.of(b.GPUSlice); got != .5 {
		t.Errorf("%v in use where four GPUs are cordoned, want .5", got)
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

// TestNodesAreComparedByTheOutlookOfAClusterAsFull, for pods with a claim and for
// those without.
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
	used := func(pod *v1.Pod) *share.Outlook {
		state := framework.NewCycleState()
		if _, status := b.PreFilter(t.Context(), state, pod, nil); !status.IsSuccess() && !status.IsSkip() {
			t.Fatal(status)
		}
		if status := b.PreScore(t.Context(), state, pod, []fwk.NodeInfo{b.node("node-a"), b.node("node-b")}); !status.IsSuccess() && !status.IsSkip() {
			t.Fatal(status)
		}
		r, err := adapt.State[*request](state, requestKey)
		if err != nil {
			t.Fatal(err)
		}
		return r.outlook
	}
	b.spare = true
	for _, slice := range b.dra.slices {
		b.gpus.Publish(b.published.set(slice, true))
	}
	without := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "without", UID: "without"}}
	for _, pod := range []*v1.Pod{b.pod, without} {
		if got := used(pod); got != all.At(0) || got == all {
			t.Errorf("pod %s: an empty cluster is not judged as one", pod.Name)
		}
	}
	b.take("node-a")
	b.take("node-b")
	for _, pod := range []*v1.Pod{b.pod, without} {
		if got := used(pod); got != all {
			t.Errorf("pod %s: a full cluster is not judged as one", pod.Name)
		}
	}
}
