package load

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestStrandedCountsWhatWholeCopiesLeaveOver(t *testing.T) {
	s := cpuMemory(t)
	small, big := Vector{1000, 4 * gib}, Vector{4000, 8 * gib}
	for name, tc := range map[string]struct {
		used Vector
		brim BasisPoints
		mix  *Mix
		want float64
	}{
		"nothing of an empty node for pods of its proportions": {Vector{}, Full, NewMix([]Shape{{small, 1}}, 0), 0},
		"the half core and 2 GiB that no copy uses":            {Vector{500, 2 * gib}, Full, NewMix([]Shape{{small, 1}}, 0), (500./8000 + 2./32) / 2},
		"all that is left when no copy fits":                   {Vector{7500, 30 * gib}, Full, NewMix([]Shape{{small, 1}}, 0), (500./8000 + 2./32) / 2},
		"memory without cores":                                 {Vector{8000, 0}, Full, NewMix([]Shape{{small, 1}}, 0), .5},
		"nothing on the line":                                  {Vector{6400, 32 * gib * 8 / 10}, Percent(80), NewMix([]Shape{{small, 1}}, 0), 0},
		"each shape by its share":                              {Vector{5000, 20 * gib}, Full, NewMix([]Shape{{small, 3}, {big, 1}}, 0), .25 * (3./8 + 12./32) / 2},
		"what is out of proportion, for any shape":             {Vector{8000, 0}, Full, nil, .5},
	} {
		t.Run(name, func(t *testing.T) {
			allocatable := Vector{8000, 32 * gib}
			if got := s.Stranded(&allocatable, &tc.used, tc.brim, tc.mix); math.Abs(got-tc.want) > 1e-9 {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestDevicesAreStrandedByLackOfCoresAndKnowNoLine(t *testing.T) {
	s, err := NewScale([]Resource{{Name: "cpu", Weight: 1}, {Name: "gpu", Weight: 1, Device: true}})
	if err != nil {
		t.Fatal(err)
	}
	mix := NewMix([]Shape{{Vector{4000, 1}, 1}}, 0)
	allocatable := Vector{16000, 4}
	if got := s.Stranded(&allocatable, &Vector{16000, 0}, Full, mix); got != .5 {
		t.Errorf("four GPUs without a core: stranded %v, want half of the node", got)
	}
	full := Node{Allocatable: allocatable, Used: Vector{0, 3}}
	if r := s.Read(&full, &Vector{1000, 1}, Percent(50), mix); r.Side != Under {
		t.Errorf("taking the last GPU with cores to spare: %v, want under", r)
	}
}

func TestStrandedIsAShareAndPlacingWithinTheMixNeverAddsToIt(t *testing.T) {
	s := cpuMemory(t)
	rapid.Check(t, func(t *rapid.T) {
		d := draw(t)
		got := s.Stranded(&d.node.Allocatable, &d.node.Used, d.target, d.mix)
		if got < 0 || got > 1+1e-9 || math.IsNaN(got) {
			t.Fatalf("stranded %v of %v, want 0..1", got, d.node)
		}
		// With one shape, placing a pod of it uses exactly one copy.
		if d.pod == (Vector{}) {
			return
		}
		one := NewMix([]Shape{{d.pod, 1}}, 0)
		after := d.node.Used
		for r := range after {
			after[r] += d.pod[r]
		}
		before := s.Stranded(&d.node.Allocatable, &d.node.Used, Full, one)
		if then := s.Stranded(&d.node.Allocatable, &after, Full, one); then > before+1e-6 {
			t.Fatalf("a pod of the only shape strands %v, %v before", then, before)
		}
	})
}

func TestMixKeepsTheMostFrequentShapesWhateverTheirOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var shapes []Shape
		for i := range rapid.IntRange(1, 40).Draw(t, "n") {
			shapes = append(shapes, Shape{Vector{int64(i + 1), 1}, float64(rapid.IntRange(1, 5).Draw(t, "share"))})
		}
		a, b := NewMix(shapes, 0), NewMix(rapid.Permutation(shapes).Draw(t, "shuffled"), 0)
		if a.String() != b.String() {
			t.Fatalf("order matters:\n%v\n%v", a, b)
		}
		sum := 0.0
		for _, s := range a.Shapes() {
			sum += s.Share
		}
		if len(a.Shapes()) > MaxShapes || math.Abs(sum-1) > 1e-9 {
			t.Fatalf("%d shapes with shares of %v in all, want at most %d and 1", len(a.Shapes()), sum, MaxShapes)
		}
	})
	if NewMix([]Shape{{Vector{}, 1}}, 0) != nil || NewMix(nil, 0) != nil {
		t.Error("a mix of pods that need nothing: want nil")
	}
}

func TestHistogramLearnsAndForgets(t *testing.T) {
	h := NewHistogram(100)
	old, fresh := Vector{1000, gib}, Vector{2000, 16 * gib}
	if h.Mix() != nil {
		t.Error("an empty histogram knows a mix")
	}
	for range 1000 {
		h.Observe(old)
	}
	for range 100 {
		h.Observe(fresh)
	}
	got := h.Mix().Shapes()
	// One half-life of new pods: half of what is known is theirs.
	if len(got) != 2 || math.Abs(got[0].Share/(got[0].Share+got[1].Share)-.5) > .01 {
		t.Fatalf("after one half-life: %v, want two shapes of one half each", h.Mix())
	}
	for range 1000 {
		h.Observe(fresh)
	}
	if got := h.Mix().Shapes(); got[0].Need != fresh || got[0].Share < 500*got[1].Share {
		t.Errorf("after ten more: %v, want next to nothing but %v", h.Mix(), fresh)
	}
}

func TestAHandfulOfPodsLeavesTheJudgementToAnyShape(t *testing.T) {
	h := NewHistogram(1000)
	unknown := 1.0
	for n := 1; n <= 1000; n++ {
		h.Observe(Vector{4000, gib})
		mix := h.Mix()
		if mix.any >= unknown || n <= unknownPods && mix.any < .49 {
			t.Fatalf("after %d pods: %v, want less than %v unknown, and half after %d", n, mix, unknown, unknownPods)
		}
		unknown = mix.any
	}
	if unknown > .15 {
		t.Errorf("after 1000 pods %v is unknown, want hardly any", unknown)
	}
}

func TestHistogramStaysBounded(t *testing.T) {
	h := NewHistogram(1000)
	common := Vector{500, gib}
	for i := range int64(5000) {
		h.Observe(Vector{1 + i*i*7919%1_000_003, 1 + i*104729%999_983*4096})
		h.Observe(common)
		h.Observe(Vector{})
	}
	if len(h.buckets) > maxBuckets {
		t.Errorf("%d buckets, want at most %d", len(h.buckets), maxBuckets)
	}
	if top := h.Mix().Shapes()[0]; top.Need != common {
		t.Errorf("most frequent shape %v, want %v", top.Need, common)
	}
}
