package binpack

import (
	"slices"

	v1 "k8s.io/api/core/v1"

	"plimsoll.dev/scheduler/pkg/inventory"
	"plimsoll.dev/scheduler/pkg/load"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// line is what applies to the nodes of one pool.
type line struct {
	target load.BasisPoints
	// ceiling is 0 for none.
	ceiling load.BasisPoints
	// refusals are the ready-made messages, one per resource of the scale.
	refusals []string
}

// lines finds the line of a node. It is immutable.
type lines struct {
	pools *inventory.Pools
	// lines holds one line per pool and, last, the profile's own.
	lines []line
	// ceilings says whether any line has one.
	ceilings bool
}

func newLines(args *Args, scale *load.Scale) *lines {
	out := &lines{}
	var selectors []map[string]string
	for _, pool := range args.Pools {
		target, ceiling := args.TargetPercent, args.CeilingPercent
		if pool.TargetPercent != nil {
			target = *pool.TargetPercent
		}
		if pool.CeilingPercent != nil {
			ceiling = pool.CeilingPercent
		}
		selectors = append(selectors, pool.MatchLabels)
		out.add(scale, target, ceiling)
	}
	out.add(scale, args.TargetPercent, args.CeilingPercent)
	out.pools = inventory.NewPools(selectors)
	return out
}

func (l *lines) add(scale *load.Scale, target int64, ceiling *int64) {
	added := line{target: load.Percent(target)}
	if ceiling != nil {
		added.ceiling = load.Percent(*ceiling)
		l.ceilings = true
		for r := range scale.Len() {
			added.refusals = append(added.refusals,
				verdict.Say(verdict.OverCeiling, "ceiling", added.ceiling, "resource", scale.Resource(r).Name).Message)
		}
	}
	l.lines = append(l.lines, added)
}

// of returns the line of a node.
func (l *lines) of(node *v1.Node) *line {
	if i := l.pools.Find(node); i >= 0 {
		return &l.lines[i]
	}
	return &l.lines[len(l.lines)-1]
}

// Targets returns what the line of a node is under these arguments, in percent.
func Targets(args Args) func(*v1.Node) float64 {
	args.CeilingPercent, args.Pools = nil, slices.Clone(args.Pools)
	for i := range args.Pools {
		args.Pools[i].CeilingPercent = nil
	}
	l := newLines(&args, nil) // only ceilings are said by resource
	return func(node *v1.Node) float64 { return 100 * float64(l.of(node).target) / float64(load.Full) }
}
