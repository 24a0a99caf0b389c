package gpus

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func drawOffer(t *rapid.T, resource string) Offer {
	n := func(label string, least, most int64) int64 { return rapid.Int64Range(least, most).Draw(t, label) }
	o := Offer{Resource: resource, Replicas: 1, Slices: 8, MemoryMiB: n("memory", 0, 300_000)}
	switch o.Kind = Kind(n("kind", 0, 2)); o.Kind {
	case Whole:
		o.Isolation = Exclusive
	case Slice:
		o.Isolation, o.Slices = MIG, n("slices", 1, 8)
	case Share:
		o.Isolation, o.Replicas = Isolation(n("level", 1, 2)), n("replicas", 2, 48)
	}
	if o.MemoryMiB == 0 {
		o.NoMemory = Label{Key: resource + ".memory"}
	}
	if o.Isolation == TimeSlicing && n("told", 0, 1) == 0 {
		o.NoSharing = Label{Key: resource + ".sharing-strategy"}
	}
	return o
}

func drawNode(t *rapid.T) *Node {
	n := &Node{Facts: &Facts{}}
	for i, resource := range []string{NvidiaGPU, slice1g, slice3g} {
		n.Offers = append(n.Offers, drawOffer(t, resource))
		n.Counts[i].Allocatable = rapid.Int64Range(0, 16).Draw(t, "allocatable")
		n.Counts[i].Requested = rapid.Int64Range(0, n.Counts[i].Allocatable).Draw(t, "requested")
	}
	return n
}

func drawPreference(t *rapid.T) []Isolation {
	var out []Isolation
	for level := Exclusive; level >= TimeSlicing; level-- {
		if rapid.Bool().Draw(t, "lists") {
			out = append(out, level)
		}
	}
	return out
}

func drawWants(t *rapid.T) []Want {
	out := []Want{{Resource: NvidiaGPU, Count: rapid.Int64Range(1, 8).Draw(t, "count")}}
	if rapid.Bool().Draw(t, "also a slice") {
		out = append(out, Want{Resource: slice1g, Count: rapid.Int64Range(1, 4).Draw(t, "slices")})
	}
	return out
}

func TestWhatFitsIsNeverLessThanWasAsked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, wants, preference := drawNode(t), drawWants(t), drawPreference(t)
		need := rapid.Int64Range(0, 200).Draw(t, "need") * gib
		refusal := NewRequest(wants, need, preference).Fits(n)
		if (refusal.Reason == Suitable) != (refusal == Refusal{}) {
			t.Fatalf("a reason without values, or the reverse: %+v", refusal)
		}
		if refusal.Reason != Suitable {
			return
		}
		for _, want := range wants {
			at := n.offer(want.Resource)
			o, c := n.Offers[at], n.Counts[at]
			if c.Free() < want.Count || o.MemoryMiB<<20 < need || len(preference) > 0 && o.Isolation < preference[len(preference)-1] {
				t.Fatalf("%+v of %d is taken for %+v, %d bytes, %v", o, c.Free(), want, need, preference)
			}
		}
	})
}

func TestAskingForLessIsNeverRefusedMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, wants, preference := drawNode(t), drawWants(t), drawPreference(t)
		need := rapid.Int64Range(0, 200).Draw(t, "need") * gib
		if NewRequest(wants, need, preference).Fits(n).Reason != Suitable {
			return
		}
		less := slices.Clone(wants)
		less[0].Count = rapid.Int64Range(1, less[0].Count).Draw(t, "fewer")
		relaxed := append(slices.Clone(preference), TimeSlicing)
		for name, r := range map[string]*Request{
			"less memory": NewRequest(wants, rapid.Int64Range(0, need).Draw(t, "less"), preference),
			"fewer":       NewRequest(less, need, preference),
			"less fenced": NewRequest(wants, need, relaxed),
			"anything":    NewRequest(less, 0, nil),
		} {
			if refusal := r.Fits(n); refusal.Reason != Suitable {
				t.Fatalf("%s: refused with %+v", name, refusal)
			}
		}
		for i := range n.Counts {
			n.Counts[i].Allocatable++
		}
		if refusal := NewRequest(wants, need, preference).Fits(n); refusal.Reason != Suitable {
			t.Fatalf("a node with more is refused with %+v", refusal)
		}
	})
}

func TestScoresKeepTheOrderOfRanks(t *testing.T) {
	draw := rapid.Custom(func(t *rapid.T) Rank {
		n := func(label string, most int64) int64 { return rapid.Int64Range(0, most).Draw(t, label) }
		return Rank{n("isolation", 7), n("division", 3), n("memory", 1<<14-1), n("worth", MaxWorth), n("untouched", 1), n("kind", 1<<19-1), 2 * n("all", 1<<16-1)}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw.Draw(t, "a"), draw.Draw(t, "b")
		if rapid.Bool().Draw(t, "alike") { // differ in the last fields only
			b.Isolation, b.MemoryGiB, b.Worth = a.Isolation, a.MemoryGiB, a.Worth
		}
		if a.Compare(b) != cmp.Compare(b.Score(), a.Score()) {
			t.Fatalf("%+v and %+v compare as %d, their scores are %d and %d", a, b, a.Compare(b), a.Score(), b.Score())
		}
		if a.Score() < 0 || a.Score() > MaxScore {
			t.Fatalf("%+v scores %d", a, a.Score())
		}
	})
}

func TestOrderOfResourcesDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, wants := drawNode(t), drawWants(t)
		reversed := slices.Clone(wants)
		slices.Reverse(reversed)
		a, b := NewRequest(wants, gib, nil), NewRequest(reversed, gib, nil)
		if a.Rank(n, 1) != b.Rank(n, 1) || (a.Fits(n).Reason == Suitable) != (b.Fits(n).Reason == Suitable) {
			t.Fatalf("%v is judged otherwise when reversed", wants)
		}
	})
}

// TestFillingANodeMakesItMoreWanted is what packing rests on: of two equal
// nodes, the one that took the last pod takes the next.
func TestFillingANodeMakesItMoreWanted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, r := drawNode(t), NewRequest(drawWants(t), 0, nil)
		fuller := &Node{Facts: n.Facts, Counts: n.Counts}
		for _, want := range r.wants {
			fuller.Counts[n.offer(want.Resource)].Requested += want.Count
		}
		if r.Fits(fuller).Reason == Suitable && r.Rank(fuller, 0).Compare(r.Rank(n, 0)) >= 0 {
			t.Fatalf("the fuller node is not better:\n%v\n%v", fuller, n)
		}
	})
}

func TestTheCensusDoesNotDependOnHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var nodes [][]Hardware
		for i := range rapid.IntRange(1, 8).Draw(t, "nodes") {
			model := fmt.Sprint("m", rapid.IntRange(0, 3).Draw(t, "model"))
			nodes = append(nodes, []Hardware{{model, rapid.Int64Range(1, 4).Draw(t, "memory") * 1024, int64(i+1) * 1000}})
		}
		keep := rapid.IntRange(0, len(nodes)).Draw(t, "keep")
		var straight, winding Census
		for _, h := range nodes[:keep] {
			straight.Add(h)
		}
		for _, i := range rapid.Permutation(nodes).Draw(t, "order") {
			winding.Add(i)
		}
		for _, h := range nodes[keep:] {
			winding.Remove(h)
		}
		a, b := straight.Worth(), winding.Worth()
		for _, h := range nodes {
			if f := (&Facts{Hardware: h}); a.Of(f) != b.Of(f) {
				t.Fatalf("%v is worth %d or %d", h, a.Of(f), b.Of(f))
			}
		}
	})
}

// TestJudgingAllocatesNothing holds the hot path to its word.
func TestJudgingAllocatesNothing(t *testing.T) {
	n, full, r := mixed(3, 2), mixed(16, 8), NewRequest([]Want{{Resource: slice1g, Count: 1}, {Resource: slice3g, Count: 1}}, gib, []Isolation{MIG, MPS})
	var census Census
	census.Add([]Hardware{{"m", 1, 1}})
	worth := census.Worth()
	n.Hardware = []Hardware{{"m", 1, 1}}
	var sum int64
	if allocs := testing.AllocsPerRun(100, func() {
		sum += int64(r.Suits(n.Facts).Reason) + int64(r.Fits(full).Reason) + r.Rank(n, worth.Of(n.Facts)).Score()
	}); allocs != 0 {
		t.Errorf("judging a node allocates %v times", allocs)
	}
}

func BenchmarkSuits(b *testing.B) {
	n, r := mixed(3, 2), NewRequest([]Want{{Resource: slice3g, Count: 1}}, gib, []Isolation{MIG, MPS})
	b.ReportAllocs()
	for b.Loop() {
		r.Suits(n.Facts)
	}
}

func BenchmarkRank(b *testing.B) {
	n, r := mixed(3, 2), NewRequest([]Want{{Resource: slice3g, Count: 1}}, gib, []Isolation{MIG, MPS})
	var sum int64
	b.ReportAllocs()
	for b.Loop() {
		sum += r.Rank(n, 1).Score()
	}
}

func FuzzParsePreference(f *testing.F) {
	f.Add("mig>mps")
	f.Add("exclusive>mig>mps>time-slicing")
	f.Add("mps>mig")
	f.Add(">>>")
	f.Fuzz(func(t *testing.T, value string) {
		levels, ok := ParsePreference(value)
		if !ok {
			return
		}
		back := ""
		for i, level := range levels {
			if i > 0 {
				back += ">"
				if level >= levels[i-1] {
					t.Errorf("%q rises", value)
				}
			}
			back += level.String()
		}
		if back != value {
			t.Errorf("%q reads as %q", value, back)
		}
	})
}

func FuzzVendorOf(f *testing.F) {
	f.Add("nvidia.com/mig-1g.10gb.me")
	f.Add("amd.com/cpx_nps4")
	f.Fuzz(func(t *testing.T, resource string) {
		vendor := VendorOf(resource)
		if len(resource) < len(vendor) || resource[:len(vendor)] != string(vendor) {
			t.Errorf("%q is said to be of %q", resource, vendor)
		}
		if parts := Partitions(resource); parts < 0 || parts > 8 {
			t.Errorf("%q makes %d parts", resource, parts)
		}
	})
}
