package explain

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

func TestPreemptionIsTriedBeforeAPodIsCalledPending(t *testing.T) {
	never := func(p *v1.Pod) { p.Spec.PreemptionPolicy = ptr.To(v1.PreemptNever) }
	tests := map[string]struct {
		world    *world
		node     string
		preempts []string
		// made is how many clusters that takes.
		made int
	}{
		"one pod of several has to go": {&world{
			nodes: "n-1 cpu=4 memory=8Gi", pods: "high cpu=2 node=n-1 priority=9\nlow cpu=2 node=n-1 priority=1\np cpu=2 priority=5"},
			"n-1", []string{"default/low"}, 2},
		"the pods of least priority go": {&world{
			nodes: "n-[1-2] cpu=4 memory=8Gi", pods: "a cpu=4 node=n-1 priority=3\nb-[1-2] cpu=2 node=n-2 priority=1\np cpu=3 priority=5"},
			"n-2", []string{"default/b-1", "default/b-2"}, 2},
		"a node that is too small is left alone": {&world{
			nodes: "n-1 cpu=4 memory=8Gi\nn-2 cpu=2 memory=8Gi", pods: "a cpu=4 node=n-1\np cpu=3 priority=5"},
			"n-1", []string{"default/a"}, 2},
		"nobody is of lower priority": {&world{
			nodes: "n-1 cpu=4 memory=8Gi", pods: "a cpu=4 node=n-1 priority=5\np cpu=3 priority=5"}, "", nil, 2},
		"the pod preempts nobody": {&world{
			nodes: "n-1 cpu=4 memory=8Gi", pods: "a cpu=4 node=n-1\np cpu=3 priority=5", edit: never}, "", nil, 3},
		"preemption does not help": {&world{
			nodes: "n-1 cpu=4 memory=8Gi", pods: "a cpu=1 node=n-1\np cpu=6 priority=5"}, "", nil, 3},
		"no cluster can be made anew": {&world{
			nodes: "n-1 cpu=4 memory=8Gi", pods: "a cpu=4 node=n-1\np cpu=3 priority=5", bare: true}, "", nil, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := test.world
			e := w.explain(t)
			if diff := cmp.Diff(test.preempts, e.Preempts, cmpopts.EquateEmpty()); diff != "" || e.Node != test.node || e.Feasible != 0 {
				t.Errorf("on %q, %d feasible, preempts (-want +got)\n%s", e.Node, e.Feasible, diff)
			}
			if w.made != test.made {
				t.Errorf("%d clusters were made, want %d", w.made, test.made)
			}
			if pending := test.node == ""; pending != (e.Tried > 0) {
				t.Errorf("%d changes were tried of a pod that gets %q", e.Tried, e.Node)
			}
		})
	}
}

func TestPreemptingLeavesTheClusterAlone(t *testing.T) {
	w := &world{nodes: "n-1 cpu=4 memory=8Gi", gpus: "n-1 1xA30", pods: "a cpu=4 node=n-1\np cpu=3 claim=1g.6gb priority=5"}
	c := w.open(t, false)
	for range 2 {
		e, err := Explain(t.Context(), c, podNamed("p"), w.options(t))
		check(t, err)
		if diff := cmp.Diff([]string{"default/a"}, e.Preempts); diff != "" || len(e.Devices) != 1 {
			t.Errorf("devices %v, preempts (-want +got)\n%s", e.Devices, diff)
		}
	}
	if _, err := c.Pod("default", "a"); err != nil {
		t.Errorf("the pod that would have to go is gone: %v", err)
	}
}
