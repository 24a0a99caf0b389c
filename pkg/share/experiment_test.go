package share

import (
	"math/rand"
	"testing"
)

// The small experiment: a tenth of the cluster, a learnt mix, two orders of
// arrival. BenchmarkOpenB is the large one.
func TestLessIsLeftIdleThanByBestFitOrAtRandom(t *testing.T) {
	tr := syntheticTrace(10)
	mean := func(newPolicy func(seed int64) policy) (sum float64) {
		const seeds = 2
		for seed := range int64(seeds) {
			sum += fill(t, tr, newPolicy(seed), seed, 1)[0] / seeds
		}
		return sum
	}
	ours := mean(func(int64) policy { return newOurs(tr, DefaultWeights()) })
	best := mean(func(int64) policy { return bestFit{} })
	random := mean(func(seed int64) policy { return &randomly{fixed{true}, rand.New(rand.NewSource(seed))} })
	t.Logf("unallocated: ours %.2f %%, best-fit %.2f %%, random %.2f %%", ours, best, random)
	if ours >= best-.5 || best >= random {
		t.Errorf("unallocated: ours %.2f %%, best-fit %.2f %%, random %.2f %%; want them to rise, by half a point first", ours, best, random)
	}
}

func TestMoreIsAcceptedUnderChurnThanByBestFit(t *testing.T) {
	tr := syntheticTrace(3)
	var ours, best accepted
	const seeds = 2
	for seed := range uint64(seeds) {
		a, b := churn(t, tr, newOurs(tr, DefaultWeights()), seed, 1), churn(t, tr, bestFit{}, seed, 1)
		ours.gpu, ours.multi = ours.gpu+a.gpu/seeds, ours.multi+a.multi/seeds
		best.gpu, best.multi = best.gpu+b.gpu/seeds, best.multi+b.multi/seeds
	}
	t.Logf("accepted: ours %.2f, best-fit %.2f", ours, best)
	if ours.gpu <= best.gpu || ours.multi <= best.multi {
		t.Errorf("accepted %% of GPU and of multi-GPU tasks: ours %.2f, best-fit %.2f; want more of both", ours, best)
	}
}

// The outcome is a function of the seed alone: no map order, no ties at random.
func TestOutcomeIsDeterministic(t *testing.T) {
	tr := syntheticTrace(30)
	a := fill(t, tr, newOurs(tr, DefaultWeights()), 7, 1, 1.3)
	for range 3 {
		if b := fill(t, tr, newOurs(tr, DefaultWeights()), 7, 1, 1.3); a[0] != b[0] || a[1] != b[1] {
			t.Fatalf("%v, then %v", a, b)
		}
	}
}
