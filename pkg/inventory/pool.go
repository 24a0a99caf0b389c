package inventory

import (
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// Pools finds the pool of a node by its labels. The first pool that matches
// wins.
type Pools struct {
	selectors [][]label
}

type label struct{ key, value string }

// NewPools compiles one selector a pool: a node belongs to the pool if it
// carries all of its labels.
func NewPools(matchLabels []map[string]string) *Pools {
	p := &Pools{selectors: make([][]label, len(matchLabels))}
	for i, labels := range matchLabels {
		for key, value := range labels {
			p.selectors[i] = append(p.selectors[i], label{key, value})
		}
		slices.SortFunc(p.selectors[i], func(a, b label) int { return strings.Compare(a.key, b.key) })
	}
	return p
}

// Find returns the index of the node's pool, -1 if it belongs to none.
func (p *Pools) Find(node *v1.Node) int {
pools:
	for i, selector := range p.selectors {
		for _, l := range selector {
			if value, found := node.Labels[l.key]; !found || value != l.value {
				continue pools
			}
		}
		return i
	}
	return -1
}

// PoolOf is the pool of a node that a label names, "" if the node lacks it.
func PoolOf(node *v1.Node, label string) string { return node.Labels[label] }
