package integration

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"plimsoll.dev/scheduler/internal/stack"
	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/pkg/plugins"
	"plimsoll.dev/scheduler/pkg/plugins/archaware"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// patience is how long anything may take; it is only ever spent by a failure.
const patience = time.Minute

// cluster is a control plane for one test.
type cluster struct {
	testing.TB
	*stack.Stack
	client  kubernetes.Interface
	reasons reasons
}

// reasons remembers why pods were placed.
type reasons struct {
	mu    sync.Mutex
	byPod map[string][]verdict.Reason
}

func (r *reasons) Placed(_, name, _, _ string, reason verdict.Reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byPod[name] = append(r.byPod[name], reason)
}

// of is the last reason that was given for a pod.
func (r *reasons) of(pod string) (verdict.Reason, bool) {
	all := r.all(pod)
	if len(all) == 0 {
		return verdict.Reason{}, false
	}
	return all[len(all)-1], true
}

func (r *reasons) all(pod string) []verdict.Reason {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.byPod[pod])
}

// start brings up a control plane of the test's own with the given nodes, one
// per line; tests run beside each other.
func start(t *testing.T, nodes string) *cluster {
	t.Helper()
	t.Parallel()
	return launch(t, nodes)
}

// launch is start without running beside others.
func launch(t testing.TB, nodes string) *cluster {
	t.Helper()
	s, err := stack.Start(t.Context(), stack.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	c := &cluster{TB: t, Stack: s, client: s.Client(), reasons: reasons{byPod: map[string][]verdict.Reason{}}}
	list, err := testkit.Nodes(nodes)
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range list {
		if _, err := c.client.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// schedule starts a scheduler with the configuration and our plugins.
func (c *cluster) schedule(config string) {
	c.Helper()
	c.scheduleWith(config, &archaware.Shared{Registries: &testkit.Depot{}})
}

// scheduleWith is schedule with what is to be known of images.
func (c *cluster) scheduleWith(config string, images *archaware.Shared) {
	c.Helper()
	_, err := c.StartScheduler(c.Context(), stack.SchedulerOptions{
		Config: []byte(config), Plugins: plugins.Options(plugins.Shared{Recorder: &c.reasons, Images: images}),
	})
	if err != nil {
		c.Fatal(err)
	}
}

// create creates pods, one per line, and returns their names.
func (c *cluster) create(lines string) []string {
	c.Helper()
	return c.createWith(lines, func(*v1.Pod) {})
}

// createWith is create with a change of each pod.
func (c *cluster) createWith(lines string, change func(*v1.Pod)) []string {
	c.Helper()
	pods, err := testkit.Pods(lines)
	if err != nil {
		c.Fatal(err)
	}
	var names []string
	for _, pod := range pods {
		pod.UID = ""
		change(pod)
		if _, err := c.client.CoreV1().Pods(pod.Namespace).Create(c.Context(), pod, metav1.CreateOptions{}); err != nil {
			c.Fatal(err)
		}
		names = append(names, pod.Name)
	}
	return names
}

func (c *cluster) pod(name string) *v1.Pod {
	c.Helper()
	pod, err := c.client.CoreV1().Pods("default").Get(c.Context(), name, metav1.GetOptions{})
	if err != nil {
		c.Fatal(err)
	}
	return pod
}

// running waits until the pods run and returns their nodes, in order.
func (c *cluster) running(names ...string) []string {
	c.Helper()
	nodes := make([]string, len(names))
	for i, name := range names {
		c.eventually(func() error {
			pod := c.pod(name)
			if nodes[i] = pod.Spec.NodeName; pod.Status.Phase != v1.PodRunning {
				return fmt.Errorf("pod %s is %s on %q: %s", name, pod.Status.Phase, pod.Spec.NodeName, condition(pod))
			}
			return nil
		})
	}
	return nodes
}

// pending waits until the scheduler has said that the pod cannot be scheduled,
// in words that contain want.
func (c *cluster) pending(name, want string) {
	c.Helper()
	c.eventually(func() error {
		pod := c.pod(name)
		if said := condition(pod); pod.Spec.NodeName != "" || !strings.Contains(said, want) {
			return fmt.Errorf("pod %s on node %q says %q, want it pending with %q", name, pod.Spec.NodeName, said, want)
		}
		return nil
	})
}

func condition(pod *v1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == v1.PodScheduled {
			return c.Message
		}
	}
	return ""
}

// eventually polls until ok returns nil.
func (c *cluster) eventually(ok func() error) {
	c.Helper()
	testkit.Eventually(c, patience, ok)
}
