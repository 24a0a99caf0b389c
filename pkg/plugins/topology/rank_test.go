package topology

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// blocks have room for 2 in each rack, 4 in each block, 8 in the first zone.
//
//	zone=a                                   zone=b
//	├─ block=x  rack=x1, rack=x2  2 cpu each  └─ block=z  rack=z1  2 cpu
//	└─ block=y  rack=y1, rack=y2  2 cpu each
const blocks = `
x1-1 zone=a block=x rack=x1 cpu=2
x2-1 zone=a block=x rack=x2 cpu=2
y1-1 zone=a block=y rack=y1 cpu=2
y2-1 zone=a block=y rack=y2 cpu=2
z1-1 zone=b block=z rack=z1 cpu=2
`

func TestPreferredClimbsUntilTheGroupFits(t *testing.T) {
	for _, tc := range []struct {
		pods   string
		racks  map[string]int
		reason string
	}{
		{"p-[1-2]", map[string]int{"x1": 2}, "zone=a/block=x/rack=x1: group job, 1 of its 2 pods placed"},
		{"p-[1-4]", map[string]int{"x1": 2, "x2": 2}, "zone=a/block=x: no rack holds the 4 pods of group job"},
		{"p-[1-8]", map[string]int{"x1": 2, "x2": 2, "y1": 2, "y2": 2}, "zone=a: no rack holds the 8 pods of group job"},
		{"p-[1-9]", map[string]int{"x1": 2, "x2": 2, "y1": 2, "y2": 2, "z1": 1}, "the cluster: no rack holds the 9 pods of group job"},
	} {
		t.Run(tc.pods, func(t *testing.T) {
			f := build(t, "", blocks)
			pods := f.pods(tc.pods + " cpu=1 annotation:plimsoll.dev/topology-preferred=rack annotation:plimsoll.dev/group=job")
			if diff := cmp.Diff(tc.racks, countBy(f.tryAll(pods))); diff != "" {
				t.Errorf("racks (-want +got):\n%s", diff)
			}
			if !strings.HasSuffix(f.placed[0], tc.reason) {
				t.Errorf("said %q, want %q", f.placed[0], tc.reason)
			}
		})
	}
}

func TestAPreferredGroupThatHasNoRoomLeftWhereItIsGoesNextDoor(t *testing.T) {
	f := build(t, "", blocks)
	f.pods("old-[1-2] node=y2-1 cpu=1 annotation:plimsoll.dev/topology-preferred=rack annotation:plimsoll.dev/group=job")
	late := f.pods("late-[1-3] cpu=1 annotation:plimsoll.dev/topology-preferred=rack annotation:plimsoll.dev/group=job")
	if diff := cmp.Diff(map[string]int{"y1": 2, "x1": 1}, countBy(f.tryAll(late))); diff != "" {
		t.Errorf("racks (-want +got):\n%s", diff)
	}
	// It is held for nobody: others may take what it plans with.
	if a := f.try(f.pods("other cpu=2")[0]); a.node == "" {
		t.Errorf("kept out by a plan: %s", a.said)
	}
}

func TestAPreferredRackWithinARequiredZone(t *testing.T) {
	f := build(t, "", blocks)
	pods := f.pods("p-[1-3] cpu=1 annotation:plimsoll.dev/topology-required=zone annotation:plimsoll.dev/topology-preferred=rack annotation:plimsoll.dev/group=job")
	if diff := cmp.Diff(map[string]int{"x1": 2, "x2": 1}, countBy(f.tryAll(pods))); diff != "" {
		t.Errorf("racks (-want +got):\n%s", diff)
	}
}

// zones have room for 20 each.
const zones = "a-[1-2] zone=a cpu=10\nb-[1-2] zone=b cpu=10\nc-[1-2] zone=c cpu=10\nz-1 cpu=10"

func replicaSet(t testing.TB, line string) []runtime.Object {
	t.Helper()
	objects, err := testkit.Owners(line)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func TestReplicasFillAsManyZonesAsTheyCan(t *testing.T) {
	for _, tc := range []struct {
		replicas string
		pods     string
		want     []int
	}{
		{"9", "p-[1-9]", []int{3, 3, 3}}, {"7", "p-[1-7]", []int{3, 4}}, {"4", "p-[1-4]", []int{2, 2}}, {"2", "p-[1-2]", []int{1, 1}}, {"1", "p-1", []int{1}},
	} {
		f := build(t, "", zones, replicaSet(t, "ReplicaSet/web replicas="+tc.replicas)...)
		got := countBy(f.tryAll(f.pods(tc.pods + " cpu=1 owner=ReplicaSet/web revision=one annotation:plimsoll.dev/min-per-zone=3")))
		var counts []int
		for _, n := range got {
			counts = append(counts, n)
		}
		slices.Sort(counts)
		if !slices.Equal(counts, tc.want) || got["z"] > 0 {
			t.Errorf("%s replicas: %v, want %v over the zones", tc.replicas, got, tc.want)
		}
	}
}

func TestOtherRevisionsAndPodsThatEndDoNotCount(t *testing.T) {
	f := build(t, "", zones, replicaSet(t, "ReplicaSet/web replicas=3")...)
	const web = " cpu=1 owner=ReplicaSet/web annotation:plimsoll.dev/min-per-zone=1"
	old := f.pods("old-[1-2] node=a-1 revision=one" + web)
	done := f.pods("done node=b-1 phase=Succeeded revision=two" + web)
	placed := f.tryAll(f.pods("new-[1-3] revision=two" + web))
	if diff := cmp.Diff(map[string]int{"a": 1, "b": 1, "c": 1}, countBy(placed)); diff != "" {
		t.Errorf("beside %d and %d others (-want +got):\n%s", len(old), len(done), diff)
	}
}

func TestAUsersOwnConstraintsSpread(t *testing.T) {
	f := build(t, "", zones)
	pod := f.pods("p cpu=1 annotation:plimsoll.dev/min-per-zone=3 annotation:plimsoll.dev/group=web")[0]
	pod.Spec.TopologySpreadConstraints = constraintOver("topology.kubernetes.io/zone")
	a := attempt{pod: pod, state: framework.NewCycleState()}
	feasible, _ := f.filter(&a)
	if got := f.scores(&a, feasible); len(got) != 0 {
		t.Errorf("scored %v, want that left to PodTopologySpread", got)
	}
	f.try(pod)
	if want := verdict.Say(verdict.SpreadLeftToPod).Message; !strings.HasSuffix(f.placed[0], want) {
		t.Errorf("said %q, want %q", f.placed[0], want)
	}
	pod.Spec.TopologySpreadConstraints = constraintOver("kubernetes.io/hostname")
	a.state = framework.NewCycleState()
	feasible, _ = f.filter(&a)
	if got := f.scores(&a, feasible); got["b-1"] != 100 || got["a-1"] != 50 || got["z-1"] != 0 {
		t.Errorf("scored %v, want empty zones first, nodes without a zone last", got)
	}
}

func TestCallersFollowTheEndpoints(t *testing.T) {
	services, err := testkit.Services("db zone:a=3 zone:b=1\nidle")
	if err != nil {
		t.Fatal(err)
	}
	f := build(t, "", zones, services...)
	const near = " cpu=1 annotation:plimsoll.dev/group=callers annotation:plimsoll.dev/near=db"
	if diff := cmp.Diff(map[string]int{"a": 6, "b": 2}, countBy(f.tryAll(f.pods("p-[1-8]"+near)))); diff != "" {
		t.Errorf("zones (-want +got):\n%s", diff)
	}
	if want := "p-1 on a-1: zone=a: 3 of 4 ready endpoints of db"; f.placed[0] != want {
		t.Errorf("said %q, want %q", f.placed[0], want)
	}
	// Where none is ready, or there is no such Service, the pod goes anywhere.
	for _, name := range []string{"idle", "nobody"} {
		a := attempt{pod: f.pods("q-" + name + " cpu=1 annotation:plimsoll.dev/near=" + name)[0], state: framework.NewCycleState()}
		feasible, said := f.filter(&a)
		if got := f.scores(&a, feasible); len(feasible) != 7 || len(got) != 0 {
			t.Errorf("%s: %d nodes (%s), scores %v", name, len(feasible), said, got)
		}
	}
	// With room in no zone that holds any, it goes elsewhere and says so.
	f.pods("full cpu=10 node=a-1\nfull-2 cpu=10 node=a-2\nfull-3 cpu=10 node=b-1\nfull-4 cpu=10 node=b-2")
	f.placed = nil
	f.try(f.pods("far" + near)[0])
	if !slices.Equal(f.placed, []string{"far on c-1: zone=c: none of the 4 ready endpoints of db"}) {
		t.Errorf("said %v", f.placed)
	}
}

func TestPricesDecideWhereCallersGo(t *testing.T) {
	services, err := testkit.Services("db zone:a=3 zone:b=1")
	if err != nil {
		t.Fatal(err)
	}
	// From b, three quarters of the traffic are free; from a, a quarter costs.
	f := build(t, "{prices: [{from: b, to: a, perGB: 0}, {from: a, to: b, perGB: 0.02}], pricePerGBElsewhere: 0.05}", zones, services...)
	placed := countBy(f.tryAll(f.pods("p-[1-4] cpu=1 annotation:plimsoll.dev/group=callers annotation:plimsoll.dev/near=db")))
	if diff := cmp.Diff(map[string]int{"b": 4}, placed); diff != "" {
		t.Errorf("zones (-want +got):\n%s", diff)
	}
}

func TestScoresLieAsFarApartAsTheyCan(t *testing.T) {
	scores := func(values ...int64) fwk.NodeScoreList {
		out := make(fwk.NodeScoreList, len(values))
		for i, v := range values {
			out[i].Score = v
		}
		return out
	}
	many := make([]int64, 30)
	for i := range many {
		many[i] = int64(i)
	}
	for _, tc := range []struct{ given, want []int64 }{
		{[]int64{7, 7}, []int64{100, 100}},
		{[]int64{5, 900}, []int64{0, 100}},
		{[]int64{3, 1, 2, 3}, []int64{100, 0, 50, 100}},
		{[]int64{1, 2, 3, 4}, []int64{1, 34, 67, 100}},
		{many[:21], []int64{80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100}},
	} {
		got := scores(tc.given...)
		apart(got)
		if diff := cmp.Diff(scores(tc.want...), got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tc.given, diff)
		}
	}
	apart(nil)
}
