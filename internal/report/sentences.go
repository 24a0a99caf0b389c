package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// nan stands for a value that a run does not have.
var nan = math.NaN()

// sentences say the differences in words, the one that matters most apart.
func sentences(runs []run) (headline string, others []string) {
	if len(runs) == 0 {
		return "Nothing was simulated.", nil
	}
	var all []string
	first := &runs[0]
	for _, asked := range askedLevels(runs) {
		if s := compared(runs, "leaves", " of the GPUs idle when "+asked+nbsp+"% had been asked for", func(r *run) string {
			if v := r.unallocated(asked); !math.IsNaN(v) {
				return percent(v)
			}
			return ""
		}); s != "" {
			all = append(all, s)
		}
	}
	if first.Summary.Pods == 0 {
		all = append(all, "No pods were to be scheduled.")
	} else {
		all = append(all, podSentence(runs))
	}
	if slices.ContainsFunc(runs, func(r run) bool { return r.Summary.Preempted > 0 }) {
		all = append(all, compared(runs, "preempts", " of the pods that it had placed or found running", func(r *run) string { return count(r.Summary.Preempted) }))
	}
	if first.Summary.Nodes == 0 {
		all = append(all, "The cluster has no nodes.")
	}
	if s := compared(runs, "strands", " of the GPU room on GPUs that are partly taken", func(r *run) string {
		if v := r.gpuFragmented(); !math.IsNaN(v) {
			return percent(v)
		}
		return ""
	}); s != "" && first.Summary.Pods > 0 {
		all = append(all, s)
	}
	return all[0], all[1:]
}

// podSentence says how many pods run, and how many nodes are in use then: pods that ran
// before are on some of them.
func podSentence(runs []run) string {
	first := &runs[0].Summary
	pods := " of " + counted(first.Pods, "pod")
	running := func(r *run) string { return count(r.Summary.Running) }
	used := func(r *run) string { return count(r.Summary.NodesInUse) }
	nodes := func(r *run) string { return used(r) + " of " + counted(first.Nodes, "node") + " in use" }
	if len(runs) == 1 && first.Running == first.Pods && first.Pods > 1 {
		return fmt.Sprintf("%s runs all %s, with %s.", runs[0].Name, counted(first.Pods, "pod"), nodes(&runs[0]))
	}
	samePods, sameNodes := same(runs, running), same(runs, used)
	switch {
	case samePods && sameNodes:
		return compared(runs, "runs", fmt.Sprintf("%s, with %s", pods, nodes(&runs[0])), running)
	case samePods:
		s := fmt.Sprintf("%s run %s%s: %s with %s", everyone(len(runs)), running(&runs[0]), pods, runs[0].Name, nodes(&runs[0]))
		for i := 1; i < len(runs); i++ {
			s += fmt.Sprintf(", %s with %s", runs[i].Name, used(&runs[i]))
		}
		return s + "."
	}
	s := fmt.Sprintf("%s runs %s%s with %s", runs[0].Name, running(&runs[0]), pods, nodes(&runs[0]))
	for i := 1; i < len(runs); i++ {
		s += fmt.Sprintf(", %s %s with %s", runs[i].Name, running(&runs[i]), used(&runs[i]))
	}
	return s + "."
}

func same(runs []run, text func(*run) string) bool {
	for i := range runs {
		if text(&runs[i]) != text(&runs[0]) {
			return false
		}
	}
	return true
}

func everyone(n int) string {
	if n == 2 {
		return "Both"
	}
	return "All"
}

// compared makes "A leaves 4.3 % of the GPUs idle; default 12.1 %." of what the
// runs have, and "Both ..." where that is the same. Empty texts are left out.
func compared(runs []run, verb, rest string, text func(*run) string) string {
	var names, texts []string
	same := true
	for i := range runs {
		if t := text(&runs[i]); t != "" {
			names, texts = append(names, runs[i].Name), append(texts, t)
			same = same && t == texts[0]
		}
	}
	if len(names) == 0 {
		return ""
	}
	if same && len(names) > 1 {
		return fmt.Sprintf("%s %s %s%s.", everyone(len(names)), plural(verb), texts[0], rest)
	}
	s := fmt.Sprintf("%s %s %s%s", names[0], verb, texts[0], rest)
	for i := 1; i < len(names); i++ {
		s += fmt.Sprintf(", %s %s", names[i], texts[i])
	}
	return s + "."
}

// plural is the verb after "both".
func plural(verb string) string { return strings.TrimSuffix(verb, "s") }
