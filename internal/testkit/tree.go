package testkit

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// level is one that Nodes has a word for and Tree draws.
type level struct{ word, label string }

// levels are those of a drawn cluster, from broad to narrow.
func levels() []level {
	return []level{
		{"region", v1.LabelTopologyRegion},
		{"zone", v1.LabelTopologyZone},
		{"block", "cloud.google.com/gce-topology-block"},
		{"subblock", "cloud.google.com/gce-topology-subblock"},
		{"rack", "topology.kubernetes.io/rack"},
		{"clique", "nvidia.com/gpu.clique"},
	}
}

// labelOfLevel is the node label of a level's word, "" if it is none.
func labelOfLevel(word string) string {
	for _, l := range levels() {
		if l.word == word {
			return l.label
		}
	}
	return ""
}

// branch is a domain, or a node.
type branch struct {
	name     string
	pods     []string
	node     bool
	branches []*branch
}

// Tree draws a cluster as a tree of its domains, with the pods that each node
// holds and how many there are in each domain. Nodes that hold none share a line.
//
//	zone eu-1a  3
//	├─ rack r1  3
//	│  ├─ n-01  train-[1-2]
//	│  └─ n-02  train-3
//	└─ rack r2
//	   └─ n-[03-04]
func Tree(nodes []*v1.Node, pods func(node string) []string) string {
	root := &branch{}
	for _, n := range nodes {
		at := root
		for _, l := range levels() {
			if value := n.Labels[l.label]; value != "" {
				at = at.child(l.word + " " + value)
			}
		}
		at.branches = append(at.branches, &branch{name: n.Name, pods: pods(n.Name), node: true})
	}
	root.settle()
	var b strings.Builder
	for _, one := range root.branches {
		one.draw(&b, "", "")
	}
	return b.String()
}

func (t *branch) child(name string) *branch {
	for _, c := range t.branches {
		if c.name == name {
			return c
		}
	}
	c := &branch{name: name}
	t.branches = append(t.branches, c)
	return c
}

// settle sorts what is below, folds nodes without pods, and gathers pods upwards.
func (t *branch) settle() {
	var empty []string
	rest := t.branches[:0]
	for _, c := range t.branches {
		c.settle()
		t.pods = append(t.pods, c.pods...)
		if c.node && len(c.pods) == 0 {
			empty = append(empty, c.name)
			continue
		}
		rest = append(rest, c)
	}
	slices.SortFunc(rest, func(a, b *branch) int { return strings.Compare(a.name, b.name) })
	if len(empty) > 0 {
		rest = append(rest, &branch{name: Fold(empty), node: true})
	}
	t.branches = rest
}

// draw writes the branch behind first and what is below it behind next.
func (t *branch) draw(b *strings.Builder, first, next string) {
	switch {
	case len(t.pods) == 0:
		fmt.Fprintf(b, "%s%s\n", first, t.name)
	case t.node:
		fmt.Fprintf(b, "%s%s  %s\n", first, t.name, Fold(t.pods))
	default:
		fmt.Fprintf(b, "%s%s  %d\n", first, t.name, len(t.pods))
	}
	for i, c := range t.branches {
		if i == len(t.branches)-1 {
			c.draw(b, next+"└─ ", next+"   ")
		} else {
			c.draw(b, next+"├─ ", next+"│  ")
		}
	}
}

// Fold writes names shorter: train-1 train-2 train-3 and web as train-[1-3] web. A
// question mark at their end is kept out of the numbers.
func Fold(names []string) string {
	var out []string
	for i := 0; i < len(names); {
		if i == 0 {
			names = slices.SortedFunc(slices.Values(names), inNumbers)
		}
		first, to := split(names[i]), split(names[i])
		for i++; i < len(names) && names[i] == to.after(); i++ {
			to = split(names[i])
		}
		if first == to {
			out = append(out, first.String())
		} else {
			out = append(out, fmt.Sprintf("%s[%s-%s]%s", first.prefix, first.number, to.number, first.suffix))
		}
	}
	return strings.Join(out, " ")
}

// numbered is a name that may end in a number: n-07.
type numbered struct{ prefix, number, suffix string }

func split(name string) numbered {
	bare := strings.TrimSuffix(name, "?")
	prefix := strings.TrimRight(bare, "0123456789")
	return numbered{prefix, bare[len(prefix):], name[len(bare):]}
}

func (n numbered) String() string { return n.prefix + n.number + n.suffix }

// after is the next name, its number as wide as a range would write it; "" for a
// name without a number.
func (n numbered) after() string {
	number, err := strconv.Atoi(n.number)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s%0*d%s", n.prefix, len(n.number), number+1, n.suffix)
}

// inNumbers orders names, those that differ in their number alone by it.
func inNumbers(a, b string) int {
	x, y := split(a), split(b)
	n, errX := strconv.Atoi(x.number)
	m, errY := strconv.Atoi(y.number)
	if c := cmp.Or(strings.Compare(x.prefix, y.prefix), strings.Compare(x.suffix, y.suffix)); c != 0 || errX != nil || errY != nil || n == m {
		return cmp.Or(c, strings.Compare(a, b))
	}
	return n - m
}
