package zone

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawn is a cluster written as text: the aliases of its levels on the first
// line, then a node per line with its values, "-" where it lacks the label, and
// what fits on it, if anything.
type drawn struct {
	*testing.T
	tree *Tree
	room *Room
}

func draw(t *testing.T, text string) drawn {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	var levels []Level
	for _, alias := range strings.Fields(lines[0]) {
		levels = append(levels, Level{Key: "topology.kubernetes.io/" + alias, Alias: alias})
	}
	var nodes []Node
	var fits []int64
	for _, line := range lines[1:] {
		fields := strings.Fields(line)
		node := Node{Name: fields[0]}
		for i := range levels {
			node.Values = append(node.Values, strings.TrimSuffix(fields[i+1], "-"))
		}
		room := int64(0)
		if len(fields) > len(levels)+1 {
			var err error
			if room, err = strconv.ParseInt(fields[len(levels)+1], 10, 64); err != nil {
				t.Fatal(err)
			}
		}
		nodes, fits = append(nodes, node), append(fits, room)
	}
	tree := Build(levels, nodes)
	return drawn{t, tree, NewRoom(tree, func(n NodeID) int64 { return fits[n] })}
}

// ref is the set of levels of an alias, 0 for "".
func (d drawn) ref(word string) Ref {
	d.Helper()
	if word == "" {
		return 0
	}
	ref, ok := d.tree.Ref(word)
	if !ok {
		d.Fatalf("no level %q", word)
	}
	return ref
}

// find is the domain of a path.
func (d drawn) find(path string) DomainID {
	d.Helper()
	found, ok := d.tree.Find(path)
	if !ok {
		d.Fatalf("no domain %q in\n%v", path, d.tree)
	}
	return found
}

func (d drawn) node(name string) NodeID {
	d.Helper()
	n, ok := d.tree.Node(name)
	if !ok {
		d.Fatalf("no node %q", name)
	}
	return n
}

// smallCluster draws clusters in which values repeat and labels are missing.
func smallCluster(t *rapid.T) ([]Level, []Node, []int64) {
	depth := rapid.IntRange(0, 4).Draw(t, "levels")
	words := []string{"", "zone", "rack", "k/zone", "l0"}
	var levels []Level
	for i := range depth {
		levels = append(levels, Level{
			Key:   []string{"l0", "k/zone", "rack", "k/l3"}[i],
			Alias: rapid.SampledFrom(words).Draw(t, "alias"),
		})
	}
	var nodes []Node
	var fits []int64
	for i := range rapid.IntRange(0, 12).Draw(t, "nodes") {
		node := Node{Name: fmt.Sprintf("n-%02d", i)}
		for range depth {
			node.Values = append(node.Values, rapid.SampledFrom([]string{"", "a", "b", "c.d"}).Draw(t, "value"))
		}
		nodes = append(nodes, node)
		fits = append(fits, rapid.Int64Range(-1, 6).Draw(t, "fits"))
	}
	return levels, nodes, fits
}

// members lists a domain's nodes by asking each node for its chain of domains.
func members(tree *Tree, d DomainID) []NodeID {
	var found []NodeID
	for n := range NodeID(tree.Len()) {
		for at := tree.Leaf(n); at != None; at = tree.Parent(at) {
			if at == d {
				found = append(found, n)
			}
		}
	}
	return found
}

// membership names every domain's nodes, by path.
func membership(tree *Tree) map[string][]string {
	all := make(map[string][]string)
	for d := range DomainID(tree.Domains()) {
		var names []string
		for _, n := range members(tree, d) {
			names = append(names, tree.NodeName(n))
		}
		slices.Sort(names)
		all[tree.Path(d)] = names
	}
	return all
}

// inWords says where a group goes.
func inWords(c Choice, t *Tree) string {
	if c.Domain == None {
		return "nowhere"
	}
	words := "fits "
	if !c.Fits {
		words = "does not fit "
	}
	words += t.Path(c.Domain) + " (" + strconv.FormatInt(c.Room, 10) + "), bound to " + t.Path(c.Bound)
	if c.Climbed {
		words += ", climbed"
	}
	return words
}
