package load

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

const gib = 1 << 30

func cpuMemory(t testing.TB) *Scale {
	t.Helper()
	s, err := NewScale([]Resource{{Name: "cpu", Weight: 1}, {Name: "memory", Weight: 1}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// node8 is a node of 8 cores and 32 GiB with the given shares of them in use.
func node8(cpuPercent, memoryPercent int64) *Node {
	n := &Node{Allocatable: Vector{8000, 32 * gib}}
	n.Used = Vector{8000 * cpuPercent / 100, 32 * gib * memoryPercent / 100}
	n.Empty = n.Used == Vector{}
	return n
}

func TestReadPrefers(t *testing.T) {
	pod := Vector{400, 32 * gib * 5 / 100} // 5 % of node8 in both
	for name, tc := range map[string]struct {
		better, worse *Node
		target        int64
	}{
		"the fuller node below the target":                          {node8(60, 60), node8(20, 20), 80},
		"a node exactly on the target to one below it":              {node8(75, 75), node8(74, 74), 80},
		"a nearly empty node to one over the target":                {node8(1, 1), node8(76, 76), 80},
		"an empty node to one over the target":                      {node8(0, 0), node8(76, 76), 80},
		"any node in use to an empty one":                           {node8(1, 0), node8(0, 0), 80},
		"a stranding node in use to an empty one":                   {node8(70, 0), node8(0, 0), 80},
		"less over the target to more over it":                      {node8(80, 80), node8(90, 90), 80},
		"half of each to most of one and little of the other":       {node8(45, 45), node8(85, 5), 100},
		"half of each to one resource on its line and none of both": {node8(45, 45), node8(75, 0), 80},
		"one over in one resource to one over in more":              {node8(76, 10), node8(90, 10), 80},
	} {
		t.Run(name, func(t *testing.T) {
			s := cpuMemory(t)
			for mixName, mix := range map[string]*Mix{"any shape": nil, "1:4": NewMix([]Shape{{Need: Vector{400, 32 * gib * 5 / 100}, Share: 1}}, 0)} {
				better := s.Read(tc.better, &pod, Percent(tc.target), mix)
				worse := s.Read(tc.worse, &pod, Percent(tc.target), mix)
				if better.Score <= worse.Score {
					t.Errorf("%s: want the first to score higher, got\n%d %v\n%d %v", mixName, better.Score, better, worse.Score, worse)
				}
			}
		})
	}
}

func TestReadingIsDrawnWithItsLine(t *testing.T) {
	got := cpuMemory(t).Read(node8(45, 20), &Vector{400, 0}, Percent(80), nil).String()
	if want := "██████████░░░░░░│░░░░ 50% of 80% under"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestShareRoundsUpAndNeverOverflows(t *testing.T) {
	for _, tc := range []struct {
		used, allocatable int64
		want              BasisPoints
	}{
		{0, 100, 0}, {-5, 100, 0}, {80, 100, 8000}, {800001, 1000000, 8001}, {150, 100, 15000},
		{1, 0, math.MaxInt32}, {0, 0, 0}, {math.MaxInt64, 1, math.MaxInt32},
		{900e12, 9e18, 1}, {922337203685477, 1 << 60, 8}, // as an exact integer product would overflow
		{math.MaxInt64 - 1, math.MaxInt64, 10000}, {math.MaxInt64 / 2, math.MaxInt64, 5000},
	} {
		if got := Share(tc.used, tc.allocatable); got != tc.want {
			t.Errorf("Share(%d, %d) = %d, want %d", tc.used, tc.allocatable, got, tc.want)
		}
	}
}

func TestSumsSaturate(t *testing.T) {
	a, b := Vector{math.MaxInt64, 1}, Vector{1, 2}
	if got, want := a.Plus(&b), (Vector{math.MaxInt64, 3}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAResourceTheNodeLacksDoesNotFillIt(t *testing.T) {
	// A device plugin that died leaves pods that use what the node no longer has.
	if u, _ := cpuMemory(t).Utilization(&Vector{1000, 0}, &Vector{500, gib}); u != Percent(50) {
		t.Errorf("got %v, want 50%%", u)
	}
}

func TestScaleRefuses(t *testing.T) {
	for name, resources := range map[string][]Resource{
		"no resources":            nil,
		"more than fit a vector":  make([]Resource, MaxResources+1),
		"a weight of nothing":     {{Name: "cpu", Weight: 0}},
		"nothing but devices":     {{Name: "gpu", Weight: 1, Device: true}},
		"a weight below nothing":  {{Name: "cpu", Weight: -1}},
		"one bad among good ones": {{Name: "cpu", Weight: 1}, {Name: "memory"}},
	} {
		if s, err := NewScale(resources); err == nil {
			t.Errorf("%s: want an error, got %v", name, s)
		}
	}
}

// drawn is a random node, pod, target and mix.
type drawn struct {
	node   Node
	pod    Vector
	target BasisPoints
	mix    *Mix
}

func draw(t *rapid.T) drawn {
	amount := func(label string, most int64) int64 { return rapid.Int64Range(0, most).Draw(t, label) }
	d := drawn{target: Percent(rapid.Int64Range(1, 100).Draw(t, "target"))}
	d.node.Allocatable = Vector{1 + amount("cpu", 256_000), 1 + amount("memory", 4096*gib)}
	var shapes []Shape
	for range rapid.IntRange(0, 20).Draw(t, "shapes") {
		shapes = append(shapes, Shape{Vector{amount("need cpu", 20_000), amount("need memory", 64*gib)}, 1})
	}
	d.mix = NewMix(shapes, 0)
	for r := range 2 {
		d.node.Used[r] = amount("used", d.node.Allocatable[r])
		d.pod[r] = amount("pod", d.node.Allocatable[r]-d.node.Used[r])
	}
	d.node.Empty = rapid.Bool().Draw(t, "empty")
	if d.node.Empty {
		d.node.Used = Vector{}
	}
	return d
}

func TestSidesDecideBeforeAnythingElse(t *testing.T) {
	s := cpuMemory(t)
	rapid.Check(t, func(t *rapid.T) {
		d := draw(t)
		r := s.Read(&d.node, &d.pod, d.target, d.mix)
		want := Under
		switch {
		case r.Utilization > d.target:
			want = Over
		case d.node.Empty:
			want = Opens
		}
		if r.Side != want || r.Score/bandWidth != int64(want) || r.Score < 0 || r.Score > MaxScore {
			t.Fatalf("%v with %v on %v: side %v, score %d, want side %v in its band", d.node, d.pod, d.target, r.Side, r.Score, want)
		}
	})
}

func TestFillingInProportionScoresHigherUpToTheTargetAndLowerBehindIt(t *testing.T) {
	s := cpuMemory(t)
	rapid.Check(t, func(t *rapid.T) {
		target := rapid.Int64Range(2, 99).Draw(t, "target")
		low := rapid.Int64Range(0, 98).Draw(t, "low")
		high := rapid.Int64Range(low+1, 99).Draw(t, "high")
		at := func(percent int64) Reading { // ends at percent+1
			n := Node{Allocatable: Vector{100_000, 100 * gib}, Used: Vector{1000 * percent, gib * percent}}
			return s.Read(&n, &Vector{1000, gib}, Percent(target), nil)
		}
		a, b := at(low), at(high)
		switch {
		case high < target && a.Score >= b.Score:
			t.Fatalf("target %d: %d%% scores %d, %d%% scores %d: want rising to the target", target, low+1, a.Score, high+1, b.Score)
		case low >= target && a.Score <= b.Score:
			t.Fatalf("target %d: %d%% scores %d, %d%% scores %d: want falling behind it", target, low+1, a.Score, high+1, b.Score)
		case low < target && high >= target && a.Score <= b.Score:
			t.Fatalf("target %d: %d%% scores %d, %d%% scores %d: want under before over", target, low+1, a.Score, high+1, b.Score)
		}
	})
}

func TestCurveIsContinuousAndPeaksAtTheTarget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		target := Percent(rapid.Int64Range(1, 100).Draw(t, "target"))
		u := BasisPoints(rapid.Int64Range(0, 3*int64(Full)).Draw(t, "utilization"))
		here, next := Curve(u, target), Curve(u+1, target)
		if here < 0 || here > 1 || here == 1 && u != target {
			t.Fatalf("Curve(%d, %d) = %v, want 1 at the target only and 0..1 elsewhere", u, target, here)
		}
		// One basis point moves a curve that rises over the whole target by
		// one part in the target, and no cliff moves it further.
		if step := math.Abs(next - here); step > 1/float64(target)+1e-12 {
			t.Fatalf("Curve jumps by %v between %d and %d with target %d", step, u, u+1, target)
		}
		if rises := next > here; u < target && !rises || u >= target && rises {
			t.Fatalf("Curve(%d)=%v, Curve(%d)=%v with target %d: want rising to the target, then falling", u, here, u+1, next, target)
		}
	})
}

func TestStrandingHurts(t *testing.T) {
	s := cpuMemory(t)
	rapid.Check(t, func(t *rapid.T) {
		// Two nodes of one size, equally full in the dominant resource; the
		// second has more of the other resource left, which nothing can use.
		cpu := rapid.Int64Range(30, 70).Draw(t, "cpu")
		balanced := rapid.Int64Range(25, cpu).Draw(t, "memory")
		skewed := rapid.Int64Range(0, balanced-20).Draw(t, "less memory")
		pod := Vector{400, 32 * gib / 20}
		a := s.Read(node8(cpu, balanced), &pod, Percent(80), nil)
		b := s.Read(node8(cpu, skewed), &pod, Percent(80), nil)
		if a.Utilization == b.Utilization && a.Score <= b.Score {
			t.Fatalf("%d%%/%d%% scores %d, %d%%/%d%% scores %d: want the skewed one lower", cpu, balanced, a.Score, cpu, skewed, b.Score)
		}
	})
}

func TestReadDependsOnNothingElse(t *testing.T) {
	s := cpuMemory(t)
	rapid.Check(t, func(t *rapid.T) {
		d := draw(t)
		before := d.node
		first, second := s.Read(&d.node, &d.pod, d.target, d.mix), s.Read(&d.node, &d.pod, d.target, d.mix)
		if first != second || before != d.node {
			t.Fatalf("reading twice gave %v and %v, node %v became %v", first, second, before, d.node)
		}
	})
}
