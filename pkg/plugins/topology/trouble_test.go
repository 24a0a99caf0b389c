package topology

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"plimsoll.dev/scheduler/pkg/gang"
)

const gangOf2 = " cpu=1 annotation:plimsoll.dev/topology-required=rack annotation:plimsoll.dev/group=train annotation:plimsoll.dev/group-size=2"

// TestANominationIsNoWayRound: upstream tries the node that a pod is nominated to
// before any other, whatever PreFilter has narrowed the nodes down to.
func TestANominationIsNoWayRound(t *testing.T) {
	f := build(t, "", threeRacks)
	pods := f.pods("p-[1-4]" + gangOf4)
	state, _ := f.cycle("p-1" + gangOf4)
	status := f.Filter(t.Context(), state, pods[0], f.info("b1-1"))
	if status.Code() != fwk.UnschedulableAndUnresolvable || status.Message() != "node(s) are outside zone=a/rack=r2, where group train goes" {
		t.Errorf("got %v, want the node refused", status)
	}
	if status := f.Filter(t.Context(), state, pods[0], f.info("a2-1")); !status.IsSuccess() {
		t.Errorf("got %v, want a node of the rack accepted", status)
	}
}

func TestAGroupComesBackToTheOnlyDomainThereIs(t *testing.T) {
	f := build(t, "", "a-[1-2] rack=a cpu=2")
	pods := f.pods("p-[1-3]" + gangOf4 + "\nnever" + gangOf4)
	for range 3 {
		f.try(pods[0])
		f.try(pods[3])
		for _, pod := range pods[:1] {
			if f.fw.GetWaitingPod(pod.UID) != nil {
				f.giveUp(attempt{pod: pod, state: f.stateOf(pod), node: "a-1"})
			}
		}
		f.clock.Step(time.Minute)
		f.beat(false)
	}
	if a := f.try(pods[1]); a.node == "" {
		t.Errorf("got %+v, want the rack tried again", a)
	}
}

// stateOf is a state for Unreserve of a pod that has waited in an attempt that is
// over.
func (f *fixture) stateOf(pod *v1.Pod) fwk.CycleState {
	state := framework.NewCycleState()
	r := f.memberOf(pod)
	r.waited, r.attempt = true, -2
	state.Write(requestKey, r)
	return state
}

func TestAnOldAttemptDoesNotEndTheNext(t *testing.T) {
	f := build(t, "", threeRacks)
	pods := f.pods("p-[1-4]" + gangOf4)
	first := f.try(pods[0])
	f.giveWay(first.key(f), "", gang.Now)
	f.clock.Step(time.Second)
	f.beat(false)
	second := f.try(pods[1])
	if !second.waits {
		t.Fatalf("got %+v, want a second attempt", second)
	}
	f.giveUp(first) // its binding cycle was slow to notice
	if f.fw.GetWaitingPod(pods[1].UID) == nil || f.groups.Charges() == nil {
		t.Error("the late end of the first attempt ended the second")
	}
}

// TestVictimsAreAwaited: a member whose victims are still leaving finds no place,
// and that is no reason to give the domain up they leave.
func TestVictimsAreAwaited(t *testing.T) {
	f := build(t, "{groupTimeoutSeconds: 20}", "a-[1-2] rack=a cpu=1")
	victim := f.pods("victim cpu=1 node=a-2 priority=-1")[0]
	pods := f.pods("p-[1-2]" + gangOf2)
	first := f.try(pods[0])
	if first.node != "a-1" {
		t.Fatalf("got %+v, want the free node", first)
	}
	f.empty(victim, "a-2")
	now := metav1.Now()
	victim.DeletionTimestamp = &now
	f.fill(victim, "a-2")
	pods[1].Status.NominatedNodeName = "a-2"
	f.clock.Step(15 * time.Second)
	second := f.try(pods[1])
	if !strings.HasSuffix(second.said, "group train waits for pods to leave rack=a that it preempts") {
		t.Errorf("got %+v, want it to wait for its victim", second)
	}
	f.clock.Step(15 * time.Second)
	f.beat(false)
	if f.fw.GetWaitingPod(pods[0].UID) == nil {
		t.Fatal("the first gave way while the second made room")
	}
	f.empty(victim, "a-2")
	if a := f.try(pods[1]); a.node != "a-2" {
		t.Errorf("got %+v, want the victim's place", a)
	}
	f.allowed(first)
}

// TestVictimsMayTakeLongerThanTheGroupsTimeout: upstream does not try the member again
// that they leave for until they are gone. Giving way would have evicted for nothing.
func TestVictimsMayTakeLongerThanTheGroupsTimeout(t *testing.T) {
	f := build(t, "{groupTimeoutSeconds: 20}", "a-[1-2] rack=a cpu=1")
	victim := f.pods("victim cpu=1 node=a-2 priority=-1")[0]
	pods := f.pods("p-[1-2]" + gangOf2)
	first := f.try(pods[0])
	now := metav1.Now()
	victim.DeletionTimestamp = &now
	pods[1].Status.NominatedNodeName = "a-2"
	for range 10 {
		f.clock.Step(12 * time.Second)
		f.beat(false)
	}
	if f.fw.GetWaitingPod(pods[0].UID) == nil || f.groups.Charges() == nil {
		t.Fatal("the first gave way while victims of the second were leaving")
	}
	f.forget(victim, "a-2")
	if a := f.try(pods[1]); a.node != "a-2" {
		t.Errorf("got %+v, want the victim's place", a)
	}
	f.allowed(first)
}

// TestANominationWithoutVictimsIsNotWaitedFor: it may be old, and its node taken.
func TestANominationWithoutVictimsIsNotWaitedFor(t *testing.T) {
	for name, leaving := range map[string]string{
		"nobody leaves": "", "one of the same priority": "x cpu=1 node=a-2", "one on another node": "x cpu=1 node=b-1 priority=-1",
	} {
		f := build(t, "{groupTimeoutSeconds: 20}", "a-[1-2] rack=a cpu=2\nb-1 cpu=2")
		pods := f.pods("p-[1-2]" + gangOf2)
		first := f.try(pods[0])
		pods[1].Status.NominatedNodeName = "a-2"
		now := metav1.Now()
		for _, pod := range f.pods(leaving) {
			pod.DeletionTimestamp = &now
		}
		f.clock.Step(20 * time.Second)
		f.beat(false)
		if f.groups.View(first.key(f)).Placed() != 0 {
			t.Errorf("%s: the first still waits", name)
		}
	}
}

func TestAMemberThatWaitsForNobodyDoesNotStartItsGroup(t *testing.T) {
	f := build(t, "", threeRacks)
	pods := f.pods("p-[1-4]" + gangOf4)
	waiting := []attempt{f.try(pods[0]), f.try(pods[1])}
	launcher := f.try(f.pods("launcher cpu=1 annotation:plimsoll.dev/topology-required=rack annotation:plimsoll.dev/group=train")[0])
	if launcher.node == "" || launcher.waits {
		t.Fatalf("got %+v, want the launcher placed", launcher)
	}
	if view := f.groups.View(launcher.key(f)); view.Started || view.Placed() != 3 {
		t.Errorf("got %+v, want the other two to wait on", view)
	}
	// One that is bound by other means starts it for all that wait.
	bound := pods[3].DeepCopy()
	bound.Spec.NodeName = "a2-2"
	f.know(bound)
	f.beat(false)
	for _, a := range waiting {
		f.allowed(a)
	}
}

func TestOnlyTheGangMustFit(t *testing.T) {
	elastic := strings.Replace(gangOf2, "cpu=1", "cpu=1 owner=ReplicaSet/web", 1)
	f := build(t, "", "a-[1-2] rack=a cpu=2", replicaSet(t, "ReplicaSet/web replicas=8")...)
	pods := f.pods("p-[1-8]" + strings.Replace(elastic, "annotation:plimsoll.dev/group=train ", "", 1))
	if a := f.try(pods[0]); a.node == "" {
		t.Errorf("got %+v, want two of eight to do", a)
	}
	// A rollout: the new ReplicaSet grows from two to six.
	g := build(t, "", "a-[1-2] rack=a cpu=2", replicaSet(t, "ReplicaSet/new replicas=2 desired=6")...)
	if placed := g.tryAll(g.pods("n-[1-2] cpu=1 owner=ReplicaSet/new annotation:plimsoll.dev/topology-required=rack")); len(placed) != 2 {
		t.Errorf("placed %v", placed)
	}
}

func TestGangsWithoutALevelMakeRoomToo(t *testing.T) {
	f := build(t, "", "a-[1-2] rack=a cpu=1\nb-1 rack=b cpu=2")
	f.pods("low-[1-2] cpu=1 node=b-1 priority=-10\nother cpu=1 node=a-1 priority=-10\nmore cpu=1 node=a-2 priority=-10")
	pod := f.pods("p-[1-2] cpu=1 annotation:plimsoll.dev/group=g annotation:plimsoll.dev/group-size=2")[0]
	if _, status := f.PreFilter(t.Context(), framework.NewCycleState(), pod, f.nodes()); !status.IsSuccess() {
		t.Errorf("refused: %v; pods of lower priority could leave", status)
	}
	// With a level, where fewest have to go.
	g := build(t, "", "a-[1-2] rack=a cpu=1\nb-[1-2] rack=b cpu=2")
	g.pods("low-1 cpu=1 node=a-1 priority=-10\nlow-2 cpu=1 node=a-2 priority=-10\nlow-[3-5] cpu=1 node=b-1 priority=-10")
	g.pods("high-[1-2] cpu=1 node=b-2 priority=9\nlow-6 cpu=1 node=b-1 priority=-10")
	pod = g.pods("p-[1-2]" + gangOf2)[0]
	narrowed, status := g.PreFilter(t.Context(), framework.NewCycleState(), pod, g.nodes())
	if !status.IsSuccess() || !narrowed.NodeNames.Has("a-1") {
		t.Errorf("narrowed to %v (%v), want rack a", narrowed, status)
	}
}

func TestPodsThatAreGoneAreNotCounted(t *testing.T) {
	f := build(t, "", threeRacks)
	pods := f.pods("p-[1-4]" + gangOf4)
	f.forget(pods[3], "")
	if a := f.try(pods[3]); !strings.Contains(a.said, "3 of its 4 pods exist") { // the queue is behind
		t.Errorf("got %+v", a)
	}
	if a := f.try(pods[0]); !strings.Contains(a.said, "3 of its 4 pods exist") {
		t.Errorf("got %+v, want the one that is gone not counted", a)
	}
	// One that was noted although it is gone leaves with the sweep.
	f.members.note(pods[3], f.memberOf(pods[3]))
	f.beat(true)
	if got := f.groups.View(attempt{pod: pods[0]}.key(f)).All(); got != 3 {
		t.Errorf("%d members, want 3", got)
	}
}

func TestAMemberThatIsDeletedWhileItWaitsEndsTheAttempt(t *testing.T) {
	f := build(t, "", threeRacks)
	pods := f.pods("p-[1-4]" + gangOf4)
	first, second := f.try(pods[0]), f.try(pods[1])
	going := pods[0].DeepCopy()
	now := metav1.Now()
	going.DeletionTimestamp = &now // with a finalizer, as those of Jobs have
	f.podSeen(going)
	f.giveUp(first)
	f.giveUp(second)
}

func TestRoomThatBecameFreeMeanwhileWakesAtOnce(t *testing.T) {
	f := build(t, "", "a-1 rack=a cpu=2")
	pods := f.pods("p-[1-2]" + gangOf2)
	f.try(pods[0])
	other := attempt{pod: f.pods("other cpu=1")[0], state: framework.NewCycleState()}
	if _, status := f.PreFilter(t.Context(), other.state, other.pod, f.nodes()); !status.IsSuccess() {
		t.Fatal(status)
	}
	refused := f.Filter(t.Context(), other.state, other.pod, f.info("a-1"))
	if refused.IsSuccess() {
		t.Fatal("not kept out")
	}
	f.giveWay(attempt{pod: pods[0]}.key(f), "", gang.Now) // between Filter and PostFilter
	f.serve()
	refused.SetPlugin(Name)
	statuses := framework.NewDefaultNodeToStatus()
	statuses.Set("a-1", refused)
	f.PostFilter(t.Context(), other.state, other.pod, statuses)
	f.serve()
	if got := f.awake(); !slices.Contains(got, "other") {
		t.Errorf("woke %v, want the pod that was kept out", got)
	}
}

func TestALabelThatThePodSelectsIsWorthATry(t *testing.T) {
	f := build(t, "", "a-1 rack=a cpu=1")
	pod := f.pods("p cpu=1 selector:disk=fast annotation:plimsoll.dev/topology-required=rack")[0]
	hint, err := f.afterNodeChange(klog.Background(), pod, node(t, "n rack=b cpu=1"), node(t, "n rack=b cpu=1 label:disk=fast"))
	if hint != fwk.Queue || err != nil {
		t.Errorf("got %v, %v, want it queued", hint, err)
	}
}

func TestNothingIsHeldForAMemberThatCannotBePlaced(t *testing.T) {
	f := build(t, "", "a-[1-2] rack=a cpu=3")
	f.pods("old node=a-1" + gangOf2)
	stuck := f.pods("never" + gangOf2)[0]
	f.try(stuck)
	if f.groups.Charges() != nil {
		t.Errorf("holds %v", f.groups.Charges())
	}
	f.try(stuck)
	if f.groups.Charges() != nil {
		t.Error("holds again although nothing has changed")
	}
	f.tryAll(f.pods("fine" + gangOf2))
	f.try(f.pods("late" + strings.Replace(gangOf2, "group-size=2", "group-size=6", 1))[0])
	if f.groups.Charges() == nil {
		t.Error("holds nothing for the rest, although a member was placed since")
	}
}

func TestAGroupThatShrinksWhileItWaitsStarts(t *testing.T) {
	f := build(t, "", threeRacks, replicaSet(t, "ReplicaSet/web replicas=4")...)
	pods := f.pods("p-[1-4] cpu=1 owner=ReplicaSet/web annotation:plimsoll.dev/topology-required=rack")
	waiting := []attempt{f.try(pods[0]), f.try(pods[1]), f.try(pods[2])}
	f.resize("ReplicaSet/web replicas=3")
	for _, a := range waiting {
		f.allowed(a)
	}
}

func TestOneToANodeNeedsAsManyNodes(t *testing.T) {
	f := build(t, "", "a-1 rack=a cpu=32\nb-[1-2] rack=b cpu=8")
	pods := f.pods("p-[1-2]" + gangOf2)
	for _, pod := range pods {
		pod.Spec.Containers[0].Ports = []v1.ContainerPort{{HostPort: 80, ContainerPort: 80}}
	}
	if a := f.try(pods[0]); !strings.HasPrefix(a.node, "b") {
		t.Errorf("got %+v, want the rack with two nodes", a)
	}
}

func TestOneWrongAnnotationDoesNotEndTheOthersAttempt(t *testing.T) {
	f := build(t, "", threeRacks)
	pods := f.pods("p-[1-4]" + gangOf4)
	f.try(pods[0])
	wrong := f.pods("q" + strings.Replace(gangOf4, "required=rack", "required=rak", 1))[0]
	if a := f.try(wrong); !strings.Contains(a.said, `"rak" is not valid`) {
		t.Errorf("got %+v", a)
	}
	if f.fw.GetWaitingPod(pods[0].UID) == nil || f.groups.Charges() == nil {
		t.Error("the attempt of the others has ended")
	}
}

// TestOneMemberThatFitsNowhereEvictsNobodyTwice: what keeps it off one rack may keep
// it off all of them.
func TestOneMemberThatFitsNowhereEvictsNobodyTwice(t *testing.T) {
	f := build(t, "", "a-[1-2] rack=a cpu=1\nb-[1-2] rack=b cpu=1")
	f.pods("low-1 cpu=1 node=b-1 priority=-5\nlow-2 cpu=1 node=b-2 priority=-5")
	pods := f.pods("p-1" + gangOf2 + "\nnever" + gangOf2)
	first := f.try(pods[0])
	if !strings.HasPrefix(first.node, "a") {
		t.Fatalf("got %+v, want the free rack", first)
	}
	f.try(pods[1])
	f.giveUp(first)
	f.clock.Step(time.Second)
	narrowed, status := f.PreFilter(t.Context(), framework.NewCycleState(), pods[0], f.nodes())
	if !status.IsSuccess() || !narrowed.NodeNames.Has("a-1") {
		t.Errorf("narrowed to %v (%v), want the free rack again and nobody evicted in the other", narrowed, status)
	}
}

func TestALonePodMayGoToAnyDomainOfItsLevel(t *testing.T) {
	f := build(t, "", "a-1 rack=a cpu=1\nb-1 rack=b cpu=2\nbare-1 cpu=1")
	a := attempt{pod: f.pods("p cpu=1 annotation:plimsoll.dev/topology-required=rack")[0], state: framework.NewCycleState()}
	feasible, _ := f.filter(&a)
	var names []string
	for _, info := range feasible {
		names = append(names, info.Node().Name)
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"a-1", "b-1"}) {
		t.Errorf("may go to %v, want every node of a rack", names)
	}
	if status := f.Filter(t.Context(), a.state, a.pod, f.info("bare-1")); status.Message() != "node(s) have no label of level rack ("+f.labelsOf("rack")+"); required" {
		t.Errorf("got %v", status)
	}
}

// TestWhicheverMemberIsTriedFirst: a launcher that names no GPUs, and tolerates no
// taint of theirs, decides for workers that do.
func TestWhicheverMemberIsTriedFirst(t *testing.T) {
	f := build(t, "", "cpu-[1-3] rack=cpu cpu=8\ngpu-[1-4] rack=gpu cpu=8 nvidia.com/gpu=8 taint:gpu=true:NoSchedule\ngpu-0 rack=gpu cpu=8")
	const group = " annotation:plimsoll.dev/topology-required=rack annotation:plimsoll.dev/group=mpi annotation:plimsoll.dev/group-size=4"
	launcher := f.pods("launcher cpu=1" + group)[0]
	f.pods("worker-[1-3] cpu=4 nvidia.com/gpu=8 tolerates:gpu=true" + group)
	narrowed, status := f.PreFilter(t.Context(), framework.NewCycleState(), launcher, f.nodes())
	if !status.IsSuccess() || !narrowed.NodeNames.Has("gpu-1") {
		t.Fatalf("narrowed to %v (%v), want the rack with GPUs", narrowed, status)
	}
	charged := f.groups.Charges()["gpu-1"]
	if len(charged) != 1 || charged[0].Need.Of("nvidia.com/gpu") != 8 || charged[0].Need.Of("cpu") != 4000 {
		t.Errorf("holds %+v, want what a worker takes", charged)
	}
}

func TestADeploymentThatGrowsFromOneWaitsForNobody(t *testing.T) {
	f := build(t, "", "a-[1-2] rack=a cpu=2", replicaSet(t, "ReplicaSet/web replicas=1")...)
	const web = " cpu=1 owner=ReplicaSet/web annotation:plimsoll.dev/topology-required=rack"
	f.tryAll(f.pods("web-1" + web))
	indexer := f.handle.SharedInformerFactory().Apps().V1().ReplicaSets().Informer().GetIndexer()
	if err := indexer.Update(replicaSet(t, "ReplicaSet/web replicas=9")[0]); err != nil {
		t.Fatal(err)
	}
	f.tryAll(f.pods("web-[2-4]" + web))
}

func TestASizeThatIsLearntLateCountsForThoseThatRun(t *testing.T) {
	f := build(t, "", "a-[1-2] rack=a cpu=2")
	const web = " cpu=1 owner=ReplicaSet/web annotation:plimsoll.dev/topology-required=rack"
	f.pods("old node=a-1" + web) // before its ReplicaSet is known
	f.resize("ReplicaSet/web replicas=8")
	f.tryAll(f.pods("new-[1-3]" + web))
}

// TestEveryNodeARackOfItsOwn: as many domains as nodes, half of the nodes without
// a zone.
func TestEveryNodeARackOfItsOwn(t *testing.T) {
	var lines strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&lines, "n%04d rack=r%d cpu=2", i, i)
		if i%2 == 0 {
			fmt.Fprintf(&lines, " zone=z%d", i%3)
		}
		lines.WriteString("\n")
	}
	f := build(t, "", lines.String())
	if placed := f.tryAll(f.pods("p-[1-2]" + gangOf2)); placed["p-1"] == "" || placed["p-1"] != placed["p-2"] {
		t.Errorf("placed %v, want both in one rack", placed)
	}
	large := f.pods("q-[1-3]" + strings.ReplaceAll(strings.Replace(gangOf2, "size=2", "size=3", 1), "train", "large"))
	if a := f.try(large[0]); !strings.HasSuffix(a.said, " holds 2 of the 3 pods of group large; required") {
		t.Errorf("got %+v, want no rack to hold three", a)
	}
	inZone := f.pods("s-[1-3] cpu=1 annotation:plimsoll.dev/{topology-required=zone,topology-preferred=rack,group=zonal,group-size=3}")
	for name, node := range f.tryAll(inZone) {
		if n, _ := strconv.Atoi(strings.TrimPrefix(node, "n")); n%2 != 0 {
			t.Errorf("%s went to %s, which is in no zone", name, node)
		}
	}
}

// TestTheDomainThatIsGivenUpIsTheOneThatWasTried: a member that finds no node in its
// rack was tried on all of its hosts, not only on the one that the group would like.
func TestTheDomainThatIsGivenUpIsTheOneThatWasTried(t *testing.T) {
	for levels, tc := range map[string]struct{ domain, second, third string }{
		"topology-required=rack,topology-preferred=host": {"rack=a", "rack=b", "rack=a"},
		"topology-preferred=rack":                        {"the cluster", "the cluster", "the cluster"},
	} {
		f := build(t, "", "a-[1-3] rack=a cpu=8\nb-[1-3] rack=b cpu=9")
		pods := f.pods("never-[1-8] cpu=1 annotation:plimsoll.dev/{" + levels + ",group=g,group-size=8}")
		tried := []string{tc.domain, tc.second, tc.third, tc.second}
		waits := []string{"1s", "1s", "2s", "2s"}
		if tc.domain == tc.second {
			waits = []string{"1s", "2s", "4s", "8s"}
		}
		for i, domain := range tried {
			want := "a pod of group g finds no place in " + domain + ": the group is tried again in " + waits[i] + ", in another domain if there is one"
			if a := f.try(pods[0]); !strings.HasSuffix(a.said, want) {
				t.Errorf("%s, attempt %d: said %q, want %q", levels, i+1, a.said, want)
			}
			f.clock.Step(10 * time.Second)
			f.beat(false)
		}
	}
}

func TestASizeWithoutAGroupIsRefused(t *testing.T) {
	f := build(t, "", threeRacks)
	const wrong = `annotation plimsoll.dev/group-size: "4" is not valid: want plimsoll.dev/group as well: the pod has no owner or PodGroup that makes pods a group`
	for line, want := range map[string]string{
		"p cpu=1 annotation:plimsoll.dev/group-size=4":                                              wrong,
		"q cpu=1 annotation:plimsoll.dev/{group-size=4,topology-required=rack}":                     wrong,
		"agent cpu=1 owner=DaemonSet/agent annotation:plimsoll.dev/group-size=4":                    wrong,
		"alone cpu=1 annotation:plimsoll.dev/group-size=1":                                          "",
		"owned cpu=1 owner=Rollout/web annotation:plimsoll.dev/group-size=4":                        "waiting for group Rollout/web: 1 of its 4 pods exist (annotation plimsoll.dev/group-size)",
		"named cpu=1 annotation:plimsoll.dev/{group-size=4,group=g}":                                "waiting for group g: 1 of its 4 pods exist (annotation plimsoll.dev/group-size)",
		"labelled cpu=1 label:scheduling.x-k8s.io/pod-group=g annotation:plimsoll.dev/group-size=4": "waiting for group g: 1 of its 4 pods exist (annotation plimsoll.dev/group-size)",
	} {
		if a := f.try(f.pods(line)[0]); a.said != want {
			t.Errorf("%s: said %q, want %q", line, a.said, want)
		}
	}
}
