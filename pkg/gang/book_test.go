package gang

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var start = time.Unix(1_000_000_000, 0)

const keep = time.Minute

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

// gather fills a book with a group of pending members.
func gather(b *Book[string], key string, uids ...string) {
	for _, uid := range uids {
		b.Observe(key, Member{UID: uid, Name: "default/" + uid})
	}
}

func held(priority int32, slots map[string]int64) *Hold {
	return &Hold{Name: "train", Bound: "zone=a", Target: "zone=a/rack=r1", Priority: priority, Need: &Need{[]string{"cpu"}, []int64{1000}}, Slots: slots}
}

// charged sums the charges up by node.
func charged(b *Book[string]) map[string]int64 {
	out := map[string]int64{}
	for node, list := range b.Charges() {
		for _, c := range list {
			out[node] += c.Pods
		}
	}
	return out
}

func all(string) bool { return true }

func TestAGroupFillsWhatIsHeldForIt(t *testing.T) {
	freed := 0
	b := NewBook[string](func() { freed++ })
	gather(b, "train", "a", "b", "c")
	b.Hold("train", held(5, map[string]int64{"n1": 2, "n2": 1}), start, keep)
	b.Assume("train", "a", "n1", at(1))
	if diff := cmp.Diff(map[string]int64{"n1": 1, "n2": 1}, charged(b)); diff != "" {
		t.Errorf("after a member took a slot of its node (-want +got):\n%s", diff)
	}
	if freed != 0 {
		t.Error("told that room is free, which a member took")
	}
	// A member that goes elsewhere uses up a slot all the same, where the fewest are.
	b.Assume("train", "b", "n9", at(2))
	if freed != 1 {
		t.Error("not told that a node's room became free, since the member went elsewhere")
	}
	if got := charged(b); got["n1"]+got["n2"] != 1 {
		t.Errorf("charged %v, want one slot left", got)
	}
	if view := b.View("train"); view.Assumed != 2 || view.Pending != 1 || view.Held != 1 || view.Hold.Target != "zone=a/rack=r1" {
		t.Errorf("got %+v", view)
	}
	b.Assume("train", "c", "n2", at(3))
	if b.Charges() != nil {
		t.Errorf("charged %v after all members have a place", charged(b))
	}
	for _, uid := range []string{"a", "b", "c"} {
		b.Observe("train", Member{UID: uid, Name: "default/" + uid, Node: "n1"})
	}
	if view := b.View("train"); view.Bound != 3 || !view.Started || view.Placed() != 3 || view.All() != 3 {
		t.Errorf("got %+v, want all bound", view)
	}
}

func TestAMemberThatIsNotBoundFindsItsRoomAgain(t *testing.T) {
	b := NewBook[string](nil)
	gather(b, "train", "a", "b")
	b.Hold("train", held(0, map[string]int64{"n1": 2}), start, keep)
	b.Assume("train", "a", "n1", at(1))
	b.Forget("train", "a")
	b.Forget("train", "a") // told twice
	if diff := cmp.Diff(map[string]int64{"n1": 2}, charged(b)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	b.Observe("train", Member{UID: "b", Node: "n1"})
	b.Forget("train", "b") // bound ones stay
	if view := b.View("train"); view.Bound != 1 || view.Pending != 1 {
		t.Errorf("got %+v", view)
	}
	// What the API server says of an assumed pod is old.
	b.Assume("train", "a", "n1", at(2))
	b.Observe("train", Member{UID: "a"})
	if view := b.View("train"); view.Assumed != 1 {
		t.Errorf("got %+v, want the assumed member to stay assumed", view)
	}
}

func TestAGroupStartsOnceAndThenWaitsForNobody(t *testing.T) {
	b := NewBook[string](nil)
	gather(b, "train", "a", "b")
	b.Assume("train", "a", "n1", start)
	b.Wait("train", start, time.Minute)
	b.Wait("train", at(10), time.Hour) // the first decides
	b.Assume("train", "b", "n1", at(20))
	assumed, since := b.Start("train")
	if !slices.Equal(assumed, []string{"a", "b"}) || !since.Equal(start) {
		t.Errorf("started with %v, waiting since %v", assumed, since)
	}
	if again, _ := b.Start("train"); again != nil {
		t.Errorf("started twice, with %v", again)
	}
	if _, _, ok := b.Fail("train", "x", Now, at(30)); ok {
		t.Error("a group that has started failed")
	}
	if due := b.Tick(at(600), all); due.TimedOut != nil {
		t.Errorf("timed out: %v", due.TimedOut)
	}
	// Without any place left it is a new group.
	b.Forget("train", "a")
	b.Forget("train", "b")
	if b.View("train").Started {
		t.Error("still started, with no member placed")
	}
}

func TestAGroupThatFailsGivesEverythingUp(t *testing.T) {
	freed := 0
	b := NewBook[string](func() { freed++ })
	gather(b, "train", "a", "b", "c")
	if _, _, ok := b.Fail("train", "", Now, start); ok {
		t.Error("failed before it had anything")
	}
	for i, want := range []time.Duration{1, 1, 2, 4, 8, 16, 30, 30} {
		if i > 1 {
			b.Reconsider("train") // all domains were tried
		}
		b.Hold("train", held(0, map[string]int64{"n1": 3}), start, keep)
		b.Assume("train", "a", "n1", start)
		b.Assume("train", "c", "n1", start)
		b.Wait("train", start, keep)
		assumed, wait, ok := b.Fail("train", fmt.Sprintf("zone=%d", i), i, start)
		if !ok || wait != want*time.Second || !slices.Equal(assumed, []string{"a", "c"}) {
			t.Fatalf("failure %d: %v gave way for %v, %v; want a and c for %ds", i+1, assumed, wait, ok, want)
		}
		if view := b.View("train"); view.Placed() != 0 || view.Hold != nil || b.Charges() != nil || !view.Failed || len(view.Except) == 0 {
			t.Fatalf("failure %d: kept %+v", i+1, view)
		}
	}
	if freed != 8 {
		t.Errorf("told %d times that room is free, want 8", freed)
	}
	if due := b.Tick(at(29), all); due.Again != nil {
		t.Error("tried again too early")
	}
	if due := b.Tick(at(30), func(string) bool { return false }); due.Again != nil {
		t.Error("named a group that is not mine")
	}
	if due := b.Tick(at(30), all); !slices.Equal(due.Again, []string{"train"}) {
		t.Errorf("due %v, want train", due.Again)
	}
	if due := b.Tick(at(31), all); due.Again != nil {
		t.Error("named twice")
	}
	b.Reconsider("train")
	if except := b.View("train").Except; except != nil {
		t.Errorf("still excepted: %v", except)
	}
}

func TestHoldsEnd(t *testing.T) {
	freed := 0
	b := NewBook[string](func() { freed++ })
	gather(b, "slow", "a", "b")
	gather(b, "gone", "c")
	b.Hold("slow", held(0, map[string]int64{"n1": 2}), start, keep)
	b.Hold("gone", held(0, map[string]int64{"n2": 1}), start, keep)
	b.Assume("slow", "a", "n1", at(40))
	b.Remove("gone", "c")
	if freed != 1 || charged(b)["n2"] != 0 {
		t.Errorf("the room of a group that is gone is still held: %v", charged(b))
	}
	b.Tick(at(99), all)
	if charged(b)["n1"] != 1 {
		t.Error("the hold ended although a member came a minute ago")
	}
	b.Tick(at(100), all)
	if freed != 2 || b.Charges() != nil {
		t.Errorf("held beyond its time: %v", charged(b))
	}
	// While members wait for each other, their hold does not end, the waiting does.
	gather(b, "gang", "d", "e")
	b.Hold("gang", held(0, map[string]int64{"n1": 2}), start, time.Second)
	b.Assume("gang", "d", "n1", start)
	b.Wait("gang", start, time.Minute)
	if due := b.Tick(at(59), all); due.TimedOut != nil || charged(b)["n1"] != 1 {
		t.Errorf("timed out %v, holding %v", due.TimedOut, charged(b))
	}
	if due := b.Tick(at(60), all); !slices.Equal(due.TimedOut, []string{"gang"}) {
		t.Errorf("timed out %v, want gang", due.TimedOut)
	}
}

func TestParkedMembersAreWokenOnce(t *testing.T) {
	b := NewBook[string](nil)
	gather(b, "train", "b", "a", "c")
	b.Park("train", "a")
	b.Park("train", "b")
	b.Park("train", "nobody")
	b.Assume("train", "b", "n1", start)
	if got := b.View("train").Parked; got != 1 {
		t.Errorf("%d are parked, want a alone: b has a place", got)
	}
	if got := b.Parked("train"); len(got) != 1 || got[0].Name != "default/a" {
		t.Errorf("got %v, want a: b has a place", got)
	}
	if b.View("train").Parked != 0 || len(b.Parked("train")) != 0 {
		t.Error("woken twice")
	}
	if got := b.Pending("train"); len(got) != 2 || got[0].UID != "a" || got[1].UID != "c" {
		t.Errorf("pending %v, want a and c", got)
	}
}

func TestGroupsThatARestartInterruptedAreFound(t *testing.T) {
	b := NewBook[string](nil)
	gather(b, "half", "a", "b")
	b.Observe("half", Member{UID: "c", Node: "n1"})
	gather(b, "none", "d")
	b.Observe("whole", Member{UID: "e", Node: "n1"})
	gather(b, "served", "f")
	b.Observe("served", Member{UID: "g", Node: "n1"})
	b.Hold("served", held(0, map[string]int64{"n1": 1}), start, keep)
	if got := b.Split(); !slices.Equal(got, []string{"half"}) {
		t.Errorf("got %v, want half", got)
	}
	places := map[string]int{}
	b.EachPlace("half", func(node, revision string) { places[node+revision]++ })
	if diff := cmp.Diff(map[string]int{"n1": 1}, places); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestWhatIsChargedIsWhatIsHeld does anything in any order: the charges must stay
// the sum of the holds, none negative, and every member must be counted once.
func TestWhatIsChargedIsWhatIsHeld(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := NewBook[string](nil)
		keys, uids, nodes := []string{"x", "y"}, []string{"a", "b", "c", "d"}, []string{"n1", "n2", "n3"}
		alive := map[string]map[string]bool{"x": {}, "y": {}}
		now := start
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			key, node := rapid.SampledFrom(keys).Draw(t, "key"), rapid.SampledFrom(nodes).Draw(t, "node")
			uid := key + rapid.SampledFrom(uids).Draw(t, "uid")
			now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "later")) * time.Second)
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0, 1:
				b.Observe(key, Member{UID: uid, Name: uid})
				alive[key][uid] = true
			case 2:
				b.Observe(key, Member{UID: uid, Name: uid, Node: node})
				alive[key][uid] = true
			case 3:
				b.Remove(key, uid)
				delete(alive[key], uid)
			case 4, 5:
				b.Assume(key, uid, node, now)
			case 6:
				b.Forget(key, uid)
			case 7:
				b.Hold(key, held(0, map[string]int64{node: 2, "n1": 1}), now, keep)
			case 8:
				b.Fail(key, "", Now, now)
			case 9:
				b.Wait(key, now, keep)
				b.Tick(now, all)
			}
			want := map[string]int64{}
			for _, key := range keys {
				view := b.View(key)
				if got, want := view.Placed(), int64(len(b.Placed(key))); got != want || view.Pending != int64(len(b.Pending(key))) {
					t.Fatalf("%s counts %+v, want %d with a place", key, view, want)
				}
				if int(view.All()) != len(alive[key]) {
					t.Fatalf("%s counts %+v, want %d members", key, view, len(alive[key]))
				}
				for node, pods := range b.Slots(key) {
					want[node] += pods
					if pods <= 0 {
						t.Fatalf("%s holds %d on %s", key, pods, node)
					}
				}
			}
			if diff := cmp.Diff(want, charged(b)); diff != "" {
				t.Fatalf("charges (-held +charged):\n%s", diff)
			}
		}
	})
}

func TestNeed(t *testing.T) {
	n := &Need{[]string{"cpu", "memory"}, []int64{1, 2}}
	if n.Of("memory") != 2 || n.Of("nvidia.com/gpu") != 0 {
		t.Errorf("got %d and %d, want 2 and 0", n.Of("memory"), n.Of("nvidia.com/gpu"))
	}
}

func TestWhatIsLeftOfAnAttemptDoesNotEndTheNext(t *testing.T) {
	b := NewBook[string](nil)
	gather(b, "train", "a", "b")
	b.Assume("train", "a", "n1", start)
	old, first := b.Wait("train", start, keep)
	if _, again := b.Wait("train", start, keep); !first || again {
		t.Errorf("first %v and then %v, want only one to be the first", first, again)
	}
	if _, _, ok := b.Fail("train", "", Now, start); !ok {
		t.Fatal("not failed")
	}
	b.Assume("train", "b", "n1", at(2))
	next, first := b.Wait("train", at(2), keep)
	if next == old || !first {
		t.Errorf("attempt %d after %d, first %v", next, old, first)
	}
	if _, _, ok := b.Fail("train", "", old, at(3)); ok || b.View("train").Assumed != 1 {
		t.Error("the old attempt ended the next")
	}
	if _, _, ok := b.Fail("train", "", next, at(3)); !ok {
		t.Error("its own end did not")
	}
}

func TestMembersThatWaitAreToldWhenTheirGroupStartsByOtherMeans(t *testing.T) {
	b := NewBook[string](nil)
	gather(b, "train", "a", "b", "c")
	b.Assume("train", "a", "n1", start)
	b.Wait("train", start, keep)
	b.Observe("train", Member{UID: "b", Node: "n1", Alone: true})
	if due := b.Tick(at(1), all); due.Started != nil || b.View("train").Started {
		t.Errorf("started by a member that waits for nobody: %+v", due)
	}
	b.Observe("train", Member{UID: "c", Node: "n1"})
	if due := b.Tick(at(2), all); !slices.Equal(due.Started, []string{"a"}) || due.TimedOut != nil {
		t.Errorf("due %+v, want the waiting member told", due)
	}
	b.Observe("train", Member{UID: "a", Node: "n1"})
	if due := b.Tick(at(600), all); due.Started != nil || due.TimedOut != nil {
		t.Errorf("told when nobody waits: %+v", due)
	}
	if got := b.Placed("train"); len(got) != 3 {
		t.Errorf("placed %v, want all three", got)
	}
}

func TestAnIdleGroupHoldsNothingUntilAMemberIsPlaced(t *testing.T) {
	freed := 0
	b := NewBook[string](func() { freed++ })
	gather(b, "train", "b")
	b.Observe("train", Member{UID: "a", Node: "n1", Group: "train-42"})
	b.Hold("train", held(0, map[string]int64{"n1": 1}), start, keep)
	b.Idle("train")
	b.Hold("train", held(0, map[string]int64{"n1": 1}), start, keep)
	if b.Charges() != nil || freed != 1 {
		t.Errorf("holds %v, told %d times", charged(b), freed)
	}
	b.Assume("train", "b", "n1", start)
	b.Hold("train", held(0, map[string]int64{"n1": 1}), start, keep)
	if b.Charges() == nil {
		t.Error("holds nothing, although a member was placed since")
	}
	if name := b.View("train").Name; name != "train-42" {
		t.Errorf("named %q", name)
	}
}

func TestWaitingIsExtended(t *testing.T) {
	b := NewBook[string](nil)
	gather(b, "train", "a", "b")
	b.Hold("train", held(0, map[string]int64{"n1": 2}), start, time.Second)
	b.Assume("train", "a", "n1", start)
	b.Wait("train", start, 10*time.Second)
	b.Extend("train", at(30))
	b.Extend("train", at(20)) // never shorter
	b.Extend("nobody", at(30))
	if due := b.Tick(at(29), all); due.TimedOut != nil {
		t.Errorf("timed out: %v", due.TimedOut)
	}
	if due := b.Tick(at(30), all); len(due.TimedOut) != 1 {
		t.Error("did not time out")
	}
}

func TestFailuresAreForgivenAfterAWhile(t *testing.T) {
	b := NewBook[string](nil)
	gather(b, "train", "a")
	b.Hold("train", held(0, map[string]int64{"n1": 1}), start, keep)
	b.Fail("train", "zone=a", Now, start)
	if b.Tick(at(299), all); !b.View("train").Failed || b.View("train").Except == nil {
		t.Error("forgiven too early")
	}
	if b.Tick(at(300), all); b.View("train").Failed || b.View("train").Except != nil {
		t.Error("not forgiven")
	}
}

func TestWhatMadeAGroupIdleEndsWithIt(t *testing.T) {
	b := NewBook[string](nil)
	gather(b, "job", "b")
	b.Observe("job", Member{UID: "a", Node: "n1"})
	b.Idle("job")
	b.Remove("job", "a")
	b.Hold("job", held(0, map[string]int64{"n1": 1}), start, keep)
	if b.Charges() == nil {
		t.Error("nothing is held for a group that begins anew")
	}
	// A domain is noted although nothing was held in it.
	b.Hold("job", nil, start, keep)
	if _, _, ok := b.Fail("job", "rack=r1", Now, start); !ok || !slices.Equal(b.View("job").Except, []string{"rack=r1"}) {
		t.Errorf("got %+v, want the domain noted", b.View("job"))
	}
}
