package metrics

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"k8s.io/component-base/metrics/testutil"
)

// says is a source that reports one ratio.
func says(value float64) Source {
	return func(emit Emit) { emit(Fragmentation, value, "pool", "model") }
}

// collected is what the collector reports now, -1 for nothing.
func collected(s *Stock) float64 {
	value := -1.
	if source := s.newest(); source != nil {
		source(func(_ *Description, v float64, _ ...string) { value = v })
	}
	return value
}

func TestTheNewestSourceThatStillRunsIsAsked(t *testing.T) {
	synctest.Test(t, theNewestSourceThatStillRunsIsAsked)
}

func theNewestSourceThatStillRunsIsAsked(t *testing.T) {
	s := NewStock()
	expect := func(why string, want float64) {
		t.Helper()
		if got := collected(s); got != want {
			t.Errorf("%s: collected %v, want %v", why, got, want)
		}
	}
	expect("without a source", -1)
	s.Feed(context.Background(), says(.1))
	s.Feed(context.Background(), says(.2))
	expect("the second of two that never end", .2)
	if s.count() != 1 {
		t.Errorf("%d sources are held, want only the last", s.count())
	}
	first, endFirst := context.WithCancel(t.Context())
	second, endSecond := context.WithCancel(t.Context())
	s.Feed(first, says(.3))
	s.Feed(second, says(.4))
	expect("the last started", .4)
	endSecond()
	synctest.Wait() // sources are dropped in goroutines
	expect("the one before, which still runs", .3)
	endFirst()
	synctest.Wait()
	expect("all ended", -1)
	s.Feed(first, says(.5))
	synctest.Wait()
	expect("one that had ended before", -1)
}

func (s *Stock) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sources)
}

func TestSourcesComeAndGoDuringScrapes(t *testing.T) {
	synctest.Test(t, sourcesComeAndGoDuringScrapes)
}

func sourcesComeAndGoDuringScrapes(t *testing.T) {
	s := NewStock()
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 200 {
				ctx, end := context.WithCancel(t.Context())
				s.Feed(ctx, says(1))
				collected(s)
				end()
			}
		})
	}
	wait.Wait()
	synctest.Wait()
	if n := s.count(); n != 0 {
		t.Errorf("%d sources are left, all have ended", n)
	}
}

func TestWhatCannotBeALabelIsLeftOut(t *testing.T) {
	s := NewStock()
	s.Feed(t.Context(), func(emit Emit) {
		emit(Fragmentation, 1, "no text: \xff", "model")
		emit(Fragmentation, 1, "too few")
		emit(Fragmentation, .5, "a", "b")
	})
	want := `
# HELP plimsoll_gpuslice_fragmentation_ratio [ALPHA] ` + Fragmentation.Help + `
# TYPE plimsoll_gpuslice_fragmentation_ratio gauge
plimsoll_gpuslice_fragmentation_ratio{model="b",pool="a"} 0.5
`
	if err := testutil.CustomCollectAndCompare(s, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestEverySchedulerOfAProcessMayRegister(t *testing.T) {
	Register()
	Register()
	seen := map[string]bool{}
	for _, m := range All() {
		seen[m.FQName()] = true
	}
	for _, d := range Described() {
		if seen[d.Name] {
			t.Errorf("%s is declared twice", d.Name)
		}
		seen[d.Name] = true
	}
}
