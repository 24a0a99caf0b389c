package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"plimsoll.dev/scheduler/internal/testkit"
)

// A scheduler that starts amid a group finds out where its bound pods are and
// goes on there, even if another rack would fit better.
func TestARestartGoesOnInTheGroupsRack(t *testing.T) {
	c := start(t, racks(map[string]int{"eu-1a/r1": 16, "eu-1b/r1": 16, "eu-1c/r1": 24}))
	first := c.startTopology("{}")
	c.running(c.create("warm cpu=1 selector:topology.kubernetes.io/zone=eu-1b")...)
	first.Stop()
	pods := c.create(gang("train", 16, "rack"))
	for i, name := range pods[:5] {
		c.bind(name, fmt.Sprintf("eu-1c-r1-%d", 1+i%2))
	}
	second := c.startTopology("{}")
	if diff := cmp.Diff(map[string]int{"eu-1c/r1": 16}, c.domains(pods, zoneLabel, rackLabel)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// Those for whom no room is left beside their own wait, rather than going
	// elsewhere.
	second.Stop()
	late := c.create(gang("late", 12, "rack"))
	c.bind(late[0], "eu-1c-r1-1")
	c.startTopology("{}")
	c.oneSays(late[1:], "group late goes on in zone=eu-1c/rack=r1; required")
	for _, name := range late {
		if node := c.pod(name).Spec.NodeName; node != "" && !strings.HasPrefix(node, "eu-1c-r1-") {
			t.Errorf("pod %s went to %s, want it beside its group or nowhere", name, node)
		}
	}
	c.vanish(pods...)
	if diff := cmp.Diff(map[string]int{"eu-1c/r1": 12}, c.domains(late, zoneLabel, rackLabel)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// oneSays waits until one of the pods is pending in words that contain want.
func (c *cluster) oneSays(pods []string, want string) {
	c.Helper()
	c.eventually(func() error {
		said := map[string]int{}
		for _, name := range pods {
			pod := c.pod(name)
			if strings.Contains(condition(pod), want) && pod.Spec.NodeName == "" {
				return nil
			}
			said[condition(pod)]++
		}
		return fmt.Errorf("pods %s say %v, want one to say %q", testkit.Fold(pods), said, want)
	})
}

// release opens the gates of pods, which exist and were not tried until now.
func (c *cluster) release(pods ...string) {
	c.Helper()
	for _, name := range pods {
		pod := c.pod(name)
		pod.Spec.SchedulingGates = nil
		if _, err := c.client.CoreV1().Pods("default").Update(c.Context(), pod, metav1.UpdateOptions{}); err != nil {
			c.Fatal(err)
		}
	}
}

const ofTrain = " cpu=1 annotation:plimsoll.dev/{topology-required=rack,group=train,group-size=8}"

// When their time is up, all members of a group give their places up, and others
// may have the room; once the last one can come, all are placed.
func TestATimeoutRejectsTheWholeGroup(t *testing.T) {
	c := topologyCluster(t, racks(map[string]int{"eu-1a/r1": 8, "eu-1a/r2": 8}), "{groupTimeoutSeconds: 1}")
	pods := slices.Concat(c.create("train-[1-7]"+ofTrain), c.create("train-8 gate=example.test/wait"+ofTrain))
	for _, name := range pods[:7] {
		c.pending(name, "group train was not placed whole: all of its pods give their places up and are tried again in")
	}
	c.none(pods)
	c.running(c.create("other-[1-8] cpu=1 selector:topology.kubernetes.io/rack=r1")...)
	c.none(pods)
	c.release(pods[7])
	if diff := cmp.Diff(map[string]int{"eu-1a/r2": 8}, c.domains(pods, zoneLabel, rackLabel)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A member that fits nowhere for a reason of its own does not let the others sit
// on their places until their time is up; when the reason is gone, all are placed.
func TestAMemberThatFitsNowhereHoldsNobodysPlace(t *testing.T) {
	c := topologyCluster(t, racks(map[string]int{"eu-1a/r1": 8, "eu-1a/r2": 8}), "{groupTimeoutSeconds: 600, reservationSeconds: 600}")
	pods := slices.Concat(c.create("train-[1-7]"+ofTrain), c.create("train-8 selector:disk=fast"+ofTrain))
	c.oneSays(pods[:7], "group train was not placed whole")
	c.none(pods)
	c.running(c.create("other-[1-8] cpu=1 selector:topology.kubernetes.io/rack=r2")...)
	c.none(pods)
	for _, node := range []string{"eu-1a-r1-1", "eu-1a-r1-2"} {
		c.label(node, "disk", "fast")
	}
	if diff := cmp.Diff(map[string]int{"eu-1a/r1": 8}, c.domains(pods, zoneLabel, rackLabel)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func (c *cluster) label(node, key, value string) {
	c.Helper()
	patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, key, value)
	if _, err := c.client.CoreV1().Nodes().Patch(c.Context(), node, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		c.Fatal(err)
	}
}

// While a group waits for its last member, whose room is reserved, pods of no
// higher priority do not take that room.
func TestReservedRoomIsKeptFromEqualsOnly(t *testing.T) {
	c := topologyCluster(t, racks(map[string]int{"eu-1a/r1": 8}), "{groupTimeoutSeconds: 600, reservationSeconds: 600}")
	urgent := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "urgent"}, Value: 1000}
	if _, err := c.client.SchedulingV1().PriorityClasses().Create(t.Context(), urgent, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	last := c.create("train-8 gate=example.test/wait" + ofTrain)
	pods := slices.Concat(c.create("train-[1-7]"+ofTrain), last)
	c.create("equal cpu=1")
	c.pending("equal", "node(s) are kept for pods of group train")
	list, err := testkit.Pods("vip cpu=1")
	if err != nil {
		t.Fatal(err)
	}
	list[0].UID, list[0].Spec.PriorityClassName = "", "urgent"
	c.submit(list[0])
	c.running("vip")
	c.none(append(pods, "equal"))
	// It leaves again: the room is still the group's.
	c.vanish("vip")
	c.release(last...)
	if diff := cmp.Diff(map[string]int{"eu-1a/r1": 8}, c.domains(pods, zoneLabel, rackLabel)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	c.none([]string{"equal"})
}

// Pods of a StatefulSet come one after the other, each when the one before it
// runs: the first must not wait for the others.
func TestAnOrderedStatefulSetDoesNotWaitForItself(t *testing.T) {
	c := topologyCluster(t, racks(map[string]int{"eu-1a/r1": 2, "eu-1a/r2": 6, "eu-1b/r1": 8}), "{}")
	labels := map[string]string{"app": "db"}
	set, err := c.client.AppsV1().StatefulSets("default").Create(t.Context(), &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "db"},
		Spec: appsv1.StatefulSetSpec{Replicas: new(int32(5)), Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: v1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: v1.PodSpec{Containers: []v1.Container{{Name: "db", Image: "example.test/db:1"}}}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var pods []string
	for i := range 5 {
		list, err := testkit.Pods(fmt.Sprintf("db-%d cpu=1 label:app=db annotation:plimsoll.dev/topology-required=rack", i))
		if err != nil {
			t.Fatal(err)
		}
		list[0].UID = ""
		list[0].OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))}
		c.submit(list[0])
		c.running(list[0].Name)
		pods = append(pods, list[0].Name)
	}
	// The rack is chosen with those in mind that are yet to come.
	if diff := cmp.Diff(map[string]int{"eu-1a/r2": 5}, c.domains(pods, zoneLabel, rackLabel)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// podGroups is what scheduler-plugins' CRD says, as far as it matters here.
const podGroups = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: podgroups.scheduling.x-k8s.io}
spec:
  group: scheduling.x-k8s.io
  scope: Namespaced
  names: {kind: PodGroup, listKind: PodGroupList, plural: podgroups, singular: podgroup}
  versions:
  - name: v1alpha1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              minMember: {type: integer, format: int32}
              scheduleTimeoutSeconds: {type: integer, format: int32}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
`

func podGroup(name string, minMember int) []byte {
	return fmt.Appendf(nil, `
apiVersion: scheduling.x-k8s.io/v1alpha1
kind: PodGroup
metadata: {name: %s, namespace: default}
spec: {minMember: %d}
`, name, minMember)
}

const ofPodGroup = " cpu=1 annotation:plimsoll.dev/topology-required=rack label:scheduling.x-k8s.io/pod-group="

// untilPodGroupsCount returns once the scheduler knows that the CRD is there: it
// then holds back pods of a PodGroup that does not exist. Plain pods that come
// later show that it has been through with those before.
func (c *cluster) untilPodGroupsCount() {
	c.Helper()
	i := 0
	c.eventually(func() error {
		i++
		pods := c.create(fmt.Sprintf("probe-%d label:scheduling.x-k8s.io/pod-group=none-%d", i, i))
		for j := range 2 {
			pods = append(pods, c.create(fmt.Sprintf("plain-%d-%d", i, j))...)
			c.running(pods[len(pods)-1])
		}
		node := c.pod(pods[0]).Spec.NodeName
		c.vanish(pods...)
		if node != "" {
			return fmt.Errorf("pod %s was placed, though its PodGroup does not exist", pods[0])
		}
		return nil
	})
}

// The CRD of scheduler-plugins may come after the scheduler, go, and come back:
// its groups count while it is there, and everything else goes on without it.
func TestPodGroupsComeAndGo(t *testing.T) {
	c := topologyCluster(t, racks(map[string]int{"eu-1a/r1": 8, "eu-1a/r2": 12, "eu-1b/r1": 24}), "{podGroupPollSeconds: 1}")
	for round := range 2 {
		// Without the CRD the label is a name that pods share.
		c.vanish(c.createRunning(fmt.Sprintf("free-%d%snone", round, ofPodGroup))...)

		name := fmt.Sprintf("train-%d", round)
		if _, err := c.Apply(t.Context(), []byte(podGroups)); err != nil {
			t.Fatal(err)
		}
		c.untilPodGroupsCount()
		early := c.create(fmt.Sprintf("early-%d-[0-3]%s%s", round, ofPodGroup, name)) // before their PodGroup
		if _, err := c.Apply(t.Context(), podGroup(name, 10)); err != nil {
			t.Fatal(err)
		}
		pods := slices.Concat(early, c.create(fmt.Sprintf("late-%d-[0-4]%s%s", round, ofPodGroup, name)))
		c.createRunning(fmt.Sprintf("plain-%d cpu=1 selector:topology.kubernetes.io/zone=eu-1b", round))
		c.none(pods)
		pods = append(pods, c.create(fmt.Sprintf("last-%d%s%s", round, ofPodGroup, name))...)
		if diff := cmp.Diff(map[string]int{"eu-1a/r2": 10}, c.domains(pods, zoneLabel, rackLabel)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
		c.vanish(pods...)
		c.removePodGroups()
		pods = c.create(gang(fmt.Sprintf("by-annotation-%d", round), 12, "rack"))
		if diff := cmp.Diff(map[string]int{"eu-1a/r2": 12}, c.domains(pods, zoneLabel, rackLabel)); diff != "" {
			t.Errorf("without the CRD (-want +got)\n%s", diff)
		}
		c.vanish(pods...)
	}
}

// createRunning creates pods and waits until they run.
func (c *cluster) createRunning(lines string) []string {
	c.Helper()
	pods := c.create(lines)
	c.running(pods...)
	return pods
}

// removePodGroups deletes the CRD, and with it all groups.
func (c *cluster) removePodGroups() {
	c.Helper()
	client, err := dynamic.NewForConfig(c.RESTConfig())
	if err != nil {
		c.Fatal(err)
	}
	crds := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	const name = "podgroups.scheduling.x-k8s.io"
	if err := crds.Delete(c.Context(), name, metav1.DeleteOptions{}); err != nil {
		c.Fatal(err)
	}
	c.eventually(func() error {
		if _, err := crds.Get(c.Context(), name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("the CRD is still there: %w", err)
		}
		return nil
	})
}
