package explain

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	fwk "k8s.io/kube-scheduler/framework"
	"sigs.k8s.io/yaml"

	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/pkg/verdict"
)

func printed(t *testing.T, e *placement.Explanation, format string) string {
	t.Helper()
	var b strings.Builder
	check(t, Print(&b, e, format))
	return b.String()
}

func TestAnErrorIsToldFromARefusal(t *testing.T) {
	refused := verdict.Reason{Plugin: "NodeVolumeLimits", Code: "Error", Message: `running "NodeVolumeLimits" filter plugin: no such volume`}
	got := printed(t, &placement.Explanation{Namespace: "shop", Name: "p", Scheduler: "default", Nodes: 2, Refused: &refused}, "table")
	want := `shop/p under default: pending
  the scheduler ends the attempt with an error, whatever other nodes say, and tries again later:
  running "NodeVolumeLimits" filter plugin: no such volume
`
	if !strings.HasPrefix(got, want) {
		t.Errorf("(-want +got)\n%s", cmp.Diff(want, got))
	}
}

// TestAnExplanationIsReadable keeps the text as it is, so that a change of it is seen.
func TestAnExplanationIsReadable(t *testing.T) {
	tests := map[string]struct {
		world *world
		want  string
	}{
		"a pod that fits nowhere": {&world{
			nodes: "eu-a-[01-09] cpu=4 memory=8Gi taint:dedicated=ml:NoSchedule\neu-b-[01-02] cpu=16 memory=64Gi\neu-c-01 cpu=2 memory=64Gi",
			pods:  "q-1 cpu=14 node=eu-b-01\nq-2 cpu=15 node=eu-b-02\np cpu=3 memory=2Gi"}, `
default/p under plimsoll: pending
  0 of 12 nodes can take it
  if no other pod ran anywhere, 2 could

NODES LOST  PLUGIN            REASON                                    SUCH AS
         9  TaintToleration   node(s) had untolerated taint(s)          eu-a-01, eu-a-02,
                                                                        eu-a-03, ...
         2  NodeResourcesFit  Insufficient cpu                          eu-b-01, eu-b-02
         1  NodeResourcesFit  Insufficient cpu, even on the empty node  eu-c-01

WHAT WOULD LET IT FIT (each tried)
tolerate dedicated=ml:NoSchedule    9 nodes, such as eu-a-01, eu-a-02,
                                    eu-a-03, ...
ask for cpu 2 instead of 3          2 nodes, such as eu-b-01, eu-c-01
`},
		"a pod that goes to a node": {&world{
			nodes: "eu-a-[01-02] cpu=4 memory=8Gi\neu-b-[01-02] cpu=16 memory=64Gi taint:spot=yes:PreferNoSchedule", gpus: "eu-b-[01-02] 1xA30",
			pods: "q cpu=1 node=eu-b-02\np cpu=2 claim=1g.6gb"}, `
default/p under plimsoll: goes to eu-b-02
  2 of 4 nodes can take it

WHY
GPUSlice  took gpu-0-mig-1g6gb-14-0, at a loss of 0.45 of a GPU's usable room
BinPack   cpu at 18.8% after placement, target 80%

DEVICES
gpu.nvidia.com/eu-b-02/gpu-0-mig-1g6gb-14-0

BEST NODES  TOTAL  BinPack
eu-b-02     100    100
eu-b-01     99     99
  the same for all of them: TaintToleration 0

NODES LOST  PLUGIN    REASON                                 SUCH AS
         2  GPUSlice  node(s) publish no devices for claims  eu-a-01, eu-a-02
`},
		"a pod that nothing helps": {&world{
			nodes: "eu-a-01 cpu=4 memory=8Gi arch=amd64", images: "only-arm linux/arm64", pods: "p cpu=1 image=only-arm"}, `
default/p under plimsoll: pending
  0 of 1 node can take it
  not even if no other pod ran anywhere

NODES LOST  PLUGIN     REASON                              SUCH AS
         1  ArchAware  node(s) run linux/amd64, but image  eu-a-01
                       "only-arm" has only linux/arm64

No change that was tried helps, nor do any two of them (1 try): look at the reasons above.
`},
		"a pod that is held back": {&world{
			nodes: "eu-a-01 cpu=4 memory=8Gi", pods: "p cpu=1 gate=example.com/quota"}, `
default/p under plimsoll: pending
  kept back in the queue by SchedulingGates: waiting for scheduling gates: [example.com/quota]

WHAT WOULD LET IT FIT (each tried)
remove the scheduling gates example.com/quota  1 node, such as eu-a-01
`},
		"a pod that is refused as a whole": {&world{
			nodes: "eu-a-01 cpu=4 memory=8Gi", pods: "p cpu=1 annotation:plimsoll.dev/target-utilization=much", bare: true}, `
default/p under plimsoll: pending
  refused as a whole by Topology: annotation plimsoll.dev/target-utilization: "much" is not valid:
  want a whole number of percent from 1 to 100

WHAT WOULD LET IT FIT (each tried)
drop annotation plimsoll.dev/target-utilization=much  1 node, such as eu-a-01
`},
		"a pod that preempts others": {&world{
			nodes: "eu-a-01 cpu=4 memory=8Gi\neu-a-02 cpu=8 memory=8Gi",
			pods:  "q-[1-2] cpu=4 node=eu-a-02\nr cpu=2 node=eu-a-01 priority=9\np cpu=6 priority=5"}, `
default/p under plimsoll: pending at first, then goes to eu-a-02
  0 of 2 nodes can take it
  2 pods of lower priority would be preempted on eu-a-02: default/q-1, default/q-2

WHY
BinPack  packing compared no nodes: cpu at 75% after placement, target 80%

BEST NODES  TOTAL  TaintToleration  BinPack
eu-a-02     30400  100 x303=30300   100

NODES LOST  PLUGIN            REASON                                    SUCH AS
         1  NodeResourcesFit  Insufficient cpu, even on the empty node  eu-a-01
         1  NodeResourcesFit  Insufficient cpu                          eu-a-02
`},
		"a pod that waits for its group": {&world{
			nodes: "eu-a-[01-02] cpu=4 memory=8Gi", pods: gang(2, 3, "2") + "\np cpu=2 annotation:plimsoll.dev/{group=train,group-size=3}"}, `
default/p under plimsoll: goes to eu-a-01
  2 of 2 nodes can take it; 2 of them are equally good, and the scheduler chooses one at random
  keeps its place there, but is not bound yet: Topology: waiting for group train: 1 of its 3 pods
  have a place

WHY
Topology  the cluster: group train, 1 of its 3 pods placed
BinPack   opened an empty node: cpu at 50% after placement, target 80%

BEST NODES  TOTAL
eu-a-01     30400
eu-a-02     30400
  the same for all of them: TaintToleration 100 x303=30300, BinPack 100
`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := printed(t, test.world.explain(t), "table")
			if diff := cmp.Diff(strings.TrimPrefix(test.want, "\n"), got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestTextStaysWithinATerminal(t *testing.T) {
	long := strings.Repeat("a-rather-long-name-", 4)
	e := &placement.Explanation{Scheduler: "plimsoll", Namespace: "default", Name: "p", Node: long, Nodes: 9, Feasible: 2, Devices: []string{long + long},
		Refused: &verdict.Reason{Plugin: "Plugin", Message: long + long},
		Reasons: []verdict.Reason{{Plugin: long, Message: long + " " + long}},
		Lost:    []placement.Loss{{Reason: verdict.Reason{Plugin: long, Message: long + "é" + long}, Nodes: 3, Examples: []string{long}}},
		Changes: []placement.Change{{What: long + long, Nodes: 12, Examples: []string{long}}},
	}
	for node := range 2 {
		s := placement.Score{Node: long, Total: int64(node)}
		for range 8 {
			s.Plugins = append(s.Plugins, placement.PluginScore{Plugin: "InterPodAffinity", Raw: int64(99 + node), Weighted: 1010 * int64(99+node)})
		}
		e.Top = append(e.Top, s)
	}
	pending := *e
	pending.Node = ""
	for _, one := range []*placement.Explanation{e, &pending} {
		for i, line := range strings.Split(printed(t, one, "table"), "\n") {
			if n := utf8.RuneCountInString(line); n > 100 && i > 0 {
				t.Errorf("line %d has %d characters: %q", i+1, n, line)
			}
		}
	}
	if text := printed(t, e, "table"); strings.Count(text, "BEST NODES") != 3 {
		t.Errorf("want eight plugins in three tables\n%s", text)
	}
}

func TestFormatsCarryTheSame(t *testing.T) {
	w := &world{nodes: "n-1 cpu=4 memory=8Gi", pods: "p cpu=6"}
	e := w.explain(t)
	var fromJSON, fromYAML placement.Explanation
	check(t, json.Unmarshal([]byte(printed(t, e, "json")), &fromJSON))
	check(t, yaml.UnmarshalStrict([]byte(printed(t, e, "yaml")), &fromYAML))
	if diff := cmp.Diff(e, &fromJSON); diff != "" {
		t.Errorf("json (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(e, &fromYAML); diff != "" {
		t.Errorf("yaml (-want +got)\n%s", diff)
	}
	if err := Print(&strings.Builder{}, e, "xml"); err == nil || !strings.Contains(err.Error(), `"xml": want one of table, json, yaml`) {
		t.Errorf("error %v", err)
	}
}

// BenchmarkPending is what a pod costs that fits on none of 1,000 nodes, unless two
// things about it change.
func BenchmarkPending(b *testing.B) {
	w := &world{nodes: "n-[0001-1000] cpu=4 memory=8Gi taint:dedicated=ml:NoSchedule", gpus: "n-[0001-0100] 1xA30",
		pods: "p cpu=6 memory=9Gi claim=2x1g.6gb"}
	c := w.open(b, false)
	b.ReportAllocs()
	for b.Loop() {
		e, err := Explain(b.Context(), c, podNamed("p"), Options{})
		check(b, err)
		b.ReportMetric(float64(e.Tried), "tries")
	}
}

func TestThoseWhoNarrowedTheNodesAreNamed(t *testing.T) {
	for message, want := range map[string]string{
		"node(s) didn't satisfy plugin(s) [NodeAffinity Topology]":                "NodeAffinity Topology",
		"node(s) didn't satisfy plugin(s) [NodeAffinity Topology] simultaneously": "NodeAffinity Topology",
		"node(s) didn't satisfy plugin NodeAffinity":                              "NodeAffinity",
		"node(s) didn't satisfy plugin(s) in PreFilter":                           "",
		"node(s) had untolerated taint(s)":                                        "",
	} {
		if got := reasonOf(fwk.NewStatus(fwk.Unschedulable, message), message); got.Plugin != want || got.Message != message {
			t.Errorf("%s: plugin %q, want %q", message, got.Plugin, want)
		}
	}
}
