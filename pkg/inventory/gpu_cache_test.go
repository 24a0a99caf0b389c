package inventory

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"plimsoll.dev/scheduler/pkg/gpus"
)

// gpuNode is a node with so many whole GPUs of a model, without a version.
func gpuNode(name, model string, units int64) *v1.Node {
	return &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			"nvidia.com/gpu.product": model, "nvidia.com/gpu.memory": "40960", "nvidia.com/gpu.count": fmt.Sprint(units),
			"nvidia.com/gpu.replicas": "1", "nvidia.com/gpu.sharing-strategy": "none",
		}},
		Status: v1.NodeStatus{Allocatable: amounts(gpu, fmt.Sprint(units))},
	}
}

func version(node *v1.Node, uid types.UID, version string) *v1.Node {
	node.UID, node.ResourceVersion = uid, version
	return node
}

func TestFactsAreKeptForOneStateOfANode(t *testing.T) {
	inventory := NewGPUs()
	first := inventory.Facts(version(gpuNode("n", "A", 8), "1", "7"))
	for name, tc := range map[string]struct {
		node *v1.Node
		want bool
	}{
		"the same state, another copy": {version(gpuNode("n", "A", 8), "1", "7"), true},
		"a later state":                {version(gpuNode("n", "A", 8), "1", "8"), false},
		"another node of that name":    {version(gpuNode("n", "A", 8), "2", "7"), false},
		"a node without a version":     {gpuNode("n", "A", 8), false},
	} {
		inventory.Facts(version(gpuNode("n", "A", 8), "1", "0"))
		inventory.known.Store("n", &knownGPUs{uid: "1", version: "7", facts: first})
		if got := inventory.Facts(tc.node) == first; got != tc.want {
			t.Errorf("%s: kept %v, want %v", name, got, tc.want)
		}
	}
	unversioned := gpuNode("file", "A", 8)
	if again := inventory.Facts(unversioned); again != inventory.Facts(unversioned) {
		t.Error("a node from a file is parsed each time")
	}
	if inventory.Facts(unversioned) == inventory.Facts(gpuNode("file", "B", 8)) {
		t.Error("a changed node from a file reads as it was")
	}
}

func TestCountsAreReadEachTime(t *testing.T) {
	inventory, node := NewGPUs(), gpuNode("n", "A", 8)
	info := framework.NewNodeInfo(podOf("a", "", v1.PodRunning, amounts(gpu, "3")))
	info.SetNode(node)
	var read gpus.Node
	inventory.Read(info, &read)
	if want := (gpus.Count{Allocatable: 8, Requested: 3}); read.Counts[0] != want {
		t.Errorf("got %+v, want %+v", read.Counts[0], want)
	}
	inventory.Read(emptyInfo(node), &read)
	if want := (gpus.Count{Allocatable: 8}); read.Counts[0] != want {
		t.Errorf("without the pod: got %+v, want %+v", read.Counts[0], want)
	}
}

func TestTheCensusFollowsTheNodes(t *testing.T) {
	inventory := NewGPUs()
	worthOf := func(node *v1.Node) int64 { return inventory.Worth().Of(GPUFacts(node)) }
	few, many, none := gpuNode("few", "A", 4), gpuNode("many", "B", 8), &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "none"}}
	if worthOf(few) != gpus.MaxWorth || worthOf(none) != 0 {
		t.Errorf("nothing counted: got %d and %d", worthOf(few), worthOf(none))
	}
	for _, node := range []*v1.Node{few, many, none} {
		inventory.Observe(node)
	}
	if worthOf(few) <= worthOf(many) || worthOf(none) != 0 {
		t.Errorf("the scarcer model has %d, the commoner %d, none %d", worthOf(few), worthOf(many), worthOf(none))
	}
	inventory.Observe(gpuNode("few", "A", 16))
	if worthOf(few) >= worthOf(many) {
		t.Errorf("A is now the commoner: %d, B: %d", worthOf(few), worthOf(many))
	}
	before := inventory.Worth()
	inventory.Observe(gpuNode("few", "A", 16))
	if inventory.Worth() != before {
		t.Error("a heartbeat made a new census")
	}
	inventory.Forget("few")
	inventory.Forget("never seen")
	inventory.Facts(few) // a cycle that still sees it
	if worthOf(few) != gpus.MaxWorth || len(inventory.counted) != 1 {
		t.Errorf("a deleted node is still counted: worth %d, %v", worthOf(few), inventory.counted)
	}
}

func TestGPUsThatAPodAsksFor(t *testing.T) {
	pod := podOf("p", "", "", amounts("nvidia.com/mig-1g.10gb", "2", gpu, "1", "cpu", "4", "gpu.intel.com/monitoring", "1", "amd.com/gpu", "0", "example.com/gpu", "1"))
	pod.Spec.InitContainers = []v1.Container{{Name: "warm", Resources: v1.ResourceRequirements{Requests: amounts(gpu, "3")}}}
	pod.Spec.Containers = append(pod.Spec.Containers, v1.Container{Name: "side", Resources: v1.ResourceRequirements{Requests: amounts("nvidia.com/mig-1g.10gb", "1")}})
	want := []gpus.Want{{Resource: gpu, Count: 3, PerContainer: 3}, {Resource: "nvidia.com/mig-1g.10gb", Count: 3, PerContainer: 2}}
	if diff := cmp.Diff(want, PodGPUs(pod)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := PodGPUs(podOf("p", "", "", amounts("cpu", "4"))); got != nil {
		t.Errorf("a pod without GPUs asks for %v", got)
	}
}

func TestANodeWithMoreResourcesThanAreLookedAt(t *testing.T) {
	node := &v1.Node{Status: v1.NodeStatus{Allocatable: v1.ResourceList{}}}
	for i := range 3 * gpus.MaxOffers {
		node.Status.Allocatable[v1.ResourceName(fmt.Sprintf("nvidia.com/mig-%02dg.1gb", i))] = amounts("x", "1")["x"]
	}
	var read gpus.Node
	NewGPUs().Read(emptyInfo(node), &read)
	if len(read.Offers) != gpus.MaxOffers {
		t.Errorf("got %d offers, want %d", len(read.Offers), gpus.MaxOffers)
	}
}

func TestReadersAndTheInformerDoNotRace(t *testing.T) {
	inventory := NewGPUs()
	var wait sync.WaitGroup
	for i := range 4 {
		wait.Go(func() {
			for j := range 200 {
				node := version(gpuNode(fmt.Sprint("n", j%7), "A", 8), "1", fmt.Sprint(j%3))
				switch (i + j) % 4 {
				case 0:
					inventory.Observe(node)
				case 1:
					inventory.Forget(node.Name)
				default:
					var read gpus.Node
					inventory.Read(emptyInfo(node), &read)
					inventory.Worth().Of(read.Facts)
				}
			}
		})
	}
	wait.Wait()
}

// TestReadingAKnownNodeAllocatesNothing holds the hot path to its word.
func TestReadingAKnownNodeAllocatesNothing(t *testing.T) {
	inventory, nodes := NewGPUs(), samples(t)
	for _, name := range []string{"nv-mixed-0", "h100-0", "amd-hetero-0"} {
		info := emptyInfo(version(nodes[name], "1", "7"))
		var read gpus.Node
		inventory.Read(info, &read)
		if n := testing.AllocsPerRun(100, func() { inventory.Read(info, &read) }); n != 0 {
			t.Errorf("%s: reading allocates %v times", name, n)
		}
		if n := testing.AllocsPerRun(100, func() { inventory.Worth().Of(read.Facts) }); n != 0 {
			t.Errorf("%s: asking what it is worth allocates %v times", name, n)
		}
	}
}

// FuzzGPUFacts gives one group of labels any value, and the node any amount.
func FuzzGPUFacts(f *testing.F) {
	f.Add("nvidia.com/gpu", "8", "81559", "NVIDIA-H100-80GB-HBM3", "1", "none", "8", "success", int64(8))
	f.Add("nvidia.com/mig-1g.10gb.me", "", "0", "-MIG-INVALID", "0", "", "x", "pending", int64(-1))
	f.Add("nvidia.com/mig-g..shared", "-8", "99999999999999999999", "-MIG--SHARED", "1000000000", "mps", "\xff", "", int64(math.MaxInt64))
	f.Add("amd.com/cpx_nps4", "8", "192G", "x", "64", "cpx_nps9", "8", "", int64(64))
	f.Add("gpu.intel.com/xe", "2", "103079215104", "Max", "2", "", "", "", int64(1))
	f.Fuzz(func(t *testing.T, named, count, memory, product, replicas, sharing, slicesOf, state string, units int64) {
		labels := map[string]string{"nvidia.com/mig.config.state": state, "nvidia.com/gpu.deploy." + state: sharing, "nvidia.com/mig.strategy": sharing}
		for _, base := range []string{"nvidia.com/gpu", named, strings.TrimSuffix(named, ".shared")} {
			for suffix, value := range map[string]string{".count": count, ".memory": memory, ".product": product, ".replicas": replicas, ".sharing-strategy": sharing, ".slices.gi": slicesOf} {
				labels[base+suffix] = value
			}
		}
		for _, prefix := range []string{"amd.com/gpu.", "beta.amd.com/gpu."} {
			labels[prefix+"vram"], labels[prefix+"vram."+memory], labels[prefix+"compute-memory-partition"] = memory, count, sharing
		}
		labels["gpu.intel.com/memory.max"], labels["gpu.intel.com/device.count"], labels["gpu.intel.com/device-id."+product+".count"] = memory, count, replicas
		node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: labels}, Status: v1.NodeStatus{Allocatable: v1.ResourceList{}}}
		for _, name := range []string{named, "nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/i915"} {
			node.Status.Allocatable[v1.ResourceName(name)] = *resource.NewQuantity(units, resource.DecimalSI)
		}
		var read gpus.Node
		NewGPUs().Read(emptyInfo(node), &read)
		checkFacts(t, read.Facts)
		_ = read.String()
		for _, o := range read.Offers {
			request := gpus.NewRequest([]gpus.Want{{Resource: o.Resource, Count: 1}}, 1, []gpus.Isolation{gpus.MPS})
			request.Fits(&read)
			if score := request.Rank(&read, 1).Score(); score < 0 || score > gpus.MaxScore {
				t.Errorf("score %d", score)
			}
		}
	})
}

// checkFacts holds what is said of every offer, whatever the labels say.
func checkFacts(t *testing.T, facts *gpus.Facts) {
	t.Helper()
	if !slices.IsSortedFunc(facts.Offers, func(a, b gpus.Offer) int { return strings.Compare(a.Resource, b.Resource) }) {
		t.Errorf("offers out of order: %+v", facts.Offers)
	}
	for _, o := range facts.Offers {
		switch {
		case (o.MemoryMiB > 0) == (o.NoMemory != (gpus.Label{})):
			t.Errorf("want a memory or the label for want of which there is none: %+v", o)
		case o.MemoryMiB < 0 || o.Replicas < 1 || o.Slices < 1 || o.Slices > gpus.SlicesPerGPU || o.Covers < 0 || o.MilliGPUs() < 1 || o.MilliGPUs() > gpus.MilliGPU:
			t.Errorf("out of bounds: %+v", o)
		case o.Isolation < gpus.TimeSlicing || o.Isolation > gpus.Exclusive:
			t.Errorf("no isolation: %+v", o)
		case o.NoSharing != (gpus.Label{}) && o.Isolation != gpus.TimeSlicing:
			t.Errorf("what is unknown counts as more than the weakest: %+v", o)
		case o.Kind == gpus.Whole && o.Replicas != 1, o.Kind != gpus.Whole && o.Isolation == gpus.Exclusive:
			t.Errorf("contradicts itself: %+v", o)
		}
	}
	for _, h := range facts.Hardware {
		if h.MilliGPUs <= 0 || h.MemoryMiB < 0 || h.Model == "" {
			t.Errorf("hardware %+v", h)
		}
	}
}

// BenchmarkRead is what a scheduling cycle pays for each node, BenchmarkFacts
// what an informer pays for each change of one.
func BenchmarkRead(b *testing.B) {
	inventory, info := NewGPUs(), emptyInfo(version(samples(b)["nv-mixed-0"], "1", "7"))
	var read gpus.Node
	b.ReportAllocs()
	for b.Loop() {
		inventory.Read(info, &read)
	}
}

func BenchmarkFacts(b *testing.B) {
	node := samples(b)["nv-mixed-0"]
	b.ReportAllocs()
	for b.Loop() {
		GPUFacts(node)
	}
}
