package worlds

import (
	"runtime"
	"runtime/debug"
	"slices"
	"testing"

	apiequality "k8s.io/apimachinery/pkg/api/equality"

	"plimsoll.dev/scheduler/pkg/devices"
)

// TestMain lets garbage grow: worlds are small and short-lived, and most of the
// time is spent on making and dropping them.
func TestMain(m *testing.M) {
	debug.SetGCPercent(300)
	m.Run()
}

func generator(t testing.TB) *Generator {
	t.Helper()
	g, err := NewGenerator()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func fail(t testing.TB, f *Found) {
	t.Helper()
	text, err := f.Smallest().YAML()
	if err != nil {
		t.Error(err)
	}
	t.Fatalf("seed %d: %v\n%s", f.Seed, f.Disagreement, text)
}

// unknowns are the reasons for which the model may leave a node to the allocator.
var unknowns = []string{
	"_ devices",
	"_ devices are more than are planned for",
	"_ tied over all devices",
	"a device in use by shares that is not published as shared",
	"a pool that is not on this node alone",
	"a selector fails on some device",
	"admin access",
	"alternatives are switched off",
	"amounts that thousandths cannot hold",
	"attributes may be lists",
	"counters of two drivers' pools with one name",
	"distinct _ over several devices of a request",
	"distinct attributes are switched off",
	"distinct attributes",
	"partitionable devices are switched off",
	"requests of capacity are switched off",
	"slices that disagree on how many there are",
	"the search ends early",
}

// TestTheModelAgreesWithTheAllocator is what the package is for.
func TestTheModelAgreesWithTheAllocator(t *testing.T) {
	runner := Runner{Generator: generator(t), Workers: runtime.GOMAXPROCS(0)}
	tally, found := runner.Run(t.Context(), 0, judged)
	if found != nil {
		fail(t, found)
	}
	tally.Print(t.Output())
	nodes := tally.Nodes()
	if fit := tally.Answers["fits, the allocator fits"]; fit < nodes/5 || tally.Otherwise < nodes/50 {
		t.Errorf("of %d nodes %d fit, %d otherwise than first-fit: too few say anything", nodes, fit, tally.Otherwise)
	}
	if share := tally.UnknownShare(); share > .15 {
		t.Errorf("the model leaves %.1f %% of the nodes to the allocator", 100*share)
	}
	for why := range tally.Unknown {
		if !slices.Contains(unknowns, why) {
			t.Errorf("the model leaves a node to the allocator because of %q, which is not listed", why)
		}
	}
	for _, why := range Divergences()[:3] {
		if judged >= 100_000 && tally.Scopes[why] == 0 {
			t.Errorf("no world shows %q: it says nothing that it is let pass", why)
		}
	}
}

// TestWhatIsCountedDoesNotDependOnWhoCounts: neither on the workers nor on where a
// run begins.
func TestWhatIsCountedDoesNotDependOnWhoCounts(t *testing.T) {
	g := generator(t)
	one, _ := (&Runner{Generator: g, Workers: 1}).Run(t.Context(), 1<<40, 1000)
	first, _ := (&Runner{Generator: g, Workers: 3}).Run(t.Context(), 1<<40, 600)
	second, _ := (&Runner{Generator: g, Workers: 3}).Run(t.Context(), 1<<40+600, 400)
	first.Add(second)
	if !apiequality.Semantic.DeepEqual(one, first) {
		t.Errorf("%+v, in two parts %+v", one, first)
	}
}

// TestACaseSurvivesYAML: it reads back as the same world, and is judged alike.
func TestACaseSurvivesYAML(t *testing.T) {
	g := generator(t)
	for seed := range uint64(300) {
		w := g.Generate(seed)
		text, err := w.YAML()
		if err != nil {
			t.Fatal(err)
		}
		back, err := devices.ReadReproducer(text)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if !apiequality.Semantic.DeepEqual(w.Slices, back.Slices) || !apiequality.Semantic.DeepEqual(w.Claims, back.Claims) ||
			!apiequality.Semantic.DeepEqual(w.Nodes, back.Nodes) || !sameState(w.Allocated, back.Allocated) || w.Features != back.Features {
			t.Fatalf("seed %d reads back otherwise:\n%s", seed, text)
		}
		before, after := NewJudge(), NewJudge()
		if before.Compare(w) != nil || after.Compare(back) != nil || !apiequality.Semantic.DeepEqual(before.Tally(), after.Tally()) {
			t.Errorf("seed %d is judged otherwise:\n%s", seed, text)
		}
	}
}

// FuzzTheAllocatorAgrees judges worlds of its own.
func FuzzTheAllocatorAgrees(f *testing.F) {
	g, judge := generator(f), NewJudge()
	f.Add(uint64(1 << 50))
	f.Fuzz(func(t *testing.T, seed uint64) {
		w := g.Generate(seed)
		if d := judge.Compare(w); d != nil {
			fail(t, &Found{seed, w, d})
		}
	})
}

func BenchmarkCompare(b *testing.B) {
	g := generator(b)
	judge := NewJudge()
	b.ReportAllocs()
	for seed := uint64(0); b.Loop(); seed++ {
		if d := judge.Compare(g.Generate(seed)); d != nil {
			b.Fatal(d)
		}
	}
}
