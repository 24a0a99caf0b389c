package mig

import (
	"fmt"
	"testing"
)

// simMixes are shares of requests for 1g.10gb, 1g.20gb, 2g.20gb, 3g.40gb,
// 4g.40gb and 7g.80gb.
var simMixes = []struct {
	name   string
	shares []float64
}{
	{"equal", []float64{1. / 6, 1. / 6, 1. / 6, 1. / 6, 1. / 6, 1. / 6}},
	{"small", []float64{.40, .20, .20, .12, .05, .03}},
	{"big", []float64{.05, .10, .10, .20, .25, .30}},
	{"1g+7g", []float64{.7, 0, 0, 0, 0, .3}},
	{"inference", []float64{.4, .2, .2, .2, 0, 0}},
	{"no 7g", []float64{.2, .2, .2, .2, .2, 0}},
}

// outcome is the per cent of demanded slices that are served: at a demand of
// 0.85 and of 1 of the cluster with coming and going, and when it is filled once.
type outcome struct{ at85, at100, fill float64 }

func (o outcome) String() string { return fmt.Sprintf("%.1f/%.1f/%.1f", o.at85, o.at100, o.fill) }

// mean is the mean of the seeds' shares, which serve counts for one scenario.
func mean(tb testing.TB, g *Geometry, mix []float64, seeds int, serve func(s *scenario, seed uint64) (served, demanded float64)) outcome {
	tb.Helper()
	var o outcome
	for seed := range uint64(seeds) {
		for _, s := range []struct {
			scenario scenario
			sum      *float64
		}{
			{churning(g, mix, .85, seed), &o.at85},
			{churning(g, mix, 1, seed), &o.at100},
			{filling(g, mix, seed), &o.fill},
		} {
			s.scenario.tb = tb
			served, demanded := serve(&s.scenario, seed)
			*s.sum += 100 * served / demanded / float64(seeds)
		}
	}
	return o
}

func (v *Values) policy() simPolicy {
	return leastLoss(v.geometry, func(used, placement Mask) float64 { return float64(v.Loss(used, placement)) })
}

// fgd is the published measure: least growth of what is stranded.
func (v *Values) fgd() simPolicy {
	return leastLoss(v.geometry, func(used, placement Mask) float64 {
		return v.Stranded(used|placement) - v.Stranded(used)
	})
}

// phi is the sum of FGD's measure, places and the longest free run that fills an
// empty cluster best, with the factors of a sweep.
func (v *Values) phi() simPolicy {
	potential := func(used Mask) float64 {
		places, longest := 0, 0
		for _, p := range v.geometry.profiles {
			for _, q := range p.Placements {
				if used&q == 0 {
					places++
				}
			}
		}
		for size := 1; size <= v.geometry.slices; size++ {
			for start := range v.geometry.slices - size + 1 {
				if used&Run(start, size) == 0 {
					longest = size
				}
			}
		}
		return 1.53*v.Stranded(used) - .26*float64(places) - 2.21*float64(longest)
	}
	return leastLoss(v.geometry, func(used, placement Mask) float64 {
		return potential(used|placement) - potential(used)
	})
}

// by serves every scenario with one policy that keeps no state.
func by(p simPolicy) func(*scenario, uint64) (float64, float64) {
	return func(s *scenario, _ uint64) (float64, float64) { return s.served(p) }
}

func inTree(s *scenario, seed uint64) (float64, float64) {
	return s.served(firstFit(s.geometry, seed))
}

func ideal(s *scenario, _ uint64) (float64, float64) { return s.ideal() }

func TestTheRuleServesMoreThanFirstFitAndNearlyTheIdeal(t *testing.T) {
	t.Parallel()
	g, mix := a100(t), simMixes[0].shares
	const seeds = 30
	rule := mean(t, g, mix, seeds, by(g.Values(nil).policy()))
	fgd := mean(t, g, mix, seeds, by(g.Values(nil).fgd()))
	first := mean(t, g, mix, seeds, inTree)
	bound := mean(t, g, mix, seeds, ideal)
	t.Logf("demand 0.85 / 1.0 / fill: rule %v, FGD %v, in-tree first fit %v, ideal %v", rule, fgd, first, bound)
	if rule.at85 < 98 || rule.at100 < 90 || rule.fill < 97.5 {
		t.Errorf("the rule serves %v %%, want at least 98/90/97.5", rule)
	}
	if rule.at85 < first.at85+5 || rule.at100 < first.at100+7 || rule.fill < first.fill+5 {
		t.Errorf("the rule serves %v %%, first fit %v %%: want 5/7/5 points more", rule, first)
	}
	if rule.fill < fgd.fill+.5 {
		t.Errorf("filling, the rule serves %v %%, FGD %v %%: want half a point more", rule, fgd)
	}
	if rule.at85 > bound.at85 || rule.at100 > bound.at100 || rule.fill > bound.fill {
		t.Errorf("the rule serves %v %%, the ideal %v %%: the simulator is wrong", rule, bound)
	}
}

// noise is how far policies that are as good as each other differ, in points.
const noise = 0.5

func TestTheRuleIsNoWorseThanFGDWhateverTheMix(t *testing.T) {
	t.Parallel()
	g := a100(t)
	const seeds = 8
	agnostic, fgd := g.Values(nil).policy(), g.Values(nil).fgd()
	for _, mix := range simMixes[1:] {
		t.Run(mix.name, func(t *testing.T) {
			want := mean(t, g, mix.shares, seeds, by(fgd))
			for name, policy := range map[string]simPolicy{"equal": agnostic, "learnt": g.Values(learnt(t, g, mix.shares)).policy()} {
				got := mean(t, g, mix.shares, seeds, by(policy))
				t.Logf("rule with %s weights %v, FGD with equal weights %v", name, got, want)
				if got.at85 < want.at85-noise || got.at100 < want.at100-noise || got.fill < want.fill-noise {
					t.Errorf("with %s weights: %v %%, want no less than FGD's %v %%", name, got, want)
				}
			}
		})
	}
}

func TestALearntMixThatIsWrongCostsLittle(t *testing.T) {
	t.Parallel()
	g := a100(t)
	const seeds, little = 2, 2.0
	believed := map[string][]float64{"big": simMixes[2].shares, "no 7g": simMixes[5].shares}
	for i, p := range g.profiles {
		only := make([]float64, len(g.profiles))
		only[i] = 1
		believed["only "+p.Name] = only
	}
	for _, actual := range simMixes {
		want := mean(t, g, actual.shares, seeds, by(g.Values(nil).policy()))
		for name, shares := range believed {
			got := mean(t, g, actual.shares, seeds, by(g.Values(learnt(t, g, shares)).policy()))
			if got.at85 < want.at85-little || got.at100 < want.at100-little || got.fill < want.fill-little {
				t.Errorf("%s, believed to be %s: %v %%, with equal weights %v %%", actual.name, name, got, want)
			}
		}
	}
}

func TestTheRuleHoldsOnOtherGrids(t *testing.T) {
	t.Parallel()
	const seeds = 8
	for _, product := range []string{"NVIDIA-A30", "NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition"} {
		t.Run(product, func(t *testing.T) {
			g := table(t, product)
			mix := []float64{1. / 3, 1. / 3, 1. / 3}
			rule := mean(t, g, mix, seeds, by(g.Values(nil).policy()))
			fgd := mean(t, g, mix, seeds, by(g.Values(nil).fgd()))
			first := mean(t, g, mix, seeds, inTree)
			t.Logf("rule %v, FGD %v, in-tree first fit %v, ideal %v", rule, fgd, first, mean(t, g, mix, seeds, ideal))
			if rule.at85 < fgd.at85-noise || rule.at100 < fgd.at100-noise || rule.fill < fgd.fill-noise {
				t.Errorf("the rule serves %v %%, want no less than FGD's %v %%", rule, fgd)
			}
			if rule.at85 < first.at85+2 || rule.at100 < first.at100+5 {
				t.Errorf("the rule serves %v %%, want clearly more than first fit's %v %%", rule, first)
			}
		})
	}
}

// learnt is the mix that a learner knows after many requests of these shares.
func learnt(t testing.TB, g *Geometry, shares []float64) Weights {
	t.Helper()
	m, err := NewMix(2000, DefaultFloor)
	if err != nil {
		t.Fatal(err)
	}
	s := churning(g, shares, 1, 999)
	for range 3 {
		for _, p := range s.profiles {
			m.Observe(g.profiles[p].Name)
		}
	}
	return m.Weights(g)
}

// BenchmarkRule measures the table of the package comment; run it with
// -benchtime 1x.
func BenchmarkRule(b *testing.B) {
	g := a100(b)
	equal := g.Values(nil)
	for _, mix := range simMixes {
		for _, policy := range []struct {
			name  string
			serve func(*scenario, uint64) (float64, float64)
		}{
			{"first-fit", inTree},
			{"fgd", by(equal.fgd())},
			{"phi", by(equal.phi())},
			{"rule", by(equal.policy())},
			{"rule-learnt", by(g.Values(learnt(b, g, mix.shares)).policy())},
			{"ideal", ideal},
		} {
			b.Run(mix.name+"/"+policy.name, func(b *testing.B) {
				for b.Loop() {
					o := mean(b, g, mix.shares, 30, policy.serve)
					b.ReportMetric(o.at85, "%at0.85")
					b.ReportMetric(o.at100, "%at1.0")
					b.ReportMetric(o.fill, "%fill")
				}
			})
		}
	}
}
