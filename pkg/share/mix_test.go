package share

import (
	"math"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func TestMixIsPhasedIn(t *testing.T) {
	m := NewMix(1000, DefaultWeights())
	if o := m.Outlook(); o.Known() != 0 || o.Worth(Whole) != 0 {
		t.Fatalf("before the first task: %v", o)
	}
	known := 0.0
	for range 5 * outlookEvery {
		m.Observe(&Task{CPUMilli: 4000, GPUMilli: 500, GPUs: 1})
		if k := m.Outlook().Known(); k < known {
			t.Fatalf("known %v after %v", k, known)
		} else {
			known = k
		}
	}
	if known < .95 || m.Outlook().Worth(500) <= 0 {
		t.Errorf("after %d tasks of halves: %v", 5*outlookEvery, m.Outlook())
	}
}

func TestMixForgets(t *testing.T) {
	m := NewMix(100, DefaultWeights())
	for range 500 {
		m.Observe(&Task{CPUMilli: 1000, GPUMilli: 250, GPUs: 1})
	}
	for range 1000 {
		m.Observe(&Task{CPUMilli: 1000, GPUMilli: 700, GPUs: 1})
	}
	m.Refresh()
	if o := m.Outlook(); o.Worth(699) > 1 || o.Worth(700) < 600 {
		t.Errorf("ten half-lives after the last quarter: %v", o)
	}
}

func TestMixWithoutGPUTasksJudgesByBestFit(t *testing.T) {
	m := NewMix(100, DefaultWeights())
	for range 200 {
		m.Observe(&Task{CPUMilli: 1000})
		m.Observe(&Task{CPUMilli: 1000, GPUMilli: 2 * Whole, GPUs: 1})
	}
	if o := m.Outlook(); o.Known() != 0 {
		t.Errorf("known %v of a mix that asks for no GPU that could be", o.Known())
	}
}

func TestMixIsBounded(t *testing.T) {
	m := NewMix(100_000, DefaultWeights())
	for i := range int64(5 * maxTracked) {
		m.Observe(&Task{CPUMilli: 100 * i, GPUMilli: 1 + i%997, GPUs: 1 + int(i%3)})
		if len(m.counts) > maxTracked {
			t.Fatalf("%d classes after %d tasks", len(m.counts), i+1)
		}
	}
	o := m.Outlook()
	classes := 0
	for i := range o.groups {
		classes += len(o.groups[i].classes)
	}
	if classes > maxClasses {
		t.Errorf("judges by %d classes, want at most %d", classes, maxClasses)
	}
}

func TestManyTasksLaterCountsAreStillFinite(t *testing.T) {
	m := NewMix(1, DefaultWeights()) // every task counts twice the one before
	for range 3000 {
		m.Observe(&Task{CPUMilli: 1000, GPUMilli: 500, GPUs: 1})
		m.Observe(&Task{CPUMilli: 1000, GPUMilli: Whole, GPUs: 1})
	}
	for c, w := range m.counts {
		if math.IsNaN(w) || math.IsInf(w, 0) {
			t.Errorf("%v counts %v", c, w)
		}
	}
}

func TestMixServesSeveralGoroutines(t *testing.T) {
	m := NewMix(100, DefaultWeights())
	n := node(16, 1000, 500)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			task := &Task{CPUMilli: 1000, GPUMilli: 500, GPUs: 1}
			for range 200 {
				m.Observe(task)
				m.SetSupply(Supply{0: 2})
				m.Outlook().Best(n, task)
			}
		})
	}
	all.Wait()
}

func TestOutlookDoesNotDependOnTheOrderOfClasses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		classes := drawClasses(t)
		shuffled := rapid.Permutation(classes).Draw(t, "shuffled")
		n, task := drawNode(t), drawTask(t)
		supply := Supply{0: 4, 1: 2, 2: 1}
		a, _, _ := NewOutlook(classes, supply, 1, DefaultWeights()).Best(n, task)
		b, _, _ := NewOutlook(shuffled, supply, 1, DefaultWeights()).Best(n, task)
		if math.Abs(float64(a-b)) > 1e-6*max(1, math.Abs(float64(a))) {
			t.Fatalf("%v or %v", a, b)
		}
	})
}

func TestCoarseNeverUnderstatesAndStaysWithinASixteenth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cpu := rapid.Int64Range(0, 1<<40).Draw(t, "cpu")
		if c := coarse(cpu); c < cpu || float64(c) > 1.0625*float64(cpu)+.5 || coarse(c) != c {
			t.Fatalf("coarse(%d) = %d", cpu, c)
		}
	})
}

func TestModelsKeepTheirNumbers(t *testing.T) {
	var m Models
	a, b := m.Of("H100"), m.Of("L4")
	if a == b || m.Of("H100") != a || m.Name(b) != "L4" || m.Of("") != 0 || m.Name(0) != "" || m.Name(99) != "" {
		t.Errorf("H100 is %d, L4 %d %q", a, b, m.Name(b))
	}
}
