// Package samples makes up simulations that look like real ones, for the tests
// of the report: a small mixed cluster, a large fleet under a trace, an empty
// one, and one full of what a report must survive. Two toy schedulers fill the
// clusters, one packing and one spreading. The same call gives the same result.
package samples

import (
	"fmt"
	"math"
	"math/rand/v2"

	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/pkg/verdict"
)

const gib = 1 << 30

// TraceNodes is how many nodes the openb trace has.
const TraceNodes = 1213

// All returns every sample by the name of the file that it is written to; the
// fleet has so many nodes.
func All(fleet int) map[string]*placement.Simulation {
	return map[string]*placement.Simulation{
		"small":  Small(),
		"medium": Medium(),
		"fleet":  Fleet(fleet),
		"empty":  Empty(),
		"alone":  Alone(),
		"nasty":  Nasty(),
	}
}

// Small returns a cluster of three zones, two architectures and GPUs that are
// partitioned, shared and whole, under both schedulers.
func Small() *placement.Simulation {
	shape := func() []*node {
		var nodes []*node
		for _, zone := range []string{"eu-a", "eu-b", "eu-c"} {
			for i := range 3 {
				nodes = append(nodes, newNode(fmt.Sprintf("%s-amd64-%02d", zone, i+1), zone, "amd64", "general", 16, 64, 80))
			}
			nodes = append(nodes, newNode(zone+"-arm64-01", zone, "arm64", "general", 16, 64, 40))
		}
		for _, zone := range []string{"eu-a", "eu-b"} {
			n := newNode(zone+"-mig-01", zone, "amd64", "mig", 64, 512, 80)
			n.addGPUs(4, "NVIDIA A100-SXM4-80GB", 8)
			nodes = append(nodes, n)
		}
		n := newNode("eu-c-l4-01", "eu-c", "amd64", "inference", 32, 128, 80)
		n.addGPUs(4, "NVIDIA L4", 0)
		return append(nodes, n)
	}
	return &placement.Simulation{
		SchemaVersion: placement.SchemaVersion,
		Source:        "manifests/examples, cluster.yaml (15 nodes, 84 pods)",
		Engine:        "control-plane",
		Seed:          42,
		Notes: []string{
			"3 PersistentVolumeClaims were taken as bound: volumes are not provisioned here",
			"2 pods of a finished Job were left out",
		},
		Results: []placement.SchedulerResult{simulate("plimsoll", shape(), smallPods(), 7), simulate("default", shape(), smallPods(), 7)},
	}
}

func smallPods() []*pod {
	random := rand.New(rand.NewPCG(3, 5))
	var pods []*pod
	for i, name := range []string{"cart", "checkout", "catalog", "gateway", "search", "ledger"} {
		for j := range 9 {
			pods = append(pods, &pod{namespace: "shop", name: fmt.Sprintf("%s-59f8f875bb-%c%c8t%d", name, 'b'+i, 'k'+j, j), arch: []string{"amd64", "amd64", "arm64"}[(i+j)%3],
				cpu: 500 + 500*random.Int64N(5), memory: (1 + random.Int64N(8)) * gib})
		}
	}
	for i, profile := range []string{"1g.10gb", "1g.10gb", "2g.20gb", "3g.40gb", "1g.20gb", "1g.10gb", "3g.40gb", "2g.20gb", "4g.40gb", "1g.10gb", "7g.80gb", "3g.40gb", "1g.10gb", "2g.20gb", "3g.40gb", "4g.40gb"} {
		pods = append(pods, &pod{namespace: "ml", name: fmt.Sprintf("finetune-%d", i), cpu: 4000, memory: 16 * gib, profile: profile})
	}
	for i, part := range []float64{60, 50, 25, 40, 75, 30, 50, 100, 60} {
		pods = append(pods, &pod{namespace: "inference", name: fmt.Sprintf("llama-8b-7b45d69b4-kjb2%d", i), cpu: 2000, memory: 8 * gib, gpus: 1, share: part})
	}
	pods = append(pods,
		&pod{namespace: "default", name: "too-large", cpu: 128000, memory: gib},
		&pod{namespace: "default", name: "torn", arch: "riscv64", cpu: 100, memory: gib})
	random.Shuffle(len(pods), func(i, j int) { pods[i], pods[j] = pods[j], pods[i] })
	return pods
}

// Medium returns some hundred nodes of which some carry GPUs, at three
// schedulers.
func Medium() *placement.Simulation {
	shape := func() []*node {
		var nodes []*node
		for i := range 96 {
			n := newNode(fmt.Sprintf("node-%03d", i), fmt.Sprintf("us-east-1%c", 'a'+i%3), "amd64", []string{"general", "gpu"}[i/72], 48, 192, 75)
			if i >= 72 {
				n.addGPUs(8, "NVIDIA H100-SXM5-80GB", 8)
			}
			nodes = append(nodes, n)
		}
		return nodes
	}
	pods := func() []*pod {
		random := rand.New(rand.NewPCG(1, 9))
		var pods []*pod
		for i := range 900 {
			p := &pod{namespace: "team-" + string(rune('a'+i%6)), name: fmt.Sprintf("worker-%04d", i), cpu: 1000 + 500*random.Int64N(9), memory: (1 + random.Int64N(16)) * gib}
			if i%2 == 0 {
				p.profile = []string{"1g.10gb", "2g.20gb", "3g.40gb", "1g.10gb", "4g.40gb", "7g.80gb"}[random.IntN(6)]
			}
			pods = append(pods, p)
		}
		return pods
	}
	return &placement.Simulation{
		SchemaVersion: placement.SchemaVersion, Source: "cluster prod-east, read once", Engine: "memory", Seed: 1,
		Results: []placement.SchedulerResult{simulate("default", shape(), pods(), 1), simulate("MostAllocated", shape(), pods(), 1), simulate("plimsoll", shape(), pods(), 1)},
	}
}

// Fleet returns so many nodes, with five GPUs each on average, to which
// pods for 130 % of the GPUs arrived.
func Fleet(size int) *placement.Simulation {
	shape := func() []*node {
		random := rand.New(rand.NewPCG(2, 2))
		var nodes []*node
		for i := range size {
			n := newNode(fmt.Sprintf("openb-node-%04d", i), "", "amd64", "", []int64{64, 96, 128, 32}[random.IntN(4)], []int64{256, 384, 768, 128}[random.IntN(4)], 0)
			n.addGPUs([]int{2, 8, 8, 4, 4}[random.IntN(5)], []string{"G2", "G2", "G2", "T4", "G3", "P100", "V100M32", "G2", "V100M16", "G2"}[random.IntN(10)], 0)
			nodes = append(nodes, n)
		}
		return nodes
	}
	gpus := 0
	for _, n := range shape() {
		gpus += len(n.gpus)
	}
	pods := func() []*pod {
		random := rand.New(rand.NewPCG(4, 4))
		var pods []*pod
		for i, asked := 0, 0.0; asked < 1.3*float64(gpus); i++ {
			p := &pod{namespace: "openb", name: fmt.Sprintf("openb-pod-%04d", i), cpu: 2000 + 1000*random.Int64N(10), memory: (4 + random.Int64N(28)) * gib, gpus: 1, share: 100}
			switch k := random.IntN(100); {
			case k < 13:
				p.gpus, p.share = 0, 0
			case k < 50:
				p.share = float64(10 + 5*random.IntN(17))
			case k > 96:
				p.gpus = 8
			case k > 92:
				p.gpus = 2
			}
			asked += float64(p.gpus) * p.share / 100
			pods = append(pods, p)
		}
		return pods
	}
	return &placement.Simulation{
		SchemaVersion: placement.SchemaVersion, Source: fmt.Sprintf("trace openb: %d nodes, %d GPUs, pod list default, inflated to 130 %%", size, gpus), Engine: "memory", Seed: 42,
		Notes:   []string{"Fractions of a GPU became DRA devices with consumable capacity.", "Every pod was tried once, as the trace's papers do."},
		Results: []placement.SchedulerResult{simulate("default", shape(), pods(), 3), simulate("plimsoll", shape(), pods(), 3)},
	}
}

// Empty returns a run over nothing: no nodes and no pods.
func Empty() *placement.Simulation {
	return &placement.Simulation{SchemaVersion: placement.SchemaVersion, Source: "empty.yaml", Engine: "memory",
		Results: []placement.SchedulerResult{{Result: *placement.New("plimsoll", nil, 0, nil)}, {Result: *placement.New("default", nil, 0, nil)}}}
}

// Alone returns one scheduler on nodes without zones, GPUs or a load line, whose
// pods all ran before.
func Alone() *placement.Simulation {
	n := newNode("worker-1", "", "", "", 4, 16, 0)
	p := placement.Pod{Namespace: "default", Name: "web", Phase: "Running", Node: "worker-1"}
	n.take(&pod{cpu: 1500, memory: 4 * gib}, nil)
	return &placement.Simulation{SchemaVersion: placement.SchemaVersion, Source: "one.yaml", Engine: "control-plane", Seed: 1,
		Results: []placement.SchedulerResult{{Result: *placement.New("plimsoll", []placement.Pod{p}, 1, nil), Nodes: []placement.Node{n.result()}}}}
}

// Nasty returns names, messages and numbers that a careless report stumbles
// over.
func Nasty() *placement.Simulation {
	script := "<script>alert(1)</script>"
	pods := []placement.Pod{
		{Namespace: "ns", Name: script, Phase: "Pending", Reasons: []verdict.Reason{{Plugin: "<b>P", Message: `3 node(s) "></style></script><img src=x onerror=alert(1)>`}, {Message: "'; DROP TABLE pods; --"}}},
		{Namespace: "ns", Name: "{{.Policy}}", Phase: "Failed", Node: "</title>" + script, Zone: "a&b", Devices: []string{`d/"p"/0`}},
		{Namespace: "ns", Name: "javascript:alert(1)", Phase: "Pending"},
		{Namespace: "пространство", Name: "目标-" + string(make([]byte, 3)) + "\u202etxt", Phase: "Running", Node: "n"},
		{Namespace: "ns", Name: "long-" + repeat("x", 253), Phase: "Running", Node: "long-" + repeat("y", 253)},
	}
	nan, inf := math.NaN(), math.Inf(1)
	nodes := []placement.Node{
		{Name: "</title>" + script, Zone: `"><script>`, Arch: "a&b", Pool: "url(javascript:1)", Pods: -1, TargetPercent: nan,
			CPU: placement.Amount{Used: 5, Allocatable: 0}, Memory: placement.Amount{Used: -9, Allocatable: 3},
			GPUs: []placement.GPU{{Name: script, Model: script, Cells: 8, UsedPercent: nan, Parts: []placement.Part{{Label: "</span>", Start: 7, Cells: 99, Percent: inf, Pod: script}, {Label: "1g", Start: -4, Cells: 1}, {Label: "twice", Start: 7, Cells: 1}}},
				{Name: "fine", Cells: 1 << 30, UsedPercent: 150, Parts: []placement.Part{{Label: "200 %", Percent: 200}, {Label: "60 %", Percent: 60}}}}},
		{Name: "long-" + repeat("y", 253), Pods: 3, TargetPercent: 500, CPU: placement.Amount{Used: 1 << 62, Allocatable: 1}, Memory: placement.Amount{Used: 1 << 62, Allocatable: 1 << 62}},
	}
	series := []placement.Point{{Arrived: 5, GPUPercent: nan, CPUPercent: inf}, {Arrived: 9, AskedGPUPercent: 1e300, CPUPercent: -4, NodesInUse: -3}, {Arrived: 7, MemoryPercent: 400}}
	return &placement.Simulation{Source: "</title>" + script, Engine: script, Notes: []string{script},
		Results: []placement.SchedulerResult{
			{Result: *placement.New(script, pods, 2, []string{script}), Nodes: nodes, Series: series, Trace: &placement.Trace{UnallocatedPercent: map[string]float64{"x\"<": nan, "100": 4}}},
			{Result: *placement.New("plimsoll", pods[:1], 0, nil)},
			{Result: *placement.New("", nil, -3, nil), Series: series[:1]},
			{Result: *placement.New("fourth", nil, 3, nil)},
			{Result: *placement.New("fifth", nil, 3, nil)},
		}}
}

func repeat(s string, n int) string {
	out := make([]byte, 0, n)
	for range n {
		out = append(out, s...)
	}
	return string(out)
}
