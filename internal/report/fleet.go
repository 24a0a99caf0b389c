package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"plimsoll.dev/scheduler/internal/placement"
)

// Up to so many nodes each has its name below it, and up to so many is large
// enough to be told from its neighbours.
const (
	namedNodes = 48
	largeNodes = 320
)

// fleet is the nodes, by zone and within it by architecture and pool.
type fleet struct {
	Nodes int
	// Size is the class of the vessels: named, large or small.
	Size string
	// Named is set if vessels have their node's name below them.
	Named bool
	// Line is set if a node has a load line.
	Line  bool
	Zones []zone
}

// zone is the nodes of a zone, once per scheduler.
type zone struct {
	Name  string
	Nodes string
	Sides []side
}

type side struct {
	By      scheduler
	Summary string
	Groups  []nodeGroup
}

// nodeGroup is nodes of a zone that are alike.
type nodeGroup struct {
	Name    string
	Vessels []vessel
}

// vessel is a node, drawn as a vessel with two holds.
type vessel struct {
	Name string
	// Tip says in words what is drawn.
	Tip string
	// Class has "e" for an empty node, "n" for one without a load line.
	Class string
	// CPU, Memory and Target are in whole percent of the height.
	CPU, Memory, Target int
}

func newFleet(runs []run) fleet {
	f := fleet{Size: "small"}
	zoned := false
	var zones []string
	for i := range runs {
		f.Nodes = max(f.Nodes, len(runs[i].Nodes))
		for j := range runs[i].Nodes {
			n := &runs[i].Nodes[j]
			zones = append(zones, n.Zone)
			zoned = zoned || n.Zone != ""
			f.Line = f.Line || n.TargetPercent > 0
		}
	}
	switch {
	case f.Nodes <= namedNodes:
		f.Size, f.Named = "named", true
	case f.Nodes <= largeNodes:
		f.Size = "large"
	}
	slices.Sort(zones)
	for _, name := range slices.Compact(zones) {
		z := zone{Name: zoneName(name, zoned)}
		most := 0
		for i := range runs {
			var nodes []*placement.Node
			for j := range runs[i].Nodes {
				if n := &runs[i].Nodes[j]; n.Zone == name {
					nodes = append(nodes, n)
				}
			}
			most = max(most, len(nodes))
			z.Sides = append(z.Sides, newSide(runs[i].scheduler, nodes, f.Named))
		}
		z.Nodes = counted(most, "node")
		f.Zones = append(f.Zones, z)
	}
	return f
}

func zoneName(name string, zoned bool) string {
	switch {
	case name != "":
		return name
	case zoned:
		return "without a zone"
	}
	return "All nodes"
}

func nonEmpty(texts ...string) []string {
	return slices.DeleteFunc(texts, func(s string) bool { return s == "" })
}

// level is how full a node is: the fuller of its two holds.
func level(n *placement.Node) float64 { return max(filled(n.CPU), filled(n.Memory)) }

// newSide groups a zone's nodes by architecture and pool, in each by name or the
// fullest first.
func newSide(by scheduler, nodes []*placement.Node, byName bool) side {
	s := side{By: by}
	group := func(n *placement.Node) string { return strings.Join(nonEmpty(n.Arch, n.Pool), " · ") }
	slices.SortFunc(nodes, func(a, b *placement.Node) int {
		if c := cmp.Compare(group(a), group(b)); c != 0 || byName {
			return cmp.Or(c, cmp.Compare(a.Name, b.Name))
		}
		return cmp.Or(cmp.Compare(level(b), level(a)), cmp.Compare(a.Name, b.Name))
	})
	var cpu, memory placement.Amount
	busy := 0
	for i, n := range nodes {
		if i == 0 || group(n) != group(nodes[i-1]) {
			s.Groups = append(s.Groups, nodeGroup{Name: group(n)})
		}
		g := &s.Groups[len(s.Groups)-1]
		g.Vessels = append(g.Vessels, newVessel(n))
		cpu.Used, cpu.Allocatable = cpu.Used+n.CPU.Used, cpu.Allocatable+n.CPU.Allocatable
		memory.Used, memory.Allocatable = memory.Used+n.Memory.Used, memory.Allocatable+n.Memory.Allocatable
		if n.Pods > 0 {
			busy++
		}
	}
	s.Summary = fmt.Sprintf("%s of %s in use, CPU %.0f%s%%, memory %.0f%s%%", count(busy), count(len(nodes)), filled(cpu), nbsp, filled(memory), nbsp)
	return s
}

func newVessel(n *placement.Node) vessel {
	v := vessel{Name: n.Name, CPU: height(filled(n.CPU)), Memory: height(filled(n.Memory)), Target: 100}
	tip := []string{
		n.Name,
		fmt.Sprintf("CPU %s (%s of %s cores)", percent(filled(n.CPU)), cores(n.CPU.Used), cores(n.CPU.Allocatable)),
		fmt.Sprintf("memory %s (%s of %s)", percent(filled(n.Memory)), byteSize(n.Memory.Used), byteSize(n.Memory.Allocatable)),
		counted(n.Pods, "pod"),
	}
	if len(n.GPUs) > 0 {
		used, all := 0.0, 0.0
		for i := range n.GPUs {
			weight := gpuCount(&n.GPUs[i])
			used, all = used+weight*share(n.GPUs[i].UsedPercent), all+weight
		}
		tip = append(tip, fmt.Sprintf("%s, %s taken", counted(gpuNumber(all), "GPU"), percent(used/all)))
	}
	var class []string
	if n.Pods == 0 {
		class = append(class, "e")
	}
	if n.TargetPercent > 0 {
		v.Target = height(n.TargetPercent)
		tip = append(tip, fmt.Sprintf("load line at %.0f%s%%", n.TargetPercent, nbsp))
	} else {
		class = append(class, "n")
	}
	v.Class = strings.Join(class, " ")
	v.Tip = strings.Join(tip, "\n")
	return v
}

// height is p in whole percent; what is there at all stays visible.
func height(p float64) int {
	p = share(p)
	if p > 0 && p < 1 {
		return 1
	}
	return int(p + 0.5)
}

func cores(milli int64) string {
	if milli%1000 == 0 {
		return count(int(milli / 1000))
	}
	return decimal(float64(milli) / 1000)
}

func byteSize(b int64) string {
	v, unit := float64(b), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if v < 1024 {
			break
		}
		v, unit = v/1024, next
	}
	if v == float64(int64(v)) {
		return fmt.Sprintf("%.0f%s%s", v, nbsp, unit)
	}
	return decimal(v) + nbsp + unit
}
