package zone

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// threeZones is the cluster of most cases. What fits in a rack:
//
//	zone a: block 1: r1 8, r2 5   block 2: r3 16
//	zone b: block 3: r1 6, r2 6   block 4: r5 3, r6 3
//	zone c: 20 without a rack
const threeZones = `
	zone block rack
	a-01 a 1 r1 8
	a-02 a 1 r2 4
	a-03 a 1 r2 1
	a-04 a 2 r3 16
	b-01 b 3 r1 6
	b-02 b 3 r2 6
	b-03 b 4 r5 3
	b-04 b 4 r6 3
	c-01 c - -  20`

func TestChoose(t *testing.T) {
	type ask struct {
		pods                int64
		required, preferred string
		within              string
		except              []string
		roomy               bool
	}
	for name, tc := range map[string]struct {
		ask  ask
		want string
	}{
		"the tightest rack that holds the group": {
			ask{pods: 4, required: "rack"},
			"fits zone=a/block=1/rack=r2 (5), bound to zone=a/block=1/rack=r2"},
		"of equal racks the first in path order": {
			ask{pods: 6, required: "rack"},
			"fits zone=b/block=3/rack=r1 (6), bound to zone=b/block=3/rack=r1"},
		"a required rack is not climbed out of; the roomiest is named": {
			ask{pods: 17, required: "rack"},
			"does not fit zone=a/block=2/rack=r3 (16), bound to zone=a/block=2/rack=r3"},
		"a preferred rack is, to the tightest block": {
			ask{pods: 12, preferred: "rack"},
			"fits zone=a/block=2/rack=r3 (16), bound to the cluster"},
		"only if no rack holds the group": {
			ask{pods: 17, preferred: "rack"},
			"fits zone=b (18), bound to the cluster, climbed"},
		"to a block before a zone": {
			ask{pods: 12, preferred: "rack", except: []string{"zone=a/block=2/rack=r3"}},
			"fits zone=b/block=3 (12), bound to the cluster, climbed"},
		"to a zone": {
			ask{pods: 19, preferred: "rack"},
			"fits zone=a (29), bound to the cluster, climbed"},
		"to the cluster": {
			ask{pods: 60, preferred: "rack"},
			"fits the cluster (67), bound to the cluster, climbed"},
		"but not further than required": {
			ask{pods: 30, preferred: "rack", required: "zone"},
			"does not fit zone=a (29), bound to zone=a, climbed"},
		"a preference inside what is required": {
			ask{pods: 7, preferred: "rack", required: "zone"},
			"fits zone=a/block=1/rack=r1 (8), bound to zone=a"},
		"a zone without racks is found when no rack will do": {
			ask{pods: 20, preferred: "block", required: "zone", except: []string{"zone=a"}},
			"fits zone=c (20), bound to zone=c, climbed"},
		"a preference broader than what is required adds nothing": {
			ask{pods: 4, preferred: "zone", required: "rack"},
			"fits zone=a/block=1/rack=r2 (5), bound to zone=a/block=1/rack=r2"},
		"neither: the cluster": {
			ask{pods: 4},
			"fits the cluster (67), bound to the cluster"},
		"neither, too large": {
			ask{pods: 68},
			"does not fit the cluster (67), bound to the cluster"},
		"a group bound to a rack stays there": {
			ask{pods: 4, required: "rack", within: "zone=a/block=1/rack=r1"},
			"fits zone=a/block=1/rack=r1 (8), bound to zone=a/block=1/rack=r1"},
		"full or not": {
			ask{pods: 9, required: "rack", within: "zone=a/block=1/rack=r1"},
			"does not fit zone=a/block=1/rack=r1 (8), bound to zone=a/block=1/rack=r1"},
		"a group bound to a zone prefers a rack in it": {
			ask{pods: 4, required: "zone", preferred: "rack", within: "zone=b"},
			"fits zone=b/block=3/rack=r1 (6), bound to zone=b"},
		"a group bound to a rack that now prefers a zone": {
			ask{pods: 4, preferred: "zone", within: "zone=b/block=3/rack=r1"},
			"fits zone=b/block=3/rack=r1 (6), bound to the cluster"},
		"an excepted rack is passed over": {
			ask{pods: 4, required: "rack", except: []string{"zone=a/block=1/rack=r2"}},
			"fits zone=b/block=3/rack=r1 (6), bound to zone=b/block=3/rack=r1"},
		"an excepted zone with all its racks": {
			ask{pods: 4, required: "rack", except: []string{"zone=b", "zone=a/block=1", "zone=b/block=3"}},
			"fits zone=a/block=2/rack=r3 (16), bound to zone=a/block=2/rack=r3"},
		"the room in an excepted rack is not its zone's": {
			ask{pods: 14, required: "zone", except: []string{"zone=a/block=2/rack=r3", "zone=b/block=4/rack=r5"}},
			"fits zone=b (15), bound to zone=b"},
		"all is excepted": {
			ask{pods: 1, preferred: "rack", except: []string{"the cluster"}},
			"nowhere"},
		"all racks are": {
			ask{pods: 1, required: "rack", except: []string{"zone=a", "zone=b"}},
			"nowhere"},
		"no node in reach has the label": {
			ask{pods: 1, required: "rack", within: "zone=c"},
			"nowhere"},
		"no pods take the tightest, too": {
			ask{pods: 0, required: "rack"},
			"fits zone=b/block=4/rack=r5 (3), bound to zone=b/block=4/rack=r5"},
		"a group that grows takes the roomiest rack": {
			ask{pods: 2, required: "rack", roomy: true},
			"fits zone=a/block=2/rack=r3 (16), bound to zone=a/block=2/rack=r3"},
		"the roomiest of what is required before that of what is preferred": {
			ask{pods: 2, required: "block", preferred: "rack", roomy: true, except: []string{"zone=a/block=2", "zone=a/block=1/rack=r2"}},
			"fits zone=b/block=3/rack=r1 (6), bound to zone=b/block=3"},
		"of preferred racks the roomiest": {
			ask{pods: 2, preferred: "rack", roomy: true},
			"fits zone=a/block=2/rack=r3 (16), bound to the cluster"},
		"and if none is roomy enough": {
			ask{pods: 17, required: "rack", roomy: true},
			"does not fit zone=a/block=2/rack=r3 (16), bound to zone=a/block=2/rack=r3"},
	} {
		t.Run(name, func(t *testing.T) {
			c := draw(t, threeZones)
			given := Ask{Pods: tc.ask.pods, Required: c.ref(tc.ask.required), Preferred: c.ref(tc.ask.preferred), Roomy: tc.ask.roomy}
			if tc.ask.within != "" {
				given.Within = c.find(tc.ask.within)
			}
			for _, path := range tc.ask.except {
				given.Except = append(given.Except, c.find(path))
			}
			if got := inWords(c.room.Choose(given), c.tree); got != tc.want {
				t.Errorf("got  %s\nwant %s\n%v", got, tc.want, c.room)
			}
		})
	}
}

func TestChooseWithoutTheLabel(t *testing.T) {
	c := draw(t, "zone rack\n a-01 a - 3")
	got := c.room.Choose(Ask{Pods: 1, Required: c.ref("rack")})
	if diff := cmp.Diff(Choice{Domain: None, Bound: None}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := c.room.Choose(Ask{Pods: 1, Within: None}); got.Domain != None || got.Fits {
		t.Errorf("within no domain: got %+v", got)
	}
}

// plainChoice computes a choice from the definition: by listing every node's
// domains, with sums over nodes.
func plainChoice(room *Room, ask Ask) Choice {
	tree := room.tree
	inside := func(d DomainID, outer DomainID) bool {
		for ; d != None; d = tree.Parent(d) {
			if d == outer {
				return true
			}
		}
		return false
	}
	sum := func(d DomainID) (total int64, ok bool) {
		for _, e := range ask.Except {
			if inside(d, e) {
				return 0, false
			}
		}
	next:
		for _, n := range members(tree, d) {
			for _, e := range ask.Except {
				if inside(tree.Leaf(n), e) {
					continue next
				}
			}
			total += room.On(n)
		}
		return total, true
	}
	bound := func(d DomainID) DomainID {
		if ask.Required == 0 {
			return Root
		}
		found := None
		for _, n := range members(tree, d) {
			if at := tree.DomainOf(n, ask.Required); at != None && inside(d, at) {
				found = at
			}
		}
		return found
	}
	// start lists what a level offers inside Within.
	start := func(ref Ref) map[DomainID]bool {
		found := make(map[DomainID]bool)
		for n := range NodeID(tree.Len()) {
			d := Root
			if ref != 0 {
				d = tree.DomainOf(n, ref)
			}
			switch {
			case d == None:
			case inside(d, ask.Within):
				found[d] = true
			case inside(ask.Within, d):
				found[ask.Within] = true
			}
		}
		return found
	}
	preferred := ask.Preferred
	if preferred == 0 || ask.Required != 0 && preferred.first() < ask.Required.first() {
		preferred = ask.Required
	}
	pick := func(tier map[DomainID]bool, most bool) Choice {
		best := Choice{Domain: None, Bound: None}
		for d := range DomainID(tree.Domains()) { // in path order
			total, ok := sum(d)
			if !ok || !tier[d] || bound(d) == None || !most && total < ask.Pods ||
				best.Domain != None && (most && total <= best.Room || !most && total >= best.Room) {
				continue
			}
			best = Choice{Fits: !most, Domain: d, Bound: bound(d), Room: total}
			if preferred != 0 {
				best.Climbed = true
				for _, n := range members(tree, d) {
					if at := tree.DomainOf(n, preferred); at != None && inside(d, at) {
						best.Climbed = false
					}
				}
			}
		}
		return best
	}
	for tier := start(preferred); len(tier) > 0; {
		if best := pick(tier, false); best.Fits {
			return best
		}
		up := make(map[DomainID]bool)
		for d := range tier {
			if p := tree.Parent(d); p != None && bound(d) != None && inside(p, ask.Within) {
				up[p] = true
			}
		}
		tier = up
	}
	if best := pick(start(ask.Required), false); best.Fits {
		return best
	}
	return pick(start(ask.Required), true)
}

// choosesByDefinition compares Choose with plainChoice.
func choosesByDefinition(t *rapid.T) {
	levels, nodes, fits := smallCluster(t)
	if len(nodes) == 0 {
		return
	}
	tree := Build(levels, nodes)
	room := NewRoom(tree, func(n NodeID) int64 { return fits[n] })
	domain := rapid.Int32Range(0, int32(tree.Domains()-1))
	ask := Ask{
		Pods:      rapid.Int64Range(0, 20).Draw(t, "pods"),
		Required:  Ref(rapid.Uint64Range(0, 1<<len(levels)-1).Draw(t, "required")),
		Preferred: Ref(rapid.Uint64Range(0, 1<<len(levels)-1).Draw(t, "preferred")),
	}
	if rapid.Bool().Draw(t, "bound") {
		ask.Within = DomainID(domain.Draw(t, "within"))
	}
	for range rapid.IntRange(0, 3).Draw(t, "exceptions") {
		ask.Except = append(ask.Except, DomainID(domain.Draw(t, "except")))
	}
	want, got := plainChoice(room, ask), room.Choose(ask)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%+v, levels %v\n%v\ngot %s, (-want +got)\n%s", ask, levels, room, inWords(got, tree), diff)
	}
	// The roomy choice fits when the tight one does, in the roomiest domain of the
	// required level: the one that is named when all of them are too small.
	tooMany := ask
	tooMany.Pods, tooMany.Preferred, ask.Roomy = math.MaxInt64, 0, true
	roomy, largest := room.Choose(ask), room.Choose(tooMany)
	if roomy.Fits != want.Fits || roomy.Fits && roomy.Bound != largest.Bound {
		t.Fatalf("%+v, levels %v\n%v\ngot %s, want it bound as in %s", ask, levels, room, inWords(roomy, tree), inWords(largest, tree))
	}
}

func TestChoosesByDefinition(t *testing.T) { rapid.Check(t, choosesByDefinition) }
func FuzzChoose(f *testing.F)              { f.Fuzz(rapid.MakeFuzz(choosesByDefinition)) }
