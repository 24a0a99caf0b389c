package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"plimsoll.dev/scheduler/internal/placement"
)

// placedGPU is a GPU and the node that it is in.
type placedGPU struct {
	node *placement.Node
	*placement.GPU
}

// gpuModels groups the GPUs by model, the most frequent first.
func gpuModels(runs []run) []gpuModel {
	byModel := map[string][][]placedGPU{}
	eachGPU(runs, func(i int, n *placement.Node, g *placement.GPU) {
		if byModel[g.Model] == nil {
			byModel[g.Model] = make([][]placedGPU, len(runs))
		}
		byModel[g.Model][i] = append(byModel[g.Model][i], placedGPU{n, g})
	})
	var out []gpuModel
	for name, sides := range byModel {
		m := gpuModel{Name: name}
		if name == "" {
			m.Name = "model not stated"
		}
		for i, gpus := range sides {
			all := 0.0
			for _, g := range gpus {
				all += gpuCount(g.GPU)
			}
			m.gpus = max(m.gpus, gpuNumber(all))
			m.Sides = append(m.Sides, modelSide(runs[i].scheduler, gpus))
		}
		m.GPUs = counted(m.gpus, "GPU")
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b gpuModel) int { return cmp.Or(cmp.Compare(b.gpus, a.gpus), cmp.Compare(a.Name, b.Name)) })
	return out
}

func modelSide(by scheduler, gpus []placedGPU) gpuSide {
	s := gpuSide{By: by}
	slices.SortFunc(gpus, func(a, b placedGPU) int {
		return cmp.Or(cmp.Compare(share(b.UsedPercent), share(a.UsedPercent)), cmp.Compare(len(a.Parts), len(b.Parts)), cmp.Compare(a.node.Name, b.node.Name), cmp.Compare(a.Name, b.Name))
	})
	var whole, shared, idle int
	used, all := 0.0, 0.0
	for _, g := range gpus {
		c := gpuCell{Tip: g.tip(), Used: height(g.UsedPercent)}
		switch {
		case c.Used == 0:
			idle++
			c.Class = "i"
		case len(g.Parts) == 1 && share(g.Parts[0].Percent) >= 99.95:
			whole++
			c.Class = wholeClass
		default:
			shared++
			c.Class = shareClass
		}
		used, all = used+gpuCount(g.GPU)*share(g.UsedPercent), all+gpuCount(g.GPU)
		s.Cells = append(s.Cells, c)
	}
	s.Summary = fmt.Sprintf("%s taken", percent(ratio(used, 100*all)))
	for _, part := range []struct {
		class, label string
		n            int
	}{{wholeClass, "whole", whole}, {shareClass, "in parts", shared}, {"i", "idle", idle}} {
		s.Stack = append(s.Stack, stacked{Class: part.class, Label: part.label, Count: count(part.n), Width: decimal(ratio(float64(part.n), float64(len(gpus))))})
	}
	return s
}

// tip says whose the parts are; of many it names some.
func (g placedGPU) tip() string {
	const some = 6
	lines := []string{fmt.Sprintf("%s %s, %.0f%s%% taken", g.node.Name, g.Name, share(g.UsedPercent), nbsp)}
	for i := range g.Parts {
		if i == some {
			lines = append(lines, fmt.Sprintf("and %d more", len(g.Parts)-some))
			break
		}
		lines = append(lines, strings.TrimSpace(g.Parts[i].Label+" "+g.Parts[i].Pod))
	}
	return strings.Join(lines, "\n")
}
