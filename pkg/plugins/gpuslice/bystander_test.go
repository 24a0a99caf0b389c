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

	places := func() map[string]int64 { return b.bystanders(nodes) }

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

// bystanders scores nodes for the bench's pod, which asks for no GPU.
func (b *bench) bystanders(nodes []*v1.Node) map[string]int64 {
	b.Helper()
	state := framework.NewCycleState()
	if _, status := b.PreFilter(b.Context(), state, b.pod, nil); !status.IsSkip() {
		b.Fatalf("PreFilter of a pod without GPUs: %v, want it skipped", status)
	}
	list := make([]fwk.NodeInfo, 0, len(nodes))
	for _, node := range nodes {
		list = append(list, b.node(node.Name))
	}
	return b.scored(state, list)
}

// scored are the scores of nodes that pass, by name.
func (b *bench) scored(state fwk.CycleState, list []fwk.NodeInfo) map[string]int64 {
	b.Helper()
	if status := b.PreScore(b.Context(), state, b.pod, list); !status.IsSuccess() {
		b.Fatal(status)
	}
	out := map[string]int64{}
	for _, node := range list {
		score, status := b.Score(b.Context(), state, b.pod, node)
		if !status.IsSuccess() {
			b.Fatal(status)
		}
		out[node.Node().Name] = score
	}
	return out
}

// TestPodsWithoutGPUsSpareFreeSlicesAndShares: where all GPUs are taken, the cores are of
// no use to those that ask for one.
func TestPodsWithoutGPUsSpareFreeSlicesAndShares(t *testing.T) {
	b := newBench(t)
	b.spare, b.dra.slices = true, nil
	gfd := func(product, count, replicas, strategy string) map[string]string {
		return map[string]string{"nvidia.com/gpu.product": product, "nvidia.com/gpu.count": count, "nvidia.com/gpu.memory": "9984", "nvidia.com/gpu.replicas": replicas, "nvidia.com/gpu.sharing-strategy": strategy}
	}
	nodes := []*v1.Node{
		pluginNode("slices-free", gfd("H100-MIG-1g.10gb", "56", "1", "none"), "nvidia.com/gpu", "56"),
		pluginNode("shares-free", gfd("H100-SHARED", "8", "4", "time-slicing"), "nvidia.com/gpu", "32"),
		pluginNode("paused", map[string]string{"nvidia.com/gpu.product": "H100-MIG-INVALID"}),
		pluginNode("all-taken", gfd("H100", "8", "1", "none"), "nvidia.com/gpu", "8"),
	}
	b.handle = &fakeHandle{profile: t.Name(), snapshot: internalcache.NewSnapshot([]*v1.Pod{running("all-taken", "nvidia.com/gpu", "8", "cpu", "8")}, nodes)}
	for _, n := range nodes {
		b.gpus.Observe(n)
	}
	b.learner.tasks.SetSupply(share.Supply{b.learner.models.Of("H100"): 31})
	for range 2000 {
		b.learner.tasks.Observe(&share.Task{CPUMilli: 7000, GPUs: 1, GPUMilli: share.Whole})
	}
	b.pod = &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: v1.PodSpec{Containers: []v1.Container{{
		Resources: v1.ResourceRequirements{Requests: amounts("cpu", "12")}}}}}
	got := b.bystanders(nodes)
	for _, name := range []string{"slices-free", "shares-free", "paused"} {
		if got["all-taken"] <= got[name] {
			t.Errorf("scores %v, want all-taken before %s", got, name)
		}
	}
}
