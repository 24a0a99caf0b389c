package samples

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// node is a node while a toy scheduler fills it.
type node struct {
	name, zone, arch, pool string
	cpu, memory            placement.Amount
	target                 float64
	gpus                   []*toyGPU
	pods                   int
	// most is the largest idle share of a GPU, in percent.
	most float64
}

type toyGPU struct {
	model string
	cells int
	// taken has a bit per cell.
	taken uint64
	used  float64
	parts []placement.Part
}

// pod asks for a MIG profile, or for so many GPUs of each a share, or for none.
type pod struct {
	namespace, name, arch string
	cpu, memory           int64
	profile               string
	gpus                  int
	share                 float64
}

func newNode(name, zone, arch, pool string, cores, gibibytes int64, target float64) *node {
	return &node{name: name, zone: zone, arch: arch, pool: pool, target: target,
		cpu: placement.Amount{Allocatable: cores * 1000}, memory: placement.Amount{Allocatable: gibibytes * gib}}
}

func (n *node) addGPUs(count int, model string, cells int) {
	for range count {
		n.gpus = append(n.gpus, &toyGPU{model: model, cells: cells})
	}
	n.most = 100
}

// profiles says how many cells a profile takes and how far apart it may start.
func profiles(name string) (cells, step int) {
	switch name {
	case "1g.10gb":
		return 1, 1
	case "1g.20gb", "2g.20gb":
		return 2, 2
	case "3g.40gb":
		return 4, 4
	case "4g.40gb":
		return 4, 8
	}
	return 8, 8
}

// room returns a way to put the pod on the node, by GPU the part it takes; tidy
// takes the fullest GPU, the other one the emptiest.
func (n *node) room(p *pod, tidy bool) (map[int]placement.Part, bool) {
	if (p.arch != "" && p.arch != n.arch) || n.cpu.Used+p.cpu > n.cpu.Allocatable || n.memory.Used+p.memory > n.memory.Allocatable {
		return nil, false
	}
	if p.gpus == 0 && p.profile == "" {
		return nil, true
	}
	var order []int
	for i, g := range n.gpus {
		if _, ok := g.room(p); ok {
			order = append(order, i)
		}
	}
	want := p.gpus
	if p.profile != "" {
		want = 1
	}
	if len(order) < want {
		return nil, false
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if tidy {
			a, b = b, a
		}
		return cmp.Compare(n.gpus[a].used, n.gpus[b].used)
	})
	parts := map[int]placement.Part{}
	for _, i := range order {
		if len(parts) < want {
			parts[i], _ = n.gpus[i].room(p)
		}
	}
	return parts, true
}

func (g *toyGPU) room(p *pod) (placement.Part, bool) {
	if p.profile == "" {
		if g.cells > 0 || g.used+p.share > 100 {
			return placement.Part{}, false
		}
		if p.share == 100 {
			return placement.Part{Label: "whole", Percent: 100}, true
		}
		return placement.Part{Label: fmt.Sprintf("%.0f %%", p.share), Percent: p.share}, true
	}
	cells, step := profiles(p.profile)
	for start := 0; start+cells <= g.cells; start += step {
		if g.taken>>start&(1<<cells-1) == 0 {
			return placement.Part{Label: p.profile, Start: start, Cells: cells, Percent: 100 * float64(cells) / float64(g.cells)}, true
		}
	}
	return placement.Part{}, false
}

func (n *node) take(p *pod, parts map[int]placement.Part) {
	n.cpu.Used += p.cpu
	n.memory.Used += p.memory
	n.pods++
	for i, part := range parts {
		g := n.gpus[i]
		part.Pod = p.namespace + "/" + p.name
		g.parts = append(g.parts, part)
		g.used += part.Percent
		g.taken |= (1<<part.Cells - 1) << part.Start
	}
	n.most = 0
	for _, g := range n.gpus {
		n.most = max(n.most, 100-g.used)
	}
}

// cost is lower for the node that the scheduler would rather take.
func (n *node) cost(p *pod, pack bool) float64 {
	level := math.Max(float64(n.cpu.Used+p.cpu)/float64(n.cpu.Allocatable), float64(n.memory.Used+p.memory)/float64(n.memory.Allocatable))
	if !pack {
		return level
	}
	cost := 1 - level
	if n.target > 0 && level > n.target/100 {
		cost += 2
	}
	if len(n.gpus) > 0 && p.gpus == 0 && p.profile == "" {
		cost += 4
	}
	idle := 0.0
	for _, g := range n.gpus {
		idle += 1 - g.used/100
	}
	return cost + idle
}

func (n *node) result() placement.Node {
	out := placement.Node{Name: n.name, Zone: n.zone, Arch: n.arch, Pool: n.pool, Pods: n.pods, CPU: n.cpu, Memory: n.memory, TargetPercent: n.target, GPUs: []placement.GPU{}}
	for i, g := range n.gpus {
		out.GPUs = append(out.GPUs, placement.GPU{Name: fmt.Sprintf("gpu-%d", i), Count: 1, Model: g.model, Cells: g.cells, UsedPercent: g.used, Parts: g.parts})
	}
	return out
}

// simulate lets the pods arrive one by one. The scheduler "plimsoll" packs, the
// others spread, one of them over some candidates only.
func simulate(scheduler string, nodes []*node, pods []*pod, seed uint64) placement.SchedulerResult {
	random := rand.New(rand.NewPCG(seed, seed))
	gpus := 0
	for _, n := range nodes {
		gpus += len(n.gpus)
	}
	var out placement.SchedulerResult
	var placed []placement.Pod
	trace := &placement.Trace{GPUs: gpus, UnallocatedPercent: map[string]float64{}, Seconds: 213.4}
	asked := 0.0
	for i, p := range pods {
		asked += float64(p.gpus) * p.share / 100
		if p.profile != "" {
			cells, _ := profiles(p.profile)
			asked += float64(cells) / 8
		}
		n := choose(scheduler, nodes, p, random)
		placed = append(placed, outcome(p, n, len(nodes)))
		if n == nil && p.gpus > 1 && asked < 0.9*float64(gpus) {
			trace.MultiGPURejectedBefore90++
		}
		if len(pods) > 1000 && i%40 > 0 && i+1 < len(pods) {
			continue
		}
		point := look(nodes, i+1, ratio(asked, float64(gpus)))
		if p := point.AskedGPUPercent; p <= 100 {
			trace.UnallocatedPercent["100"] = 100 - point.GPUPercent
		}
		trace.UnallocatedPercent["130"] = 100 - point.GPUPercent
		out.Series = append(out.Series, point)
	}
	for _, n := range nodes {
		out.Nodes = append(out.Nodes, n.result())
		if n.pods > 0 {
			trace.NodesTouched++
		}
	}
	out.Result = *placement.New(scheduler, placed, len(nodes), nil)
	if pods[0].namespace == "openb" {
		out.Trace = trace
	}
	return out
}

func choose(scheduler string, nodes []*node, p *pod, random *rand.Rand) *node {
	pack := scheduler != "default"
	var best *node
	var parts map[int]placement.Part
	lowest := math.Inf(1)
	// Of many nodes the first that can take it are enough, as upstream does it;
	// who packs always begins at the same node.
	begin, left := 0, 50
	if !pack {
		begin = random.IntN(len(nodes))
	}
	for i := range nodes {
		n := nodes[(begin+i)%len(nodes)]
		if p.cpu > n.cpu.Allocatable-n.cpu.Used || p.gpus > len(n.gpus) || p.share > n.most {
			continue
		}
		r, ok := n.room(p, pack)
		if !ok {
			continue
		}
		if left--; left < 0 {
			break
		}
		cost := n.cost(p, pack) + 1e-6*random.Float64()
		if scheduler == "MostAllocated" {
			cost += 0.4 * random.Float64()
		}
		if cost < lowest {
			best, parts, lowest = n, r, cost
		}
	}
	if best != nil {
		best.take(p, parts)
	}
	return best
}

func outcome(p *pod, n *node, nodes int) placement.Pod {
	out := placement.Pod{Namespace: p.namespace, Name: p.name, Phase: "Pending"}
	switch {
	case n != nil:
		out.Phase, out.Node, out.Zone, out.Arch = "Running", n.name, n.zone, n.arch
	case p.arch == "riscv64":
		out.Reasons = []verdict.Reason{{Plugin: "ArchAware", Code: verdict.ImageLacksPlatform, Message: fmt.Sprintf(`%d node(s) run linux/amd64, but image "docker.io/arm64v8/redis:7" has only linux/arm64`, nodes-2)}}
	case p.profile != "" || p.gpus > 0:
		what := p.profile
		if what == "" {
			what = fmt.Sprintf("%d × %.0f %%", p.gpus, p.share)
		}
		cpu := int(p.cpu/1000) + 2
		out.Reasons = []verdict.Reason{
			{Plugin: "GPUSlice", Code: verdict.DevicesTaken, Message: fmt.Sprintf("%d node(s) have no device left for %s", nodes-cpu, what)},
			{Plugin: "NodeResourcesFit", Message: fmt.Sprintf("%d Insufficient cpu", cpu)}}
	default:
		out.Reasons = []verdict.Reason{{Plugin: "NodeResourcesFit", Message: fmt.Sprintf("%d Insufficient cpu", nodes)}}
	}
	return out
}

// look measures the cluster after an arrival.
func look(nodes []*node, arrived int, asked float64) placement.Point {
	var cpu, memory placement.Amount
	p := placement.Point{Arrived: arrived, AskedGPUPercent: asked}
	gpus, used, torn := 0.0, 0.0, 0.0
	for _, n := range nodes {
		cpu.Used, cpu.Allocatable = cpu.Used+n.cpu.Used, cpu.Allocatable+n.cpu.Allocatable
		memory.Used, memory.Allocatable = memory.Used+n.memory.Used, memory.Allocatable+n.memory.Allocatable
		p.Placed += n.pods
		if n.pods > 0 {
			p.NodesInUse++
		}
		for _, g := range n.gpus {
			gpus++
			used += g.used
			if g.used > 0 {
				torn += 100 - g.used
			}
		}
	}
	p.CPUPercent = ratio(float64(cpu.Used), float64(cpu.Allocatable))
	p.MemoryPercent = ratio(float64(memory.Used), float64(memory.Allocatable))
	p.GPUPercent, p.FragmentedGPUPercent = ratio(used, 100*gpus), ratio(torn, 100*gpus)
	return p
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return 100 * a / b
}
