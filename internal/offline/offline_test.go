package offline

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"plimsoll.dev/scheduler/internal/schedconfig"
	"plimsoll.dev/scheduler/internal/testkit"
)

// pairs is a plugin that places pods two by two, holds a pod that is alone, and
// keeps what its informers tell.
type pairs struct {
	handle fwk.Handle

	mu   sync.Mutex
	told []string
	undo []string
	// exist are the pods there are.
	exist map[string]bool
}

func (*pairs) Name() string { return "Pairs" }

func (p *pairs) tell(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = append(p.told, fmt.Sprintf(format, args...))
}

func (p *pairs) watch() error {
	pods := p.handle.SharedInformerFactory().Core().V1().Pods().Informer()
	_, err := pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			p.mu.Lock()
			p.exist[obj.(*v1.Pod).Name] = true
			p.mu.Unlock()
		},
		UpdateFunc: func(_, obj any) { p.tell("%s bound to %s", obj.(*v1.Pod).Name, obj.(*v1.Pod).Spec.NodeName) },
		DeleteFunc: func(obj any) { p.tell("%s deleted", obj.(*v1.Pod).Name) },
	})
	if err != nil {
		return err
	}
	sets := p.handle.SharedInformerFactory().Apps().V1().ReplicaSets().Informer()
	_, err = sets.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(any) { p.tell("set") }})
	return err
}

func (p *pairs) PreEnqueue(context.Context, *v1.Pod) *fwk.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.exist) < 2 {
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "alone")
	}
	return nil
}

func (p *pairs) Reserve(context.Context, fwk.CycleState, *v1.Pod, string) *fwk.Status { return nil }

func (p *pairs) Unreserve(_ context.Context, _ fwk.CycleState, pod *v1.Pod, _ string) {
	p.mu.Lock()
	p.undo = append(p.undo, pod.Name)
	p.mu.Unlock()
	p.handle.IterateOverWaitingPods(func(w fwk.WaitingPod) { w.Reject(p.Name(), "the other one has given up") })
}

func (p *pairs) Permit(context.Context, fwk.CycleState, *v1.Pod, string) (*fwk.Status, time.Duration) {
	others := 0
	p.handle.IterateOverWaitingPods(func(w fwk.WaitingPod) { others++; w.Allow(p.Name()) })
	if others > 0 {
		return nil, 0
	}
	return fwk.NewStatus(fwk.Wait, "one is no pair"), time.Nanosecond
}

const pairsConfig = `
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: plimsoll
  plugins: {multiPoint: {enabled: [{name: Pairs}]}}
`

func pairCluster(t *testing.T) (*Cluster, *pairs) {
	t.Helper()
	cfg, err := schedconfig.Decode([]byte(pairsConfig))
	if err != nil {
		t.Fatal(err)
	}
	p := &pairs{exist: map[string]bool{}}
	registry := frameworkruntime.Registry{"Pairs": func(_ context.Context, _ runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
		p.handle = handle
		return p, p.watch()
	}}
	nodes, err := testkit.Nodes("n-[1-2] cpu=4 memory=16Gi")
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(t.Context(), cfg, registry, nodes[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.AskOnce("Pairs")
	if err := c.Apply(t.Context(), nodes[1]); err != nil {
		t.Fatal(err)
	}
	return c, p
}

// put applies the pod and puts it on the node.
func put(t *testing.T, c *Cluster, pod *v1.Pod, node string) (*Evaluation, []Outcome) {
	t.Helper()
	e, err := c.Evaluate(t.Context(), pod)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(e.Best(), node) {
		t.Fatalf("pod %s may go to %v, want %s among them (%v)", pod.Name, e.Best(), node, e.Refused)
	}
	out, err := c.Put(t.Context(), e, node)
	if err != nil {
		t.Fatal(err)
	}
	return e, out
}

func fates(outcomes []Outcome) string {
	var out []string
	for _, o := range outcomes {
		out = append(out, fmt.Sprintf("%s %s %s", o.Pod.Name, o.Node, o.Status.Code()))
	}
	return strings.Join(out, ", ")
}

func apply(t *testing.T, c *Cluster, line string) []*v1.Pod {
	t.Helper()
	pods, err := testkit.Pods(line)
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods {
		if err := c.Apply(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
	}
	return pods
}

func TestPodsWaitForEachOther(t *testing.T) {
	c, p := pairCluster(t)
	pods := apply(t, c, "one cpu=1")
	if e, err := c.Evaluate(t.Context(), pods[0]); err != nil || e.Refused.Message() != "alone" || e.Refused.Plugin() != "Pairs" {
		t.Fatalf("a pod that is alone: refused %v, error %v", e.Refused, err)
	}
	pods = append(pods, apply(t, c, "two cpu=1")...)
	_, out := put(t, c, pods[0], "n-1")
	if got := fates(out); got != "one n-1 Wait" || !c.Waits("default", "one") {
		t.Fatalf("the first: %s", got)
	}
	e, out := put(t, c, pods[1], "n-2")
	if got := fates(out); got != "two n-2 Success, one n-1 Success" || c.Waits("default", "one") {
		t.Fatalf("the second: %s", got)
	}
	if err := c.Remove(t.Context(), e, "n-2"); err != nil {
		t.Fatal(err)
	}
	// What was done is seen when the call is through, by plugins and the cache.
	if got := strings.Join(p.told, ", "); got != "two bound to n-2, one bound to n-1, two deleted" || len(p.undo) > 0 {
		t.Errorf("the plugin was told: %s; undone %v", got, p.undo)
	}
	for node, want := range map[string]int{"n-1": 1, "n-2": 0} {
		info, err := c.NodeInfo(t.Context(), node)
		if err != nil || len(info.GetPods()) != want {
			t.Errorf("node %s: %v, %v; want %d pods", node, info.GetPods(), err, want)
		}
	}
}

func TestATimeoutGivesBackWhatWasHeld(t *testing.T) {
	c, p := pairCluster(t)
	pods := apply(t, c, "p-[1-2] cpu=1")
	if _, err := c.TimeOut(t.Context()); err == nil {
		t.Error("a timeout without a pod that waits is no error")
	}
	put(t, c, pods[0], "n-1")
	out, err := c.TimeOut(t.Context())
	if got := fates(out); err != nil || got != "p-1 n-1 Unschedulable" || !strings.Contains(out[0].Status.Message(), "timeout at plugin Pairs") {
		t.Fatalf("%s, %v", got, err)
	}
	if info, err := c.NodeInfo(t.Context(), "n-1"); err != nil || len(info.GetPods()) != 0 || !slices.Equal(p.undo, []string{"p-1"}) {
		t.Errorf("node n-1 holds %v (%v), undone %v", info.GetPods(), err, p.undo)
	}
	// It can be tried again.
	if _, out := put(t, c, pods[0], "n-1"); fates(out) != "p-1 n-1 Wait" {
		t.Errorf("again: %s", fates(out))
	}
}

func TestPlaceRefusesToLeaveAPodWaiting(t *testing.T) {
	c, _ := pairCluster(t)
	pods := apply(t, c, "p-[1-2] cpu=1")
	e, err := c.Evaluate(t.Context(), pods[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Place(t.Context(), e, "n-1"); err == nil || !strings.Contains(err.Error(), "pod default/p-1 waits on node n-1: one is no pair") {
		t.Errorf("error %v", err)
	}
}

func TestOwnersAreSeenAtOnceAndReplaced(t *testing.T) {
	c, p := pairCluster(t)
	for _, line := range []string{"ReplicaSet/web replicas=4", "ReplicaSet/web replicas=9"} {
		owners, err := testkit.Owners(line)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Apply(t.Context(), owners...); err != nil {
			t.Fatal(err)
		}
	}
	set, err := p.handle.SharedInformerFactory().Apps().V1().ReplicaSets().Lister().ReplicaSets("default").Get("web")
	if err != nil || *set.Spec.Replicas != 9 || !slices.Equal(p.told, []string{"set"}) {
		t.Errorf("%v, %v, told %v; want one set with 9 replicas", set, err, p.told)
	}
}
