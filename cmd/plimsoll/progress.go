package main

import (
	"fmt"
	"io"
	"time"

	"k8s.io/utils/clock"
)

// everyLine is how often progress is told at most.
const everyLine = 2 * time.Second

// progress tells how far something is, and when it may be done.
type progress struct {
	out   io.Writer
	clock clock.PassiveClock
	began time.Time
	// since when something is under way, and when it was last told of.
	since, last time.Time
}

func newProgress(out io.Writer, clock clock.PassiveClock) *progress {
	return &progress{out: out, clock: clock, began: clock.Now()}
}

// step says that something new is under way.
func (p *progress) step(line string) {
	p.since = p.clock.Now()
	p.last = p.since
	p.say(line)
}

// pods tells how many pods of how many have been tried, now and then.
func (p *progress) pods(done, all int) {
	if p.clock.Since(p.last) < everyLine || done == 0 || done == all {
		return
	}
	p.last = p.clock.Now()
	left := time.Duration(float64(p.last.Sub(p.since)) / float64(done) * float64(all-done))
	p.say(fmt.Sprintf("%d of %d pods, about %v left", done, all, left.Round(time.Second)))
}

func (p *progress) say(line string) {
	fmt.Fprintf(p.out, "%5.1fs %s\n", p.clock.Since(p.began).Seconds(), line)
}
