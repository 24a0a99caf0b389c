package zone

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestNodesFormATree(t *testing.T) {
	for name, tc := range map[string]struct{ cluster, want string }{
		"a rack name used in two zones is two racks": {`
			zone  rack
			a-01  eu-1a r1
			a-02  eu-1a r1
			a-03  eu-1a r2
			b-01  eu-1b r1`, `
the cluster
├─ zone=eu-1a
│  ├─ rack=r1  a-01 a-02
│  └─ rack=r2  a-03
└─ zone=eu-1b
   └─ rack=r1  b-01
`},
		"a node without a label lies beside what is narrower": {`
			zone  rack
			a-01  eu-1a r1
			a-02  eu-1a -
			x-01  -     -
			x-02  -     r9`, `
the cluster  x-01
├─ zone=eu-1a  a-02
│  └─ rack=r1  a-01
└─ rack=r9  x-02
`},
		"a node that lacks its zone is with the others of its rack": {`
			zone  rack
			a-01  eu-1a r1
			a-02  -     r1
			b-01  eu-1b r2`, `
the cluster
├─ zone=eu-1a
│  └─ rack=r1  a-01 a-02
└─ zone=eu-1b
   └─ rack=r2  b-01
`},
		"unless the others are in two zones": {`
			zone  rack
			a-01  eu-1a r1
			b-01  eu-1b r1
			x-01  -     r1`, `
the cluster
├─ zone=eu-1a
│  └─ rack=r1  a-01
├─ zone=eu-1b
│  └─ rack=r1  b-01
└─ rack=r1  x-01
`},
		"of which its own region rules out all but one": {`
			region zone  rack
			a-01  eu eu-1 r1
			b-01  us us-1 r1
			a-02  eu -    r1`, `
the cluster
├─ region=eu
│  └─ zone=eu-1
│     └─ rack=r1  a-01 a-02
└─ region=us
   └─ zone=us-1
      └─ rack=r1  b-01
`},
		"a node is never put where its own labels say it is not": {`
			region zone  rack
			a-01  eu eu-1 r1
			b-01  us -    r1`, `
the cluster
├─ region=eu
│  └─ zone=eu-1
│     └─ rack=r1  a-01
└─ region=us
   └─ rack=r1  b-01
`},
		"what a block learns of its zone its racks inherit": {`
			zone  block rack
			a-01  eu-1a b1  r1
			a-02  -     b1  r2
			a-03  -     -   r2`, `
the cluster
└─ zone=eu-1a
   └─ block=b1
      ├─ rack=r1  a-01
      └─ rack=r2  a-02 a-03
`},
		"nodes that each lack something complete one another": {`
			region zone  rack
			a-01  eu -    r1
			a-02  -  eu-1 r1
			a-03  -  -    r1`, `
the cluster
└─ region=eu
   └─ zone=eu-1
      └─ rack=r1  a-01 a-02 a-03
`},
		"levels that no node has leave no trace": {`
			region zone  rack
			a-01  - eu-1 -
			a-02  - eu-1 -`, `
the cluster
└─ zone=eu-1  a-01 a-02
`},
		"no nodes are a cluster too": {`
			zone rack`, `
the cluster
`},
		"many nodes are counted": {`
			zone
			a-01 a
			a-02 a
			a-03 a
			a-04 a
			a-05 a
			a-06 a
			a-07 a
			a-08 a
			b-01 b
			b-02 b
			b-03 b
			b-04 b
			b-05 b
			b-06 b
			b-07 b`, `
the cluster
├─ zone=a  a-01 a-02 a-03 a-04 a-05 a-06 … 2 more
└─ zone=b  b-01 b-02 b-03 b-04 b-05 b-06 b-07
`},
	} {
		t.Run(name, func(t *testing.T) {
			got := "\n" + draw(t, tc.cluster).tree.String()
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestAPictureBearsRemarks(t *testing.T) {
	c := draw(t, `
		zone rack
		a-01 a r1 3
		a-02 a r1 1
		b-01 b -  2`)
	got := c.tree.Picture(func(d DomainID) string {
		if d == Root {
			return ""
		}
		return "holds " + fmt.Sprint(c.room.In(d))
	}) + c.room.String()
	want := `the cluster
├─ zone=a  holds 4
│  └─ rack=r1  holds 4  a-01 a-02
└─ zone=b  holds 2  b-01
the cluster  6
├─ zone=a  4
│  └─ rack=r1  4  a-01:3 a-02:1
└─ zone=b  2  b-01:2
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestDomainsOfNodes(t *testing.T) {
	c := draw(t, `
		region zone rack
		a-01 eu a r1
		a-02 eu a r2
		b-01 eu b r1
		b-02 eu b -
		x-01 -  - -`)
	for _, tc := range []struct{ node, word, want string }{
		{"a-01", "rack", "region=eu/zone=a/rack=r1"},
		{"b-01", "rack", "region=eu/zone=b/rack=r1"},
		{"b-01", "topology.kubernetes.io/zone", "region=eu/zone=b"},
		{"b-02", "rack", "no domain"},
		{"x-01", "zone", "no domain"},
	} {
		if got := c.tree.Path(c.tree.DomainOf(c.node(tc.node), c.ref(tc.word))); got != tc.want {
			t.Errorf("%s of %s: got %s, want %s", tc.word, tc.node, got, tc.want)
		}
	}
	r1, r2 := c.find("region=eu/zone=a/rack=r1"), c.find("region=eu/zone=a/rack=r2")
	a, other := c.find("region=eu/zone=a"), c.find("region=eu/zone=b/rack=r1")
	for _, tc := range []struct {
		what      string
		got, want any
	}{
		{"parent", c.tree.Parent(r1), a},
		{"no parent of the root", c.tree.Parent(Root), None},
		{"depth", c.tree.Depth(r1), 3},
		{"value", c.tree.Value(r2), "r2"},
		{"common of two racks", c.tree.Common(r1, r2), a},
		{"common of racks in two zones", c.tree.Common(r2, other), c.find("region=eu")},
		{"common with one around it", c.tree.Common(a, r2), a},
		{"common with the root", c.tree.Common(Root, r2), Root},
		{"common with none", c.tree.Common(None, r2), None},
		{"leaf", c.tree.Leaf(c.node("b-02")), c.find("region=eu/zone=b")},
		{"leaf of a node without labels", c.tree.Leaf(c.node("x-01")), Root},
		{"contains", c.tree.Contains(a, c.node("a-02")), true},
		{"does not contain", c.tree.Contains(a, c.node("b-01")), false},
		{"nothing is in none", c.tree.Contains(None, c.node("b-01")), false},
		{"racks", len(c.tree.At(c.ref("rack"))), 3},
		{"room in none", c.room.In(None), int64(0)},
	} {
		if diff := cmp.Diff(tc.want, tc.got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", tc.what, diff)
		}
	}
	if got := c.tree.Nodes(None); got != nil {
		t.Errorf("nodes of none: got %v", got)
	}
}

func TestWordsNameLevels(t *testing.T) {
	tree := Build([]Level{
		{Key: "zone"},
		{Key: "aws/layer-1", Alias: "block"},
		{Key: "gce/block", Alias: "block"},
		{Key: "block"},
		{Key: "host", Alias: "zone"},
	}, []Node{
		{Name: "aws", Values: []string{"a", "1", "", "", "h1"}},
		{Name: "gce", Values: []string{"b", "", "2"}},
	})
	for word, want := range map[string]string{
		"block":       "zone=a/block=1, zone=b/block=2", // one word, another label on each cloud
		"aws/layer-1": "zone=a/block=1",
		"zone":        "zone=a/block=1/host=h1", // an alias goes before a key
	} {
		ref, ok := tree.Ref(word)
		var paths []string
		for _, d := range tree.At(ref) {
			paths = append(paths, tree.Path(d))
		}
		if got := strings.Join(paths, ", "); !ok || got != want {
			t.Errorf("%s: got %s, want %s", word, got, want)
		}
	}
	for _, word := range []string{"", "rack"} {
		if ref, ok := tree.Ref(word); ok {
			t.Errorf("%q: got levels %b, want none", word, ref)
		}
	}
}

func TestSharedAliases(t *testing.T) {
	levels := []Level{{Key: "k/zone", Alias: "zone"}, {Key: "aws/3", Alias: "rack"}, {Key: "k/rack", Alias: "rack"}}
	for name, tc := range map[string]struct {
		nodes []Node
		want  string
	}{
		"serve where each zone uses another of the labels": {
			[]Node{{Name: "a", Values: []string{"a", "1"}}, {Name: "b", Values: []string{"b", "", "1"}}},
			"the cluster, zone=a, zone=a/rack=1, zone=b, zone=b/rack=1",
		},
		"serve where values in one zone differ": {
			[]Node{{Name: "a", Values: []string{"a", "1"}}, {Name: "b", Values: []string{"a", "", "2"}}},
			"the cluster, zone=a, zone=a/rack=1, zone=a/rack=2",
		},
		"give way to the keys where one path has both": {
			[]Node{{Name: "a", Values: []string{"a", "1", "2"}}},
			"the cluster, zone=a, zone=a/aws/3=1, zone=a/aws/3=1/k/rack=2",
		},
		"give way to the keys where two domains would look alike": {
			[]Node{{Name: "a", Values: []string{"a", "1"}}, {Name: "b", Values: []string{"a", "", "1"}}},
			"the cluster, zone=a, zone=a/aws/3=1, zone=a/k/rack=1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			tree := Build(levels, tc.nodes)
			var paths []string
			for d := range DomainID(tree.Domains()) {
				paths = append(paths, tree.Path(d))
			}
			if got := strings.Join(paths, ", "); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestFindWantsTheWholePath(t *testing.T) {
	c := draw(t, "zone rack\n a-01 a r1\n b-01 b r1")
	for _, path := range []string{"", "zone", "zone=", "=a", "rack=r1", "zone=a/", "/zone=a", "zone=a/rack=r2",
		"zone=a/rack=r1/host=x", "topology.kubernetes.io=a", "no domain", "the cluster/zone=a"} {
		if d, ok := c.tree.Find(path); ok {
			t.Errorf("%q: found %s", path, c.tree.Path(d))
		}
	}
}

func TestAPathOutlivesItsTree(t *testing.T) {
	levels := []Level{{Key: "aws/3", Alias: "rack"}, {Key: "k/rack", Alias: "rack"}}
	aws := Node{Name: "a", Values: []string{"1"}}
	own := Node{Name: "b", Values: []string{"", "1"}}
	both := Node{Name: "c", Values: []string{"2", "3"}}
	for _, tc := range []struct {
		nodes      []Node
		path, want string
	}{
		{[]Node{aws}, "rack=1", "rack=1"},
		{[]Node{aws}, "aws/3=1", "rack=1"},
		{[]Node{aws, both}, "rack=1", "aws/3=1"},                   // only one can be meant
		{[]Node{aws, both}, "rack=2/k/rack=3", "aws/3=2/k/rack=3"}, // half old, half new
		{[]Node{aws, own, both}, "rack=1", "no domain"},            // either could
		{[]Node{aws, own, both}, "k/rack=1", "k/rack=1"},
		{[]Node{own}, "aws/3=1", "no domain"},
	} {
		tree := Build(levels, tc.nodes)
		if d, ok := tree.Find(tc.path); tree.Path(d) != tc.want || ok != (d != None) {
			t.Errorf("%s: got %s %v, want %s in\n%v", tc.path, tree.Path(d), ok, tc.want, tree)
		}
	}
}

func TestOfTwoNodesOfOneNameTheLastIsFound(t *testing.T) {
	c := draw(t, "zone\n n a\n n b")
	if n := c.node("n"); n != 1 || c.tree.NodeName(0) != "n" || c.tree.Len() != 2 {
		t.Errorf("got node %d of %d", n, c.tree.Len())
	}
}

func TestLevelsBeyondTheMostAreLeftOut(t *testing.T) {
	var levels []Level
	var values []string
	for i := range MaxLevels + 3 {
		levels = append(levels, Level{Key: fmt.Sprintf("l%d", i)})
		values = append(values, "v")
	}
	tree := Build(levels, []Node{{Name: "n", Values: values}, {Name: "m", Values: values[:3]}})
	if got := tree.Depth(tree.Leaf(0)); got != MaxLevels {
		t.Errorf("got a path of %d levels, want %d", got, MaxLevels)
	}
	if found, ok := tree.Find(tree.Path(tree.Leaf(0))); !ok || found != tree.Leaf(0) {
		t.Errorf("the longest path is not found: %v %d", ok, found)
	}
}

// consistent checks what holds in every tree.
func consistent(t *rapid.T) {
	levels, nodes, _ := smallCluster(t)
	tree := Build(levels, nodes)
	if tree.Len() != len(nodes) || tree.Parent(Root) != None {
		t.Fatalf("%d nodes, parent of root %d", tree.Len(), tree.Parent(Root))
	}
	seen := make(map[string]bool)
	for d := range DomainID(tree.Domains()) {
		path := tree.Path(d)
		if found, ok := tree.Find(path); !ok || found != d || seen[path] {
			t.Fatalf("%q is domain %d, but Find says %d %v; seen before: %v\n%v", path, d, found, ok, seen[path], tree)
		}
		seen[path] = true
		nodes := slices.Sorted(slices.Values(tree.Nodes(d)))
		if diff := cmp.Diff(members(tree, d), nodes); diff != "" || len(nodes) == 0 && d != Root {
			t.Fatalf("nodes of %s (-want +got)\n%s", path, diff)
		}
		for n := range NodeID(tree.Len()) {
			if tree.Contains(d, n) != slices.Contains(nodes, n) {
				t.Fatalf("%s contains %s: %v", path, tree.NodeName(n), tree.Contains(d, n))
			}
		}
		for e := range DomainID(tree.Domains()) {
			common := tree.Common(d, e)
			if !tree.Inside(common, d) || !tree.Inside(common, e) || tree.Common(e, d) != common {
				t.Fatalf("common of %s and %s: %s", path, tree.Path(e), tree.Path(common))
			}
			for c := range DomainID(tree.Domains()) {
				if tree.Inside(c, d) && tree.Inside(c, e) && tree.Depth(c) > tree.Depth(common) {
					t.Fatalf("%s is deeper than %s", tree.Path(c), tree.Path(common))
				}
			}
		}
	}
	ref := Ref(rapid.Uint64Range(0, 15).Draw(t, "ref"))
	distinct := make(map[DomainID]bool)
	for n := range NodeID(tree.Len()) {
		if d := tree.DomainOf(n, ref); d != None {
			distinct[d] = true
		}
	}
	at := tree.At(ref)
	if !slices.IsSorted(at) || len(at) != len(distinct) {
		t.Fatalf("at %b: %v, but nodes are in %v", ref, at, distinct)
	}
	for _, d := range at {
		if !distinct[d] {
			t.Fatalf("at %b: no node is in %s", ref, tree.Path(d))
		}
	}
}

func TestTreesAreConsistent(t *testing.T) { rapid.Check(t, consistent) }
func FuzzTree(f *testing.F)               { f.Fuzz(rapid.MakeFuzz(consistent)) }

func TestANodeKeepsItsOwnLabels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		levels, nodes, _ := smallCluster(t)
		tree := Build(levels, nodes)
		for i, node := range nodes {
			for level, value := range node.Values {
				d := tree.DomainOf(NodeID(i), 1<<level)
				if value == "" { // perhaps it was given another's
					continue
				}
				if d == None || tree.Value(d) != value {
					t.Fatalf("%s: %s is %q in the tree\n%v", node.Name, levels[level].Key, tree.Value(d), tree)
				}
			}
		}
	})
}

func TestTheOrderOfNodesDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		levels, nodes, _ := smallCluster(t)
		tree := Build(levels, nodes)
		shuffled := Build(levels, rapid.Permutation(nodes).Draw(t, "order"))
		if diff := cmp.Diff(membership(tree), membership(shuffled)); diff != "" {
			t.Fatalf("(-one +other)\n%s", diff)
		}
		if diff := cmp.Diff(tree.String(), shuffled.String()); diff != "" {
			t.Fatalf("(-one +other)\n%s", diff)
		}
	})
}

// FuzzPath looks for keys, aliases and values whose paths could be mistaken.
func FuzzPath(f *testing.F) {
	f.Add("k/zone", "zone", "k/rack", "rack", "a", "r1", uint8(7))
	f.Add("a", "b", "b", "a", "v", "v", uint8(3))
	f.Add("a", "x", "b", "x", "v", "v", uint8(3))
	f.Fuzz(func(t *testing.T, key1, alias1, key2, alias2, value1, value2 string, mix uint8) {
		for _, key := range []string{key1, key2} {
			if key == "" || strings.Contains(key, "=") {
				return // no label key
			}
		}
		if key1 == key2 || strings.ContainsAny(value1+value2, "/=") {
			return
		}
		levels := []Level{{key1, alias1}, {key2, alias2}, {"third", alias1}}
		var nodes []Node
		for i := range 8 {
			pick := func(bit int, value string) string {
				if (i+int(mix))>>bit&1 == 0 {
					return value
				}
				return ""
			}
			nodes = append(nodes, Node{Name: fmt.Sprint(i), Values: []string{pick(0, value1), pick(1, value2), pick(2, value1)}},
				Node{Name: fmt.Sprint(i, "b"), Values: []string{pick(1, value2), pick(2, value1)}})
		}
		tree := Build(levels, nodes)
		for d := range DomainID(tree.Domains()) {
			if found, ok := tree.Find(tree.Path(d)); !ok || found != d {
				t.Fatalf("%q is domain %d, but Find says %d %v\n%v", tree.Path(d), d, found, ok, tree)
			}
		}
	})
}
