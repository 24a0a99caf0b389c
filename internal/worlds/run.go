package worlds

import (
	"context"
	"sync"
	"sync/atomic"
)

// chunk is how many worlds share models. It is fixed, so that what a model has
// seen before a world does not depend on who judges it.
const chunk = 2048

// Found is a disagreement and the world it is about.
type Found struct {
	Seed uint64
	Case *Case
	*Disagreement
}

// Runner judges worlds by the thousand.
type Runner struct {
	Generator *Generator
	// Workers is how many goroutines judge, at least one.
	Workers int
	// Progress is told of each finished part, one at a time; nil for nobody.
	Progress func(*Tally)
}

// Run judges n worlds from a seed on, or until the context ends. It stops at a
// disagreement and returns the one with the lowest seed that was found.
func (r *Runner) Run(ctx context.Context, seed, n uint64) (*Tally, *Found) {
	total, found := newTally(), (*Found)(nil)
	var mu sync.Mutex
	var next atomic.Uint64
	var wait sync.WaitGroup
	for range max(1, r.Workers) {
		wait.Go(func() {
			judge := NewJudge()
			for ctx.Err() == nil {
				from := next.Add(chunk) - chunk
				mu.Lock()
				over := from >= n || found != nil
				mu.Unlock()
				if over {
					return
				}
				judge.Afresh()
				judge.tally = newTally()
				bad := r.judge(ctx, judge, seed+from, min(chunk, n-from))
				mu.Lock()
				total.Add(judge.tally)
				if bad != nil && (found == nil || bad.Seed < found.Seed) {
					found = bad
				}
				if r.Progress != nil {
					r.Progress(total)
				}
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	return total, found
}

func (r *Runner) judge(ctx context.Context, judge *Judge, from, n uint64) *Found {
	for seed := from; seed < from+n && ctx.Err() == nil; seed++ {
		w := r.Generator.Generate(seed)
		if d := judge.Compare(w); d != nil {
			return &Found{seed, w, d}
		}
	}
	return nil
}
