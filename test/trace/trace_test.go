package trace

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

// firstSeed is the first of the paper's ten.
const firstSeed = 42

// setting is a whole number from the environment, at least 1.
func setting(tb testing.TB, name string, otherwise int) int {
	tb.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		tb.Fatalf("%s=%s: want a whole number, 1 or more", name, text)
	}
	return n
}

// TestWeLeaveFewerGPUsIdle replays a twentieth of the trace: 61 nodes with 314 GPUs.
func TestWeLeaveFewerGPUsIdle(t *testing.T) {
	x := newExperiment(t, 20, 1, 1.3)
	outcomes := map[string]outcome{}
	for _, p := range profiles(t) {
		o := x.run(t, decode(t, p.data), firstSeed)
		t.Logf("%s: %v", p.name, &o)
		outcomes[p.name] = o
	}
	ours := outcomes["plimsoll"]
	for _, other := range []string{"default", "MostAllocated"} {
		for i, load := range x.loads {
			if got, than := ours.unallocated[i], outcomes[other].unallocated[i]; got >= than {
				t.Errorf("%.2f %% of the GPUs are left when %.0f %% were asked for, %.2f %% with %s: want fewer", got, 100*load, than, other)
			}
		}
	}
	if ours.multi > 0 {
		t.Errorf("%d pods for several GPUs were rejected before %.0f %% of the GPUs were asked for, want none", ours.multi, 100*protects)
	}
}

// TestTheSameSeedGivesTheSameOutcome: neither the informers' goroutines nor those
// that filter and score decide anything.
func TestTheSameSeedGivesTheSameOutcome(t *testing.T) {
	x := newExperiment(t, 60, 1)
	for _, p := range profiles(t) {
		a, b := x.run(t, decode(t, p.data), 7), x.run(t, decode(t, p.data), 7)
		a.took, b.took = 0, 0
		if a.String() != b.String() {
			t.Errorf("%s: %v, then %v", p.name, &a, &b)
		}
	}
}

// BenchmarkTrace replays the trace up to 130 % of the GPUs. Its figures of merit
// are the metrics; the time is that of a whole run.
func BenchmarkTrace(b *testing.B) {
	seeds := setting(b, "PLIMSOLL_TRACE_SEEDS", 1)
	x := newExperiment(b, setting(b, "PLIMSOLL_TRACE_EVERY", 1), 1, 1.3)
	for _, p := range profiles(b) {
		for seed := uint64(firstSeed); seed < firstSeed+uint64(seeds); seed++ {
			b.Run(fmt.Sprintf("%s/seed=%d", p.name, seed), func(b *testing.B) {
				cfg := decode(b, p.data)
				var last outcome
				for b.Loop() {
					last = x.run(b, cfg, seed)
				}
				b.Log(&last)
				b.ReportMetric(last.unallocated[0], "%idle@100")
				b.ReportMetric(last.unallocated[1], "%idle@130")
				b.ReportMetric(float64(last.multi), "multi-rejected")
				b.ReportMetric(float64(last.touched), "nodes")
				b.ReportMetric(float64(last.pods)/last.took.Seconds(), "pods/s")
			})
		}
	}
}
