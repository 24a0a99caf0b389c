package zone

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestPlan(t *testing.T) {
	for name, tc := range map[string]struct {
		cluster string
		domain  string
		pods    int64
		want    string
	}{
		"the smallest node that holds all": {`
			zone
			a-01 a 8
			a-02 a 4
			a-03 a 5`, "zone=a", 4, "a-02:4"},
		"else the largest first and the smallest sufficient for the rest": {`
			zone
			a-01 a 3
			a-02 a 3
			a-03 a 2
			a-04 a 1`, "zone=a", 7, "a-01:3 a-02:3 a-04:1"},
		"the rest of two on the node for two": {`
			zone
			a-01 a 3
			a-02 a 2
			a-03 a 3`, "zone=a", 5, "a-01:3 a-02:2"},
		"one rack rather than the largest nodes": {`
			rack
			a-01 r1 6
			b-01 r2 4
			b-02 r2 4
			c-01 r3 5
			c-02 r3 5`, "the cluster", 8, "b-01:4 b-02:4"},
		"racks like nodes": {`
			rack
			a-01 r1 4
			a-02 r1 4
			b-01 r2 3
			b-02 r2 3
			c-01 r3 2`, "the cluster", 10, "a-01:4 a-02:4 c-01:2"},
		"nodes without a rack are a part of their own": {`
			zone rack
			a-01 a r1 2
			a-02 a -  3
			a-03 a -  2
			a-04 a r2 3`, "zone=a", 5, "a-02:3 a-03:2"},
		"as many as there is room for": {`
			zone rack
			a-01 a r1 2
			a-02 a -  1
			b-01 b r1 9`, "zone=a", 50, "a-01:2 a-02:1"},
		"none": {`
			zone
			a-01 a 2`, "zone=a", 0, ""},
		"no room": {`
			zone
			a-01 a 0`, "zone=a", 3, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := draw(t, tc.cluster)
			var got []string
			for _, s := range c.room.Plan(c.find(tc.domain), tc.pods) {
				got = append(got, fmt.Sprintf("%s:%d", c.tree.NodeName(s.Node), s.Pods))
			}
			if diff := strings.Join(got, " "); diff != tc.want {
				t.Errorf("got  %s\nwant %s\n%v", diff, tc.want, c.room)
			}
		})
	}
}

// plansWell checks a plan on every level: whole, within bounds, on as few parts
// as can be, and the last of them the smallest that will do.
func plansWell(t *rapid.T) {
	levels, nodes, fits := smallCluster(t)
	tree := Build(levels, nodes)
	room := NewRoom(tree, func(n NodeID) int64 { return fits[n] })
	in := DomainID(rapid.IntRange(0, tree.Domains()-1).Draw(t, "domain"))
	pods := rapid.Int64Range(0, 40).Draw(t, "pods")
	slots := room.Plan(in, pods)
	on := make(map[NodeID]int64)
	total := int64(0)
	for _, s := range slots {
		if on[s.Node] != 0 || s.Pods <= 0 || s.Pods > room.On(s.Node) || !tree.Contains(in, s.Node) {
			t.Fatalf("%s: %+v, all %+v\n%v", tree.Path(in), s, slots, room)
		}
		on[s.Node] = s.Pods
		total += s.Pods
	}
	if want := min(pods, room.In(in)); total != want {
		t.Fatalf("%d of %d pods laid out, want %d\n%v", total, pods, want, room)
	}
	for d := range DomainID(tree.Domains()) {
		if !tree.Inside(in, d) {
			continue
		}
		parts := partsOf(tree, d)
		var rooms, got []int64
		for _, part := range parts {
			var room0, got0 int64
			for _, n := range part {
				room0 += room.On(n)
				got0 += on[n]
			}
			if room0 > 0 {
				rooms, got = append(rooms, room0), append(got, got0)
			}
		}
		checkFill(t, rooms, got)
	}
}

// partsOf lists what a domain is laid out over: the nodes of each domain right
// inside it, and those in none, as one part, or one by one if that is all.
func partsOf(tree *Tree, d DomainID) [][]NodeID {
	byChild := make(map[DomainID][]NodeID)
	for _, n := range members(tree, d) {
		child := tree.Leaf(n)
		for child != d && tree.Parent(child) != d {
			child = tree.Parent(child)
		}
		byChild[child] = append(byChild[child], n)
	}
	var parts [][]NodeID
	if len(byChild) == 1 && byChild[d] != nil {
		for _, n := range byChild[d] {
			parts = append(parts, []NodeID{n})
		}
		return parts
	}
	for c := range DomainID(tree.Domains()) {
		if byChild[c] != nil {
			parts = append(parts, byChild[c])
		}
	}
	return parts
}

func checkFill(t *rapid.T, rooms, got []int64) {
	total, used := int64(0), 0
	var unused []int64
	partial, partialRoom := int64(0), int64(0)
	for i := range got {
		total += got[i]
		if got[i] == 0 {
			unused = append(unused, rooms[i])
			continue
		}
		used++
		if got[i] < rooms[i] {
			if partial != 0 {
				t.Fatalf("two parts are half full: %v of %v", got, rooms)
			}
			partial, partialRoom = got[i], rooms[i]
		}
	}
	sorted := slices.Clone(rooms)
	slices.Sort(sorted)
	fewest, sum := 0, int64(0)
	for i := len(sorted) - 1; i >= 0 && sum < total; i-- {
		sum += sorted[i]
		fewest++
	}
	if used != fewest {
		t.Fatalf("%d parts used where %d would do: %v of %v", used, fewest, got, rooms)
	}
	for _, other := range unused {
		if partial != 0 && other >= partial && other < partialRoom {
			t.Fatalf("%d are in a part for %d where one for %d is left: %v of %v", partial, partialRoom, other, got, rooms)
		}
	}
}

func TestPlansWell(t *testing.T) { rapid.Check(t, plansWell) }
func FuzzPlan(f *testing.F)      { f.Fuzz(rapid.MakeFuzz(plansWell)) }

func TestAChosenDomainHoldsThePlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		levels, nodes, fits := smallCluster(t)
		tree := Build(levels, nodes)
		room := NewRoom(tree, func(n NodeID) int64 { return fits[n] })
		pods := rapid.Int64Range(1, 20).Draw(t, "pods")
		choice := room.Choose(Ask{Pods: pods, Preferred: Ref(rapid.Uint64Range(0, 15).Draw(t, "preferred"))})
		planned := int64(0)
		for _, s := range room.Plan(choice.Domain, pods) {
			planned += s.Pods
		}
		if choice.Fits != (planned == pods) {
			t.Fatalf("%+v, but %d of %d are planned\n%v", choice, planned, pods, room)
		}
	})
}
