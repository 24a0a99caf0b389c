package placement

// Simulation is what one or several schedulers made of the same input. Its JSON
// form is a stable contract, as that of Result.
type Simulation struct {
	SchemaVersion int `json:"schemaVersion"`
	// Source says in words what was simulated: files, a cluster, a trace.
	Source string `json:"source"`
	// Engine is what ran the schedulers: "control-plane" or "memory".
	Engine string `json:"engine"`
	// Seed decides among nodes that score alike, and in which order a trace arrives. It
	// is left out of what a control plane did, which chooses among nodes at random.
	Seed uint64 `json:"seed"`
	// Notes say, one line each, what of the input was left out or stands for
	// something else.
	Notes []string `json:"notes"`
	// Results holds one per scheduler, in the order in which they ran.
	Results []SchedulerResult `json:"results"`
}

// SeedDecides tells whether the seed has a say: in memory, where traces are replayed
// as well.
func (s *Simulation) SeedDecides() bool { return s.Engine == "memory" }

// SchedulerResult is what one scheduler did: the fields of Result, how the cluster
// filled meanwhile, and how it looks at the end.
type SchedulerResult struct {
	Result `json:",inline"`
	Series []Point `json:"series"`
	Nodes  []Node  `json:"nodes"`
	// Trace is there only if a trace was replayed.
	Trace *Trace `json:"trace,omitempty"`
}

// Point is the cluster at a moment, all nodes together. Percent are of what the
// nodes have, 0 to 100.
type Point struct {
	// Arrived and Placed count pods so far; those that ran before are in neither, and
	// those that were preempted since are not placed.
	Arrived int `json:"arrived"`
	Placed  int `json:"placed"`
	// AskedGPUPercent is what the pods that arrived asked for of GPUs. It may be
	// over 100.
	AskedGPUPercent float64 `json:"askedGPUPercent"`
	CPUPercent      float64 `json:"cpuPercent"`
	MemoryPercent   float64 `json:"memoryPercent"`
	GPUPercent      float64 `json:"gpuPercent"`
	// FragmentedGPUPercent is what is idle on GPUs that are partly taken.
	FragmentedGPUPercent float64 `json:"fragmentedGPUPercent"`
	// NodesInUse is how many nodes carry a pod that is not a DaemonSet's or the node's own.
	NodesInUse int `json:"nodesInUse"`
}

// Node is a node at the end.
type Node struct {
	Name string `json:"name"`
	// Zone, Arch and Pool are empty if its labels do not tell.
	Zone string `json:"zone"`
	Arch string `json:"arch"`
	Pool string `json:"pool"`
	// Pods is how many it carries, without those of DaemonSets and of the node itself.
	Pods int `json:"pods"`
	// CPU is in thousandths of a core, Memory in bytes.
	CPU    Amount `json:"cpu"`
	Memory Amount `json:"memory"`
	// TargetPercent is the line that the profile fills it to; 0 if it has none.
	TargetPercent float64 `json:"targetPercent"`
	GPUs          []GPU   `json:"gpus"`
}

// Amount is what there is of a resource and what of it is requested.
type Amount struct {
	Used        int64 `json:"used"`
	Allocatable int64 `json:"allocatable"`
}

// GPU is a GPU at the end, or all units of a resource that a device plugin counts, of
// which several make a GPU, or which are too many to list.
type GPU struct {
	Name string `json:"name"`
	// Units is the resource whose units it stands for, and which of them are on one GPU
	// nobody knows; empty for a GPU.
	Units string `json:"units,omitempty"`
	// Count is how many GPUs it is: 1, or what the units make together.
	Count float64 `json:"count"`
	// Model is empty if nothing tells it.
	Model string `json:"model"`
	// Cells is how many memory slices it can be cut into; 0 if it is taken whole or
	// shared by amounts.
	Cells int `json:"cells"`
	// UsedPercent is what is taken of it, 0 to 100.
	UsedPercent float64 `json:"usedPercent"`
	Parts       []Part  `json:"parts"`
}

// Part is what one device or claim takes of a GPU.
type Part struct {
	// Label says what it is: a MIG profile such as 3g.40gb, "60 %", "whole".
	Label string `json:"label"`
	// Start and Cells are its place on the grid; both 0 without a grid.
	Start int `json:"start"`
	Cells int `json:"cells"`
	// Percent is its share of the GPU, 0 to 100.
	Percent float64 `json:"percent"`
	// Pod is namespace/name, empty if unknown.
	Pod string `json:"pod"`
}

// Trace is what came of a trace.
type Trace struct {
	GPUs int `json:"gpus"`
	// UnallocatedPercent is the share of the GPUs that nobody had, by how much of
	// all GPUs had been asked for, in percent: "100", "130".
	UnallocatedPercent map[string]float64 `json:"unallocatedPercent"`
	NodesTouched       int                `json:"nodesTouched"`
	// MultiGPURejectedBefore90 counts pods for several GPUs that were rejected
	// before 90 % of the GPUs had been asked for.
	MultiGPURejectedBefore90 int     `json:"multiGPURejectedBefore90"`
	Seconds                  float64 `json:"seconds"`
}
