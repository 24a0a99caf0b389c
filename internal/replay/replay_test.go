package replay

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"plimsoll.dev/scheduler/internal/openb"
	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/manifests"
	"plimsoll.dev/scheduler/pkg/plugins/gpuslice"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// every is the scale of most tests: 21 nodes and 136 pods.
const every = 60

func scaled(tb testing.TB) ([]openb.Node, []openb.Pod) {
	tb.Helper()
	nodes, err := openb.Nodes()
	if err != nil {
		tb.Fatal(err)
	}
	pods, err := openb.Pods()
	if err != nil {
		tb.Fatal(err)
	}
	return openb.Scaled(nodes, pods, every)
}

func filled(t *testing.T, f Fill) *Filled {
	t.Helper()
	f.Nodes, f.Pods = scaled(t)
	out, err := f.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTheSameSeedGivesTheSameOutcome(t *testing.T) {
	nodes, pods := scaled(t)
	for _, policy := range []Policy{Plimsoll(), Default()} {
		t.Run(policy.Name, func(t *testing.T) {
			fill := Fill{Nodes: nodes, Pods: pods, Load: 1, Seed: 7, Policy: policy}
			churn := Churn{Nodes: nodes, Pods: pods, Seed: 7, Policy: policy, WarmUp: .2, Measured: .3}
			compact := Compact{Nodes: nodes, Pods: pods, Seed: 7, Policy: policy}
			for name, run := range map[string]func() (any, error){
				"fill":    func() (any, error) { return fill.Run(t.Context()) },
				"churn":   func() (any, error) { return churn.Run(t.Context()) },
				"compact": func() (any, error) { return compact.Run(t.Context()) },
			} {
				a, err := run()
				if err != nil {
					t.Fatal(err)
				}
				b, err := run()
				if err != nil {
					t.Fatal(err)
				}
				took := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Seconds" }, cmp.Ignore())
				if diff := cmp.Diff(a, b, took, cmpopts.SortSlices(func(a, b verdict.Reason) bool { return fmt.Sprint(a) < fmt.Sprint(b) })); diff != "" {
					t.Errorf("%s: the same twice (-first +second):\n%s", name, diff)
				}
			}
		})
	}
}

// TestWhatIsReportedAddsUp holds pods, nodes, series and figures against each other.
func TestWhatIsReportedAddsUp(t *testing.T) {
	var sampled []placement.Point
	told := 0
	f := filled(t, Fill{Load: 1.3, Seed: 42, Policy: Plimsoll(),
		Progress: func(done, all int) {
			if told++; done != told || all < done {
				t.Errorf("progress %d of %d, want %d", done, all, told)
			}
		},
		Sample: func(p placement.Point) { sampled = append(sampled, p) }})
	r := f.Result()
	if told != f.Arrived || len(f.Pods) != f.Arrived || r.Summary.Running+r.Summary.Pending != f.Arrived || r.Summary.Pending != f.Rejected || f.Rejected == 0 {
		t.Errorf("%d pods, %d told, summary %+v, %d rejected", f.Arrived, told, r.Summary, f.Rejected)
	}
	if diff := cmp.Diff(f.Series, sampled); diff != "" {
		t.Errorf("samples are not the series (-series +samples):\n%s", diff)
	}
	parts, used, pods := map[string]int{}, 0.0, 0
	for _, n := range f.Nodes {
		pods += n.Pods
		if n.CPU.Used > n.CPU.Allocatable || n.Memory.Used > n.Memory.Allocatable {
			t.Errorf("node %s has more than it can: %+v", n.Name, n)
		}
		for _, g := range n.GPUs {
			sum := 0.0
			for _, p := range g.Parts {
				sum += p.Percent
				parts[p.Pod+" "+openb.Driver+"/"+n.Name+"/"+g.Name]++
			}
			if math.Abs(sum-g.UsedPercent) > 1e-9 || sum > 100+1e-9 {
				t.Errorf("GPU %s of %s: %.1f %% used, parts %v", g.Name, n.Name, g.UsedPercent, g.Parts)
			}
			used += g.UsedPercent
		}
	}
	for i := range f.Pods {
		p := &f.Pods[i]
		if (p.Phase == "Pending") != (p.Node == "") || len(p.Reasons) == 0 {
			t.Errorf("pod %+v", *p)
		}
		for _, d := range p.Devices {
			if parts["openb/"+p.Name+" "+d]--; parts["openb/"+p.Name+" "+d] < 0 {
				t.Errorf("pod %s has %s, of which the node knows nothing", p.Name, d)
			}
		}
	}
	for part, times := range parts {
		if times != 0 {
			t.Errorf("%s: the node knows of it, the pod does not", part)
		}
	}
	last := f.Series[len(f.Series)-1]
	if got, want := f.UnallocatedPercent["130"], 100-used/float64(f.GPUs); math.Abs(got-want) > 1e-9 || math.Abs(100-last.GPUPercent-want) > 1e-9 {
		t.Errorf("%.4f %% unallocated, in the series %.4f %%, by GPU %.4f %%", got, 100-last.GPUPercent, want)
	}
	if pods != last.Placed || last.NodesInUse != f.NodesTouched || r.Trace.NodesTouched != f.NodesTouched || last.Arrived != f.Arrived {
		t.Errorf("%d pods on nodes, last %+v, %d nodes touched", pods, last, f.NodesTouched)
	}
}

// TestTheSeriesHasEveryPercent: the cluster as it is before the pod that passes it.
func TestTheSeriesHasEveryPercent(t *testing.T) {
	f := filled(t, Fill{Load: 1.1, Seed: 1, Policy: Default()})
	if first := f.Series[0]; first != (placement.Point{}) {
		t.Errorf("it begins with %+v, want nothing", first)
	}
	for i := 1; i < len(f.Series); i++ {
		a, b := &f.Series[i-1], &f.Series[i]
		if b.Arrived < a.Arrived || b.AskedGPUPercent < a.AskedGPUPercent || b.GPUPercent < a.GPUPercent || b.NodesInUse < a.NodesInUse {
			t.Errorf("%+v, then %+v", *a, *b)
		}
	}
	at := slices.IndexFunc(f.Series, func(p placement.Point) bool { return p.AskedGPUPercent > 100 })
	if got := 100 - f.Series[at-1].GPUPercent; math.Abs(got-f.UnallocatedPercent["100"]) > 1e-9 {
		t.Errorf("%.4f %% unallocated at 100 %%, %.4f %% in the series", f.UnallocatedPercent["100"], got)
	}
	if _, found := f.UnallocatedPercent["110"]; !found || len(f.UnallocatedPercent) != 2 {
		t.Errorf("%v, want figures at 100 and 110", f.UnallocatedPercent)
	}
}

func TestAMixThatIsKnownLeavesNothingBehind(t *testing.T) {
	nodes, pods := scaled(t)
	w, err := newWorld(t.Context(), Plimsoll(), nodes, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	if err := w.learn(t.Context(), pods, 1); err != nil {
		t.Fatal(err)
	}
	state, err := w.cluster.Allocated()
	if err != nil || len(state.AllocatedDevices)+len(state.AggregatedCapacity) > 0 || w.tally.sum != (amounts{}) {
		t.Errorf("allocated %+v, tally %+v, error %v; want nothing", state, w.tally.sum, err)
	}
	claims, err := w.ledger.handle.SharedDRAManager().ResourceClaims().List()
	if err != nil || len(claims) > 0 {
		t.Errorf("%d claims are left, error %v", len(claims), err)
	}
}

func TestKnowingTheMixMattersToPlimsollOnly(t *testing.T) {
	for _, policy := range []Policy{Plimsoll(), Default()} {
		outcome := func(known bool) *Filled { return filled(t, Fill{Load: 1, Seed: 3, Policy: policy, Known: known}) }
		same := cmp.Equal(outcome(true), outcome(false), cmpopts.IgnoreFields(Filled{}, "Seconds"))
		if want := policy.Name != "plimsoll"; same != want {
			t.Errorf("%s: the same outcome with a known mix: %v, want %v", policy.Name, same, want)
		}
	}
}

func TestQuickReplacesDynamicResourcesOnly(t *testing.T) {
	for _, c := range []struct {
		policy       Policy
		inTree, ours bool
	}{
		{Default(), false, true}, {Policy{Name: "plain"}, true, false},
		{Policy{Name: "shipped", Config: manifests.SchedulerConfig, Quick: true}, false, true},
	} {
		cfg, err := c.policy.configuration()
		if err != nil {
			t.Fatal(err)
		}
		p := cfg.Profiles[0].Plugins
		text := fmt.Sprint(p.MultiPoint.Enabled)
		if strings.Contains(text, "DynamicResources") != c.inTree || strings.Contains(text, gpuslice.Name) != c.ours {
			t.Errorf("%s: %s", c.policy.Name, text)
		}
		if off := strings.Contains(fmt.Sprint(p.Score.Disabled), gpuslice.Name); off != (c.policy.Name == "default") {
			t.Errorf("%s: GPUSlice scores: %v", c.policy.Name, !off)
		}
	}
}

func TestChurnGivesEverythingBack(t *testing.T) {
	nodes, pods := scaled(t)
	w, err := newWorld(t.Context(), Plimsoll(), nodes, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	c := &churning{Churn: &Churn{Nodes: nodes, Pods: pods, Seed: 1, Load: 1, WarmUp: .5, Measured: .5}, world: w, out: &Churned{}}
	arrivals, err := openb.NewChurn(pods, openb.Capacity(nodes), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.live(t.Context(), arrivals); err != nil {
		t.Fatal(err)
	}
	if c.out.Lost == 0 || c.out.Lost >= c.out.Arrived || !(c.out.GPUAcceptedPercent > 50) || c.out.GPUAcceptedPercent >= 100 {
		t.Errorf("%+v, want some to be lost and most not", *c.out)
	}
	if len(c.leaving) == 0 || c.arrived < 200 {
		t.Fatalf("%d pods arrived, %d are there: nothing is tested", c.arrived, len(c.leaving))
	}
	for _, d := range c.leaving {
		if err := w.leave(t.Context(), d.who); err != nil {
			t.Fatal(err)
		}
	}
	state, err := w.cluster.Allocated()
	if err != nil || len(state.AggregatedCapacity) > 0 || w.tally.sum != (amounts{}) || w.tally.inUse > 0 || w.tally.fragmented != 0 {
		t.Errorf("allocated %+v, tally %+v, %d nodes in use, error %v; want nothing", state, w.tally.sum, w.tally.inUse, err)
	}
}

func TestCompact(t *testing.T) {
	three := []openb.Node{{Name: "a", CPUMilli: 4000, MemoryMiB: 64, GPUs: 2, Model: "T4"}, {Name: "b", CPUMilli: 4000, MemoryMiB: 64}, {Name: "c", CPUMilli: 4000, MemoryMiB: 64}}
	pod := func(name string, cores int64) openb.Pod {
		return openb.Pod{Name: name, CPUMilli: 1000 * cores, MemoryMiB: 1, GPUs: 8, GPUMilli: openb.Whole, Models: []string{"H100"}}
	}
	for _, c := range []struct {
		name string
		pods []openb.Pod
		want Compacted
	}{
		{"what fills two nodes needs two", []openb.Pod{pod("p", 2), pod("q", 2), pod("r", 2), pod("s", 2)}, Compacted{Fewest: 2, Bound: 2, Touched: 2}},
		{"pods that do not share a node need one each", []openb.Pod{pod("p", 3), pod("q", 3), pod("r", 3)}, Compacted{Fewest: 3, Bound: 3, Touched: 3}},
		{"one for which there is no room", []openb.Pod{pod("p", 3), pod("q", 3), pod("r", 3), pod("s", 3)}, Compacted{Bound: 3, Touched: 3, Unplaced: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := (&Compact{Nodes: three, Pods: c.pods, Seed: 5, Policy: MostAllocated()}).Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			c.want.Policy, c.want.Pods = "MostAllocated", len(c.pods)
			if diff := cmp.Diff(&c.want, got, cmpopts.IgnoreFields(Compacted{}, "Tries", "Seconds")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatCannotBeReplayed(t *testing.T) {
	nodes, pods := scaled(t)
	ended, end := context.WithCancelCause(t.Context())
	end(errors.New("enough"))
	cpu := []openb.Pod{{Name: "p", CPUMilli: 1}}
	for _, c := range []struct {
		name, wrong string
		run         func() (any, error)
	}{
		{"a fill of nodes without GPUs", "want both above 0", func() (any, error) {
			return (&Fill{Nodes: []openb.Node{{Name: "a", CPUMilli: 1, MemoryMiB: 1}}, Pods: pods, Load: 1, Policy: Default()}).Run(t.Context())
		}},
		{"a fill with pods without GPUs", "none of the list asks for a GPU", func() (any, error) {
			return (&Fill{Nodes: nodes, Pods: cpu, Load: 1, Policy: Default()}).Run(t.Context())
		}},
		{"a policy that is none", "policy x: decoding scheduler configuration", func() (any, error) {
			return (&Fill{Nodes: nodes, Pods: pods, Load: 1, Policy: Policy{Name: "x", Config: []byte("kind: Pod")}}).Run(t.Context())
		}},
		{"a policy with a plugin that is unknown", "policy x: ", func() (any, error) {
			return (&Fill{Nodes: nodes, Pods: pods, Load: 1, Policy: Policy{Name: "x", Config: []byte(strings.ReplaceAll(mostAllocated, "ImageLocality}]", "ImageLocality}], enabled: [{name: Nonsense}]"))}}).Run(t.Context())
		}},
		{"a fill that is stopped", "enough", func() (any, error) {
			return (&Fill{Nodes: nodes, Pods: pods, Load: 1, Policy: Default()}).Run(ended)
		}},
		{"churn at less than no load", "want all above 0", func() (any, error) {
			return (&Churn{Nodes: nodes, Pods: pods, Load: -1, Policy: Default()}).Run(t.Context())
		}},
		{"churn that is measured for nothing", "want all above 0", func() (any, error) {
			return (&Churn{Nodes: nodes, Pods: pods, Measured: math.NaN(), Policy: Default()}).Run(t.Context())
		}},
		{"churn of pods without GPUs", "none of the list asks for a GPU", func() (any, error) {
			return (&Churn{Nodes: nodes, Pods: cpu, Policy: Default()}).Run(t.Context())
		}},
		{"compacting what asks for more than there is", "want pods, and nodes that have as much", func() (any, error) {
			return (&Compact{Nodes: nodes[:1], Pods: pods, Policy: Default()}).Run(t.Context())
		}},
		{"compacting nothing", "want pods, and nodes that have as much", func() (any, error) {
			return (&Compact{Nodes: nodes, Policy: Default()}).Run(t.Context())
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := c.run(); err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("outcome %v, error %v; want %q in it", got, err, c.wrong)
			}
		})
	}
}
