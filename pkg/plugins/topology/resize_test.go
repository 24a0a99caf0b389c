package topology

import (
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"

	"plimsoll.dev/scheduler/pkg/intent"
)

// resize has a ReplicaSet come or change, as its informer would, and what that brings
// about done.
func (f *fixture) resize(line string) {
	f.Helper()
	set := replicaSet(f.TB, line)[0].(*appsv1.ReplicaSet)
	if err := f.handle.SharedInformerFactory().Apps().V1().ReplicaSets().Informer().GetIndexer().Add(set); err != nil {
		f.Fatal(err)
	}
	f.sizeChanged(set.Namespace, string(set.UID))
	f.serve()
}

// TestAGroupThatShrinksToWhatFitsIsTriedAgain: its pods were not held back, but found
// no room, and no event of a node or a pod says that they need less now.
func TestAGroupThatShrinksToWhatFitsIsTriedAgain(t *testing.T) {
	f := build(t, "", "a-[1-6] rack=a cpu=1", replicaSet(t, "ReplicaSet/web replicas=8")...)
	pods := f.pods("p-[1-8] cpu=1 owner=ReplicaSet/web annotation:plimsoll.dev/topology-required=rack")
	for _, pod := range pods {
		if a := f.try(pod); a.said != "domain rack=a holds 6 of the 8 pods of group ReplicaSet/web; required" {
			t.Fatalf("got %+v, want it refused", a)
		}
	}
	f.resize("ReplicaSet/web replicas=6")
	if got := f.awake(); len(got) != 8 {
		t.Errorf("woke %v, want all", got)
	}
	for _, gone := range pods[6:] {
		f.forget(gone, "")
	}
	f.beat(false)
	if got := f.awake(); !slices.Equal(got, []string{"p-1", "p-2", "p-3", "p-4", "p-5", "p-6"}) {
		t.Errorf("woke %v, want those that are left", got)
	}
	f.tryAll(pods[:6])
}

// TestTheRestOfAGroupIsTriedWhenItsLargestPodLeaves: all count as the largest does.
func TestTheRestOfAGroupIsTriedWhenItsLargestPodLeaves(t *testing.T) {
	f := build(t, "", "a-[1-2] rack=a cpu=1")
	const group = " annotation:plimsoll.dev/{topology-required=rack,group=g,group-size=2}"
	pods := append(f.pods("p-[1-2] cpu=1"+group), f.pods("large cpu=2"+group)...)
	if a := f.try(pods[0]); a.node != "" {
		t.Fatalf("got %+v, want it refused", a)
	}
	f.forget(pods[2], "")
	f.beat(false)
	if got := f.awake(); !slices.Equal(got, []string{"p-1", "p-2"}) {
		t.Errorf("woke %v, want the other two", got)
	}
	f.tryAll(pods[:2])
	f.forget(pods[1], "")
	f.beat(false)
	if got := f.awake(); got != nil {
		t.Errorf("woke %v of a group that has started", got)
	}
}

func TestOnlyGroupsOfWhichTheSizeChangesAreLookedAt(t *testing.T) {
	f := build(t, "", threeRacks, replicaSet(t, "ReplicaSet/web replicas=9\nReplicaSet/api replicas=9")...)
	const rack = " cpu=1 annotation:plimsoll.dev/topology-required=rack"
	pods := f.pods("web-[1-2] owner=ReplicaSet/web" + rack + "\napi-1 owner=ReplicaSet/api" + rack)
	pods = append(pods, f.pods("mixed-1 owner=ReplicaSet/web annotation:plimsoll.dev/group=mixed"+rack+"\nalone-1 annotation:plimsoll.dev/group-size=2 annotation:plimsoll.dev/group=alone"+rack)...)
	for _, pod := range pods {
		f.PreEnqueue(t.Context(), pod)
	}
	f.resize("ReplicaSet/web replicas=3")
	if got := f.awake(); !slices.Equal(got, nil) {
		t.Errorf("woke %v, want none: the size is another, and still not reached", got)
	}
	key := attempt{pod: pods[0]}.key(f)
	if got := f.wakes.holds[key].reason.Message; got != "waiting for group ReplicaSet/web: 2 of its 3 pods exist (ReplicaSet default/web)" {
		t.Errorf("said %q, want the new size", got)
	}
	f.resize("ReplicaSet/web replicas=1")
	if got := f.awake(); !slices.Equal(got, []string{"mixed-1", "web-1", "web-2"}) {
		t.Errorf("woke %v, want those of the owner", got)
	}
	resized := f.resized(map[sizeOf]struct{}{{"default", "replicaset/api"}: {}})
	for _, other := range []int{0, 3, 4} {
		if _, found := resized[attempt{pod: pods[other]}.key(f)]; found {
			t.Errorf("looks at the group of %s, too", pods[other].Name)
		}
	}
	if _, found := resized[attempt{pod: pods[2]}.key(f)]; !found {
		t.Error("does not look at the group of the owner")
	}
	named := f.resized(map[sizeOf]struct{}{{"default", "g"}: {}})
	if _, found := named[intent.GroupKey{Scheduler: f.handle.ProfileName(), Namespace: "default", Kind: intent.GroupByPodGroup, ID: "g"}]; !found {
		t.Errorf("looks at %v, want the PodGroup of that name", named)
	}
	for _, pod := range pods {
		f.forget(pod, "")
	}
	if len(f.members.byOwner) != 0 {
		t.Errorf("remembers owners of pods that are gone: %v", f.members.byOwner)
	}
}

// TestARolloutBeginsWhereMostOfItFits: where no rack holds all that there will be, the
// tightest one for the first pods would be full when the next come.
func TestARolloutBeginsWhereMostOfItFits(t *testing.T) {
	f := build(t, "", "a-1 rack=a cpu=2\nb-[1-7] rack=b cpu=1", replicaSet(t, "ReplicaSet/new replicas=2 desired=8")...)
	const line = " cpu=1 owner=ReplicaSet/new annotation:plimsoll.dev/{topology-required=rack,topology-preferred=host}"
	f.tryAll(f.pods("n-[1-2]" + line))
	f.resize("ReplicaSet/new replicas=7 desired=8")
	if got := countBy(f.tryAll(f.pods("n-[3-7]" + line))); got["b"] != 5 {
		t.Errorf("racks %v, want all in the roomy one", got)
	}
}
