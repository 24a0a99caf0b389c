package simulate

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	fwk "k8s.io/kube-scheduler/framework"
	"sigs.k8s.io/yaml"

	"plimsoll.dev/scheduler/internal/fleet"
	"plimsoll.dev/scheduler/internal/journal"
	"plimsoll.dev/scheduler/internal/snapshot"
	"plimsoll.dev/scheduler/internal/stack"
	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/pkg/plugins/binpack"
)

func TestMain(m *testing.M) {
	stack.Quiet()
	m.Run()
}

// dump writes objects as kubectl would print them.
func dump(t *testing.T, objects ...runtime.Object) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, object := range objects {
		kinds, _, err := scheme.Scheme.ObjectKinds(object)
		if err != nil {
			t.Fatal(err)
		}
		object = object.DeepCopyObject()
		object.GetObjectKind().SetGroupVersionKind(kinds[0])
		text, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "---\n%s", text)
	}
	return out.Bytes()
}

// read reads a cluster of testkit's lines.
func read(t *testing.T, nodes, gpus, pods, more string) *snapshot.Snapshot {
	t.Helper()
	var objects []runtime.Object
	add := func(o []runtime.Object, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, o...)
	}
	add(all(testkit.Nodes(nodes)))
	add(all(testkit.GPUs(gpus)))
	if gpus != "" {
		add(all(fleet.DeviceClasses(), nil))
	}
	add(testkit.Owners(more))
	add(all(testkit.Claims(pods)))
	waiting, err := testkit.Pods(pods)
	for _, pod := range waiting {
		// An API server wants limits for what cannot be overcommitted.
		for i := range pod.Spec.Containers {
			pod.Spec.Containers[i].Resources.Limits = pod.Spec.Containers[i].Resources.Requests
		}
	}
	add(all(waiting, err))
	s, err := snapshot.Read([]string{"-"}, bytes.NewReader(dump(t, objects...)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func all[T runtime.Object](list []T, err error) ([]runtime.Object, error) {
	var out []runtime.Object
	for _, o := range list {
		out = append(out, o)
	}
	return out, err
}

// mixed is a cluster where pods meet taints, selectors, slices and shares of GPUs,
// groups and each other's priority.
func mixed(t *testing.T) *snapshot.Snapshot {
	t.Helper()
	rnd := rand.New(rand.NewPCG(7, 0))
	var pods strings.Builder
	pods.WriteString("old-[1-4] cpu=2 memory=4Gi node=eu-a-01 priority=0 phase=Running\n")
	for i := range 40 {
		fmt.Fprintf(&pods, "p-%02d cpu=%dm memory=%dMi", i, 100*(1+rnd.IntN(30)), 256*(1+rnd.IntN(20)))
		switch rnd.IntN(8) {
		case 0:
			pods.WriteString(" claim=1g.10gb")
		case 1:
			pods.WriteString(" claim=3g.40gb|2g.20gb")
		case 2:
			pods.WriteString(" claim=share:20Gi")
		case 3:
			pods.WriteString(" selector:topology.kubernetes.io/zone=eu-b")
		case 4:
			pods.WriteString(" annotation:plimsoll.dev/target-utilization=40")
		}
		pods.WriteByte('\n')
	}
	pods.WriteString("gated cpu=1 gate=example.com/wait\nhuge cpu=900\nurgent cpu=12 priority=1000\n")
	return read(t, `
eu-a-[01-04] zone=eu-a arch=amd64 cpu=16 memory=64Gi
eu-b-[01-03] zone=eu-b arch=arm64 cpu=8 memory=64Gi
eu-b-04      zone=eu-b arch=arm64 cpu=8 memory=64Gi taint:dedicated=ml:NoSchedule
gpu-[01-02]  zone=eu-a arch=amd64 cpu=32 memory=256Gi
shared-01    zone=eu-b arch=amd64 cpu=32 memory=256Gi
`, "gpu-[01-02] 2xA100-SXM4-80GB\nshared-01 2xH100-SHARED\n", pods.String(), "")
}

// TestEnginesAgree: the same pods, one after the other, put by one engine where the
// other had put them, get the same verdicts on every node, and those chosen the
// same scores.
func TestEnginesAgree(t *testing.T) {
	for _, name := range []string{Plimsoll, Default} {
		t.Run(name, func(t *testing.T) {
			chosen, err := contestants(name, nil)
			if err != nil {
				t.Fatal(err)
			}
			c := &chosen[0]
			ours, err := contestants(Plimsoll, nil)
			if err != nil {
				t.Fatal(err)
			}
			in, err := prepare(mixed(t), ours[0].cfg)
			if err != nil {
				t.Fatal(err)
			}
			cluster := in.cluster()
			scheduler := func() *Scheduler {
				return &Scheduler{Config: c.cfg, YAML: c.yaml, Images: NewEverywhere(in.nodes), Journal: journal.New()}
			}
			plane, err := NewControlPlane(t.Context(), cluster, scheduler(), t.TempDir(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := plane.Close(); err != nil {
					t.Error(err)
				}
			}()
			memory, err := NewMemory(t.Context(), cluster, scheduler())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = memory.Close() }() // nothing to fail
			compare(t, plane, memory, c.addressed(in.queue))
		})
	}
}

func compare(t *testing.T, plane *ControlPlane, memory *Memory, queue []*v1.Pod) {
	t.Helper()
	fates := map[Fate]int{}
	for _, pod := range queue {
		first, err := plane.Submit(t.Context(), pod)
		if err != nil {
			t.Fatal(err)
		}
		memory.choose = func(*v1.Pod, []string) string { return first.Node }
		second, err := memory.Submit(t.Context(), pod)
		if err != nil {
			t.Fatal(err)
		}
		if got, best := totalOf(second, first.Node); got < best-learning {
			t.Errorf("pod %s: the control plane chose %s, of %d points in memory, where the best has %d", pod.Name, first.Node, got, best)
		}
		if diff := cmp.Diff(verdicts(first), verdicts(second)); diff != "" {
			t.Errorf("pod %s (-control plane +memory)\n%s", pod.Name, diff)
			t.Fatalf("the clusters (-control plane +memory)\n%s", cmp.Diff(ends(t, plane), ends(t, memory)))
		}
		fates[first.Fate]++
	}
	if fates[Placed] < 20 || fates[Refused] == 0 || fates[Held] == 0 {
		t.Errorf("%v: want many placed, some refused and some held", fates)
	}
	for _, e := range []Engine{plane, memory} {
		if err := e.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(ends(t, plane), ends(t, memory)); diff != "" {
		t.Errorf("at the end (-control plane +memory)\n%s", diff)
	}
}

// ends says where each pod is, with what devices.
func ends(t *testing.T, e Engine) []string {
	t.Helper()
	state, err := e.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for i := range state.Pods {
		pod := &state.Pods[i]
		devices := devicesByUser(state.Claims)[pod.UID]
		slices.Sort(devices)
		out = append(out, fmt.Sprintf("%s %q %v", pod.Name, pod.Spec.NodeName, devices))
	}
	slices.Sort(out)
	return out
}

// learning is by how much BinPack's points may differ: it learns the mix of pods
// from informers, and those of a control plane tell of a pod when it is already
// being tried.
const learning = 3

// totalOf is how many points a node has, and how many the best.
func totalOf(a *Attempt, node string) (its, best int64) {
	for _, n := range a.Nodes {
		if n.Node == node {
			its = n.Total
		}
		best = max(best, n.Total)
	}
	return its, best
}

// verdicts says what an attempt came to, node by node, with the points of all
// plugins but BinPack. Upstream does not score a node that is the only one.
func verdicts(a *Attempt) []string {
	out := []string{fmt.Sprintf("%s %s", a.Fate, a.Node)}
	feasible := 0
	for _, n := range a.Nodes {
		if n.Status == nil {
			feasible++
		}
	}
	for _, n := range a.Nodes {
		if n.Status != nil {
			out = append(out, fmt.Sprintf("%s: %s %s %q", n.Node, n.Status.Plugin(), n.Status.Code(), n.Status.Reasons()))
			continue
		}
		if feasible == 1 {
			n.Scores = nil
		}
		scores := slices.DeleteFunc(slices.Clone(n.Scores), func(s fwk.PluginScore) bool { return s.Name == binpack.Name })
		out = append(out, fmt.Sprintf("%s: %v", n.Node, scores))
	}
	slices.Sort(out[1:])
	return out
}
