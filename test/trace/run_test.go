package trace

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"k8s.io/kubernetes/pkg/scheduler/apis/config"

	"plimsoll.dev/scheduler/internal/offline"
	"plimsoll.dev/scheduler/internal/openb"
	"plimsoll.dev/scheduler/internal/schedconfig"
	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/pkg/plugins"
	"plimsoll.dev/scheduler/pkg/plugins/archaware"
)

// experiment is a cluster, the list that pods are drawn from, and the loads, in
// ascending order, at which it is measured.
type experiment struct {
	nodes []openb.Node
	pods  []openb.Pod
	loads []float64
}

// protects is the load up to which pods for several GPUs should all find a place.
const protects = .9

// outcome is what came of one run.
type outcome struct {
	// unallocated is the share of the GPUs that nobody had, in percent, when the
	// pods so far had asked for each of the loads.
	unallocated []float64
	pods        int
	rejected    int
	// multi is how many pods for several GPUs were rejected before the load
	// protects had arrived.
	multi int
	// touched is how many nodes took a pod.
	touched int
	took    time.Duration
}

func (o *outcome) String() string {
	return fmt.Sprintf("unallocated %.2f %%; %d of %d pods rejected, %d of them for several GPUs and early; %d nodes touched; %.1f s",
		o.unallocated, o.rejected, o.pods, o.multi, o.touched, o.took.Seconds())
}

func newExperiment(tb testing.TB, every int, loads ...float64) experiment {
	tb.Helper()
	nodes, err := openb.Nodes()
	if err != nil {
		tb.Fatal(err)
	}
	pods, err := openb.Pods()
	if err != nil {
		tb.Fatal(err)
	}
	nodes, pods = openb.Scaled(nodes, pods, every)
	return experiment{nodes, pods, loads}
}

// run lets the pods arrive one by one: each is created, tried once and, if it fits,
// bound to one of its best nodes.
func (x *experiment) run(tb testing.TB, cfg *config.KubeSchedulerConfiguration, seed uint64) outcome {
	tb.Helper()
	capacity := openb.Capacity(x.nodes)
	arrivals, err := openb.Draw(x.pods, capacity, x.loads[len(x.loads)-1], seed)
	if err != nil {
		tb.Fatal(err)
	}
	cluster, err := offline.New(tb.Context(), cfg,
		plugins.Registry(plugins.Shared{Images: &archaware.Shared{Registries: &testkit.Depot{}}}), openb.Cluster(x.nodes)...)
	if err != nil {
		tb.Fatal(err)
	}
	defer cluster.Close()
	cluster.WriteClaims()
	began := time.Now()
	ties := rand.New(rand.NewPCG(seed, 1))
	out := outcome{pods: len(arrivals)}
	var asked, allocated int64
	measure := func(load float64) bool { return float64(asked) > load*float64(capacity) }
	idle := func() float64 { return 100 * (1 - float64(allocated)/float64(capacity)) }
	touched := map[string]bool{}
	for i, row := range arrivals {
		p := &x.pods[row]
		asked += p.Asks()
		for len(out.unallocated) < len(x.loads)-1 && measure(x.loads[len(out.unallocated)]) {
			out.unallocated = append(out.unallocated, idle())
		}
		node := arrive(tb, cluster, p, fmt.Sprintf("pod-%05d", i), ties)
		switch {
		case node != "":
			allocated += p.Asks()
			touched[node] = true
		case p.GPUs > 1 && !measure(protects):
			out.multi++
			fallthrough
		default:
			out.rejected++
		}
	}
	out.unallocated = append(out.unallocated, idle())
	out.touched, out.took = len(touched), time.Since(began)
	return out
}

// arrive returns the node that the pod is bound to, "" for none.
func arrive(tb testing.TB, cluster *offline.Cluster, p *openb.Pod, name string, ties *rand.Rand) string {
	tb.Helper()
	ctx := tb.Context()
	pod, claim := p.Objects(name, testkit.SchedulerName)
	if claim != nil {
		if err := cluster.AddClaims(ctx, claim); err != nil {
			tb.Fatal(err)
		}
	}
	if err := cluster.Apply(ctx, pod); err != nil {
		tb.Fatal(err)
	}
	e, err := cluster.Evaluate(ctx, pod)
	if err != nil {
		tb.Fatal(err)
	}
	best := e.Best()
	if len(best) == 0 {
		return ""
	}
	node := best[ties.IntN(len(best))]
	if err := cluster.Place(ctx, e, node); err != nil {
		tb.Fatal(err)
	}
	return node
}

func decode(tb testing.TB, data []byte) *config.KubeSchedulerConfiguration {
	tb.Helper()
	cfg, err := schedconfig.Decode(data)
	if err != nil {
		tb.Fatal(err)
	}
	return cfg
}

// profile is a scheduler configuration under test.
type profile struct {
	name string
	data []byte
}

func profiles(tb testing.TB) []profile {
	return []profile{
		{"plimsoll", testkit.RepoFile(tb, "manifests/base/scheduler-config.yaml")},
		{"default", []byte(byDefault)},
		{"MostAllocated", []byte(mostAllocated)},
	}
}

const byDefault = `
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
percentageOfNodesToScore: 100
profiles: [{schedulerName: plimsoll}]
`

// mostAllocated is the way to pack that upstream documents, with what is known to
// outvote it switched off, so that the comparison is with its best. GPUs of claims
// are nothing that it can score.
const mostAllocated = `
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
`
