package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// held keeps a pod that is deleted until the test lets it go, as a long grace
// period would.
const held = "example.test/held"

// victims creates pods that run where they are told to and leave slowly.
func (c *cluster) victims(nodes ...string) []string {
	c.Helper()
	var names []string
	for i, node := range nodes {
		names = append(names, c.createWith(fmt.Sprintf("victim-%d cpu=1 scheduler=other", i), func(pod *v1.Pod) {
			pod.Spec.NodeName, pod.Finalizers = node, []string{held}
		})...)
	}
	return names
}

func (c *cluster) letGo(name string) {
	c.Helper()
	patch := []byte(`{"metadata":{"finalizers":null}}`)
	if _, err := c.client.CoreV1().Pods("default").Patch(c.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		c.Fatal(err)
	}
}

// leaving lists those of the pods that are being deleted.
func (c *cluster) leaving(names []string) []string {
	c.Helper()
	var out []string
	for _, name := range names {
		if c.pod(name).DeletionTimestamp != nil {
			out = append(out, name)
		}
	}
	return out
}

// TestAGroupAwaitsItsVictims: in rack r1 two of three places have to be made, in
// r2 all of them. The victims leave slowly, one after the other, and nothing else
// is evicted meanwhile, nor does any member go elsewhere.
func TestAGroupAwaitsItsVictims(t *testing.T) {
	c := topologyCluster(t, "a-[1-3] zone=z rack=r1 cpu=1\nb-[1-3] zone=z rack=r2 cpu=1", "{}")
	victims := c.victims("a-1", "a-2", "b-1", "b-2", "b-3")
	pods := c.createWith(gang("train", 3, "rack"), func(pod *v1.Pod) { pod.Spec.PriorityClassName = "system-cluster-critical" })
	c.eventually(func() error {
		if got := c.leaving(victims[:2]); len(got) < 2 {
			return fmt.Errorf("leaving: %v, want both of rack r1", got)
		}
		return nil
	})
	c.letGo(victims[0])
	// The others of the group are tried again now; one still has no place.
	c.oneSays(pods, "group train waits for pods to leave zone=z/rack=r1 that it preempts")
	c.letGo(victims[1])
	if diff := cmp.Diff(map[string]int{"z/r1": 3}, c.domains(pods, zoneLabel, rackLabel)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := c.leaving(victims[2:]); len(got) > 0 {
		t.Errorf("evicted %v as well", got)
	}
}

// TestANominationDoesNotSplitAGroup: others than the scheduler may nominate a pod to
// a node, and the scheduler tries that node first.
func TestANominationDoesNotSplitAGroup(t *testing.T) {
	c := topologyCluster(t, "a-1 zone=z rack=r1 cpu=2\nb-[1-4] zone=z rack=r2 cpu=4", "{}")
	line := func(i int) string {
		return strings.Replace(gang("train", 2, "rack"), "[01-02]", fmt.Sprintf("%02d", i), 1)
	}
	first := c.create(line(1))[0]
	pod := c.pod(first)
	pod.Status.NominatedNodeName = "b-1"
	if _, err := c.client.CoreV1().Pods("default").UpdateStatus(c.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	second := c.create(line(2))[0]
	if diff := cmp.Diff(map[string]int{"z/r1": 2}, c.domains([]string{first, second}, zoneLabel, rackLabel)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
