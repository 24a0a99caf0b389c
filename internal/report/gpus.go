package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"plimsoll.dev/scheduler/internal/placement"
)

// detailedGPUs is up to how many GPUs each is drawn with its parts' labels.
const detailedGPUs = 96

// hues is how many colours there are for profiles, pale for small ones to deep
// for large ones.
const hues = 8

// The classes of parts that are no profile, and of what is idle.
const (
	wholeClass = "w"
	shareClass = "sh"
)

// gpuFleet is the GPUs: by node if they are few, else by model.
type gpuFleet struct {
	GPUs   int
	Legend []legend
	// Nodes are there if the GPUs are few, Models if they are many.
	Nodes  []gpuNode
	Models []gpuModel
}

type legend struct{ Label, Class string }

// gpuNode is a node's GPUs, once per scheduler.
type gpuNode struct {
	Name, Model string
	Sides       []gpuSide
}

type gpuSide struct {
	By   scheduler
	GPUs []gpu
	// Summary and the stack are there for a model, the cells as well.
	Summary string
	Stack   []stacked
	Cells   []gpuCell
}

// gpu is a GPU drawn with its parts.
type gpu struct {
	Name, Used string
	// Cells is over how many columns its parts are laid; 0 if it has no grid.
	Cells int
	// Grid numbers the columns from 1, to draw what is idle.
	Grid  []int
	Parts []part
}

type part struct {
	// Label is whole, Short what fits into a narrow part.
	Label, Short, Class, Tip string
	// Start counts columns from 1; Width is in percent, without a grid.
	Start, Span int
	Width       string
}

// gpuModel is all GPUs of a model, once per scheduler, fullest first.
type gpuModel struct {
	Name  string
	GPUs  string
	Sides []gpuSide
	gpus  int
}

// stacked is a stretch of a model's bar.
type stacked struct {
	Class, Label, Width string
	Count               string
}

// gpuCell is a GPU as a small bar.
type gpuCell struct {
	Tip, Class string
	Used       int
}

func newGPUFleet(runs []run) gpuFleet {
	f := gpuFleet{}
	for i := range runs {
		f.GPUs = max(f.GPUs, runs[i].total.drawn)
	}
	if f.GPUs == 0 {
		return f
	}
	classes := profiles(runs)
	f.Legend = legends(runs, classes)
	if f.GPUs <= detailedGPUs {
		f.Nodes = gpuNodes(runs, classes)
	} else {
		f.Models = gpuModels(runs)
	}
	return f
}

// profiles gives every label on a grid its colour, small ones first.
func profiles(runs []run) map[string]string {
	cells := map[string]int{}
	eachGPU(runs, func(_ int, _ *placement.Node, g *placement.GPU) {
		for _, p := range g.Parts {
			if g.Cells > 0 && p.Cells > 0 {
				cells[p.Label] = max(cells[p.Label], p.Cells)
			}
		}
	})
	labels := make([]string, 0, len(cells))
	for label := range cells {
		labels = append(labels, label)
	}
	slices.SortFunc(labels, func(a, b string) int { return cmp.Or(cmp.Compare(cells[a], cells[b]), cmp.Compare(a, b)) })
	classes := make(map[string]string, len(labels))
	for i, label := range labels {
		hue := i
		if len(labels) > hues {
			hue = i * hues / len(labels)
		} else if len(labels) > 1 {
			// The few there are use the whole range.
			hue = i * (hues - 1) / (len(labels) - 1)
		}
		classes[label] = fmt.Sprintf("p%d", hue)
	}
	return classes
}

func eachGPU(runs []run, do func(run int, n *placement.Node, g *placement.GPU)) {
	for i := range runs {
		for j := range runs[i].Nodes {
			n := &runs[i].Nodes[j]
			for k := range n.GPUs {
				do(i, n, &n.GPUs[k])
			}
		}
	}
}

// legends lists the colours that occur.
func legends(runs []run, classes map[string]string) []legend {
	seen := map[string]bool{}
	eachGPU(runs, func(_ int, _ *placement.Node, g *placement.GPU) {
		for i := range g.Parts {
			if class := partClass(g, &g.Parts[i], classes); class == wholeClass || class == shareClass {
				seen[class] = true
			} else {
				seen[g.Parts[i].Label] = true
			}
		}
	})
	var out []legend
	for label := range classes {
		out = append(out, legend{label, classes[label]})
	}
	slices.SortFunc(out, func(a, b legend) int { return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Label, b.Label)) })
	if seen[shareClass] {
		out = append(out, legend{"share", shareClass})
	}
	if seen[wholeClass] {
		out = append(out, legend{"whole GPU", wholeClass})
	}
	return append(out, legend{"idle", "idle"})
}

func partClass(g *placement.GPU, p *placement.Part, classes map[string]string) string {
	switch {
	case g.Cells > 0 && p.Cells > 0:
		return classes[p.Label]
	case share(p.Percent) >= 99.95:
		return wholeClass
	}
	return shareClass
}

func gpuNodes(runs []run, classes map[string]string) []gpuNode {
	var names []string
	for i := range runs {
		for j := range runs[i].Nodes {
			if len(runs[i].Nodes[j].GPUs) > 0 {
				names = append(names, runs[i].Nodes[j].Name)
			}
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	var out []gpuNode
	for _, name := range names {
		g := gpuNode{Name: name}
		var models []string
		for i := range runs {
			s := gpuSide{By: runs[i].scheduler}
			if n := runs[i].byName[name]; n != nil {
				for j := range n.GPUs {
					s.GPUs = append(s.GPUs, newGPU(&n.GPUs[j], classes))
					models = append(models, n.GPUs[j].Model)
				}
			}
			g.Sides = append(g.Sides, s)
		}
		slices.Sort(models)
		g.Model = strings.Join(nonEmpty(slices.Compact(models)...), ", ")
		out = append(out, g)
	}
	return out
}

func newGPU(g *placement.GPU, classes map[string]string) gpu {
	// A grid finer than any GPU's is a fault of the input: it is not drawn. Nor is
	// one under parts that are not cut along it.
	const finest = 64
	out := gpu{Name: g.Name, Used: fmt.Sprintf("%.0f%s%%", share(g.UsedPercent), nbsp)}
	gridless := slices.ContainsFunc(g.Parts, func(p placement.Part) bool { return p.Cells <= 0 })
	if g.Cells > 0 && g.Cells <= finest && !gridless {
		out.Cells = g.Cells
		for i := range g.Cells {
			out.Grid = append(out.Grid, i+1)
		}
	}
	for i := range g.Parts {
		p := &g.Parts[i]
		d := part{Label: p.Label, Class: partClass(g, p, classes), Tip: partTip(g, p)}
		d.Short, _, _ = strings.Cut(p.Label, ".")
		if out.Cells > 0 {
			d.Start = min(max(p.Start, 0), out.Cells-1) + 1
			d.Span = min(p.Cells, out.Cells-d.Start+1)
		} else {
			d.Width = decimal(share(p.Percent))
		}
		out.Parts = append(out.Parts, d)
	}
	return out
}

func partTip(g *placement.GPU, p *placement.Part) string {
	pod := p.Pod
	if pod == "" {
		pod = "pod unknown"
	}
	tip := []string{g.Name + ": " + p.Label, pod, percent(share(p.Percent)) + " of the GPU"}
	if g.Cells > 0 && p.Cells > 0 {
		tip = append(tip, fmt.Sprintf("memory slices %d to %d of %d", p.Start, p.Start+p.Cells-1, g.Cells))
	}
	return strings.Join(tip, "\n")
}
