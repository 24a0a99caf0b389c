package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"plimsoll.dev/scheduler/internal/placement"
)

// ours is the scheduler that the others are compared with, if it ran.
const ours = "plimsoll"

// looks is how many schedulers have a colour and a dash of their own.
const looks = 4

// scheduler is how a scheduler appears: its name, and the class that gives its
// colour and its dash.
type scheduler struct{ Name, Class string }

// run is one scheduler's result with what the page needs of it more than once.
type run struct {
	scheduler
	*placement.SchedulerResult
	byName map[string]*placement.Node
	total  totals
}

// totals are of all nodes together.
type totals struct {
	cpu, memory placement.Amount
	// drawn is how many pictures of GPUs there are, and units how many of them are of
	// units that a device plugin counts.
	drawn, units int
}

// newRuns puts our scheduler first, wherever it ran; the others follow in the
// order in which they ran.
func newRuns(results []placement.SchedulerResult) []run {
	runs := make([]run, len(results))
	for i := range results {
		r := &results[i]
		runs[i] = run{SchedulerResult: r, byName: make(map[string]*placement.Node, len(r.Nodes))}
		for j := range r.Nodes {
			runs[i].add(&r.Nodes[j])
		}
	}
	slices.SortStableFunc(runs, func(a, b run) int {
		switch {
		case a.Scheduler == ours && b.Scheduler != ours:
			return -1
		case a.Scheduler != ours && b.Scheduler == ours:
			return 1
		}
		return 0
	})
	// Without ours, the first look stays free: its colour means us.
	shift := 1
	if len(runs) > 0 && runs[0].Scheduler == ours {
		shift = 0
	}
	for i := range runs {
		runs[i].scheduler = scheduler{schedulerName(runs[i].Scheduler), fmt.Sprintf("s%d", (i+shift)%looks)}
	}
	return runs
}

// served is how many pods more run than before: to run one for which two had to go
// is no gain.
func (r *run) served() int { return r.Summary.Running - r.Summary.Preempted }

func (r *run) add(n *placement.Node) {
	r.byName[n.Name] = n
	t := &r.total
	t.cpu.Used += n.CPU.Used
	t.cpu.Allocatable += n.CPU.Allocatable
	t.memory.Used += n.Memory.Used
	t.memory.Allocatable += n.Memory.Allocatable
	t.drawn += len(n.GPUs)
	for i := range n.GPUs {
		if n.GPUs[i].Units != "" {
			t.units++
		}
	}
}

// ofGPUs is a share of all GPUs at the end, which only the series tells: of units that
// a device plugin counts nobody knows on which GPU they are.
func (r *run) ofGPUs(percent func(*placement.Point) float64) float64 {
	if len(r.Series) == 0 || r.total.drawn == 0 {
		return nan
	}
	return share(percent(&r.Series[len(r.Series)-1]))
}

func (r *run) gpuTaken() float64 {
	return r.ofGPUs(func(p *placement.Point) float64 { return p.GPUPercent })
}

func (r *run) gpuFragmented() float64 {
	if r.total.units == r.total.drawn {
		return nan // not a GPU of which it is known
	}
	return r.ofGPUs(func(p *placement.Point) float64 { return p.FragmentedGPUPercent })
}

// gpuNumber is a number of GPUs to print: part of one is one.
func gpuNumber(all float64) int { return int(math.Ceil(all - 1e-9)) }

// gpuCount is how many GPUs a picture stands for.
func gpuCount(g *placement.GPU) float64 {
	if g.Count > 0 && !math.IsInf(g.Count, 1) {
		return g.Count
	}
	return 1
}

func schedulerName(name string) string {
	switch name {
	case ours:
		return "Plimsoll"
	case "":
		return "scheduler"
	}
	return name
}

func schedulers(runs []run) []scheduler {
	var all []scheduler
	for i := range runs {
		all = append(all, runs[i].scheduler)
	}
	return all
}

// nbsp keeps a number and its unit on one line.
const nbsp = "\u00a0"

// percent writes p with one decimal: "4.3 %".
func percent(p float64) string { return decimal(p) + nbsp + "%" }

// decimal writes v with one decimal, and a dash for what is no number.
func decimal(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}

// count writes n with commas between thousands.
func count(n int) string {
	digits := strconv.Itoa(n)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	var parts []string
	for len(digits) > 3 {
		parts = append([]string{digits[len(digits)-3:]}, parts...)
		digits = digits[:len(digits)-3]
	}
	return sign + strings.Join(append([]string{digits}, parts...), ",")
}

// counted writes n and its noun: "1 node", "2 nodes".
func counted(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + one + "s"
}

// share is p as something that can be drawn: 0 to 100.
func share(p float64) float64 {
	if math.IsNaN(p) {
		return 0
	}
	return min(max(p, 0), 100)
}

// ratio is a in percent of b; 0 without a b.
func ratio(a, b float64) float64 {
	if b <= 0 {
		return 0
	}
	return 100 * a / b
}

func filled(a placement.Amount) float64 { return ratio(float64(a.Used), float64(a.Allocatable)) }
