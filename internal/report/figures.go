package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"plimsoll.dev/scheduler/internal/placement"
)

// figure is one number that every scheduler reached.
type figure struct {
	Label string
	// Hint says in words how to read it.
	Hint   string
	Values []figureValue
}

type figureValue struct {
	By   scheduler
	Text string
	// Width is how long its bar is, in percent.
	Width string
	// Best is set if it is better than each of the others that are not equal.
	Best bool
	// Word is what being best is called among so many.
	Word string
}

// way is which of two values is the better one.
type way int

const (
	neither way = iota
	more
	less
)

// measure is a figure before its values are compared.
type measure struct {
	label, hint string
	better      way
	// of is what a value of count is part of; 0 if nothing.
	of int
	// fair is set if a scheduler that serves fewer pods cannot be the better one.
	fair  bool
	value func(*run) float64
	unit  unit
	// skip is set where there is nothing to say.
	skip bool
}

// unit is what a figure is counted in.
type unit int

const (
	inWhole unit = iota
	inPercent
	inSeconds
)

func (u unit) text(v float64) string {
	switch {
	case u == inPercent:
		return percent(v)
	case u == inWhole:
		return count(int(v))
	case v < 100:
		return decimal(v) + nbsp + "s"
	case v < 900:
		return fmt.Sprintf("%.0f%ss", v, nbsp)
	}
	return fmt.Sprintf("%.0f%smin", v/60, nbsp)
}

func figures(runs []run) []figure {
	if !slices.ContainsFunc(runs, func(r run) bool { return len(r.Nodes) > 0 || len(r.Pods) > 0 }) {
		return nil
	}
	first := &runs[0]
	noGPUs := !slices.ContainsFunc(runs, func(r run) bool { return r.total.drawn > 0 })
	noneGone := !slices.ContainsFunc(runs, func(r run) bool { return r.Summary.Preempted > 0 })
	pods, nodes := "of "+counted(first.Summary.Pods, "pod"), "of "+counted(first.Summary.Nodes, "node")
	measures := []measure{
		{label: "Pods running", hint: pods, better: more, fair: true, of: first.Summary.Pods, unit: inWhole, value: func(r *run) float64 { return float64(r.Summary.Running) }},
		{label: "Pods pending", hint: pods, better: less, fair: true, of: first.Summary.Pods, unit: inWhole, value: func(r *run) float64 { return float64(r.Summary.Pending) }},
		{label: "Pods preempted", hint: "that had to make room", better: less, fair: true, of: first.Summary.Pods, unit: inWhole, skip: noneGone, value: func(r *run) float64 { return float64(r.Summary.Preempted) }},
		{label: "Nodes in use", hint: nodes, better: less, fair: true, of: first.Summary.Nodes, unit: inWhole, value: func(r *run) float64 { return float64(r.Summary.NodesInUse) }},
		{label: "CPU requested", hint: "of all nodes", better: more, unit: inPercent, value: func(r *run) float64 { return filled(r.total.cpu) }},
		{label: "Memory requested", hint: "of all nodes", better: more, unit: inPercent, value: func(r *run) float64 { return filled(r.total.memory) }},
		{label: "GPU taken", hint: "of all GPUs", better: more, unit: inPercent, skip: noGPUs, value: (*run).gpuTaken},
		{label: "GPU fragmented", hint: "idle on GPUs that are partly taken", better: less, unit: inPercent, skip: noGPUs, value: (*run).gpuFragmented},
	}
	measures = append(measures, traceMeasures(runs)...)
	var out []figure
	for i := range measures {
		if !measures[i].skip {
			out = append(out, measures[i].figure(runs))
		}
	}
	return out
}

// traceMeasures are what only the replay of a trace tells.
func traceMeasures(runs []run) []measure {
	traced := slices.ContainsFunc(runs, func(r run) bool { return r.Trace != nil })
	if !traced {
		return nil
	}
	var out []measure
	for _, asked := range askedLevels(runs) {
		out = append(out, measure{label: "GPUs left at " + asked + nbsp + "%", hint: "when so much had been asked for", better: less, unit: inPercent,
			value: func(r *run) float64 { return r.unallocated(asked) }})
	}
	return append(out,
		measure{label: "Multi-GPU pods rejected", hint: "before 90" + nbsp + "% had been asked for", better: less, unit: inWhole,
			value: ofTrace(func(t *placement.Trace) float64 { return float64(t.MultiGPURejectedBefore90) })},
		measure{label: "Nodes touched", hint: "that carried a pod at some time", unit: inWhole, of: runs[0].Summary.Nodes,
			value: ofTrace(func(t *placement.Trace) float64 { return float64(t.NodesTouched) })},
		measure{label: "Time taken", hint: "by this simulation", unit: inSeconds,
			value: ofTrace(func(t *placement.Trace) float64 { return t.Seconds })})
}

// ofTrace is a value that runs without a trace do not have.
func ofTrace(value func(*placement.Trace) float64) func(*run) float64 {
	return func(r *run) float64 {
		if r.Trace == nil {
			return nan
		}
		return value(r.Trace)
	}
}

// askedLevels lists the levels at which all traces measured, lowest first.
func askedLevels(runs []run) []string {
	levels := map[string]bool{}
	for i := range runs {
		if runs[i].Trace != nil {
			for level := range runs[i].Trace.UnallocatedPercent {
				levels[level] = true
			}
		}
	}
	return slices.SortedFunc(maps.Keys(levels), func(a, b string) int {
		x, _ := strconv.ParseFloat(a, 64)
		y, _ := strconv.ParseFloat(b, 64)
		return cmp.Or(cmp.Compare(x, y), cmp.Compare(a, b))
	})
}

func (r *run) unallocated(asked string) float64 {
	if r.Trace == nil {
		return nan
	}
	if p, ok := r.Trace.UnallocatedPercent[asked]; ok {
		return p
	}
	return nan
}

func (m *measure) figure(runs []run) figure {
	values := make([]float64, len(runs))
	longest := float64(m.of)
	for i := range runs {
		values[i] = m.value(&runs[i])
		if longest < values[i] {
			longest = values[i]
		}
	}
	if m.unit == inPercent {
		longest = 100
	}
	word := "better"
	if len(runs) > 2 {
		word = "best"
	}
	f := figure{Label: m.label, Hint: m.hint}
	for i := range runs {
		v := figureValue{By: runs[i].scheduler, Text: "–", Width: "0"}
		if !math.IsNaN(values[i]) {
			v.Text = m.unit.text(values[i])
			v.Width = decimal(share(ratio(values[i], longest)))
			v.Best = m.best(runs, values, i)
			v.Word = word
		}
		f.Values = append(f.Values, v)
	}
	return f
}

// best tells whether value i beats one and is beaten by none, as far as they are
// printed: a difference that nobody can see is none.
func (m *measure) best(runs []run, values []float64, i int) bool {
	beats := false
	for j, v := range values {
		if math.IsNaN(v) || m.unit.text(v) == m.unit.text(values[i]) {
			continue
		}
		better := (m.better == more && v < values[i]) || (m.better == less && v > values[i])
		if better && (!m.fair || runs[i].served() >= runs[j].served()) {
			beats = true
		} else {
			return false
		}
	}
	return beats
}
