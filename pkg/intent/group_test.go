package intent

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// belongs is a pod that a controlling owner, a native group and a PodGroup all
// lay claim to; an empty name is none.
func belongs(ownerKind, native, label string) *v1.Pod {
	pod := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Labels: map[string]string{"scheduling.x-k8s.io/pod-group": label}},
		Spec:       v1.PodSpec{SchedulerName: "plimsoll", SchedulingGroup: &v1.PodSchedulingGroup{PodGroupName: &native}},
	}
	if ownerKind != "" {
		yes := true
		pod.OwnerReferences = []metav1.OwnerReference{{Kind: "Config", Name: "c", UID: "1"}, {Kind: ownerKind, Name: "web-5d4f", UID: "2", Controller: &yes}}
	}
	return pod
}

func TestWhatMakesAGroup(t *testing.T) {
	group := func(kind GroupKind, id, name string) Group {
		return Group{Key: GroupKey{Scheduler: "plimsoll", Namespace: "ml", Kind: kind, ID: id}, Name: name}
	}
	for name, tc := range map[string]struct {
		asked *Topology
		pod   *v1.Pod
		want  Group
	}{
		"nothing":                      {&Topology{}, &v1.Pod{}, Group{}},
		"nothing, with empty names":    {nil, belongs("", "", ""), Group{}},
		"the native group before all":  {&Topology{Group: "a"}, belongs("ReplicaSet", "n", "l"), group(GroupNative, "n", "n")},
		"the annotation before labels": {&Topology{Group: "a"}, belongs("ReplicaSet", "", "l"), group(GroupByAnnotation, "a", "a")},
		"the label before the owner":   {&Topology{}, belongs("ReplicaSet", "", "l"), group(GroupByPodGroup, "l", "l")},
		"the owner":                    {&Topology{}, belongs("ReplicaSet", "", ""), group(GroupByOwner, "2", "ReplicaSet/web-5d4f")},
		"an owner of whatever kind":    {nil, belongs("Rollout", "", ""), group(GroupByOwner, "2", "Rollout/web-5d4f")},
		"a DaemonSet is none":          {&Topology{}, belongs("DaemonSet", "", ""), Group{}},
		"a node is none":               {&Topology{}, belongs("Node", "", ""), Group{}},
		"unless it is named otherwise": {&Topology{Group: "a"}, belongs("DaemonSet", "", ""), group(GroupByAnnotation, "a", "a")},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := GroupOf(tc.pod, tc.asked)
			want := tc.want
			if ok {
				want.Owner = metav1.GetControllerOf(tc.pod)
			}
			if diff := cmp.Diff(want, got); diff != "" || ok != (want.Name != "") {
				t.Errorf("%v (-want +got)\n%s", ok, diff)
			}
		})
	}
}

func TestPodsOfDifferentSchedulersAreNeverOneGroup(t *testing.T) {
	ours, theirs := belongs("", "", "train"), belongs("", "", "train")
	theirs.Spec.SchedulerName = "default-scheduler"
	a, _ := GroupOf(ours, nil)
	b, _ := GroupOf(theirs, nil)
	if a.Key == b.Key {
		t.Errorf("both are of group %+v", a.Key)
	}
}

func TestRevisions(t *testing.T) {
	for want, labels := range map[string]map[string]string{
		"":     {"app": "web"},
		"5d4f": {"pod-template-hash": "5d4f"},
		"db-7": {"controller-revision-hash": "db-7"},
	} {
		if got := Revision(&v1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: labels}}); got != want {
			t.Errorf("%v: got %q, want %q", labels, got, want)
		}
	}
}

func TestSpreadsOverWhatTheUserWrote(t *testing.T) {
	pod := &v1.Pod{Spec: v1.PodSpec{TopologySpreadConstraints: []v1.TopologySpreadConstraint{{TopologyKey: v1.LabelHostname}, {TopologyKey: v1.LabelTopologyZone}}}}
	for key, want := range map[string]bool{v1.LabelHostname: true, v1.LabelTopologyZone: true, v1.LabelTopologyRegion: false} {
		if got := SpreadsOver(pod, key); got != want {
			t.Errorf("%s: got %v, want %v", key, got, want)
		}
	}
}
