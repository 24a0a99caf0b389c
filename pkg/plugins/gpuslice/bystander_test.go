package gpuslice

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	fwk "k8s.io/kube-scheduler/framework"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"plimsoll.dev/scheduler/pkg/share"
)

// TestPodsWithoutGPUsLeaveCoresForThem: on node-a the pod would take the cores that
// the GPU's tasks need, on node-b it would not.
func TestPodsWithoutGPUsLeaveCoresForThem(t *testing.T) {
	b := newBench(t)
	b.spare = true
	cores := func(name, n string) *v1.Node {
		return &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: v1.NodeStatus{Allocatable: v1.ResourceList{"cpu": resource.MustParse(n)}}}
	}
	nodes := []*v1.Node{cores("node-a", "16"), cores("node-b", "64"), cores("none", "64")}
	b.handle = &fakeHandle{profile: t.Name(), snapshot: internalcache.NewSnapshot(nil, nodes)}
	for _, slice := range b.dra.slices {
		b.gpus.Publish(b.published.set(slice, true))
	}
	b.manager.model.Refresh(b.dra.slices)
	b.pod = &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: v1.PodSpec{Containers: []v1.Container{{
		Resources: v1.ResourceRequirements{Requests: v1.ResourceList{"cpu": resource.MustParse("12")}}}}}}

	places := func() map[string]int64 {
		state := framework.NewCycleState()
		if _, status := b.PreFilter(t.Context(), state, b.pod, nil); !status.IsSkip() {
			t.Fatalf("PreFilter of a pod without GPUs: %v, want it skipped", status)
		}
		list := make([]fwk.NodeInfo, 0, len(nodes))
		for _, node := range nodes {
			list = append(list, b.node(node.Name))
		}
		if status := b.PreScore(t.Context(), state, b.pod, list); !status.IsSuccess() {
			t.Fatal(status)
		}
		out := map[string]int64{}
		for _, node := range list {
			score, status := b.Score(t.Context(), state, b.pod, node)
			if !status.IsSuccess() {
				t.Fatal(status)
			}
			out[node.Node().Name] = score
		}
		return out
	}

	if got := places(); got["none"] <= got["node-a"] || got["node-a"] != got["node-b"] {
		t.Errorf("nothing is known of what asks for GPUs: scores %v, want the node without first and the others alike", got)
	}
	b.learner.tasks.SetSupply(share.Supply{b.learner.models.Of("Big"): 2})
	for range 2000 {
		b.learner.tasks.Observe(&share.Task{CPUMilli: 8000, GPUs: 1, GPUMilli: share.Whole})
	}
	if got := places(); got["none"] <= got["node-b"] || got["node-b"] <= got["node-a"] {
		t.Errorf("scores %v, want the node without, then the one with cores enough, then the other", got)
	}
}
