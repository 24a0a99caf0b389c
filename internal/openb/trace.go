package openb

import (
	_ "embed" // of the two lists
	"strings"
)

// Whole is a GPU in thousandths of it.
const Whole = 1000

// Node is a machine of the trace.
type Node struct {
	Name      string
	CPUMilli  int64 // thousandths of a core
	MemoryMiB int64
	GPUs      int
	// Model of the GPUs; empty only on a node without.
	Model string
}

// Pod is a task of the trace.
type Pod struct {
	Name      string
	CPUMilli  int64 // thousandths of a core
	MemoryMiB int64
	// GPUs is how many GPUs it uses, and GPUMilli how much of each in thousandths:
	// all of it, unless there is only one.
	GPUs     int
	GPUMilli int64
	// Models are the GPU models that will do; empty for any.
	Models []string
}

// Asks is what a pod asks for of all its GPUs together, in thousandths of a GPU.
func (p *Pod) Asks() int64 { return int64(p.GPUs) * p.GPUMilli }

// Capacity is what the nodes have of GPUs, in thousandths of a GPU.
func Capacity(nodes []Node) (milli int64) {
	for i := range nodes {
		milli += int64(nodes[i].GPUs) * Whole
	}
	return milli
}

const (
	nodeList = "openb_node_list_gpu_node.csv"
	podList  = "openb_pod_list_default.csv"
)

//go:embed data/openb_node_list_gpu_node.csv
var nodeCSV string

//go:embed data/openb_pod_list_default.csv
var podCSV string

// Nodes returns the trace's 1,213 nodes with GPUs: 6,212 GPUs of seven models. The
// error is that of ReadNodes.
func Nodes() ([]Node, error) { return ReadNodes(nodeList, strings.NewReader(nodeCSV)) }

// Pods returns the trace's default list of 8,152 pods, which together ask for 98 %
// of the GPUs of Nodes. The error is that of ReadPods.
func Pods() ([]Pod, error) { return ReadPods(podList, strings.NewReader(podCSV)) }

// Scaled returns every n-th node and every n-th pod, n at least 1: a small cluster
// and a short list of much the same mix as the trace, which lists nodes of a kind
// side by side and pods as they came.
func Scaled(nodes []Node, pods []Pod, n int) ([]Node, []Pod) {
	return everyNth(nodes, n), everyNth(pods, n)
}

func everyNth[T any](all []T, n int) (out []T) {
	for i := 0; i < len(all); i += max(1, n) {
		out = append(out, all[i])
	}
	return out
}
