package inventory

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"plimsoll.dev/scheduler/pkg/load"
)

const gpu = "nvidia.com/gpu"

func amounts(pairs ...string) v1.ResourceList {
	out := v1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		out[v1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return out
}

func podOf(name, owner string, phase v1.PodPhase, requests v1.ResourceList) *v1.Pod {
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: v1.PodStatus{Phase: phase}}
	pod.Spec.Containers = []v1.Container{{Name: "app", Resources: v1.ResourceRequirements{Requests: requests}}}
	if owner != "" {
		yes := true
		pod.OwnerReferences = []metav1.OwnerReference{{Kind: owner, Controller: &yes}}
	}
	return pod
}

func TestMeterReadsInItsOwnOrder(t *testing.T) {
	meter := NewMeter([]v1.ResourceName{gpu, "memory", "pods", "cpu", "ephemeral-storage", "example.com/none"})
	node := framework.NewNodeInfo(
		podOf("asks", "", v1.PodRunning, amounts("cpu", "1500m", "memory", "1Gi", gpu, "2", "ephemeral-storage", "1Ki")),
		podOf("asks-nothing", "", v1.PodRunning, nil))
	node.SetNode(&v1.Node{Status: v1.NodeStatus{Allocatable: amounts("cpu", "4", "memory", "8Gi", "pods", "110", gpu, "8", "ephemeral-storage", "2Ki")}})

	const gib, mb = 1 << 30, 1 << 20
	var allocatable, requested, assumed load.Vector
	meter.Allocatable(node, &allocatable)
	meter.Requested(node, &requested)
	meter.Assumed(node, &assumed)
	for name, tc := range map[string]struct{ got, want load.Vector }{
		"allocatable": {allocatable, load.Vector{8, 8 * gib, 110, 4000, 2048}},
		"requested":   {requested, load.Vector{2, gib, 2, 1500, 1024}},
		// The framework's stand-ins for the container without requests.
		"assumed": {assumed, load.Vector{2, gib + 200*mb, 2, 1600, 1024}},
	} {
		if diff := cmp.Diff(tc.want, tc.got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
	needs := meter.Pod(podOf("p", "", "", amounts("cpu", "2")))
	want := Needs{Requested: load.Vector{0, 0, 1, 2000}, Assumed: load.Vector{0, 200 * mb, 1, 2000}}
	if diff := cmp.Diff(want, needs); diff != "" {
		t.Errorf("a pod (-want +got)\n%s", diff)
	}
}

func TestReadingTwiceLeavesNothingBehind(t *testing.T) {
	meter := NewMeter([]v1.ResourceName{gpu})
	var into load.Vector
	with, without := framework.NewNodeInfo(), framework.NewNodeInfo()
	with.SetNode(&v1.Node{Status: v1.NodeStatus{Allocatable: amounts(gpu, "8")}})
	without.SetNode(&v1.Node{})
	meter.Allocatable(with, &into)
	meter.Allocatable(without, &into)
	if into != (load.Vector{}) {
		t.Errorf("a node without GPUs reads as %v", into)
	}
}

func TestEmpty(t *testing.T) {
	agent, job := podOf("agent", "DaemonSet", v1.PodRunning, nil), podOf("job", "Job", v1.PodSucceeded, nil)
	for name, tc := range map[string]struct {
		pods []*v1.Pod
		want bool
	}{
		"no pods":               {nil, true},
		"its own agents":        {[]*v1.Pod{agent}, true},
		"agents and the done":   {[]*v1.Pod{agent, job}, true},
		"a pod that runs":       {[]*v1.Pod{agent, podOf("web", "ReplicaSet", v1.PodRunning, nil)}, false},
		"a pod about to arrive": {[]*v1.Pod{podOf("web", "", v1.PodPending, nil)}, false},
	} {
		if got := Empty(framework.NewNodeInfo(tc.pods...)); got != tc.want {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}

func TestTheFirstPoolWhoseLabelsMatchWins(t *testing.T) {
	pools := NewPools([]map[string]string{{"pool": "gpu", "tier": "a"}, {"pool": "gpu"}, {"empty": ""}})
	for name, tc := range map[string]struct {
		labels map[string]string
		want   int
	}{
		"all labels":             {map[string]string{"pool": "gpu", "tier": "a", "x": "y"}, 0},
		"one of two":             {map[string]string{"pool": "gpu", "tier": "b"}, 1},
		"none":                   {map[string]string{"pool": "cpu"}, -1},
		"no labels":              {nil, -1},
		"a label without value":  {map[string]string{"empty": ""}, 2},
		"a key is not its value": {map[string]string{"gpu": "pool"}, -1},
	} {
		node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Labels: tc.labels}}
		if got := pools.Find(node); got != tc.want {
			t.Errorf("%s: pool %d, want %d", name, got, tc.want)
		}
	}
}
