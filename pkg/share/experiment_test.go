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

// TestMoreIsAcceptedUnderChurn is BenchmarkChurn with two seeds.
func TestMoreIsAcceptedUnderChurn(t *testing.T) {
	tr, err := readTrace("", lists[0])
	if err != nil {
		t.Fatal(err)
	}
	const first, seeds = 42, 2
	mean := func(newPolicy func() policy) (sum accepted) {
		for seed := uint64(first); seed < first+seeds; seed++ {
			a := churn(t, tr, newPolicy(), seed, 1)
			sum.gpu, sum.multi = sum.gpu+a.gpu/seeds, sum.multi+a.multi/seeds
		}
		return sum
	}
	ours := mean(func() policy { return newOurs(tr, DefaultWeights()) })
	for name, other := range map[string]accepted{
		"best fit":                   mean(func() policy { return bestFit{} }),
		"FGD with a fixed tie-break": mean(func() policy { return newFGD(tr, false, false) }),
	} {
		t.Logf("accepted: ours %.2f, %s %.2f", ours, name, other)
		if ours.gpu < other.gpu+.3 || ours.multi < other.multi+5 {
			t.Errorf("accepted %% of GPU and of multi-GPU tasks: ours %.2f, %s %.2f; want .3 and 5 points more", ours, name, other)
		}
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
