package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/internal/report/samples"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// result makes a run of ten pods on ten nodes, of which some run on some.
func result(scheduler string, running, inUse int) placement.SchedulerResult {
	r := placement.SchedulerResult{Nodes: make([]placement.Node, 10)}
	r.Scheduler = scheduler
	r.Summary = placement.Summary{Pods: 10, Running: running, Pending: 10 - running, Nodes: 10, NodesInUse: inUse}
	return r
}

// preempting is a run that preempted some.
func preempting(r placement.SchedulerResult, victims int) placement.SchedulerResult {
	r.Summary.Preempted = victims
	return r
}

func traced(scheduler string, unallocated float64) placement.SchedulerResult {
	r := result(scheduler, 9, 9)
	r.Trace = &placement.Trace{UnallocatedPercent: map[string]float64{"100": unallocated, "30": 70, "130": 2}}
	return r
}

func TestTheBetterOneIsMarked(t *testing.T) {
	best := func(label string, results ...placement.SchedulerResult) []string {
		var names []string
		for _, f := range figures(newRuns(results)) {
			if f.Label != label {
				continue
			}
			for _, v := range f.Values {
				if v.Best {
					names = append(names, v.By.Name)
				}
			}
		}
		return names
	}
	for _, tt := range []struct {
		name string
		got  []string
		want []string
	}{
		{"more running pods", best("Pods running", result("default", 8, 9), result("plimsoll", 9, 9)), []string{"Plimsoll"}},
		{"fewer pending pods", best("Pods pending", result("default", 8, 9), result("plimsoll", 7, 9)), []string{"default"}},
		{"equal ones are not marked", best("Pods running", result("default", 8, 9), result("plimsoll", 8, 5)), nil},
		{"fewer nodes for as many pods", best("Nodes in use", result("default", 8, 9), result("plimsoll", 8, 5)), []string{"Plimsoll"}},
		{"fewer nodes for more pods", best("Nodes in use", result("default", 8, 9), result("plimsoll", 9, 5)), []string{"Plimsoll"}},
		{"fewer nodes for fewer pods are no merit", best("Nodes in use", result("default", 8, 9), result("plimsoll", 7, 5)), nil},
		{"more running pods for which as many had to go", best("Pods running", result("default", 8, 9), preempting(result("plimsoll", 9, 9), 1)), []string{"Plimsoll"}},
		{"more running pods for which even more had to go", best("Pods running", result("default", 8, 9), preempting(result("plimsoll", 9, 9), 2)), nil},
		{"fewer pending pods for which even more had to go", best("Pods pending", result("default", 8, 9), preempting(result("plimsoll", 9, 9), 2)), nil},
		{"fewer preempted pods", best("Pods preempted", preempting(result("default", 8, 9), 3), preempting(result("plimsoll", 8, 9), 1)), []string{"Plimsoll"}},
		{"no figure of preempted pods where there are none", best("Pods preempted", result("default", 8, 9), result("plimsoll", 9, 9)), nil},
		{"two of three share it", best("Pods running", result("default", 8, 9), result("plimsoll", 9, 9), result("MostAllocated", 9, 9)), []string{"Plimsoll", "MostAllocated"}},
		{"fewer GPUs left", best("GPUs left at 100\u00a0%", traced("default", 12.1), traced("plimsoll", 4.3)), []string{"Plimsoll"}},
		{"a difference that is not printed is none", best("GPUs left at 100\u00a0%", traced("default", 4.31), traced("plimsoll", 4.29)), nil},
		{"a run without a trace is not compared", best("GPUs left at 100\u00a0%", traced("default", 4.31), result("plimsoll", 8, 5)), nil},
		{"one alone is not better", best("Pods running", result("plimsoll", 8, 9)), nil},
	} {
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestTheDifferenceIsSaid(t *testing.T) {
	for _, tt := range []struct {
		results []placement.SchedulerResult
		want    string
	}{
		{[]placement.SchedulerResult{traced("default", 12.1), traced("plimsoll", 4.3)}, "Plimsoll leaves 4.3 % of the GPUs idle when 100 % had been asked for, default 12.1 %."},
		{[]placement.SchedulerResult{result("default", 8, 9), result("plimsoll", 9, 5)}, "Plimsoll runs 9 of 10 pods with 5 of 10 nodes in use, default 8 with 9."},
		{[]placement.SchedulerResult{result("default", 8, 9), result("plimsoll", 8, 5)}, "Both run 8 of 10 pods: Plimsoll with 5 of 10 nodes in use, default with 9."},
		{[]placement.SchedulerResult{result("default", 8, 9), preempting(result("plimsoll", 9, 5), 2)}, "Plimsoll preempts 2 of the pods that it had placed or found running, default 0."},
		{[]placement.SchedulerResult{result("default", 8, 1), result("plimsoll", 8, 1)}, "Both run 8 of 10 pods, with 1 of 10 nodes in use."},
		{[]placement.SchedulerResult{result("a", 8, 5), result("b", 8, 5), result("c", 8, 5)}, "All run 8 of 10 pods, with 5 of 10 nodes in use."},
		{[]placement.SchedulerResult{result("plimsoll", 8, 5)}, "Plimsoll runs 8 of 10 pods, with 5 of 10 nodes in use."},
		{[]placement.SchedulerResult{result("plimsoll", 10, 5)}, "Plimsoll runs all 10 pods, with 5 of 10 nodes in use."},
	} {
		headline, others := sentences(newRuns(tt.results))
		var all []string
		for _, s := range append([]string{headline}, others...) {
			all = append(all, strings.ReplaceAll(s, nbsp, " "))
		}
		if !slices.Contains(all, tt.want) {
			t.Errorf("said %q, want %q among it", all, tt.want)
		}
	}
	levels := askedLevels(newRuns([]placement.SchedulerResult{traced("plimsoll", 4)}))
	if diff := cmp.Diff([]string{"30", "100", "130"}, levels); diff != "" {
		t.Errorf("levels (-want +got):\n%s", diff)
	}
}

func pending(messages ...string) *run {
	var pods []placement.Pod
	for i, m := range messages {
		p := placement.Pod{Namespace: "ns", Name: fmt.Sprint(i), Phase: "Pending"}
		for line := range strings.SplitSeq(m, "|") {
			if line != "" {
				p.Reasons = append(p.Reasons, verdict.Reason{Plugin: "P", Message: line})
			}
		}
		pods = append(pods, p)
	}
	pods = append(pods, placement.Pod{Namespace: "ns", Name: "runs", Phase: "Running", Node: "n", Reasons: []verdict.Reason{{Message: "placed"}}})
	runs := newRuns([]placement.SchedulerResult{{Result: *placement.New("s", pods, 1, nil)}})
	return &runs[0]
}

// TestPreemptedPodsAreAKindOfTheirOwn: nobody waits, and one that another scheduler
// leaves where it ran is not unknown to it.
func TestPreemptedPodsAreAKindOfTheirOwn(t *testing.T) {
	gone := placement.Pod{Namespace: "ns", Name: "gone", Phase: placement.Preempted}
	runs := newRuns([]placement.SchedulerResult{{Result: *placement.New("plimsoll", []placement.Pod{gone}, 1, nil)}, {Result: *placement.New("default", nil, 1, nil)}})
	l := newPodLists(runs)
	if l.Waits || l.Pending[0].Pods != "0 pods" {
		t.Errorf("%s wait, want none", l.Pending[0].Pods)
	}
	if len(l.Rows) != 1 || l.Rows[0].Kind != preempted || l.Rows[0].Places[0].Phase != placement.Preempted || l.Rows[0].Places[1].Absent != "stays where it ran" {
		t.Errorf("rows %+v", l.Rows)
	}
	if !slices.ContainsFunc(l.Kinds, func(k podKind) bool { return k.Key == preempted && k.All == "1" }) {
		t.Errorf("kinds %+v", l.Kinds)
	}
}

func TestReasonsAreCountedWhateverTheirNumbers(t *testing.T) {
	for _, tt := range []struct {
		name     string
		messages []string
		want     []string
	}{
		{"numbers become a range", []string{"3 node(s) are full", "12 node(s) are full"}, []string{"2: 3–12 node(s) are full"}},
		{"the same number stays one", []string{"3 node(s) are full", "3 node(s) are full"}, []string{"2: 3 node(s) are full"}},
		{"the most frequent comes first", []string{"b", "a", "b"}, []string{"2: b", "1: a"}},
		{"digits of a name tell reasons apart", []string{"no gpu-1", "no gpu-2", "no 1g.10gb"}, []string{"1: no 1g.10gb", "1: no gpu-1", "1: no gpu-2"}},
		{"a pod counts once per reason", []string{"3 a|4 a|b"}, []string{"1: 3–4 a", "1: b"}},
		{"a pod without a reason is counted as such", []string{""}, []string{"1: no reason given"}},
		{"percent and brackets are numbers' surroundings", []string{"cpu at 85% (9 of 10)", "cpu at 90% (9 of 10)"}, []string{"2: cpu at 85–90% (9 of 10)"}},
	} {
		var got []string
		for _, r := range newWaiting(pending(tt.messages...)).Reasons {
			got = append(got, r.Count+": "+r.Text)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestRareReasonsAreFoldedAndNotLost(t *testing.T) {
	var messages []string
	for i := range 40 {
		messages = append(messages, fmt.Sprintf("reason r%d", i))
	}
	w := newWaiting(pending(messages...))
	if got := len(w.Reasons) + len(w.More); got != 40 {
		t.Errorf("%d reasons, want 40", got)
	}
	if len(w.Reasons) != topReasons || w.Hidden != "28 rarer reasons" {
		t.Errorf("%d reasons at once and %q, want %d and 28 more", len(w.Reasons), w.Hidden, topReasons)
	}
}

func TestAMessageIsItsTextsAndNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		message := rapid.StringMatching(`([a-z0-9 (),;:%.\-–]|node\(s\)){0,40}`).Draw(t, "message")
		texts, numbers := split(message)
		if len(texts) != len(numbers)+1 {
			t.Fatalf("%d texts around %d numbers", len(texts), len(numbers))
		}
		g := alikeReasons{texts: texts, least: numbers, most: numbers}
		if got := g.text(); got != message {
			t.Fatalf("got %q, want %q", got, message)
		}
	})
}

func TestTheTableHasSomeOfEveryKind(t *testing.T) {
	pods := func(node func(i int) string) []placement.Pod {
		var all []placement.Pod
		for i := range 3000 {
			p := placement.Pod{Namespace: "ns", Name: fmt.Sprintf("p%04d", i), Phase: "Running", Node: node(i)}
			if p.Node == "" {
				p.Phase = "Pending"
			}
			all = append(all, p)
		}
		return all
	}
	a := pods(func(i int) string { return []string{"", "n", "n", "n", "n", "n"}[i%6] })
	b := pods(func(i int) string {
		if i == 1 {
			return ""
		}
		return []string{"", "n", "n", "m", "n", "n"}[i%6]
	})
	l := newPodLists(newRuns([]placement.SchedulerResult{{Result: *placement.New("plimsoll", a, 1, nil)}, {Result: *placement.New("default", b, 1, nil)}}))
	got := map[string]string{}
	for _, k := range l.Kinds {
		got[k.Key] = k.Shown + " of " + k.All
	}
	want := map[string]string{onlyUnderOne: "1 of 1", pendingAll: "166 of 500", elsewhere: "166 of 500", alike: "167 of 1,999"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows by kind (-want +got):\n%s", diff)
	}
	if len(l.Rows) != rows || l.Listed != "The table lists 500 of all 3,000 pods: some of each kind." {
		t.Errorf("%d rows and %q", len(l.Rows), l.Listed)
	}
}

func TestSeriesAreReadAtTheLastPointBefore(t *testing.T) {
	series := []placement.Point{{Arrived: 2, CPUPercent: 1}, {Arrived: 4, CPUPercent: 2}, {Arrived: 4, CPUPercent: 3}, {Arrived: 9, CPUPercent: 4}}
	var got []float64
	for _, p := range sampled(series, []int{1, 2, 3, 4, 8, 9, 10}) {
		if p == nil {
			got = append(got, -1)
			continue
		}
		got = append(got, p.CPUPercent)
	}
	if diff := cmp.Diff([]float64{-1, 1, 1, 3, 3, 4, 4}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestChartsStayInsideWhateverTheSeries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.Custom(func(t *rapid.T) float64 {
			return rapid.OneOf(rapid.Float64Range(0, 100), rapid.Float64(), rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), -1})).Draw(t, "value")
		})
		var r placement.SchedulerResult
		arrived := rapid.IntRange(0, 1<<60).Draw(t, "first")
		for range rapid.IntRange(0, 30).Draw(t, "points") {
			arrived += rapid.IntRange(0, 5000).Draw(t, "more")
			r.Series = append(r.Series, placement.Point{Arrived: arrived, CPUPercent: value.Draw(t, "cpu"), NodesInUse: rapid.Int().Draw(t, "nodes"), AskedGPUPercent: value.Draw(t, "asked")})
		}
		a := newArrival(newRuns([]placement.SchedulerResult{r}))
		if len(a.Data.X) > steps+1 {
			t.Fatalf("%d points are drawn, want at most %d", len(a.Data.X), steps+1)
		}
		for _, c := range a.Charts {
			if len(c.YTicks) > 6 || len(c.XTicks) > 8 {
				t.Fatalf("%d and %d ticks", len(c.YTicks), len(c.XTicks))
			}
			for _, l := range c.Lines {
				for _, pair := range strings.FieldsFunc(l.Path, func(r rune) bool { return r == 'M' || r == 'L' }) {
					var x, y float64
					if _, err := fmt.Sscan(pair, &x, &y); err != nil || x < 0 || x > plotWidth || y < 0 || y > plotHeight {
						t.Fatalf("the line goes through %q, outside of %d x %d (%v)", pair, plotWidth, plotHeight, err)
					}
				}
			}
		}
	})
}

func TestPartsStayOnTheirGPU(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := placement.GPU{Cells: rapid.IntRange(-1, 100).Draw(t, "cells")}
		for range rapid.IntRange(0, 9).Draw(t, "parts") {
			g.Parts = append(g.Parts, placement.Part{Label: "1g", Start: rapid.IntRange(-9, 99).Draw(t, "start"), Cells: rapid.IntRange(-1, 99).Draw(t, "span"), Percent: rapid.Float64().Draw(t, "percent")})
		}
		d := newGPU(&g, map[string]string{"1g": "p0"})
		if len(d.Parts) != len(g.Parts) {
			t.Fatalf("%d parts are drawn, want %d", len(d.Parts), len(g.Parts))
		}
		for _, p := range d.Parts {
			if d.Cells > 0 && (p.Start < 1 || p.Span < 1 || p.Start+p.Span-1 > d.Cells) {
				t.Fatalf("a part covers %d columns from %d, of %d", p.Span, p.Start, d.Cells)
			}
			if d.Cells == 0 && p.Width == "" {
				t.Fatal("a part without a grid has no width")
			}
		}
	})
}

func TestFleetsAreDrawnDenserAsTheyGrow(t *testing.T) {
	for _, tt := range []struct {
		s        *placement.Simulation
		nodes    string
		byModel  bool
		minCells int
	}{
		{samples.Small(), "named", false, 0},
		{samples.Medium(), "large", true, 2 * 192},
		{samples.Fleet(350), "small", true, 1},
	} {
		root := parse(t, write(t, tt.s))
		vessels, cells := 0, 0
		for _, n := range elements(root, "ul", "div") {
			if hasClass(n, "vessels") && !hasClass(n, tt.nodes) {
				t.Errorf("%s: vessels are %q, want %s", tt.s.Source, attribute(n, "class"), tt.nodes)
			}
			if hasClass(n, "cells") {
				cells += len(elements(n))
			}
		}
		for _, n := range elements(root, "i") {
			if hasClass(n, "v") {
				vessels++
			}
		}
		if want := len(tt.s.Results) * len(tt.s.Results[0].Nodes); vessels != want {
			t.Errorf("%s: %d vessels, want %d", tt.s.Source, vessels, want)
		}
		if (cells > 0) != tt.byModel || cells < tt.minCells {
			t.Errorf("%s: %d GPUs are small bars", tt.s.Source, cells)
		}
	}
}

// TestOfUnitsNobodyKnowsWhatIsInPieces: a device plugin tells how many are free, not of
// which GPU.
func TestOfUnitsNobodyKnowsWhatIsInPieces(t *testing.T) {
	for name, c := range map[string]struct {
		gpus []placement.GPU
		said bool
	}{
		"slices by a device plugin": {[]placement.GPU{{Units: "nvidia.com/mig-1g.10gb", Count: .25, UsedPercent: 50}}, false},
		"a GPU beside them":         {[]placement.GPU{{Units: "nvidia.com/mig-1g.10gb", Count: .25, UsedPercent: 50}, {Count: 1}}, true},
	} {
		r := result("plimsoll", 8, 5)
		r.Nodes[0] = placement.Node{Name: "n", GPUs: c.gpus}
		r.Series = []placement.Point{{GPUPercent: 12, FragmentedGPUPercent: 3}}
		headline, others := sentences(newRuns([]placement.SchedulerResult{r}))
		if said := strings.Contains(headline+strings.Join(others, " "), "strands"); said != c.said {
			t.Errorf("%s: it is said what is stranded: %t, want %t", name, said, c.said)
		}
		if tip := newVessel(&r.Nodes[0]).Tip; !c.said && !strings.Contains(tip, "1 GPU, 50.0") {
			t.Errorf("%s: the node is said to have %q, want its part of a GPU", name, tip)
		}
	}
}
