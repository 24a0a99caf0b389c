package placement

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plimsoll.dev/scheduler/pkg/verdict"
)

func simulation(pods int) *Simulation {
	var list []Pod
	for i := range pods {
		p := Pod{Namespace: "shop", Name: fmt.Sprintf("p-%03d", i), Phase: "Running", Node: "n-1"}
		if i%2 == 1 {
			p.Phase, p.Node, p.Reasons = "Pending", "", []verdict.Reason{{Plugin: "NodeResourcesFit", Code: "Unschedulable", Message: "1 Insufficient cpu"}}
		}
		list = append(list, p)
	}
	r := SchedulerResult{Result: *New("plimsoll", list, 1, nil), Nodes: []Node{{Name: "n-1", GPUs: []GPU{}}},
		Series: []Point{{}, {Arrived: pods, CPUPercent: 42.5, GPUPercent: 3}}}
	return &Simulation{SchemaVersion: SchemaVersion, Source: "1 file", Engine: "memory", Seed: 7, Notes: []string{"something was left out"}, Results: []SchedulerResult{r}}
}

func printed(t *testing.T, s *Simulation, format string) string {
	t.Helper()
	var b strings.Builder
	if err := s.Print(&b, format); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestASimulationsTableSaysWhatMatters(t *testing.T) {
	text := printed(t, simulation(2), "table")
	for _, want := range []string{"shop/p-000  Running  n-1", "1 Insufficient cpu", "plimsoll   1        1        0          1 of 1        42.5%  0.0%    -", "note: something was left out", "1 file; engine: memory; seed 7"} {
		if !strings.Contains(text, want) {
			t.Errorf("does not say %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "===") {
		t.Errorf("one scheduler needs no heading:\n%s", text)
	}
}

func TestOfManyPodsOnlyThoseWithoutAPlaceAreListed(t *testing.T) {
	text := printed(t, simulation(2*mostRows+10), "table")
	if strings.Contains(text, "p-000") || !strings.Contains(text, "p-001") {
		t.Errorf("lists pods that have a place, or none:\n%s", text)
	}
	if want := fmt.Sprintf("%d of %d pods are listed", mostRows, 2*mostRows+10); !strings.Contains(text, want) {
		t.Errorf("does not say %q", want)
	}
}

// TestPreemptedPodsDoNotWait: they are counted apart, and come after those that do.
func TestPreemptedPodsDoNotWait(t *testing.T) {
	s := simulation(2*mostRows - 10) // as many wait as all but five rows
	r := &s.Results[0]
	for i := range 10 {
		r.Pods = append(r.Pods, Pod{Namespace: "agency", Name: fmt.Sprintf("gone-%d", i), Phase: Preempted})
	}
	r.Result = *New("plimsoll", r.Pods, 1, nil)
	if want := (Summary{Pods: 2 * mostRows, Running: mostRows - 5, Pending: mostRows - 5, Preempted: 10, Nodes: 1, NodesInUse: 1, Unexpected: []string{}}); cmp.Diff(want, r.Summary) != "" {
		t.Errorf("summary (-want +got)\n%s", cmp.Diff(want, r.Summary))
	}
	text := printed(t, s, "table")
	for _, want := range []string{"55 running on 1 of 1 nodes, 55 pending, 10 preempted", "60 of 120 pods are listed, first those without a place, then those that were preempted",
		"plimsoll   55       55       10 "} {
		if !strings.Contains(text, want) {
			t.Errorf("does not say %q:\n%s", want, text)
		}
	}
	if !strings.Contains(text, "p-109") || strings.Count(text, "agency/gone-") != 5 {
		t.Errorf("want all that wait, and room for 5 that were preempted:\n%s", text)
	}
}

func TestATracesTableHasALinePerScheduler(t *testing.T) {
	s := simulation(2)
	s.Results[0].Trace = &Trace{GPUs: 6212, UnallocatedPercent: map[string]float64{"130": 4.19, "100": 4.33, "90": 11}, NodesTouched: 1213, MultiGPURejectedBefore90: 3, Seconds: 49.4}
	other := s.Results[0]
	other.Scheduler = "default"
	s.Results = append(s.Results, other)
	text := printed(t, s, "table")
	if strings.Contains(text, "p-000") || !strings.Contains(text, "LEFT AT 90%  LEFT AT 100%  LEFT AT 130%") {
		t.Errorf("lists pods, or levels in another order:\n%s", text)
	}
	for _, scheduler := range []string{"plimsoll", "default"} {
		if !strings.Contains(text, scheduler+strings.Repeat(" ", 11-len(scheduler))+"6212  11.00%       4.33%         4.19%") {
			t.Errorf("no line for %s:\n%s", scheduler, text)
		}
	}
}

// TestTheFieldsAreThoseOfTheContract: tools read them by these names.
func TestTheFieldsAreThoseOfTheContract(t *testing.T) {
	s := simulation(1)
	s.Results[0].Trace = &Trace{UnallocatedPercent: map[string]float64{"100": 1}}
	var got map[string]any
	if err := json.Unmarshal([]byte(printed(t, s, "json")), &got); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"schemaVersion", "source", "engine", "seed", "notes", "results"} {
		if _, found := got[field]; !found {
			t.Errorf("a simulation has no field %s", field)
		}
	}
	result, ok := got["results"].([]any)[0].(map[string]any)
	if !ok {
		t.Fatalf("%v", got)
	}
	for _, field := range []string{"schemaVersion", "scheduler", "pods", "summary", "series", "nodes", "trace"} {
		if _, found := result[field]; !found {
			t.Errorf("a result has no field %s", field)
		}
	}
	for _, field := range []string{"gpus", "unallocatedPercent", "nodesTouched", "multiGPURejectedBefore90", "seconds"} {
		if _, found := result["trace"].(map[string]any)[field]; !found {
			t.Errorf("a trace has no field %s", field)
		}
	}
	if yaml := printed(t, s, "yaml"); !strings.Contains(yaml, "multiGPURejectedBefore90: 0") {
		t.Errorf("in YAML:\n%s", yaml)
	}
}

// TestTheTableShowsTheSeedWhereItDecides: even one of 0, but none of a control plane,
// which does not heed it. In JSON and YAML the field is always there.
func TestTheTableShowsTheSeedWhereItDecides(t *testing.T) {
	for engine, want := range map[string]bool{"memory": true, "control-plane": false} {
		s := simulation(1)
		s.Engine, s.Seed = engine, 0
		if got := strings.Contains(printed(t, s, "table"), "seed"); got != want {
			t.Errorf("%s: the table shows the seed: %v, want %v", engine, got, want)
		}
		if !strings.Contains(printed(t, s, "yaml"), "\nseed: 0\n") {
			t.Errorf("%s: the YAML lacks the seed", engine)
		}
	}
}
