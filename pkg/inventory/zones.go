package inventory

import (
	"slices"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/pkg/zone"
)

// Zones keeps the topology tree of a scheduler's snapshot. It is not safe for
// concurrent use: scheduling cycles follow one another.
type Zones struct {
	levels []zone.Level
	// seen are the nodes of the last call, and read what was read of each: an
	// object in the caches of Kubernetes never changes, so the same pointer
	// means the same labels.
	seen []*v1.Node
	read []zone.Node
	tree *zone.Tree
}

// NewZones returns the keeper of trees of these levels.
func NewZones(levels []zone.Level) *Zones {
	return &Zones{levels: slices.Clone(levels)}
}

// Tree returns the tree of exactly these nodes: NodeID i is nodes[i]. It is the
// one of the call before unless a node came, went, moved in the list or changed
// a label of the levels, which it finds out by comparing pointers. Nodes that
// are gone, of which only pods are left, count as nodes without labels.
func (z *Zones) Tree(nodes []fwk.NodeInfo) *zone.Tree {
	if z.tree == nil || len(nodes) != len(z.seen) {
		return z.build(nodes)
	}
	for i, info := range nodes {
		node := info.Node()
		if node == z.seen[i] {
			continue
		}
		if !z.same(&z.read[i], node) {
			return z.build(nodes)
		}
		z.seen[i] = node
	}
	return z.tree
}

// same tells whether reading the node would give the same again.
func (z *Zones) same(read *zone.Node, node *v1.Node) bool {
	if nameOf(node) != read.Name {
		return false
	}
	for i := range z.levels {
		if labelOf(node, z.levels[i].Key) != read.Values[i] {
			return false
		}
	}
	return true
}

func (z *Zones) build(nodes []fwk.NodeInfo) *zone.Tree {
	z.seen = make([]*v1.Node, len(nodes))
	z.read = make([]zone.Node, len(nodes)) // the tree may keep the last one
	for i, info := range nodes {
		node := info.Node()
		z.seen[i] = node
		z.read[i] = zone.Node{Name: nameOf(node), Values: Values(z.levels, node)}
	}
	z.tree = zone.Build(z.levels, z.read)
	return z.tree
}

// Values reads the labels of the levels, in their order, "" where one is missing
// or there is no node.
func Values(levels []zone.Level, node *v1.Node) []string {
	values := make([]string, len(levels))
	for i := range levels {
		values[i] = labelOf(node, levels[i].Key)
	}
	return values
}

func nameOf(node *v1.Node) string {
	if node == nil {
		return ""
	}
	return node.Name
}

func labelOf(node *v1.Node, key string) string {
	if node == nil {
		return ""
	}
	return node.Labels[key]
}

// outsideHints are the labels of nodes whose CPU the control plane leaves out
// when it computes hints, whatever their value.
var outsideHints = [...]string{"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"}

// ZoneCPU sums up the CPU by which the control plane shares a Service's
// endpoints out among zones for same-zone hints: allocatable millicores of all
// ready nodes but those of the control plane, by the value of
// topology.kubernetes.io/zone. Nil if it gives up: such a node lacks its zone or
// its CPU, or there is none. Nil nodes are left out.
//
// It follows TopologyCache.SetNodes of k8s.io/endpointslice/topologycache.
func ZoneCPU(nodes []*v1.Node) map[string]int64 {
	var sums map[string]int64
	for _, node := range nodes {
		if node == nil || !isReady(node) || slices.ContainsFunc(outsideHints[:], func(key string) bool { _, found := node.Labels[key]; return found }) {
			continue
		}
		zone, cpu := node.Labels[v1.LabelTopologyZone], node.Status.Allocatable.Cpu()
		if zone == "" || cpu.IsZero() {
			return nil
		}
		if sums == nil {
			sums = map[string]int64{}
		}
		sums[zone] += cpu.MilliValue()
	}
	return sums
}

func isReady(node *v1.Node) bool {
	for i := range node.Status.Conditions {
		if c := &node.Status.Conditions[i]; c.Type == v1.NodeReady {
			return c.Status == v1.ConditionTrue
		}
	}
	return false
}
