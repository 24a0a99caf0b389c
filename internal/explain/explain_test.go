package explain

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"

	"plimsoll.dev/scheduler/internal/fleet"
	"plimsoll.dev/scheduler/internal/offline"
	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/pkg/verdict"
)

func TestAPodThatFitsIsExplained(t *testing.T) {
	w := &world{
		nodes: "n-[1-3] cpu=4 memory=8Gi\nn-4 cpu=4 memory=8Gi taint:spot=yes:PreferNoSchedule\nn-5 cpu=1 memory=1Gi",
		pods:  "q cpu=1 memory=1Gi node=n-2\np cpu=2 memory=2Gi",
	}
	o := w.options(t)
	o.Top = 3
	e, err := Explain(t.Context(), w.open(t, false), podNamed("p"), o)
	check(t, err)
	score := func(node string, total int64, taints, packing int64) placement.Score {
		return placement.Score{Node: node, Total: total, Plugins: []placement.PluginScore{
			{Plugin: "TaintToleration", Raw: taints, Weighted: taints * 303}, {Plugin: "BinPack", Raw: packing, Weighted: packing}}}
	}
	fit := verdict.Reason{Plugin: "NodeResourcesFit", Code: "UnschedulableAndUnresolvable"}
	cpu, memory := fit, fit
	cpu.Message, memory.Message = "Insufficient cpu", "Insufficient memory"
	want := &placement.Explanation{SchemaVersion: 1, Scheduler: "plimsoll", Namespace: "default", Name: "p", Node: "n-2", Nodes: 5, Feasible: 4, Ties: 1,
		Lost: []placement.Loss{{Reason: cpu, Nodes: 1, Examples: []string{"n-5"}}, {Reason: memory, Nodes: 1, Examples: []string{"n-5"}}},
		Top:  []placement.Score{score("n-2", 30400, 100, 100), score("n-1", 30399, 100, 99), score("n-3", 30399, 100, 99)},
		Reasons: []verdict.Reason{{Plugin: "BinPack", Code: verdict.PackedUnderTarget,
			Message: "cpu at 75% after placement, target 80%"}},
		Devices: []string{}, Changes: []placement.Change{},
	}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestDevicesAreThoseOfTheTriedPlacement(t *testing.T) {
	w := &world{nodes: "n-1 cpu=4 memory=8Gi", gpus: "n-1 1xA30", pods: "p cpu=1 claim=2g.12gb"}
	c := w.open(t, false)
	heard := Recorder{trying: true} // it listens
	w.recorder.Next = &heard
	for range 2 { // the first gives back what it takes
		e, err := Explain(t.Context(), c, podNamed("p"), w.options(t))
		check(t, err)
		if diff := cmp.Diff([]string{"gpu.nvidia.com/n-1/gpu-0-mig-2g12gb-5-0"}, e.Devices); diff != "" || e.Node != "n-1" {
			t.Errorf("node %q, devices (-want +got)\n%s", e.Node, diff)
		}
		if !strings.HasPrefix(e.Reasons[0].Message, "took gpu-0-mig-2g12gb-5-0") {
			t.Errorf("reasons %v, want the device first", e.Reasons)
		}
	}
	claim, err := c.Claim("default", "p-gpu")
	check(t, err)
	state, err := c.Allocated()
	check(t, err)
	if claim.Status.Allocation != nil || len(state.AllocatedDevices) > 0 {
		t.Errorf("allocated: %v and %v, want nothing", claim.Status.Allocation, state.AllocatedDevices)
	}
	if heard.heard != nil {
		t.Errorf("a placement that was only tried was told on: %v", heard.heard)
	}
}

func TestSharedDevicesAndThoseHeldBeforeAreListed(t *testing.T) {
	w := &world{nodes: "n-[1-2] cpu=4 memory=8Gi", gpus: "n-[1-2] 1xH100-SHARED", pods: "q cpu=1 claim=share:30Gi\np cpu=1 claim=share:30Gi"}
	c := w.open(t, false)
	q, err := c.Pod("default", "q")
	check(t, err)
	e, err := c.Evaluate(t.Context(), q)
	check(t, err)
	check(t, c.Place(t.Context(), e, "n-2"))
	got, err := Explain(t.Context(), c, podNamed("p"), w.options(t))
	check(t, err)
	if diff := cmp.Diff([]string{"gpu.nvidia.com/n-2/gpu-0"}, got.Devices); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	// The same claim, allocated before.
	c.WriteClaims()
	p, err := c.Pod("default", "p")
	check(t, err)
	p = p.DeepCopy()
	p.Name, p.UID = "first", "first"
	check(t, c.Apply(t.Context(), p))
	e, err = c.Evaluate(t.Context(), p)
	check(t, err)
	check(t, c.Place(t.Context(), e, "n-2"))
	got, err = Explain(t.Context(), c, podNamed("p"), w.options(t))
	check(t, err)
	if diff := cmp.Diff([]string{"gpu.nvidia.com/n-2/gpu-0"}, got.Devices); diff != "" || got.Feasible != 1 {
		t.Errorf("fits %d, (-want +got)\n%s", got.Feasible, diff)
	}
}

func TestAReservationIsKept(t *testing.T) {
	w := &world{nodes: "n-1 cpu=4 memory=8Gi", gpus: "n-1 1xA30", pods: "p cpu=1 claim=1g.6gb", editClaim: func(c *resourceapi.ResourceClaim) {
		c.Status.Allocation = &resourceapi.AllocationResult{Devices: resourceapi.DeviceAllocationResult{Results: []resourceapi.DeviceRequestAllocationResult{
			{Request: "gpu", Driver: fleet.Driver, Pool: "n-1", Device: "gpu-0-mig-1g6gb-14-0"}}}}
		c.Status.ReservedFor = []resourceapi.ResourceClaimConsumerReference{{Resource: "pods", Name: "p", UID: "p"}}
	}}
	c := w.open(t, false)
	e, err := Explain(t.Context(), c, podNamed("p"), w.options(t))
	check(t, err)
	claim, err := c.Claim("default", "p-gpu")
	check(t, err)
	if e.Node != "n-1" || len(e.Devices) != 1 || len(claim.Status.ReservedFor) != 1 || claim.Status.Allocation == nil {
		t.Errorf("on %q with %v, claim %+v; want it reserved for the pod as it was", e.Node, e.Devices, claim.Status)
	}
}

func TestTheClusterIsLeftAsItWasFound(t *testing.T) {
	w := &world{
		nodes: "n-1 cpu=4 memory=8Gi taint:a=x:NoSchedule\nn-2 cpu=2 memory=8Gi", gpus: "n-[1-2] 1xA30",
		pods: "q cpu=1 node=n-2\np cpu=3 claim=9x1g.6gb\nr cpu=1 claim=2g.12gb",
	}
	c := w.open(t, false)
	look := func() []string {
		var out []string
		pods, err := c.Pods(t.Context())
		check(t, err)
		for i := range pods {
			out = append(out, asJSON(t, pods[i]))
		}
		claims, err := c.Claims(t.Context())
		check(t, err)
		for i := range claims {
			out = append(out, asJSON(t, claims[i]))
		}
		for _, name := range c.Nodes() {
			info, err := c.NodeInfo(t.Context(), name)
			check(t, err)
			out = append(out, fmt.Sprint(info.GetRequested(), len(info.GetPods())))
		}
		state, err := c.Allocated()
		check(t, err)
		return append(out, fmt.Sprint(state.AllocatedDevices, state.AggregatedCapacity))
	}
	var first []*placement.Explanation
	before := look()
	for round := range 2 {
		for i, name := range []string{"p", "r"} {
			e, err := Explain(t.Context(), c, podNamed(name), w.options(t))
			check(t, err)
			if round == 0 {
				first = append(first, e)
			} else if diff := cmp.Diff(first[i], e); diff != "" {
				t.Errorf("pod %s is explained another way the second time (-first +second)\n%s", name, diff)
			}
		}
	}
	if diff := cmp.Diff(before, look()); diff != "" {
		t.Errorf("the cluster has changed (-before +after)\n%s", diff)
	}
	if len(first[0].Changes) == 0 || first[1].Node != "n-2" {
		t.Errorf("p: %v, r on %q: want changes for p and a node for r", first[0].Changes, first[1].Node)
	}
}

func TestWhatCannotBeExplainedIsAnError(t *testing.T) {
	w := &world{nodes: "n-1 cpu=4 memory=8Gi", pods: "here cpu=1 node=n-1\nother cpu=1 scheduler=nobody"}
	c := w.open(t, false)
	for name, want := range map[string]string{
		"gone":  "explaining pod default/gone: it is not in the cluster",
		"here":  "explaining pod default/here: it is on node n-1, want a pod that waits for one",
		"other": `spec.schedulerName "nobody" is not a profile of this configuration`,
	} {
		if _, err := Explain(t.Context(), c, podNamed(name), w.options(t)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("pod %s: error %v, want %q", name, err, want)
		}
	}
	broken := errors.New("no more clusters")
	o := Options{Empty: func(context.Context) (*offline.Cluster, error) { return nil, broken }}
	check(t, c.Apply(t.Context(), must(t, "large cpu=9")))
	if _, err := Explain(t.Context(), c, podNamed("large"), o); !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
}

func TestTooLargeIsToldFromNoRoom(t *testing.T) {
	w := &world{nodes: "n-[1-2] cpu=4 memory=8Gi", gpus: "n-1 1xA30",
		pods: "r cpu=3 node=n-1\ns cpu=3 node=n-2\np cpu=2 claim=4g.24gb\nlarge cpu=5"}
	c := w.open(t, false)
	for name, want := range map[string]int{"p": 1, "large": 0} {
		e, err := Explain(t.Context(), c, podNamed(name), w.options(t))
		check(t, err)
		if e.IfEmpty == nil || *e.IfEmpty != want {
			t.Errorf("pod %s: on an empty cluster %v nodes can take it, want %d", name, e.IfEmpty, want)
		}
	}
}

// gang is a group of so many pods, all of which must be placed together.
func gang(pods, size int, cpu string) string {
	return fmt.Sprintf("p-[1-%d] cpu=%s annotation:plimsoll.dev/{group=train,group-size=%d}", pods, cpu, size)
}

func TestAPodThatWouldWaitForItsGroupSaysSo(t *testing.T) {
	w := &world{nodes: "n-[1-2] cpu=4 memory=8Gi", pods: gang(3, 3, "2")}
	c := w.open(t, false)
	for range 2 {
		e, err := Explain(t.Context(), c, podNamed("p-2"), w.options(t))
		check(t, err)
		want := &verdict.Reason{Plugin: "Topology", Code: verdict.GroupWaits, Message: "waiting for group train: 1 of its 3 pods have a place"}
		if diff := cmp.Diff(want, e.Waits); diff != "" || e.Node == "" {
			t.Errorf("node %q (-want +got)\n%s", e.Node, diff)
		}
	}
	if c.Waits("default", "p-2") {
		t.Error("the pod waits in the cluster that was asked about")
	}
}

// TestAGroupIsChangedAsAWhole: its name alone cannot go, since a size is one of a group.
func TestAGroupIsChangedAsAWhole(t *testing.T) {
	tests := map[string]struct {
		world *world
		want  []string
		held  bool
	}{
		"no room for all of it": {&world{nodes: "n-[1-2] cpu=4 memory=8Gi", pods: gang(4, 4, "3")}, []string{
			"drop annotation plimsoll.dev/group-size=4 in all 4 pods of its group: 2 n-1 n-2",
			"ask for cpu 2 instead of 3 in all 4 pods of its group: 2 n-1 n-2"}, false},
		"not all of it is there": {&world{nodes: "n-[1-2] cpu=4 memory=8Gi", pods: gang(2, 3, "1")}, []string{
			"drop annotation plimsoll.dev/group-size=3 in all 2 pods of its group: 2 n-1 n-2"}, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e, err := Explain(t.Context(), test.world.open(t, false), podNamed("p-1"), test.world.options(t))
			check(t, err)
			less := cmpopts.SortSlices(func(a, b string) bool { return a < b })
			if diff := cmp.Diff(test.want, said(e.Changes), less); diff != "" || e.Held != test.held || e.Refused == nil {
				t.Errorf("held %v, refused %v (-want +got)\n%s", e.Held, e.Refused, diff)
			}
		})
	}
}

func TestAGroupIsNotTriedWhereItWouldBeBound(t *testing.T) {
	w := &world{nodes: "n-[1-2] cpu=4 memory=8Gi", pods: gang(4, 4, "3"), bare: true}
	e, err := Explain(t.Context(), w.open(t, false), podNamed("p-1"), w.options(t))
	check(t, err)
	if len(e.Changes) > 0 || e.Tried > 0 || e.Refused == nil || w.made != 1 {
		t.Errorf("changes %v after %d tries, refused %v, %d clusters", e.Changes, e.Tried, e.Refused, w.made)
	}
}

func TestTheSearchIsBounded(t *testing.T) {
	var nodes strings.Builder
	for i := range 60 {
		fmt.Fprintf(&nodes, "n-%02d cpu=4 memory=8Gi taint:t%d=x:NoSchedule taint:u%d=x:NoSchedule\n", i, i, i)
	}
	w := &world{nodes: nodes.String(), pods: "p cpu=6 memory=9Gi", edit: func(p *v1.Pod) {
		p.Spec.NodeSelector = map[string]string{}
		for i := range 30 {
			p.Spec.NodeSelector[fmt.Sprintf("label-%02d", i)] = "x"
		}
	}}
	e := w.explain(t)
	if len(e.Changes) > 0 || e.Untried == 0 || e.Tried > mostSingles+mostPairs {
		t.Errorf("%d changes after %d tries, %d untried; want none, and the bound reached", len(e.Changes), e.Tried, e.Untried)
	}
}
