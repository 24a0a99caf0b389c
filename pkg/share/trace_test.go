package share

import (
	"fmt"
	"os"
	"path/filepath"

	"plimsoll.dev/scheduler/internal/openb"
)

// readTrace reads a list of pods of the openb trace from a folder. The default list
// and the nodes are shipped.
func readTrace(folder, list string) (*trace, error) {
	nodes, err := openb.Nodes()
	if err != nil {
		return nil, err
	}
	if list == lists[0] {
		pods, err := openb.Pods()
		return newTrace(nodes, pods), err
	}
	file := filepath.Join(folder, "openb_pod_list_"+list+".csv")
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	pods, err := openb.ReadPods(file, in)
	return newTrace(nodes, pods), err
}

func newTrace(nodes []openb.Node, pods []openb.Pod) *trace {
	var models Models
	tr := &trace{pods: pods}
	for i := range nodes {
		n := &nodes[i]
		node := Node{Model: models.Of(n.Model), CPUMilli: n.CPUMilli, IdleCPUMilli: n.CPUMilli, GPUs: make([]int64, n.GPUs)}
		for g := range node.GPUs {
			node.GPUs[g] = Whole
		}
		tr.nodes = append(tr.nodes, simNode{Node: node, memory: n.MemoryMiB})
	}
	for i := range pods {
		p := &pods[i]
		t := simTask{Task: Task{CPUMilli: p.CPUMilli, GPUs: p.GPUs, GPUMilli: p.GPUMilli}, memory: p.MemoryMiB}
		for _, name := range p.Models {
			t.Models = append(t.Models, models.Of(name))
		}
		tr.tasks = append(tr.tasks, t)
	}
	return tr
}

// kinds are the most frequent classes of the openb trace and all that want
// several GPUs: how many of 8152, milli-cores, GPUs, thousandths of each.
var kinds = [...][4]int64{
	{1047, 3152, 1, 810}, {874, 11300, 1, 1000}, {599, 11400, 1, 1000}, {470, 3152, 1, 1000}, {388, 11908, 1, 470},
	{366, 12500, 0, 0}, {360, 8000, 1, 470}, {326, 12000, 1, 1000}, {290, 32000, 0, 0}, {255, 18708, 1, 1000},
	{237, 11908, 1, 650}, {232, 4000, 1, 320}, {195, 9810, 1, 1000}, {185, 8000, 0, 0}, {164, 8000, 1, 1000},
	{159, 4000, 1, 1000}, {158, 15700, 1, 1000}, {153, 11908, 1, 1000}, {150, 16000, 1, 1000}, {122, 4000, 1, 230},
	{120, 6000, 1, 460}, {120, 15400, 0, 0}, {95, 16500, 0, 0}, {93, 14200, 1, 1000}, {84, 24200, 1, 1000},
	{75, 3152, 1, 590}, {72, 8000, 1, 320}, {72, 4152, 1, 550}, {54, 4000, 1, 160}, {45, 4152, 1, 370},
	{43, 4000, 1, 220}, {20, 6000, 1, 160}, {18, 88000, 8, 1000}, {18, 64200, 8, 1000}, {17, 16000, 2, 1000},
	{16, 32000, 4, 1000},
}

// machines are the kinds of GPU nodes of that trace: how many, milli-cores,
// GPUs, model.
var machines = [...][4]int64{
	{549, 96000, 8, 1}, {387, 104000, 2, 2}, {110, 16000, 2, 3}, {39, 128000, 8, 4}, {28, 32000, 4, 5},
	{22, 64000, 2, 3}, {21, 96000, 8, 6}, {19, 8000, 1, 5}, {17, 96000, 4, 2}, {9, 48000, 4, 6}, {8, 64000, 8, 5},
}

// syntheticTrace is a cluster of the openb trace's kinds of nodes, scaled down,
// and a list of its kinds of tasks. Memory is plenty.
func syntheticTrace(scale int64) *trace {
	var nodes []openb.Node
	for _, m := range machines {
		for range (m[0] + scale/2) / scale {
			nodes = append(nodes, openb.Node{CPUMilli: m[1], GPUs: int(m[2]), Model: fmt.Sprint(m[3])})
		}
	}
	var pods []openb.Pod
	for _, k := range kinds {
		for range (k[0] + scale - 1) / scale {
			pods = append(pods, openb.Pod{CPUMilli: k[1], GPUs: int(k[2]), GPUMilli: k[3]})
		}
	}
	return newTrace(nodes, pods)
}
