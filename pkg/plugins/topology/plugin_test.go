package topology

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/pkg/verdict"
)

func TestAPodThatAsksNothingCostsNothing(t *testing.T) {
	f := build(t, "", threeRacks)
	for _, line := range []string{"plain cpu=1", "owned cpu=1 owner=ReplicaSet/web", "agent owner=DaemonSet annotation:plimsoll.dev/target-utilization=70"} {
		pod, state := f.pods(line)[0], framework.NewCycleState()
		if status := f.PreEnqueue(t.Context(), pod); status != nil {
			t.Errorf("%s: held back: %v", line, status)
		}
		if _, status := f.PreFilter(t.Context(), state, pod, f.nodes()); !status.IsSkip() {
			t.Errorf("%s: PreFilter says %v, want Skip", line, status)
		}
		if status := f.PreScore(t.Context(), state, pod, f.nodes()); !status.IsSkip() {
			t.Errorf("%s: PreScore says %v, want Skip", line, status)
		}
		if _, status := f.SignPod(t.Context(), pod); !status.IsSuccess() {
			t.Errorf("%s: not signed: %v", line, status)
		}
		if status, _ := f.Permit(t.Context(), state, pod, "a1-1"); status != nil {
			t.Errorf("%s: Permit says %v", line, status)
		}
	}
	asking := f.pods("p cpu=1 annotation:plimsoll.dev/near=db")[0]
	if _, status := f.SignPod(t.Context(), asking); status.IsSuccess() {
		t.Error("signed a pod whose place depends on others")
	}
}

func TestWrongAnnotationsAreRefusedWithTheirKey(t *testing.T) {
	f := build(t, "{levels: [{key: example.com/row, alias: row}]}", "n label:example.com/row=1 cpu=1")
	for line, want := range map[string]string{
		"a annotation:plimsoll.dev/group-size=0":       `annotation plimsoll.dev/group-size: "0" is not valid: want a whole number of pods`,
		"b annotation:plimsoll.dev/near=A":             `annotation plimsoll.dev/near: "A" is not valid`,
		"c annotation:plimsoll.dev/min-per-zone=3":     `annotation plimsoll.dev/min-per-zone: "3" is not valid: want no such annotation where no level of the profile has the alias zone`,
		"d annotation:plimsoll.dev/topology-required=": `annotation plimsoll.dev/topology-required: "" is not valid`,
	} {
		if a := f.try(f.pods(line)[0]); a.node != "" || !strings.HasPrefix(a.said, want) {
			t.Errorf("%s: got %+v, want %q", line, a, want)
		}
	}
	if a := f.try(f.pods("e annotation:plimsoll.dev/topology-required=row")[0]); a.node != "n" {
		t.Errorf("got %+v, want a level of one's own to do", a)
	}
}

// TestANominatedMemberIsNotChargedTwice: the framework adds pods that are
// nominated to a node while it tries others there; the room held for them on that
// node is then theirs.
func TestANominatedMemberIsNotChargedTwice(t *testing.T) {
	f := build(t, "", "a-1 rack=a cpu=3")
	members := f.pods("p-[1-2]" + strings.Replace(gangOf4, "size=4", "size=2", 1))
	f.try(members[0])
	other, state := f.pods("other cpu=1")[0], framework.NewCycleState()
	if _, status := f.PreFilter(t.Context(), state, other, f.nodes()); !status.IsSuccess() {
		t.Fatal(status)
	}
	info := f.info("a-1").Snapshot()
	if status := f.Filter(t.Context(), state, other, info); !status.IsSuccess() {
		t.Fatalf("kept out of the third core: %v", status)
	}
	copied := state.Clone()
	nominated, err := framework.NewPodInfo(members[1])
	if err != nil {
		t.Fatal(err)
	}
	info.AddPodInfo(nominated)
	if status := f.Filter(t.Context(), copied, other, info); status.IsSuccess() {
		t.Error("let in without the note that the member counts already: the test shows nothing")
	}
	if status := f.AddPod(t.Context(), copied, other, nominated, info); !status.IsSuccess() {
		t.Fatal(status)
	}
	if status := f.Filter(t.Context(), copied, other, info); !status.IsSuccess() {
		t.Errorf("charged twice: %v", status)
	}
	if status := f.RemovePod(t.Context(), copied, other, nominated, info); !status.IsSuccess() {
		t.Fatal(status)
	}
	if status := f.Filter(t.Context(), copied, other, info); status.IsSuccess() {
		t.Error("the note was not taken back")
	}
	r, err := state.Read(requestKey)
	if err != nil || len(r.(*request).credits) != 0 {
		t.Errorf("the note reached the state it was copied from: %v, %v", r, err)
	}
}

// TestAGroupMakesRoomByPreemption: only a domain that holds the group once pods of
// lower priority are gone is worth evicting them.
func TestAGroupMakesRoomByPreemption(t *testing.T) {
	f := build(t, "", "a-[1-2] rack=a cpu=2\nb-[1-2] rack=b cpu=2\nc-1 rack=c cpu=1")
	f.pods("low-[1-2] cpu=1 node=a-1\nlow-[3-4] cpu=1 node=a-2\nequal-[1-2] cpu=1 priority=7 node=b-1")
	pods := f.pods("p-[1-4] priority=7" + gangOf4)
	state := framework.NewCycleState()
	narrowed, status := f.PreFilter(t.Context(), state, pods[0], f.nodes())
	if !status.IsSuccess() || !narrowed.NodeNames.HasAll("a-1", "a-2") || narrowed.NodeNames.Len() != 2 {
		t.Errorf("narrowed to %v (%v), want rack a, where evicting helps", narrowed, status)
	}
	for _, pod := range pods {
		never := v1.PreemptNever
		pod.Spec.PreemptionPolicy = &never
		f.forget(pod, "")
	}
	for _, pod := range pods {
		f.know(pod)
	}
	if _, status := f.PreFilter(t.Context(), state, pods[0], f.nodes()); status.Message() != "domain rack=b holds 2 of the 4 pods of group train; required" {
		t.Errorf("got %v, want nothing evicted for pods that never preempt", status)
	}
}

// TestTheLargestMemberDecides: a launcher is tried first, and the workers are not
// like it.
func TestTheLargestMemberDecides(t *testing.T) {
	f := build(t, "", "a-[1-4] rack=a cpu=1\nb-[1-4] rack=b cpu=3\n")
	small := strings.Replace(gangOf4, "cpu=1", "cpu=100m", 1)
	large := strings.Replace(gangOf4, "cpu=1", "cpu=3", 1)
	pods := append(f.pods("launcher"+small), f.pods("worker-[1-3]"+large)...)
	if placed := countBy(f.tryAll(pods)); placed["b"] != 4 {
		t.Errorf("placed %v, want all in the rack with room for workers", placed)
	}
	// Where no node takes two of them, the workers decide alone.
	g := build(t, "", "a-[1-3] rack=a cpu=3100m")
	pods = append(g.pods("launcher"+small), g.pods("worker-[1-3]"+large)...)
	if placed := countBy(g.tryAll(pods)); placed["a"] != 4 {
		t.Errorf("placed %v", placed)
	}
}

func TestProfilesLeaveEachOthersRoom(t *testing.T) {
	shared := &Shared{}
	const nodes = "a-[1-2] rack=a cpu=2\nb-1 rack=b cpu=1"
	f := buildWith(t, shared, testkit.SchedulerName, "", nodes)
	g := buildWith(t, shared, "dense", "", nodes)
	members := f.pods("p-[1-4]" + gangOf4)
	first := f.try(members[0])
	g.fill(first.pod, first.node) // one cluster, of which each has a snapshot
	if a := g.try(g.pods("other cpu=1 scheduler=dense")[0]); a.node != "b-1" {
		t.Errorf("got %+v, want the other profile's room left alone", a)
	}
	if late := g.try(g.pods("late cpu=1 scheduler=dense")[0]); late.node != "" {
		t.Errorf("got %+v, want no room left", late)
	}
	for _, pod := range members {
		f.members.drop(pod.UID)
	}
	g.serve()
	if got := g.awake(); len(got) == 0 || got[0] != "late" {
		t.Errorf("woke %v, want the pod of the other profile", got)
	}
}

func TestAPodThatLeavesItsGroupLeavesTheBook(t *testing.T) {
	f := build(t, "", threeRacks)
	pod := f.pods("p-1" + gangOf4)[0]
	before := attempt{pod: pod}.key(f)
	pod = pod.DeepCopy()
	pod.Annotations["plimsoll.dev/group"] = "other"
	f.podSeen(pod)
	if f.groups.View(before).All() != 0 || f.groups.View(attempt{pod: pod}.key(f)).All() != 1 {
		t.Error("still counted in the group it has left")
	}
	for name, end := range map[string]func(*v1.Pod){
		"terminating": func(p *v1.Pod) { now := metav1.Now(); p.DeletionTimestamp = &now },
		"failed":      func(p *v1.Pod) { p.Status.Phase = v1.PodFailed },
		"no member":   func(p *v1.Pod) { p.Annotations = nil },
		"wrong":       func(p *v1.Pod) { p.Annotations["plimsoll.dev/group-size"] = "x" },
	} {
		ended := pod.DeepCopy()
		end(ended)
		f.podSeen(pod)
		f.podSeen(ended)
		if _, found := f.members.keyOf(pod.UID); found {
			t.Errorf("%s: still in the book", name)
		}
	}
}

func TestPlacementsOfNativeGroups(t *testing.T) {
	f := build(t, "", threeRacks)
	pods := f.pods("p-[1-4] cpu=1")
	rated := func(prefix string, placed int) int64 {
		t.Helper()
		var nodes []fwk.NodeInfo
		for _, info := range f.nodes() {
			if strings.HasPrefix(info.Node().Name, prefix) {
				nodes = append(nodes, info)
			}
		}
		score, status := f.ScorePlacement(t.Context(), nil, nativeGroup(pods), &fwk.PodGroupAssignments{
			Placement: &fwk.Placement{Name: prefix, Nodes: nodes}, ProposedAssignments: make([]fwk.ProposedAssignment, placed)})
		if !status.IsSuccess() {
			t.Fatal(status)
		}
		return score
	}
	scores := []fwk.PlacementScore{{Score: rated("a1", 3)}, {Score: rated("a2", 4)}, {Score: rated("b1", 4)}}
	if status := f.NormalizePlacementScore(t.Context(), nil, nil, scores); !status.IsSuccess() {
		t.Fatal(status)
	}
	if scores[0].Score != 98 || scores[1].Score != 100 || scores[2].Score != 99 {
		t.Errorf("got %v, want the tightest of those that take all first, the one that takes three last", scores)
	}
}

type nativeGroup []*v1.Pod

func (g nativeGroup) GetUnscheduledPods() []*v1.Pod { return g }
func (g nativeGroup) GetName() string               { return "g" }
func (g nativeGroup) GetNamespace() string          { return "default" }

func TestDroppedHintsAreToldAtTheService(t *testing.T) {
	services, err := testkit.Services("web zone:a=2 zone:b=1 zone:c=1\nkept zone:a=1 zone:b=1 zone:c=1\nforeign zone:a=4\nplain zone:a=4")
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range services {
		if service, ok := object.(*v1.Service); ok {
			service.Spec.Selector = map[string]string{"app": service.Name}
			if service.Name != "plain" {
				service.Annotations = map[string]string{v1.AnnotationTopologyMode: "Auto"}
			}
		}
	}
	nodes, err := testkit.Nodes("a-1 zone=a cpu=10\nb-1 zone=b cpu=10\nc-1 zone=c cpu=10")
	if err != nil {
		t.Fatal(err)
	}
	f := build(t, "", "a-1 zone=a cpu=10", services...)
	for _, node := range nodes {
		node.Status.Conditions = []v1.NodeCondition{{Type: v1.NodeReady, Status: v1.ConditionTrue}}
		if err := f.handle.SharedInformerFactory().Core().V1().Nodes().Informer().GetIndexer().Add(node); err != nil {
			t.Fatal(err)
		}
	}
	f.shared.leads.Store(true)
	f.pods("web-1 label:app=web\nkept-1 label:app=kept\nplain-1 label:app=plain\nforeign-1 label:app=foreign scheduler=other")
	f.beat(true)
	if len(f.events.Events) != 0 {
		t.Fatal("told at first sight: a Service that grows passes through such counts")
	}
	f.beat(true)
	f.beat(true)
	want := "Warning TopologyHintsDropped the control plane drops same-zone hints of Service web: 4 endpoints cannot be shared out over 3 zones by their CPU; 3 or 6 can"
	if len(f.events.Events) != 1 {
		t.Fatalf("%d events, want one: only web is ours, asks for hints and loses them", len(f.events.Events))
	}
	if got := <-f.events.Events; got != want {
		t.Errorf("said %q, want %q", got, want)
	}
}

func TestTheGuideNamesEveryEvent(t *testing.T) {
	guide := string(testkit.RepoFile(t, "docs/guide/topology.md"))
	for _, event := range []verdict.Event{verdict.TopologyHintsDropped, verdict.GroupHeldBack} {
		if !strings.Contains(guide, "`"+string(event)+"`") {
			t.Errorf("the guide does not say what event %s is", event)
		}
	}
}
