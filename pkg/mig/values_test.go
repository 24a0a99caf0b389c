package mig

import (
	"math"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func TestWherePlacementsLoseLeast(t *testing.T) {
	g := a100(t)
	v := g.Values(nil)
	for _, tc := range []struct {
		name    string
		used    Mask
		profile string
		want    Mask
	}{
		{"a 3g takes the half that no 4g can use", 0, "3g.40gb", Run(4, 4)},
		{"a first 1g keeps the half for a 4g", 0, "1g.10gb", Run(4, 1)},
		{"a 1g goes beside another one, not into the free half", Run(4, 1), "1g.10gb", Run(5, 1)},
		{"a 1g leaves the last two slices to a 1g with double memory", Run(4, 1) | Run(0, 4), "1g.10gb", Run(5, 1)},
		{"a 1g with double memory takes the pair that nothing else can fill", 0, "1g.20gb", Run(6, 2)},
		{"a 2g goes into the half with something in it", Run(6, 2), "2g.20gb", Run(4, 2)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			i, _ := g.Find(tc.profile)
			got, loss, ok := v.Best(tc.used, i)
			if !ok || got != tc.want {
				t.Errorf("%s beside %v: at %v losing %d (%v), want at %v losing %d",
					tc.profile, tc.used, got, loss, ok, tc.want, v.Loss(tc.used, tc.want))
			}
		})
	}
	if _, _, ok := v.Best(Run(0, 8), 0); ok {
		t.Error("a 1g fits on a full GPU")
	}
	if _, _, ok := v.Best(0, 99); ok {
		t.Error("a profile that does not exist fits")
	}
}

func TestWhatIsStranded(t *testing.T) {
	g := a100(t)
	only := func(name string) *Values { return g.Values(Weights{name: 1}) }
	for name, tc := range map[string]struct {
		values *Values
		used   Mask
		want   float64
	}{
		"slice 7 of an empty GPU, for 1g":           {only("1g.10gb"), 0, 1},
		"nothing of an empty GPU, for 3g":           {only("3g.40gb"), 0, 0},
		"three slices beside a 1g, for 3g":          {only("3g.40gb"), 1, 3},
		"all seven beside a 1g, for 7g":             {only("7g.80gb"), 1, 7},
		"each profile's by its weight":              {g.Values(Weights{"1g.10gb": 3, "7g.80gb": 1}), 0, .75},
		"nothing of a full GPU":                     {g.Values(nil), Run(0, 8), 0},
		"what no future uses of the last one":       {g.Values(nil), Run(0, 7), 1},
		"weights of nobody mean all profiles alike": {g.Values(Weights{"no such": 1}), Run(0, 7), 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.values.Stranded(tc.used); math.Abs(got-tc.want) > .01 {
				t.Errorf("%v slices stranded with %v used, want %v", got, tc.used, tc.want)
			}
		})
	}
}

func TestWeightsThatAreNoNumbersCountAsNone(t *testing.T) {
	g := a100(t)
	want := g.Values(Weights{"1g.10gb": 1})
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, 0} {
		got := g.Values(Weights{"1g.10gb": math.MaxFloat64, "7g.80gb": bad})
		for used := range Mask(256) {
			if got.Of(used) != want.Of(used) {
				t.Fatalf("weight %v: worth %d with %v used, want %d", bad, got.Of(used), used, want.Of(used))
			}
		}
	}
	uniform := g.Values(nil)
	if all := g.Values(Weights{"1g.10gb": math.Inf(1)}); all.Of(0) != uniform.Of(0) {
		t.Errorf("no usable weight: worth %d, want %d as without weights", all.Of(0), uniform.Of(0))
	}
}

func TestWorthIsBoundedAndNeverGrowsWithUse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGeometry(t, MaxSlices)
		v := g.Values(drawWeights(t, g))
		used, more := Mask(rapid.Uint64().Draw(t, "used")), Mask(rapid.Uint64().Draw(t, "more"))
		free := g.Free(used)
		if worth := v.Of(used); worth < 0 || worth > int64(free)*Slice {
			t.Fatalf("%v: worth %d of %d free slices", g, worth, free)
		}
		if loss := v.Loss(used, more); loss < 0 {
			t.Fatalf("%v: taking %v beside %v gains %d", g, more, used, -loss)
		}
		if s := v.Stranded(used); s < 0 || s > float64(free) {
			t.Fatalf("%v: %v of %d free slices stranded", g, s, free)
		}
	})
}

func TestWorthDependsOnTheStateAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGeometry(t, MaxSlices)
		v := g.Values(nil)
		order := drawPlaced(t, g)
		used, lost := Mask(0), int64(0)
		for _, q := range rapid.Permutation(order).Draw(t, "order") {
			lost += v.Loss(used, q)
			used |= q
		}
		if v.Of(0)-lost != v.Of(used) || v.Of(used) != g.Values(nil).Of(used) {
			t.Fatalf("%v: losses of %d from %d to %d", g, lost, v.Of(0), v.Of(used))
		}
	})
}

func TestBestLosesNoMoreThanAnyPlacementAndNothingBeatsAUselessOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGeometry(t, tableSlices)
		v := g.Values(drawWeights(t, g))
		used := Mask(0)
		for _, q := range drawPlaced(t, g) {
			used |= q
		}
		for i, p := range g.Profiles() {
			_, best, ok := v.Best(used, i)
			if ok != (g.Copies(used, i) > 0) {
				t.Fatalf("%v: Best finds %v, but %d copies fit", g, ok, g.Copies(used, i))
			}
			for _, q := range p.Placements {
				if used&q != 0 {
					continue
				}
				loss := v.Loss(used, q)
				if loss < best {
					t.Fatalf("%v: %v loses %d, the best %d", g, q, loss, best)
				}
				if takesOnlyItsOwn(g, used, q, i) && loss > best {
					t.Fatalf("%v: %v takes from no other placement and loses %d, the best %d", g, q, loss, best)
				}
			}
		}
	})
}

// takesOnlyItsOwn says that no placement but q itself touches q's slices.
func takesOnlyItsOwn(g *Geometry, used, q Mask, profile int) bool {
	for i, p := range g.Profiles() {
		for _, other := range p.Placements {
			if used&other == 0 && q&other != 0 && (i != profile || other != q) {
				return false
			}
		}
	}
	return true
}

func TestLargeGridsAreWorthWhatTheirTablesWouldSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// The same profiles on twelve slices and on the smallest grid without a
		// table, with the extra slice in use; neither GPU is empty.
		var profiles []Profile
		for i := range rapid.IntRange(1, 4).Draw(t, "profiles") {
			size := rapid.IntRange(1, tableSlices).Draw(t, "size")
			p := Profile{Name: string(rune('a' + i))}
			for start := 0; start+size <= tableSlices; start += rapid.IntRange(1, size).Draw(t, "step") {
				p.Placements = append(p.Placements, Run(start, size))
			}
			profiles = append(profiles, p)
		}
		small, err := NewGeometry(tableSlices, profiles)
		if err != nil {
			t.Fatal(err)
		}
		large, err := NewGeometry(tableSlices+1, profiles)
		if err != nil {
			t.Fatal(err)
		}
		w := drawWeights(t, small)
		a, b := small.Values(w), large.Values(w)
		for range 20 {
			used := Mask(rapid.Uint64().Draw(t, "used"))&Run(0, tableSlices) | 1
			for range 2 { // computed, then remembered
				if a.Of(used) != b.Of(used|Run(tableSlices, 1)) {
					t.Fatalf("%v with %v used: worth %d, by table %d", small, used, b.Of(used|Run(tableSlices, 1)), a.Of(used))
				}
			}
		}
	})
}

func TestValuesAreSafeForConcurrentUse(t *testing.T) {
	g, err := NewGeometry(40, []Profile{{Name: "a", Placements: []Mask{Run(0, 4), Run(4, 4), Run(30, 4)}}})
	if err != nil {
		t.Fatal(err)
	}
	v, want := g.Values(nil), g.Values(nil)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for used := range Mask(500) {
				if got := v.Of(used); got != want.Of(used) {
					t.Errorf("worth %d with %v used, want %d", got, used, want.Of(used))
				}
			}
		})
	}
	wg.Wait()
}

func TestTheMemoStaysBounded(t *testing.T) {
	m := memo{known: map[Mask]int64{}}
	for used := range Mask(maxMemo + 10) {
		m.put(used, 1)
	}
	if len(m.known) != maxMemo {
		t.Errorf("%d worths remembered, want %d", len(m.known), maxMemo)
	}
}

func TestLossAllocatesNothing(t *testing.T) {
	large, err := NewGeometry(40, []Profile{{Name: "a", Placements: []Mask{Run(0, 4), Run(4, 4)}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]*Values{"with a table": a100(t).Values(nil), "without": large.Values(nil)} {
		sum := v.Loss(0, Run(4, 4))
		if n := testing.AllocsPerRun(100, func() { sum += v.Loss(0, Run(4, 4)) }); n != 0 {
			t.Errorf("%s: %v allocations (sum %d)", name, n, sum)
		}
	}
}

// drawWeights draws weights for some of the profiles.
func drawWeights(t *rapid.T, g *Geometry) Weights {
	w := Weights{}
	for _, p := range g.Profiles() {
		if rapid.Bool().Draw(t, "weighted") {
			w[p.Name] = rapid.Float64Range(0, 100).Draw(t, "weight")
		}
	}
	return w
}

// drawPlaced draws placements that do not overlap.
func drawPlaced(t *rapid.T, g *Geometry) (placed []Mask) {
	used := Mask(0)
	for range rapid.IntRange(0, 6).Draw(t, "tries") {
		p := rapid.SampledFrom(g.Profiles()).Draw(t, "profile")
		if q := rapid.SampledFrom(p.Placements).Draw(t, "placement"); used&q == 0 {
			used |= q
			placed = append(placed, q)
		}
	}
	return placed
}
