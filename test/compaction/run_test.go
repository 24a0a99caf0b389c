package compaction

import (
	"context"
	"fmt"
	"math"
	"math/rand"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"

	"plimsoll.dev/scheduler/internal/offline"
	"plimsoll.dev/scheduler/internal/schedconfig"
	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/pkg/plugins"
	"plimsoll.dev/scheduler/pkg/plugins/archaware"
	"plimsoll.dev/scheduler/pkg/plugins/binpack"
)

const gib = 1 << 30

// size is cores in millicores and memory in bytes.
type size struct{ cpu, memory int64 }

// workload is a fixed list of pods and the kinds of nodes they go to.
type workload struct {
	name  string
	nodes []size
	pods  []size
}

// workloads are drawn once, from a fixed seed: nodes of one kind or of four
// kinds of different proportions; pods from a catalogue of everyday sizes, of
// two opposite proportions, or of any size.
func workloads(count int) []workload {
	one := []size{{8000, 32 * gib}}
	four := []size{{8000, 32 * gib}, {16000, 32 * gib}, {8000, 64 * gib}, {16000, 64 * gib}}
	var out []workload
	for _, nodes := range []struct {
		name  string
		sizes []size
	}{{"one-kind", one}, {"four-kinds", four}} {
		for _, mix := range []struct {
			name string
			draw func(*rand.Rand) size
		}{{"everyday", everyday}, {"opposite", opposite}, {"any", anySize}} {
			rnd := rand.New(rand.NewSource(20261120))
			w := workload{name: nodes.name + "/" + mix.name, nodes: nodes.sizes}
			for range count {
				w.pods = append(w.pods, mix.draw(rnd))
			}
			out = append(out, w)
		}
	}
	return out
}

func everyday(rnd *rand.Rand) size {
	catalogue := []size{{100, gib / 4}, {250, gib / 2}, {500, gib}, {1000, 2 * gib}, {1000, 4 * gib}, {1000, 8 * gib},
		{2000, gib}, {2000, 4 * gib}, {2000, 8 * gib}, {2000, 16 * gib}, {3000, 2 * gib}, {4000, 4 * gib}, {4000, 8 * gib}}
	return catalogue[rnd.Intn(len(catalogue))]
}

func opposite(rnd *rand.Rand) size {
	return []size{{1500, 2 * gib}, {500, 6 * gib}}[rnd.Intn(2)]
}

func anySize(rnd *rand.Rand) size {
	cores := math.Min(math.Exp(rnd.NormFloat64()*.8)*.8, 6)
	memory := math.Min(cores*4*math.Exp(rnd.NormFloat64()*.7), 24)
	return size{int64(cores * 1000), int64(memory * gib)}
}

// placedAt is called after every placement, with the nodes' sizes and use.
type placedAt func(pod size, node int, nodes, used []size)

// place puts the workload's pods on n nodes, whose size is scaled by share, and
// returns how many nodes carry a pod. It fails if a pod fits nowhere, unless
// somebody looks at each placement.
func place(t testing.TB, cfg *config.KubeSchedulerConfiguration, w workload, n int, share float64, each placedAt) int {
	t.Helper()
	sizes, used := make([]size, n), make([]size, n)
	var objects []runtime.Object
	index := map[string]int{}
	for i := range n {
		of := w.nodes[i%len(w.nodes)]
		sizes[i] = size{int64(float64(of.cpu) * share), int64(float64(of.memory) * share)}
		node := node(i, sizes[i])
		index[node.Name] = i
		objects = append(objects, node)
	}
	pods := make([]*v1.Pod, len(w.pods))
	for i, s := range w.pods {
		// They wait in the queue from the start, as after a roll-out: the mix
		// of shapes is what is waiting.
		pods[i] = pod(i, s)
		objects = append(objects, pods[i])
	}
	ctx := context.Background()
	cluster, err := offline.New(ctx, cfg, plugins.Registry(plugins.Shared{Images: &archaware.Shared{Registries: &testkit.Depot{}}}), objects...)
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	rnd := rand.New(rand.NewSource(42))
	for i, pod := range pods {
		e, err := cluster.Evaluate(ctx, pod)
		if err == nil && e.Failed {
			err = e.Refused.AsError()
		}
		if err != nil {
			t.Fatal(err)
		}
		best := e.Best()
		if len(best) == 0 && each != nil {
			continue // there are too few nodes on purpose
		}
		if len(best) == 0 {
			t.Fatalf("%s: pod %d of %v fits on none of %d nodes", w.name, i, w.pods[i], n)
		}
		chosen := best[rnd.Intn(len(best))]
		if err := cluster.Place(ctx, e, chosen); err != nil {
			t.Fatal(err)
		}
		at := index[chosen]
		used[at].cpu += w.pods[i].cpu
		used[at].memory += w.pods[i].memory
		if each != nil {
			each(w.pods[i], at, sizes, used)
		}
	}
	inUse := 0
	for _, u := range used {
		if u != (size{}) {
			inUse++
		}
	}
	return inUse
}

func node(i int, s size) *v1.Node {
	name := fmt.Sprintf("n-%03d", i)
	amounts := v1.ResourceList{
		v1.ResourceCPU: *resource.NewMilliQuantity(s.cpu, resource.DecimalSI), v1.ResourceMemory: *resource.NewQuantity(s.memory, resource.BinarySI),
		v1.ResourcePods: resource.MustParse("250"),
	}
	return &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			v1.LabelHostname: name, v1.LabelTopologyZone: fmt.Sprintf("zone-%d", i%3),
		}},
		Status: v1.NodeStatus{Capacity: amounts, Allocatable: amounts},
	}
}

func pod(i int, s size) *v1.Pod {
	name := fmt.Sprintf("p-%04d", i)
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name)},
		Spec: v1.PodSpec{SchedulerName: testkit.SchedulerName, Containers: []v1.Container{{
			Name: "app", Image: "example.test/app:1",
			Resources: v1.ResourceRequirements{Requests: v1.ResourceList{
				v1.ResourceCPU: *resource.NewMilliQuantity(s.cpu, resource.DecimalSI), v1.ResourceMemory: *resource.NewQuantity(s.memory, resource.BinarySI),
			}},
		}}},
	}
}

func decode(t testing.TB, data []byte) *config.KubeSchedulerConfiguration {
	t.Helper()
	cfg, err := schedconfig.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// ours is the shipped profile with a target.
func ours(t testing.TB, target int) *config.KubeSchedulerConfiguration {
	cfg := decode(t, testkit.RepoFile(t, "manifests/base/scheduler-config.yaml"))
	for _, pc := range cfg.Profiles[0].PluginConfig {
		if pc.Name == binpack.Name {
			pc.Args.(*runtime.Unknown).Raw = fmt.Appendf(nil, `{"targetPercent": %d}`, target)
		}
	}
	return cfg
}

func byDefault(t testing.TB) *config.KubeSchedulerConfiguration {
	return decode(t, []byte(`
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
percentageOfNodesToScore: 100
profiles: [{schedulerName: plimsoll}]
`))
}

// mostAllocated is the way to pack that upstream documents, with what is known
// to outvote it switched off, so that the comparison is with its best.
func mostAllocated(t testing.TB) *config.KubeSchedulerConfiguration {
	return decode(t, []byte(`
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
percentageOfNodesToScore: 100
profiles:
- schedulerName: plimsoll
  plugins:
    multiPoint:
      disabled: [{name: NodeResourcesBalancedAllocation}, {name: ImageLocality}]
  pluginConfig:
  - name: NodeResourcesFit
    args: {scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 1}, {name: memory, weight: 1}]}}
  - name: PodTopologySpread
    args: {defaultingType: List, defaultConstraints: []}
`))
}
