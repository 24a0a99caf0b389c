package trace

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"plimsoll.dev/scheduler/internal/openb"
	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/internal/replay"
	"plimsoll.dev/scheduler/internal/replay/evidence"
	"plimsoll.dev/scheduler/internal/testkit"
)

// firstSeed is the first of the paper's ten.
const firstSeed = 42

// load is up to which multiple of the GPUs clusters are filled.
const load = 1.3

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

// newFill is a fill with every n-th node and pod of the trace.
func newFill(tb testing.TB, every int) replay.Fill {
	tb.Helper()
	nodes, err := openb.Nodes()
	if err != nil {
		tb.Fatal(err)
	}
	pods, err := openb.Pods()
	if err != nil {
		tb.Fatal(err)
	}
	nodes, pods = openb.Scaled(nodes, pods, every)
	return replay.Fill{Nodes: nodes, Pods: pods, Load: load}
}

func run(tb testing.TB, fill replay.Fill, policy replay.Policy, seed uint64) *replay.Filled {
	tb.Helper()
	fill.Policy, fill.Seed = policy, seed
	out, err := fill.Run(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Logf("%s: unallocated %v %%; %d of %d pods rejected, %d of them for several GPUs and early; %d nodes touched; %.1f s", policy.Name,
		out.UnallocatedPercent, out.Rejected, out.Arrived, out.MultiGPURejectedBefore90, out.NodesTouched, out.Seconds)
	return out
}

// TestWeLeaveFewerGPUsIdle replays a twentieth of the trace: 61 nodes with 314 GPUs.
func TestWeLeaveFewerGPUsIdle(t *testing.T) {
	fill := newFill(t, 20)
	ours := run(t, fill, replay.Plimsoll(), firstSeed)
	for _, policy := range []replay.Policy{replay.Default(), replay.MostAllocated()} {
		other := run(t, fill, policy, firstSeed)
		for at, got := range ours.UnallocatedPercent {
			if than := other.UnallocatedPercent[at]; got >= than {
				t.Errorf("%.2f %% of the GPUs are left when %s %% were asked for, %.2f %% with %s: want fewer", got, at, than, policy.Name)
			}
		}
	}
	if n := ours.MultiGPURejectedBefore90; n > 0 {
		t.Errorf("%d pods for several GPUs were rejected before 90 %% of the GPUs were asked for, want none", n)
	}
}

// TestQuickIsExact holds what quick policies are for: GPUSlice in the place of
// DynamicResources, first fit and without scores, gives every pod the same node and
// the same devices.
func TestQuickIsExact(t *testing.T) {
	fill := newFill(t, 20)
	for _, policy := range []replay.Policy{replay.Default(), replay.MostAllocated()} {
		for seed := uint64(firstSeed); seed < firstSeed+2; seed++ {
			t.Run(fmt.Sprintf("%s/seed=%d", policy.Name, seed), func(t *testing.T) {
				plain := policy
				if plain.Quick = false; !policy.Quick {
					t.Fatal("the policy is not quick: nothing is compared")
				}
				want, got := run(t, fill, plain, seed), run(t, fill, policy, seed)
				if len(want.Pods) != len(got.Pods) || want.Rejected == 0 {
					t.Fatalf("%d pods arrived, %d with the quick policy; %d were rejected, want some", len(want.Pods), len(got.Pods), want.Rejected)
				}
				for i := range want.Pods {
					// Reasons differ: GPUSlice says more of why a node does not suit.
					if diff := cmp.Diff(&want.Pods[i], &got.Pods[i], cmpopts.IgnoreFields(placement.Pod{}, "Reasons")); diff != "" {
						t.Fatalf("pod %d of %d goes elsewhere (-plain +quick):\n%s", i, len(want.Pods), diff)
					}
				}
				if diff := cmp.Diff(want.Nodes, got.Nodes); diff != "" {
					t.Errorf("the nodes at the end (-plain +quick):\n%s", diff)
				}
			})
		}
	}
}

// TestTheEvidenceIsWhatComesOfIt replays the whole trace for the first seed, and
// wants what docs/evidence says of it to the last digit.
func TestTheEvidenceIsWhatComesOfIt(t *testing.T) {
	key := evidence.Key{Experiment: evidence.Fill, List: evidence.DefaultList, Policy: replay.Plimsoll().Name, Known: true, Seed: firstSeed}
	again := fmt.Sprintf("run `go run ./hack/evidence -only %s`", key)
	results, err := evidence.Read(filepath.Join(testkit.RepoRoot(t), evidence.Path))
	if err != nil {
		t.Fatal(err)
	}
	want := results.Find(key)
	switch {
	case want == nil || want.Fill == nil:
		t.Fatalf("%s has no result of %s: %s", evidence.Path, key, again)
	case want.Inputs.Config != evidence.ConfigOf(replay.Plimsoll()):
		t.Fatalf("the shipped profile is not that of %s in %s any more: %s", key, evidence.Path, again)
	}
	fill := newFill(t, 1)
	fill.Known = key.Known
	got := evidence.FilledOf(run(t, fill, replay.Plimsoll(), key.Seed))
	if want.Arch != runtime.GOARCH {
		// Elsewhere sums of floating-point numbers round differently.
		for at, percent := range want.Fill.UnallocatedPercent {
			if math.Abs(got.UnallocatedPercent[at]-percent) > .3 {
				t.Errorf("%.2f %% unallocated at %s %%, %.2f %% on %s: want about as much", got.UnallocatedPercent[at], at, percent, want.Arch)
			}
		}
		return
	}
	if diff := cmp.Diff(want.Fill, got); diff != "" {
		t.Errorf("%s is not what the code does; if that is meant, %s -fresh (-want +got):\n%s", evidence.Path, again, diff)
	}
}

// BenchmarkTrace replays the trace up to 130 % of the GPUs. Its figures of merit
// are the metrics; the time is that of a whole run.
func BenchmarkTrace(b *testing.B) {
	seeds := setting(b, "PLIMSOLL_TRACE_SEEDS", 1)
	fill := newFill(b, setting(b, "PLIMSOLL_TRACE_EVERY", 1))
	for _, policy := range []replay.Policy{replay.Plimsoll(), replay.Default(), replay.MostAllocated()} {
		for seed := uint64(firstSeed); seed < firstSeed+uint64(seeds); seed++ {
			b.Run(fmt.Sprintf("%s/seed=%d", policy.Name, seed), func(b *testing.B) {
				var last *replay.Filled
				for b.Loop() {
					last = run(b, fill, policy, seed)
				}
				b.ReportMetric(last.UnallocatedPercent["100"], "%idle@100")
				b.ReportMetric(last.UnallocatedPercent["130"], "%idle@130")
				b.ReportMetric(float64(last.MultiGPURejectedBefore90), "multi-rejected")
				b.ReportMetric(float64(last.NodesTouched), "nodes")
				b.ReportMetric(float64(last.Arrived)/last.Seconds, "pods/s")
			})
		}
	}
}
