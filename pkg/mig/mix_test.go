package mig

import (
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// A low floor shows what is learnt.
const lowFloor = 0.25

func newMix(t testing.TB, halfLife int) *Mix {
	t.Helper()
	m, err := NewMix(halfLife, lowFloor)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAMixThatKnowsNothingIsEqual(t *testing.T) {
	g := a100(t)
	m := newMix(t, 1000)
	m.Observe("nvidia.com/gpu") // no profile of this geometry
	for name, w := range m.Weights(g) {
		if math.Abs(w-1./6) > 1e-9 {
			t.Errorf("%s weighs %v, want a sixth", name, w)
		}
	}
}

func TestAMixWeighsSlicesNotRequests(t *testing.T) {
	g := a100(t)
	m := newMix(t, 100_000)
	for range 20_000 {
		for range 8 {
			m.Observe("1g.10gb")
		}
		m.Observe("7g.79gb") // as another driver rounds it
	}
	w := m.Weights(g)
	if math.Abs(w["1g.10gb"]-w["7g.80gb"]) > 1e-3 {
		t.Errorf("eight 1g for each 7g: weights %v, want the same for both", w)
	}
	if want := lowFloor / 6; math.Abs(w["3g.40gb"]-want) > 1e-3 {
		t.Errorf("a profile nobody asks for weighs %v, want the floor of %v", w["3g.40gb"], want)
	}
}

func TestAMixLearnsAndForgets(t *testing.T) {
	g := a100(t)
	m := newMix(t, 500)
	for range 5000 {
		m.Observe("1g.20gb")
	}
	old := m.Weights(g)
	for range 5000 {
		m.Observe("2g.20gb")
	}
	now := m.Weights(g)
	if old["1g.20gb"] < .7 || now["2g.20gb"] < .7 || now["1g.20gb"] > .05 {
		t.Errorf("first %v, ten half-lives later %v", old, now)
	}
	if old["2g.20gb"] > .05 {
		t.Errorf("a snapshot changed: %v", old)
	}
}

func TestAHandfulOfRequestsDecidesLittle(t *testing.T) {
	m := newMix(t, 1000)
	for range 10 {
		m.Observe("7g.80gb")
	}
	if w := m.Weights(a100(t)); w["7g.80gb"] > .3 {
		t.Errorf("ten requests: weights %v, want nearly equal ones", w)
	}
}

func TestALearntMixGivesNoProfileNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGeometry(t, 16)
		floor := rapid.Float64Range(.05, 1).Draw(t, "floor")
		m, err := NewMix(rapid.IntRange(1, 1000).Draw(t, "half-life"), floor)
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(0, 300).Draw(t, "requests") {
			m.Observe(rapid.SampledFrom([]string{"a", "a", "a", "b", "z"}).Draw(t, "name"))
		}
		w, sum := m.Weights(g), 0.0
		for _, p := range g.Profiles() {
			if w[p.Name] < floor/float64(len(g.Profiles()))-1e-9 {
				t.Fatalf("%s weighs %v of %v, the floor is %v", p.Name, w[p.Name], w, floor)
			}
			sum += w[p.Name]
		}
		if math.Abs(sum-1) > 1e-9 {
			t.Fatalf("weights %v sum to %v", w, sum)
		}
		for i, share := range g.Values(w).shares {
			if share == 0 {
				t.Fatalf("profile %d counts for nothing with %v", i, w)
			}
		}
		if diff := cmp.Diff(w, m.Weights(g)); diff != "" {
			t.Fatalf("asked twice (-first +second):\n%s", diff)
		}
	})
}

func TestAMixStaysBounded(t *testing.T) {
	m := newMix(t, 1000)
	for i := range 2000 {
		m.Observe("1g.10gb")
		m.Observe(fmt.Sprintf("%dg.1gb", i))
	}
	if len(m.counts) > maxNames {
		t.Errorf("%d names, want at most %d", len(m.counts), maxNames)
	}
	if w := m.Weights(a100(t)); w["1g.10gb"] < .7 {
		t.Errorf("the frequent profile was forgotten: %v", w)
	}
}

func TestNewMixRefusesWhatMakesNoSense(t *testing.T) {
	for _, tc := range []struct {
		halfLife int
		floor    float64
	}{{0, .5}, {-1, .5}, {1, 0}, {1, -1}, {1, 1.1}, {1, math.NaN()}} {
		if _, err := NewMix(tc.halfLife, tc.floor); err == nil {
			t.Errorf("half-life %d and floor %v: no error", tc.halfLife, tc.floor)
		}
	}
}
