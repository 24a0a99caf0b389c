package zone

import "math/bits"

// Level is one rank of the topology. Levels are listed from broad to narrow.
type Level struct {
	// Key is the node label that names a node's domain of this level.
	Key string
	// Alias is what users may call the level; several levels may share one (a
	// block is another label on each cloud). Empty for none.
	Alias string
}

// Node is one node and its values of the levels, in the levels' order; "" where
// it lacks the label. Values may be shorter than the levels; what is beyond them
// is ignored.
type Node struct {
	Name   string
	Values []string
}

// DomainID is a domain's place in path order, from 0, so that a domain comes
// before all those inside it.
type DomainID int32

// NodeID is a node's place in the list given to Build, from 0.
type NodeID int32

// Root is the domain of all nodes; None is no domain.
const (
	Root DomainID = 0
	None DomainID = -1
)

// MaxLevels is how many levels a Ref can tell apart.
const MaxLevels = 64

// Ref is a set of levels that one word of a user names: an alias or a label key.
type Ref uint64

// first is the broadest level of a set that is not empty.
func (r Ref) first() int { return bits.TrailingZeros64(uint64(r)) }

// broader are the levels before the given one.
func broader(level int) Ref { return Ref(1)<<level - 1 }

// Tree is the domains that nodes form. It is immutable, so that any number of
// goroutines may share it. Of the domains and nodes given to its methods, None is
// answered with nothing; other indexes must be the tree's own.
type Tree struct {
	levels []Level
	// names is what Path calls each level: its alias, or its key where the alias
	// could mean another level's domain.
	names []string
	refs  map[string]Ref
	// at holds the domains of every word's Ref.
	at map[Ref][]DomainID

	nodes  []string
	byName map[string]NodeID
	leaf   []DomainID
	// order lists the nodes so that those of a domain stand together, and place
	// is each node's index in it.
	order []NodeID
	place []int32

	// domains are in path order: those inside d are d+1 to domains[d].end-1.
	domains []domain
}

// domain is one path of values.
type domain struct {
	value string
	// levels are those of the whole path.
	levels Ref
	parent DomainID
	end    DomainID
	// first and last delimit its nodes in Tree.order, last not included.
	first, last  int32
	level, depth int16
}

// Len is the number of nodes.
func (t *Tree) Len() int { return len(t.nodes) }

// Node finds a node by name; of several of one name, the last.
func (t *Tree) Node(name string) (NodeID, bool) {
	n, ok := t.byName[name]
	return n, ok
}

// NodeName is the name of a node.
func (t *Tree) NodeName(n NodeID) string { return t.nodes[n] }

// Domains is the number of domains, Root included.
func (t *Tree) Domains() int { return len(t.domains) }

// Ref is the set of levels whose alias is the word or, if there is none, whose
// key is; false if there is none either.
func (t *Tree) Ref(word string) (Ref, bool) {
	r, ok := t.refs[word]
	return r, ok
}

// DomainOf is the node's domain of the broadest level of ref that it has; None if
// it lacks all of ref's labels.
func (t *Tree) DomainOf(n NodeID, ref Ref) DomainID { return t.Around(t.leaf[n], ref) }

// Around is the domain of the broadest level of ref on d's path: d itself or one
// it lies in; None if the path has none of ref's levels.
func (t *Tree) Around(d DomainID, ref Ref) DomainID {
	if d < 0 || t.domains[d].levels&ref == 0 {
		return None
	}
	level := int16((t.domains[d].levels & ref).first())
	for t.domains[d].level != level {
		d = t.domains[d].parent
	}
	return d
}

// Leaf is the node's narrowest domain, whatever the level; Root if the node has
// no label at all.
func (t *Tree) Leaf(n NodeID) DomainID { return t.leaf[n] }

// Parent is the domain around d, None for Root.
func (t *Tree) Parent(d DomainID) DomainID {
	if d < 0 {
		return None
	}
	return t.domains[d].parent
}

// Depth is how many domains d lies in: 0 for Root.
func (t *Tree) Depth(d DomainID) int {
	if d < 0 {
		return 0
	}
	return int(t.domains[d].depth)
}

// Common is the narrowest domain that holds both; None if either is.
func (t *Tree) Common(a, b DomainID) DomainID {
	if a < 0 || b < 0 {
		return None
	}
	for a != b { // a domain's index is above that of every domain around it
		if a > b {
			a = t.domains[a].parent
		} else {
			b = t.domains[b].parent
		}
	}
	return a
}

// Inside tells whether inner is d or lies in it.
func (t *Tree) Inside(d, inner DomainID) bool {
	return d >= 0 && inner >= d && inner < t.domains[d].end
}

// Contains tells whether the node is in the domain.
func (t *Tree) Contains(d DomainID, n NodeID) bool {
	if d < 0 {
		return false
	}
	at := t.place[n]
	return at >= t.domains[d].first && at < t.domains[d].last
}

// Nodes are the domain's nodes, those of one path together. The slice is shared:
// read only.
func (t *Tree) Nodes(d DomainID) []NodeID {
	if d < 0 {
		return nil
	}
	return t.order[t.domains[d].first:t.domains[d].last:t.domains[d].last]
}

// At are the distinct domains that DomainOf gives over all nodes, in path order.
// The slice is shared: read only.
func (t *Tree) At(ref Ref) []DomainID {
	if domains, ok := t.at[ref]; ok {
		return domains
	}
	return t.scan(ref)
}

// scan finds the domains whose own level is the broadest of ref on their path.
func (t *Tree) scan(ref Ref) []DomainID {
	var found []DomainID
	for d := Root + 1; int(d) < len(t.domains); d++ {
		if own := t.domains[d].levels & ref; own != 0 && own.first() == int(t.domains[d].level) {
			found = append(found, d)
		}
	}
	return found
}

// Value is the value of the label that sets d apart in its parent, "" for Root.
func (t *Tree) Value(d DomainID) string {
	if d < 0 {
		return ""
	}
	return t.domains[d].value
}

// rest is where the nodes that lie in d but in no narrower domain end: they come
// first among the domain's nodes.
func (t *Tree) rest(d DomainID) int32 {
	if inner := d + 1; inner < t.domains[d].end {
		return t.domains[inner].first
	}
	return t.domains[d].last
}
