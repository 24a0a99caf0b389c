package simulate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"

	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/internal/snapshot"
)

// in simulates in memory.
func inMemory(t *testing.T, s *snapshot.Snapshot, scheduler string) *placement.Simulation {
	t.Helper()
	out, err := Run(t.Context(), Options{Snapshot: s, Scheduler: scheduler, Engine: InMemory, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// where says what became of each pod, in order.
func where(r *placement.SchedulerResult) string {
	var out []string
	for _, p := range r.Pods {
		said := fmt.Sprintf("%s %s %s", p.Name, p.Phase, p.Node)
		if p.Node == "" && len(p.Reasons) > 0 {
			said += p.Reasons[0].Message
		}
		out = append(out, said)
	}
	return strings.Join(out, "\n")
}

func TestPodsOfHigherPriorityComeFirstAndMakeRoom(t *testing.T) {
	s := read(t, "n-1 cpu=4 memory=8Gi\nn-2 cpu=1 memory=8Gi\n", "", `
runs   cpu=3 node=n-1 priority=0 phase=Running
idle   cpu=1 node=n-2 priority=0 phase=Running owner=DaemonSet
small  cpu=1
urgent cpu=4 priority=1000
`, "")
	for _, scheduler := range []string{Plimsoll, Default} {
		r := inMemory(t, s, scheduler).Results[0]
		want := "runs Preempted had to make room for a pod of higher priority\nsmall Pending 2 Insufficient cpu\nurgent Running n-1"
		if diff := cmp.Diff(want, where(&r)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", scheduler, diff)
		}
		if r.Summary.NodesInUse != 1 {
			t.Errorf("%s: %d nodes are in use, want 1: a DaemonSet's pod does not count", scheduler, r.Summary.NodesInUse)
		}
	}
}

func TestPodsThatWaitForLaterOnesAreTriedAgain(t *testing.T) {
	group := "annotation:plimsoll.dev/group=ring annotation:plimsoll.dev/group-size=3 annotation:plimsoll.dev/topology-required=zone"
	s := read(t, "n-[1-3] zone=eu-a cpu=2 memory=8Gi\n", "", fmt.Sprintf("a-1 cpu=2 %s\na-2 cpu=2 %s\na-3 cpu=2 %s\n", group, group, group), "")
	r := inMemory(t, s, Plimsoll).Results[0]
	if r.Summary.Running != 3 {
		t.Errorf("%d pods of the group run, want 3:\n%s", r.Summary.Running, where(&r))
	}
	last := r.Series[len(r.Series)-1]
	if last.Arrived != 3 || last.Placed != 3 || last.CPUPercent != 100 {
		t.Errorf("the series ends with %+v", last)
	}
}

func TestPodsOfOtherSchedulersAreLeftAlone(t *testing.T) {
	s := read(t, "n-1 cpu=4 memory=8Gi\n", "", "ours cpu=1\ntheirs cpu=1 scheduler=volcano\n", "")
	out := inMemory(t, s, Both)
	for i := range out.Results {
		if got := where(&out.Results[i]); got != "ours Running n-1" {
			t.Errorf("%s: %s", out.Results[i].Scheduler, got)
		}
	}
	if !strings.Contains(strings.Join(out.Notes, "\n"), "1 pod waits for another scheduler and is left alone") {
		t.Errorf("notes %q", out.Notes)
	}
}

// TestGPUsAreDrawnAsTheyAreTaken: slices on their grid, shares by what they take,
// and units of a device plugin.
func TestGPUsAreDrawnAsTheyAreTaken(t *testing.T) {
	s := read(t, "mig-1 cpu=32 memory=64Gi\nshared-1 cpu=32 memory=64Gi\nplugin-1 cpu=32 memory=64Gi nvidia.com/gpu=2 label:nvidia.com/gpu.product=NVIDIA-L4\n",
		"mig-1 1xA100-SXM4-80GB\nshared-1 1xH100-SHARED\n", "half cpu=1 claim=4g.40gb\nshare cpu=1 claim=share:20Gi\nwhole cpu=1 nvidia.com/gpu=1\n", "")
	r := inMemory(t, s, Plimsoll).Results[0]
	got := map[string][]placement.GPU{}
	for _, n := range r.Nodes {
		got[n.Name] = n.GPUs
	}
	if len(got["mig-1"]) != 1 || len(got["shared-1"]) != 1 || len(got["plugin-1"]) != 2 {
		t.Fatalf("GPUs: %+v", got)
	}
	mig := got["mig-1"][0]
	if diff := cmp.Diff([]placement.Part{{Label: "4g.40gb", Cells: 4, Percent: 50, Pod: "default/half"}}, mig.Parts); diff != "" || mig.Cells != 8 || mig.UsedPercent != 50 {
		t.Errorf("%+v (-want +got)\n%s", mig, diff)
	}
	shared := got["shared-1"][0]
	if len(shared.Parts) != 1 || shared.Cells != 0 || shared.Parts[0].Pod != "default/share" || shared.UsedPercent < 20 || shared.UsedPercent > 30 {
		t.Errorf("shared: %+v", shared)
	}
	if a, b := got["plugin-1"][0].UsedPercent, got["plugin-1"][1].UsedPercent; a != 100 || b != 0 {
		t.Errorf("units of the device plugin are used to %v and %v %%", a, b)
	}
	last := r.Series[len(r.Series)-1]
	if want := rounded((50 + shared.UsedPercent + 100) / 4); last.GPUPercent < want-.05 || last.GPUPercent > want+.05 {
		t.Errorf("%.2f %% of the GPUs are used, want %.2f", last.GPUPercent, want)
	}
	if want := rounded((50 + 100 - shared.UsedPercent) / 4); last.FragmentedGPUPercent < want-.05 || last.FragmentedGPUPercent > want+.05 {
		t.Errorf("%.2f %% are idle on GPUs in use, want %.2f", last.FragmentedGPUPercent, want)
	}
}

func TestTheSnapshotIsNotChanged(t *testing.T) {
	s := mixed(t)
	var before, after strings.Builder
	if err := s.Write(&before); err != nil {
		t.Fatal(err)
	}
	first := inMemory(t, s, Both)
	if err := s.Write(&after); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before.String(), after.String()); diff != "" {
		t.Fatalf("the snapshot (-before +after)\n%s", diff)
	}
	if diff := cmp.Diff(first, inMemory(t, s, Both)); diff != "" {
		t.Errorf("the same seed, again (-first +second)\n%s", diff)
	}
}

func TestTheEngineFitsTheCluster(t *testing.T) {
	small, large := &input{}, &input{nodes: make([]*v1.Node, largestCopyNodes+1)}
	for want, in := range map[string]*input{InControlPlane: small, InMemory: large} {
		if got, err := engineFor(Auto, in); err != nil || got != want {
			t.Errorf("%d nodes: %s, %v; want %s", len(in.nodes), got, err, want)
		}
	}
}

func TestExplainInTurn(t *testing.T) {
	const pods = "first cpu=3 priority=10\nsecond cpu=2\n"
	for inTurn, want := range map[bool]int{false: 1, true: 0} {
		e, err := Explain(t.Context(), ExplainOptions{Snapshot: read(t, "n-1 cpu=4 memory=8Gi\n", "", pods, ""), Pod: "second", Scheduler: Plimsoll, Top: 5, InTurn: inTurn})
		if err != nil {
			t.Fatal(err)
		}
		if e.Feasible != want {
			t.Errorf("in turn %v: %d nodes, want %d", inTurn, e.Feasible, want)
		}
	}
}

func TestAPodThatRunsIsJudgedAsIfItDidNot(t *testing.T) {
	s := read(t, "n-[1-2] cpu=4 memory=8Gi\n", "", "runs cpu=3 node=n-1 phase=Running\nother cpu=1 node=n-2 phase=Running\n", "")
	e, err := Explain(t.Context(), ExplainOptions{Snapshot: s, Pod: "default/runs", Scheduler: Plimsoll, Top: 5})
	if err != nil {
		t.Fatal(err)
	}
	if e.Feasible != 2 || e.Node == "" {
		t.Errorf("%+v", e)
	}
}

func TestAPodThatNamesAMissingClassSaysSo(t *testing.T) {
	r := inMemory(t, read(t, "n-1 cpu=4 memory=8Gi\n", "", "lost cpu=1 claim=1g.10gb\nfine cpu=1\n", ""), Plimsoll).Results[0]
	want := "fine Running n-1\nlost Pending request gpu: device class mig.nvidia.com does not exist"
	if diff := cmp.Diff(want, where(&r)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestNothingToScheduleIsAResult(t *testing.T) {
	r := inMemory(t, read(t, "n-1 cpu=4 memory=8Gi\n", "", "runs cpu=1 node=n-1 phase=Running\n", ""), Plimsoll).Results[0]
	if len(r.Pods) != 0 || r.Summary.NodesInUse != 1 || r.Series[len(r.Series)-1].CPUPercent != 25 {
		t.Errorf("%+v", r)
	}
}
