package share

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Whole is one GPU in the unit of this package, thousandths of a GPU.
const Whole = 1000

// Node is what the model needs to know of a node. The caller owns it; the model
// only reads it.
type Node struct {
	Model Model
	// IdleCPUMilli of the node's CPUMilli thousandths of a core are free.
	IdleCPUMilli, CPUMilli int64
	// GPUs holds what is idle of each GPU, in thousandths; Whole is a GPU that
	// nothing runs on. Amounts outside 0..Whole are read as the nearer end.
	GPUs []int64
}

// Task is what a pod asks for. Negative amounts are read as zero, and without
// GPUs or GPUMilli it is a task for the CPU only.
type Task struct {
	CPUMilli int64
	// GPUMilli is asked of each of the GPUs, in thousandths: Whole for a whole
	// GPU, less for a share.
	GPUMilli int64
	GPUs     int
	// Models are the GPU models the task accepts; nil accepts any.
	Models []Model
}

// ask is a Task with the forms that mean the same made one.
type ask struct {
	cpu, gpu int64
	gpus     int
}

func (t *Task) ask() ask {
	a := ask{cpu: max(t.CPUMilli, 0), gpu: max(t.GPUMilli, 0), gpus: max(t.GPUs, 0)}
	if a.gpu == 0 || a.gpus == 0 {
		a.gpu, a.gpus = 0, 0
	}
	return a
}

// total is the GPU asked in all, in thousandths.
func (a ask) total() int64 {
	if a.gpus > 0 && a.gpu > math.MaxInt64/int64(a.gpus) {
		return math.MaxInt64
	}
	return a.gpu * int64(a.gpus)
}

// accepts tells whether the task may run on GPUs of the model. Tasks for the
// CPU only may run anywhere.
func (t *Task) accepts(m Model) bool {
	return len(t.Models) == 0 || slices.Contains(t.Models, m)
}

// idle is what can be used of a GPU with the given idle amount.
func idle(milli int64) int64 { return min(max(milli, 0), Whole) }

// Fits tells whether the node can run the task now.
func (n *Node) Fits(t *Task) bool {
	a := t.ask()
	if a.cpu > max(n.IdleCPUMilli, 0) {
		return false
	}
	if a.gpus == 0 {
		return true
	}
	if !t.accepts(n.Model) {
		return false
	}
	fitting := 0
	for _, g := range n.GPUs {
		if idle(g) >= a.gpu {
			fitting++
		}
	}
	return fitting >= a.gpus
}

// idleGPU is what is idle of all GPUs together, in thousandths.
func (n *Node) idleGPU() (sum int64) {
	for _, g := range n.GPUs {
		sum += idle(g)
	}
	return sum
}

// String draws the node's GPUs, a tenth in use to a filled cell, and its cores.
func (n *Node) String() string {
	var b strings.Builder
	for _, g := range n.GPUs {
		used := int(Whole-idle(g)+99) / 100
		fmt.Fprintf(&b, "[%s%s] ", strings.Repeat("█", used), strings.Repeat("░", 10-used))
	}
	fmt.Fprintf(&b, "%.1f of %.1f cores idle", float64(n.IdleCPUMilli)/1000, float64(n.CPUMilli)/1000)
	return b.String()
}

// String says what the task asks for.
func (t *Task) String() string {
	a := t.ask()
	s := fmt.Sprintf("%.1f cores", float64(a.cpu)/1000)
	if a.gpus > 0 {
		s += fmt.Sprintf(" %d×%.3f GPU", a.gpus, float64(a.gpu)/Whole)
	}
	if len(t.Models) > 0 {
		s += fmt.Sprintf(" of %v", t.Models)
	}
	return s
}
