package replay

import (
	"fmt"
	"slices"
	"strconv"

	"plimsoll.dev/scheduler/internal/openb"
	"plimsoll.dev/scheduler/internal/placement"
)

// nodeArch is what openb.Node.Objects says of every node.
const nodeArch = "amd64"

// tally is what pods take of the nodes of a trace: per node, and in sum.
type tally struct {
	nodes []openb.Node
	index map[string]int
	// devices are the names of a node's GPUs, of which smaller nodes have the first.
	devices []string
	used    []usage

	capacity, sum amounts
	// fragmented is what is idle on GPUs that are partly taken, in thousandths.
	fragmented int64
	// inUse is how many nodes carry a pod, and touched how many ever did.
	inUse, touched int
}

// amounts are thousandths of a core, MiB and thousandths of a GPU.
type amounts struct{ cpu, memory, gpu int64 }

// usage is what is taken of one node.
type usage struct {
	amounts
	gpus    []int64 // thousandths, by GPU
	tenants []*tenant
	touched bool
}

func newTally(nodes []openb.Node) *tally {
	t := &tally{nodes: nodes, index: map[string]int{}, used: make([]usage, len(nodes))}
	for i := range nodes {
		n := &nodes[i]
		t.index[n.Name] = i
		t.used[i].gpus = make([]int64, n.GPUs)
		t.capacity.cpu += n.CPUMilli
		t.capacity.memory += n.MemoryMiB
		t.capacity.gpu += int64(n.GPUs) * openb.Whole
		if _, published := n.Objects(); n.GPUs > len(t.devices) {
			t.devices = t.devices[:0]
			for g := range published.Spec.Devices {
				t.devices = append(t.devices, published.Spec.Devices[g].Name)
			}
		}
	}
	return t
}

// gpusOf are the GPUs that the last pod was bound with on a node, by index.
func (t *tally) gpusOf(node int, l *ledger) ([]int, error) {
	if l.err != nil || len(l.devices) == 0 {
		return nil, l.err
	}
	n := &t.nodes[node]
	out := make([]int, len(l.devices))
	for i, device := range l.devices {
		out[i] = slices.Index(t.devices[:n.GPUs], device.Device)
		if device.Pool != n.Name || out[i] < 0 {
			return nil, fmt.Errorf("device %s of pool %s is none of the node's", device.Device, device.Pool)
		}
	}
	slices.Sort(out)
	return out, nil
}

// change adds a tenant, or with sign -1 takes it away.
func (t *tally) change(who *tenant, sign int64) {
	u, p := &t.used[who.node], who.pod
	for _, sum := range []*amounts{&t.sum, &u.amounts} {
		sum.cpu += sign * p.CPUMilli
		sum.memory += sign * p.MemoryMiB
		sum.gpu += sign * p.Asks()
	}
	for _, gpu := range who.gpus {
		t.fragmented -= fragment(u.gpus[gpu])
		u.gpus[gpu] += sign * p.GPUMilli
		t.fragmented += fragment(u.gpus[gpu])
	}
	switch {
	case sign > 0:
		if u.tenants = append(u.tenants, who); len(u.tenants) == 1 {
			t.inUse++
		}
		if !u.touched {
			u.touched = true
			t.touched++
		}
	default:
		at := slices.Index(u.tenants, who)
		if u.tenants = slices.Delete(u.tenants, at, at+1); len(u.tenants) == 0 {
			t.inUse--
		}
	}
}

// fragment is what is idle of a GPU that is partly taken.
func fragment(used int64) int64 {
	if used == 0 {
		return 0
	}
	return openb.Whole - used
}

// idlePercent is the share of the GPUs that nobody has.
func (t *tally) idlePercent() float64 { return 100 - percent(t.sum.gpu, t.capacity.gpu) }

// percent is 0 of nothing.
func percent(part, all int64) float64 {
	if all == 0 {
		return 0
	}
	return 100 * float64(part) / float64(all)
}

// point is the cluster now, after so many pods, which asked for so many thousandths
// of a GPU.
func (t *tally) point(arrived, placed int, asked int64) placement.Point {
	return placement.Point{
		Arrived: arrived, Placed: placed, AskedGPUPercent: percent(asked, t.capacity.gpu),
		CPUPercent: percent(t.sum.cpu, t.capacity.cpu), MemoryPercent: percent(t.sum.memory, t.capacity.memory),
		GPUPercent: percent(t.sum.gpu, t.capacity.gpu), FragmentedGPUPercent: percent(t.fragmented, t.capacity.gpu),
		NodesInUse: t.inUse,
	}
}

// list is every node as it is now, in their order.
func (t *tally) list() []placement.Node {
	out := make([]placement.Node, len(t.nodes))
	for i := range t.nodes {
		n, u := &t.nodes[i], &t.used[i]
		out[i] = placement.Node{
			Name: n.Name, Arch: nodeArch, Pool: n.Model, Pods: len(u.tenants),
			CPU:    placement.Amount{Used: u.cpu, Allocatable: n.CPUMilli},
			Memory: placement.Amount{Used: u.memory << 20, Allocatable: n.MemoryMiB << 20},
			GPUs:   make([]placement.GPU, n.GPUs),
		}
		for g := range out[i].GPUs {
			out[i].GPUs[g] = placement.GPU{Name: t.devices[g], Count: 1, Model: n.Model, UsedPercent: percent(u.gpus[g], openb.Whole), Parts: []placement.Part{}}
		}
		for _, who := range u.tenants {
			for _, g := range who.gpus {
				gpu := &out[i].GPUs[g]
				gpu.Parts = append(gpu.Parts, who.part())
			}
		}
	}
	return out
}

// part is what a tenant takes of one of its GPUs.
func (t *tenant) part() placement.Part {
	share := percent(t.pod.GPUMilli, openb.Whole)
	label := "whole"
	if t.pod.GPUMilli < openb.Whole {
		label = strconv.FormatFloat(share, 'f', -1, 64) + " %"
	}
	return placement.Part{Label: label, Percent: share, Pod: openb.Namespace + "/" + t.name}
}
