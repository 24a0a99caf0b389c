package workloads

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1alpha2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"

	"plimsoll.dev/scheduler/internal/stack"
	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/manifests"
	"plimsoll.dev/scheduler/pkg/plugins"
	"plimsoll.dev/scheduler/pkg/plugins/archaware"
)

func TestMain(m *testing.M) {
	stack.Quiet()
	gates := "GenericWorkload=true,GangScheduling=true,TopologyAwareWorkloadScheduling=true"
	if err := utilfeature.DefaultMutableFeatureGate.Set(gates); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	m.Run()
}

// racks have room for 8, 4 and 6 pods of a core.
//
//	rack=r1  a-1..4  2 cpu    rack=r2  b-1..2  2 cpu    rack=r3  c-1..3  2 cpu
const racks = `
a-[1-4] zone=z rack=r1 cpu=2
b-[1-2] zone=z rack=r2 cpu=2
c-[1-3] zone=z rack=r3 cpu=2
`

// start brings up a control plane of these nodes with native PodGroups and our
// scheduler.
func start(t *testing.T, lines string) *stack.Stack {
	t.Helper()
	s, err := stack.Start(t.Context(), stack.Options{Dir: t.TempDir(), APIServerFlags: []string{"--runtime-config=scheduling.k8s.io/v1alpha2=true"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	nodes, err := testkit.Nodes(lines)
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range nodes {
		if _, err := s.Client().CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.StartScheduler(t.Context(), stack.SchedulerOptions{
		Config:  manifests.SchedulerConfig,
		Plugins: plugins.Options(plugins.Shared{Images: &archaware.Shared{Registries: &testkit.Depot{}}}),
	}); err != nil {
		t.Fatal(err)
	}
	return s
}

// gang creates a native PodGroup and its pods.
func gang(t *testing.T, s *stack.Stack, name, rackKey string, size int, further string) {
	t.Helper()
	group := &schedulingapi.PodGroup{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec: schedulingapi.PodGroupSpec{SchedulingPolicy: schedulingapi.PodGroupSchedulingPolicy{
			Gang: &schedulingapi.GangSchedulingPolicy{MinCount: int32(size)}}},
	}
	if rackKey != "" {
		group.Spec.SchedulingConstraints = &schedulingapi.PodGroupSchedulingConstraints{Topology: []schedulingapi.TopologyConstraint{{Key: rackKey}}}
	}
	if _, err := s.Client().SchedulingV1alpha2().PodGroups("default").Create(t.Context(), group, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pods, err := testkit.Pods(fmt.Sprintf("%s-[1-%d] cpu=1 %s", name, size, further))
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods {
		pod.UID = ""
		pod.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &name}
		if _, err := s.Client().CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// racksOf waits until the pods of the group run, and counts them by rack.
func racksOf(t *testing.T, s *stack.Stack, name string, size int) map[string]int {
	t.Helper()
	var out map[string]int
	testkit.Eventually(t, time.Minute, func() error {
		out = map[string]int{}
		list, err := s.Client().CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		running := 0
		for i := range list.Items {
			if pod := &list.Items[i]; strings.HasPrefix(pod.Name, name+"-") && pod.Status.Phase == v1.PodRunning {
				running++
				out[strings.Split(pod.Spec.NodeName, "-")[0]]++
			}
		}
		if running < size {
			return fmt.Errorf("%d of %d pods of %s run", running, size, name)
		}
		return nil
	})
	return out
}

// TestNativeGangsGetTheTightestRack: upstream tries every rack out, and by itself
// takes the one whose share in use is largest then. That is the large one here,
// which would be left with room for four more, in place of one.
func TestNativeGangsGetTheTightestRack(t *testing.T) {
	s := start(t, "large-[1-4] zone=z rack=r1 cpu=10\nsmall-1 zone=z rack=r2 cpu=5")
	running, err := testkit.Pods("other-[1-4] cpu=8 scheduler=other")
	if err != nil {
		t.Fatal(err)
	}
	for i, pod := range running {
		pod.UID, pod.Spec.NodeName = "", fmt.Sprintf("large-%d", i+1)
		if _, err := s.Client().CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	racksOf(t, s, "other", 4)
	gang(t, s, "gang", "topology.kubernetes.io/rack", 4, "")
	if got := racksOf(t, s, "gang", 4); got["small"] != 4 {
		t.Errorf("went to %v, want the small rack", got)
	}
}

// TestOurAnnotationsHoldForNativeGangs: without a constraint of its own, a native
// gang goes where its pods' annotations say.
func TestOurAnnotationsHoldForNativeGangs(t *testing.T) {
	s := start(t, racks)
	gang(t, s, "one", "", 5, "annotation:plimsoll.dev/topology-required=rack")
	if got := racksOf(t, s, "one", 5); got["c"] != 5 {
		t.Errorf("went to %v, want rack c", got)
	}
	gang(t, s, "two", "", 3, "annotation:plimsoll.dev/topology-required=rack")
	if got := racksOf(t, s, "two", 3); got["b"] != 3 {
		t.Errorf("went to %v, want rack b", got)
	}
}
