package placement

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"sigs.k8s.io/yaml"
)

// mostRows is how many pods a table lists; of more, only those that do not run are.
const mostRows = 60

// Print writes the simulation in one of the Formats.
func (s *Simulation) Print(w io.Writer, format string) error {
	switch format {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(s)
	case "yaml":
		text, err := yaml.Marshal(s)
		if err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	case "table":
		return s.printTable(w)
	}
	return CheckFormat(format)
}

func (s *Simulation) printTable(w io.Writer) error {
	for i := range s.Results {
		r := &s.Results[i]
		if r.Trace != nil {
			continue // pods of a trace are too many, and nobody knows them
		}
		if len(s.Results) > 1 {
			fmt.Fprintf(w, "=== %s\n\n", r.Scheduler)
		}
		if err := r.printPods(w); err != nil {
			return err
		}
	}
	if err := s.printFigures(w); err != nil {
		return err
	}
	if s.Results[0].Trace != nil {
		if err := s.printTrace(w); err != nil {
			return err
		}
	}
	fmt.Fprintf(w, "\n%s; engine: %s", s.Source, s.Engine)
	if s.SeedDecides() {
		fmt.Fprintf(w, "; seed %d", s.Seed)
	}
	fmt.Fprintln(w)
	for _, note := range s.Notes {
		if _, err := fmt.Fprintf(w, "note: %s\n", note); err != nil {
			return err
		}
	}
	return nil
}

// printPods lists the pods; if there are many, only those without a place and those
// that were preempted.
func (r *SchedulerResult) printPods(w io.Writer) error {
	switch {
	case len(r.Pods) == 0:
		_, err := fmt.Fprint(w, "no pod waits for a node\n")
		return err
	case len(r.Pods) <= mostRows:
		return r.printTable(w)
	}
	short := r.Result
	short.Pods = slices.DeleteFunc(slices.Clone(r.Pods), func(p Pod) bool { return p.Node != "" })
	slices.SortStableFunc(short.Pods, func(a, b Pod) int { return rank(&a) - rank(&b) })
	short.Pods = short.Pods[:min(len(short.Pods), mostRows)]
	if err := short.printTable(w); err != nil {
		return err
	}
	which := "those without a place"
	if r.Summary.Preempted > 0 {
		which = "first those without a place, then those that were preempted"
	}
	_, err := fmt.Fprintf(w, "%d of %d pods are listed, %s; -o json has all\n", len(short.Pods), len(r.Pods), which)
	return err
}

// rank is 1 for pods that were preempted, which come last.
func rank(p *Pod) int {
	if p.Phase == Preempted {
		return 1
	}
	return 0
}

// printFigures compares the schedulers in a line each.
func (s *Simulation) printFigures(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "\nSCHEDULER\tRUNNING\tPENDING\tPREEMPTED\tNODES IN USE\tCPU\tMEMORY\tGPU\tGPU IN PIECES")
	for i := range s.Results {
		r := &s.Results[i]
		last := Point{}
		if len(r.Series) > 0 {
			last = r.Series[len(r.Series)-1]
		}
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d of %d\t%.1f%%\t%.1f%%\t%s\t%s\n", r.Scheduler, r.Summary.Running, r.Summary.Pending, r.Summary.Preempted,
			r.Summary.NodesInUse, r.Summary.Nodes, last.CPUPercent, last.MemoryPercent, r.ofGPUs(last.GPUPercent), r.ofGPUs(last.FragmentedGPUPercent))
	}
	return tw.Flush()
}

// ofGPUs is a dash if there are no GPUs.
func (r *SchedulerResult) ofGPUs(percent float64) string {
	if r.Trace == nil && !slices.ContainsFunc(r.Nodes, func(n Node) bool { return len(n.GPUs) > 0 }) {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", percent)
}

func (s *Simulation) printTrace(w io.Writer) error {
	levels := slices.SortedFunc(maps.Keys(s.Results[0].Trace.UnallocatedPercent), func(a, b string) int {
		x, _ := strconv.Atoi(a) // ours are numbers
		y, _ := strconv.Atoi(b)
		return x - y
	})
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "\nSCHEDULER\tGPUS\tLEFT AT %s%%\tNODES TOUCHED\tMULTI-GPU PODS REJECTED EARLY\tSECONDS\n", strings.Join(levels, "%\tLEFT AT "))
	for i := range s.Results {
		r, t := &s.Results[i], s.Results[i].Trace
		fmt.Fprintf(tw, "%s\t%d", r.Scheduler, t.GPUs)
		for _, level := range levels {
			fmt.Fprintf(tw, "\t%.2f%%", t.UnallocatedPercent[level])
		}
		fmt.Fprintf(tw, "\t%d\t%d\t%.0f\n", t.NodesTouched, t.MultiGPURejectedBefore90, t.Seconds)
	}
	return tw.Flush()
}
