package scenarios

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"

	"plimsoll.dev/scheduler/internal/fleet"
	"plimsoll.dev/scheduler/internal/offline"
	"plimsoll.dev/scheduler/internal/schedconfig"
	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/pkg/plugins"
	"plimsoll.dev/scheduler/pkg/plugins/archaware"
	"plimsoll.dev/scheduler/pkg/plugins/gpuslice"
)

// TestTheShortlistChangesNothing: clusters are filled twice, pod after pod; once the
// other plugins are shown all nodes, once those on GPUSlice's shortlist. The nodes
// among which the pod's is chosen are the same.
func TestTheShortlistChangesNothing(t *testing.T) {
	narrowed, placed, left := 0, 0, 0
	for seed := range uint64(8) {
		d := drawing{rand.New(rand.NewPCG(seed, 0))}
		objects := d.nodes(t)
		all, some := open(t, true, seed, objects), open(t, false, seed, objects)
		for i := range 70 {
			line, asksMore := d.pod(i)
			a, b := try(t, all, line), try(t, some, line)
			if diff := cmp.Diff(a.Best(), b.Best()); diff != "" {
				t.Fatalf("seed %d, pod %s: best nodes (-of all +of the shortlist):\n%s", seed, line, diff)
			}
			best := a.Best()
			if len(best) == 0 {
				left++
				if diff := cmp.Diff(reasons(a), reasons(b)); diff != "" {
					t.Fatalf("seed %d, pod %s fits nowhere: reasons (-all +shortlist):\n%s", seed, line, diff)
				}
				continue
			}
			placed++
			if fewer := fitting(b) < fitting(a); fewer && asksMore {
				t.Errorf("seed %d, pod %s has preferences of its own, and was shown %d of %d nodes", seed, line, fitting(b), fitting(a))
			} else if fewer {
				narrowed++
			}
			node := best[d.IntN(len(best))]
			for c, e := range map[*offline.Cluster]*offline.Evaluation{all: a, some: b} {
				if err := c.Place(t.Context(), e, node); err != nil {
					t.Fatalf("seed %d, pod %s on node %s: %v", seed, line, node, err)
				}
			}
		}
	}
	if narrowed < placed/10 || left == 0 {
		t.Errorf("want more than a tenth of %d placed pods to be shown fewer nodes, and some pods without a place: got %d and %d", placed, narrowed, left)
	}
}

// drawing draws a cluster and its pods.
type drawing struct{ *rand.Rand }

func (d drawing) one(of ...string) string { return of[d.IntN(len(of))] }

// nodes are sixty in three zones, some without GPUs, some cordoned, some tainted.
func (d drawing) nodes(t *testing.T) []runtime.Object {
	var text, gpus strings.Builder
	for i := range 60 {
		name := fmt.Sprintf("node-%02d", i)
		fmt.Fprintf(&text, "%s zone=eu-%s arch=%s cpu=%s memory=64Gi %s\n", name, d.one("a", "b", "c"), d.one("amd64", "amd64", "amd64", "arm64", "s390x"),
			d.one("4", "8", "16"), d.one("", "", "", "", "taint:spot=true:PreferNoSchedule",
				"taint:spot=true:PreferNoSchedule taint:old=true:PreferNoSchedule taint:far=true:PreferNoSchedule", "taint:team=a:NoSchedule", "label:disk=ssd"))
		if product := d.one("2xA100-SXM4-80GB", "1xA100-SXM4-80GB", "2xA30", "2xH100-SHARED", ""); product != "" {
			fmt.Fprintf(&gpus, "%s %s\n", name, product)
		}
	}
	var out []runtime.Object
	nodes, err := testkit.Nodes(text.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		n.Spec.Unschedulable = d.IntN(12) == 0
		out = append(out, n)
	}
	published, err := testkit.GPUs(gpus.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range published {
		out = append(out, s)
	}
	for _, c := range fleet.DeviceClasses() {
		out = append(out, c)
	}
	return out
}

// pod is a line for testkit.Pods, and whether the pod prefers some nodes by itself,
// other than those near pods that need not be there.
func (d drawing) pod(i int) (line string, prefers bool) {
	line = fmt.Sprintf("p-%02d image=anywhere cpu=%s claim=%s", i, d.one("500m", "1", "2", "3"),
		d.one("1g.10gb", "1g.10gb", "2x1g.10gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb", ">=19Gi", "3g.40gb|2g.20gb", "1g.6gb", "2g.12gb", "share:30Gi", "share:9Gi"))
	if d.IntN(3) == 0 {
		line += " " + d.one("near:app=web", "selector:disk=ssd", "selector:topology.kubernetes.io/zone=eu-a", "tolerates:team=a", "priority=100", "label:app=web")
	}
	if prefers = d.IntN(5) == 0; prefers {
		line += " " + d.one("prefers:disk=ssd", "prefers:topology.kubernetes.io/zone=eu-b@3", "annotation:plimsoll.dev/arch=arm64=70,amd64=30",
			"annotation:plimsoll.dev/topology-preferred=zone")
	}
	return line, prefers
}

// open makes the cluster with the shipped profile: in every other with an order of
// architectures, in every other two with upstream's weight for soft taints, so that
// what else has a say is closer to what devices have.
func open(t *testing.T, everyNode bool, variant uint64, objects []runtime.Object) *offline.Cluster {
	t.Helper()
	cfg, err := schedconfig.Decode(testkit.RepoFile(t, "manifests/base/scheduler-config.yaml"))
	if err == nil && variant%2 == 1 {
		err = setArgs(cfg, archaware.Name, "{preferredArchitectures: [s390x, arm64, amd64]}")
	}
	depot := &testkit.Depot{}
	if err == nil {
		err = depot.Add("anywhere", "linux/amd64", "linux/arm64", "linux/s390x")
	}
	if err != nil {
		t.Fatal(err)
	}
	if scores := cfg.Profiles[0].Plugins.MultiPoint.Enabled; variant%4 > 1 {
		at := slices.IndexFunc(scores, func(p config.Plugin) bool { return p.Name == names.TaintToleration })
		scores[at].Weight = 3
	}
	c, err := offline.New(context.Background(), cfg, plugins.Registry(plugins.Shared{
		Devices: &gpuslice.Shared{EveryNode: everyNode}, Images: &archaware.Shared{Registries: depot}}), objects...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func try(t *testing.T, c *offline.Cluster, line string) *offline.Evaluation {
	t.Helper()
	claims, err := testkit.Claims(line)
	if err == nil {
		err = c.AddClaims(t.Context(), claims...)
	}
	var pods []*v1.Pod
	if err == nil {
		pods, err = testkit.Pods(line)
	}
	if err != nil {
		t.Fatal(err)
	}
	e, err := c.Evaluate(t.Context(), pods[0])
	if err != nil {
		t.Fatalf("pod %s: %v", line, err)
	}
	return e
}

func fitting(e *offline.Evaluation) int {
	return len(e.Nodes) - len(slices.DeleteFunc(slices.Clone(e.Nodes), func(a offline.Answer) bool { return a.Status == nil }))
}

func reasons(e *offline.Evaluation) map[string]string {
	out := map[string]string{}
	for _, a := range e.Nodes {
		out[a.Node] = a.Status.Message()
	}
	return out
}
