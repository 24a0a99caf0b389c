package share

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestWorthOfPieces(t *testing.T) {
	for name, tc := range map[string]struct {
		sizes []size
		want  map[int]float64
	}{
		"halves in plenty are worth their size, and less than a half is worth nothing": {
			[]size{{500, 9}}, map[int]float64{0: 0, 499: 0, 500: 500, 999: 500, 1000: 1000}},
		"without demand nothing is worth anything": {
			[]size{{500, 0}}, map[int]float64{500: 0, 1000: 0}},
		"more GPUs than whole tasks: a GPU more gains nothing": {
			[]size{{1000, .5}}, map[int]float64{999: 0, 1000: 0}},
		"three thirds fit, and two when they are a hair larger": {
			[]size{{333, 9}, {334, 0}}, map[int]float64{332: 0, 333: 333, 666: 666, 1000: 999}},
		"what 0.8 leaves over is worth nothing when tasks of 0.2 are too few": {
			[]size{{200, .1}, {800, 9}}, map[int]float64{200: 0, 799: 0, 800: 800, 1000: 800}},
		"and its size when they abound": {
			[]size{{200, 9}, {800, 9}}, map[int]float64{200: 200, 400: 400, 800: 800, 1000: 1000}},
	} {
		t.Run(name, func(t *testing.T) {
			w := price(tc.sizes)
			for r, want := range tc.want {
				if math.Abs(w[r]-want) > 1e-6 {
					t.Errorf("a piece of %d is worth %v, want %v", r, w[r], want)
				}
			}
		})
	}
}

// Duality proves the optimum without a second solver: prices that no
// configuration beats bound every solution, and this one reaches the bound.
func TestPricesProveTheOptimum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := drawSizes(t)
		lp := newProgram(sizes)
		steps := 0
		for lp.step() {
			if steps++; steps > 20*(len(sizes)+1) {
				t.Fatalf("no optimum after %d steps for %v", steps, sizes)
			}
		}
		primal := 0.0
		for i, level := range lp.level {
			primal += level * lp.gain[i]
		}
		last := len(sizes)
		bound := lp.dual[last]
		for i, s := range sizes {
			bound += s.demand * lp.dual[i]
		}
		for i, dual := range lp.dual {
			if dual < -1e-6 {
				t.Fatalf("dual %d is %v", i, dual)
			}
		}
		if v := lp.knapsack(); v > lp.dual[last]+1e-6 {
			t.Fatalf("a configuration of %v beats the price %v of a GPU", v, lp.dual[last])
		}
		if math.Abs(primal-bound) > 1e-5 {
			t.Fatalf("packed %v, bound %v", primal, bound)
		}
	})
}

func TestWorthGrowsWithThePieceAndNeverBeyondItsSize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := price(drawSizes(t))
		for r := range Whole {
			if !(w[r] >= 0 && w[r] <= w[r+1] && w[r] <= float64(r)) {
				t.Fatalf("worth of %d is %v, of %d %v", r, w[r], r+1, w[r+1])
			}
		}
	})
}

func drawSizes(t *rapid.T) []size {
	millis := rapid.SliceOfNDistinct(rapid.Int64Range(1, 100), 1, maxSizes, rapid.ID).Draw(t, "tens")
	tens := rapid.SampledFrom([]int64{1, 5, 10}).Draw(t, "unit")
	sizes := make([]size, len(millis))
	for i, milli := range millis {
		sizes[i] = size{milli * tens, rapid.Float64Range(0, 3).Draw(t, "demand")}
	}
	return sizes
}
