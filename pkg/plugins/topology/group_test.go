package topology

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plimsoll.dev/scheduler/pkg/intent"
)

// threeRacks have room for 3, 4 and 9 pods of one core.
//
//	zone=a                      zone=b
//	├─ rack=r1  a1-1..3  1 cpu  └─ rack=r1  b1-1..3  3 cpu
//	└─ rack=r2  a2-1..2  2 cpu
const threeRacks = `
a1-[1-3] zone=a rack=r1 cpu=1
a2-[1-2] zone=a rack=r2 cpu=2
b1-[1-3] zone=b rack=r1 cpu=3
`

const gangOf4 = " cpu=1 annotation:plimsoll.dev/topology-required=rack annotation:plimsoll.dev/group=train annotation:plimsoll.dev/group-size=4"

func TestAGroupGoesWholeToTheTightestRack(t *testing.T) {
	f := build(t, "", threeRacks)
	pods := f.pods("p-[1-4]" + gangOf4)
	first := f.try(pods[0])
	if !first.waits || first.said != "waiting for group train: 1 of its 4 pods have a place" {
		t.Fatalf("got %+v, want it to wait for three others", first)
	}
	if got := f.groups.Slots(first.key(f)); cmp.Diff(map[string]int64{"a2-1": 1, "a2-2": 2}, got) != "" {
		t.Errorf("room held: %v, want what is left of rack r2", got)
	}
	second, third := f.try(pods[1]), f.try(pods[2])
	last := f.try(pods[3])
	if last.waits || last.node == "" {
		t.Fatalf("got %+v, want the last to start the group", last)
	}
	placed := map[string]string{}
	for _, a := range []attempt{first, second, third} {
		f.allowed(a)
		placed[a.pod.Name] = a.node
	}
	placed[last.pod.Name] = last.node
	if diff := cmp.Diff(map[string]int{"a2": 4}, countBy(placed)); diff != "" {
		t.Errorf("racks (-want +got):\n%s", diff)
	}
	if f.groups.Charges() != nil {
		t.Errorf("still held: %v", f.groups.Charges())
	}
	if want := last.pod.Name + " on " + last.node + ": zone=a/rack=r2: group train, 4 of its 4 pods placed"; f.placed[0] != want {
		t.Errorf("said %q, want %q", f.placed[0], want)
	}
}

func (a attempt) key(f *fixture) (key intent.GroupKey) {
	key, found := f.members.keyOf(a.pod.UID)
	if !found {
		f.Fatalf("%s is in no group", a.pod.Name)
	}
	return key
}

func TestAnIncompleteGroupIsHeldBackAndWokenWhenItsLastPodComes(t *testing.T) {
	f := build(t, "", threeRacks)
	pods := f.pods("p-[1-3]" + gangOf4)
	for _, pod := range pods {
		if a := f.try(pod); a.said != "waiting for group train: 3 of its 4 pods exist (annotation plimsoll.dev/group-size)" {
			t.Fatalf("%s: got %+v, want it held back", pod.Name, a)
		}
	}
	f.serve()
	if got := f.awake(); got != nil {
		t.Fatalf("woke %v too early", got)
	}
	last := f.pods("p-4" + gangOf4)[0]
	f.serve()
	if got := f.awake(); !slices.Equal(got, []string{"p-1", "p-2", "p-3"}) {
		t.Errorf("woke %v, want the three that were held back", got)
	}
	f.tryAll(append(pods, last))
}

func TestAGroupThatFitsNowhereSaysWhereMostOfItWould(t *testing.T) {
	f := build(t, "", threeRacks)
	pods := f.pods("p-[01-12]" + strings.Replace(gangOf4, "size=4", "size=12", 1))
	a := f.try(pods[0])
	if want := "domain zone=b/rack=r1 holds 9 of the 12 pods of group train; required"; a.said != want || a.waits {
		t.Errorf("got %+v, want %q", a, want)
	}
	if f.groups.Charges() != nil {
		t.Error("holds room for a group that goes nowhere")
	}
	for line, want := range map[string]string{
		"q cpu=1 annotation:plimsoll.dev/topology-required=clique":                                               "no node(s) have a label of level clique (nvidia.com/gpu.clique); required",
		"r cpu=1 annotation:plimsoll.dev/topology-required=rak":                                                  `annotation plimsoll.dev/topology-required: "rak" is not valid: want one of region, zone, block, rack, clique, host`,
		"s cpu=4 annotation:plimsoll.dev/topology-required=zone annotation:plimsoll.dev/group=s":                 "domain zone=a holds 0 of the 1 pods of group s; required",
		"t cpu=1 annotation:plimsoll.dev/topology-required=topology.k8s.io/ra":                                   `annotation plimsoll.dev/topology-required: "topology.k8s.io/ra" is not valid`,
		"u cpu=1 annotation:plimsoll.dev/topology-required=rack annotation:plimsoll.dev/topology-preferred=zone": `annotation plimsoll.dev/topology-preferred: "zone" is not valid: want a level that is narrower than the required one, rack`,
	} {
		if a := f.try(f.pods(line)[0]); !strings.HasPrefix(a.said, want) {
			t.Errorf("%s\n got %q\nwant %q", line, a.said, want)
		}
	}
}

func TestTwoGroupsNeverShareARackTheyBothWant(t *testing.T) {
	f := build(t, "", "a-[1-2] zone=a rack=a cpu=2\nb-[1-2] zone=a rack=b cpu=2\nc-1 zone=a rack=c cpu=3")
	ours := f.pods("p-[1-4]" + gangOf4)
	theirs := f.pods("q-[1-4]" + strings.ReplaceAll(gangOf4, "train", "serve"))
	placed, other := map[string]string{}, map[string]string{}
	var waiting []attempt
	for i := range ours { // in turns
		for _, one := range []attempt{f.try(ours[i]), f.try(theirs[i])} {
			if one.node == "" {
				t.Fatalf("%s found no place: %s", one.pod.Name, one.said)
			}
			if one.waits {
				waiting = append(waiting, one)
			}
			if strings.HasPrefix(one.pod.Name, "p") {
				placed[one.pod.Name] = one.node
			} else {
				other[one.pod.Name] = one.node
			}
		}
	}
	for _, a := range waiting {
		f.allowed(a)
	}
	if len(countBy(placed)) != 1 || len(countBy(other)) != 1 || cmp.Equal(countBy(placed), countBy(other)) {
		t.Errorf("racks %v and %v, want one each", countBy(placed), countBy(other))
	}
}

func TestHeldRoomIsKeptFromEqualsAndNotFromTheirBetters(t *testing.T) {
	f := build(t, "", "a-[1-2] rack=a cpu=2\nb-1 rack=b cpu=1")
	gang := f.pods("p-[1-4] priority=5" + gangOf4)
	f.try(gang[0])
	for line, want := range map[string]string{
		"equal cpu=1 priority=5": "b-1", "lower cpu=1": "b-1", "higher cpu=1 priority=6": "a-1",
	} {
		a := f.try(f.pods(line)[0])
		if a.node != want {
			t.Errorf("%s went to %q (%s), want %q", line, a.node, a.said, want)
		}
		if a.node != "" {
			f.forget(a.pod, a.node)
		}
	}
	b := f.try(f.pods("second cpu=1")[0])
	kept := f.try(f.pods("third cpu=1")[0])
	if b.node != "b-1" || kept.node != "" {
		t.Fatalf("got %+v and %+v, want the second kept out", b, kept)
	}
	// When the group is gone, those that its room kept out are tried again.
	for _, pod := range gang {
		f.forget(pod, "")
	}
	f.serve()
	if got := f.awake(); !slices.Contains(got, "third") {
		t.Errorf("woke %v, want the third", got)
	}
}

func TestAGroupGivesADomainUpInWhichAMemberFindsNoPlace(t *testing.T) {
	f := build(t, "", threeRacks)
	pods := f.pods("p-[1-3]" + gangOf4 + "\nnever" + gangOf4)
	var waiting []attempt
	for _, pod := range pods[:3] {
		waiting = append(waiting, f.try(pod))
	}
	last := f.try(pods[3])
	if want := "a pod of group train finds no place in zone=a/rack=r2: the group is tried again in 1s, in another domain if there is one"; !strings.HasSuffix(last.said, want) {
		t.Errorf("said %q, want %q", last.said, want)
	}
	for _, a := range waiting {
		f.giveUp(a)
	}
	if view := f.groups.View(last.key(f)); view.Placed() != 0 || f.groups.Charges() != nil {
		t.Errorf("kept %+v", view)
	}
	if a := f.try(pods[0]); a.said != "group train was not placed whole and is tried again in 1s" {
		t.Errorf("got %+v, want it to back off", a)
	}
	f.clock.Step(time.Second)
	f.beat(false)
	if got := f.awake(); len(got) != 4 {
		t.Errorf("woke %v, want all four", got)
	}
	// Another domain, and when none is left, all of them again.
	if a := f.try(pods[0]); !strings.HasPrefix(a.node, "b1") {
		t.Errorf("got %+v, want the other rack", a)
	}
	f.try(pods[3])
	f.clock.Step(time.Minute)
	f.beat(false)
	if a := f.try(pods[1]); !strings.HasPrefix(a.node, "a2") {
		t.Errorf("got %+v, want all domains considered again", a)
	}
}

func TestWaitingEndsForAllAtOnce(t *testing.T) {
	f := build(t, "{groupTimeoutSeconds: 30}", threeRacks)
	pods := f.pods("p-[1-4]" + gangOf4)
	first := f.try(pods[0])
	f.clock.Step(20 * time.Second)
	second := f.try(pods[1])
	f.clock.Step(9 * time.Second)
	f.beat(false)
	if f.fw.GetWaitingPod(pods[0].UID) == nil {
		t.Fatal("the first waits no longer")
	}
	f.clock.Step(time.Second)
	f.beat(false)
	f.giveUp(first)
	f.giveUp(second)
	if f.groups.Charges() != nil {
		t.Errorf("still held: %v", f.groups.Charges())
	}
}

func TestAGroupThatHasStartedGoesOnWhereItIs(t *testing.T) {
	f := build(t, "", threeRacks)
	// As after a restart: two run in a rack that would not be chosen now.
	f.pods("old-1 node=b1-1" + gangOf4 + "\nold-2 node=b1-2" + gangOf4)
	pods := f.pods("new-[1-3]" + gangOf4)
	placed := f.tryAll(pods[:1])
	if diff := cmp.Diff(map[string]int{"b1": 1}, countBy(placed)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Room for the rest is held, before any of them is tried.
	if got := f.groups.View(attempt{pod: pods[1]}.key(f)); got.Held != 1 {
		t.Errorf("held for %d, want the fourth", got.Held)
	}
	// More than the size said: they go on there without waiting.
	if placed := countBy(f.tryAll(pods[1:])); placed["b1"] != 2 {
		t.Errorf("placed %v, want both in the same rack", placed)
	}
	// When its rack is full, a member waits for room there.
	f.pods("filler cpu=3 node=b1-3\nmore cpu=2 node=b1-2\nmost cpu=1 node=b1-1")
	a := f.try(f.pods("late" + gangOf4)[0])
	if a.node != "" || !strings.HasSuffix(a.said, "group train goes on in zone=b/rack=r1; required") {
		t.Errorf("got %+v, want it bound to its group's rack", a)
	}
}

func TestRoomIsHeldAgainAfterARestart(t *testing.T) {
	f := build(t, "", "a-[1-2] rack=a cpu=2")
	f.pods("old node=a-1" + gangOf4)
	pods := f.pods("new-[1-3]" + gangOf4)
	if other := f.try(f.pods("other cpu=1")[0]); other.node != "" || !strings.Contains(other.said, "node(s) are kept for pods of group train") {
		t.Errorf("got %+v, want it kept out", other)
	}
	f.tryAll(pods)
}
