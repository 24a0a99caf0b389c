package explain

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"

	"plimsoll.dev/scheduler/internal/fleet"
	"plimsoll.dev/scheduler/internal/offline"
	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/internal/schedconfig"
	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/pkg/plugins"
	"plimsoll.dev/scheduler/pkg/plugins/archaware"
	"plimsoll.dev/scheduler/pkg/plugins/claimgate"
	"plimsoll.dev/scheduler/pkg/plugins/gpuslice"
	"plimsoll.dev/scheduler/pkg/plugins/topology"
)

// world is a small cluster in testkit's words, with the shipped configuration.
type world struct {
	nodes, gpus, pods, images string
	// edit finishes the pods whose names begin with p; nil if they are as they should be.
	edit func(*v1.Pod)
	// editClaim and editSlice do the same with all claims and slices.
	editClaim func(*resourceapi.ResourceClaim)
	editSlice func(*resourceapi.ResourceSlice)
	// bare: no cluster can be made anew.
	bare bool

	recorder Recorder
	// made counts the clusters.
	made int
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// objects lists what the cluster holds; no pods and no claims if it is to be empty.
func (w *world) objects(t testing.TB, empty bool) []runtime.Object {
	t.Helper()
	var out []runtime.Object
	nodes, err := testkit.Nodes(w.nodes)
	check(t, err)
	for _, n := range nodes {
		out = append(out, n)
	}
	published, err := testkit.GPUs(w.gpus)
	check(t, err)
	for _, s := range published {
		if w.editSlice != nil {
			w.editSlice(s)
		}
		out = append(out, s)
	}
	for _, c := range fleet.DeviceClasses() {
		out = append(out, c)
	}
	if empty {
		return out
	}
	claims, err := testkit.Claims(w.pods)
	check(t, err)
	for _, c := range claims {
		if w.editClaim != nil {
			w.editClaim(c)
		}
		out = append(out, c)
	}
	pods, err := testkit.Pods(w.pods)
	check(t, err)
	for _, p := range pods {
		if w.edit != nil && strings.HasPrefix(p.Name, "p") {
			w.edit(p)
		}
		out = append(out, p)
	}
	return out
}

// open makes the cluster.
func (w *world) open(t testing.TB, empty bool) *offline.Cluster {
	t.Helper()
	w.made++
	cfg, err := schedconfig.Decode(testkit.RepoFile(t, "manifests/base/scheduler-config.yaml"))
	check(t, err)
	depot, err := testkit.Images(w.images)
	check(t, err)
	c, err := offline.New(context.Background(), cfg, plugins.Registry(plugins.Shared{
		Recorder: &w.recorder, Images: &archaware.Shared{Registries: depot}}), w.objects(t, empty)...)
	check(t, err)
	t.Cleanup(c.Close)
	c.AskOnce(topology.Name, claimgate.Name, gpuslice.Name, names.SchedulingGates)
	return c
}

func (w *world) options(t testing.TB) Options {
	o := Options{Recorder: &w.recorder}
	if !w.bare {
		o.Again = func(context.Context) (*offline.Cluster, error) { return w.open(t, false), nil }
		o.Empty = func(context.Context) (*offline.Cluster, error) { return w.open(t, true), nil }
	}
	return o
}

func podNamed(name string) *v1.Pod {
	pod := &v1.Pod{}
	pod.Namespace, pod.Name = "default", name
	return pod
}

// explain explains pod p.
func (w *world) explain(t testing.TB) *placement.Explanation {
	t.Helper()
	e, err := Explain(t.Context(), w.open(t, false), podNamed("p"), w.options(t))
	check(t, err)
	return e
}

// must reads one pod.
func must(t testing.TB, line string) *v1.Pod {
	t.Helper()
	pods, err := testkit.Pods(line)
	check(t, err)
	return pods[0]
}

func asJSON(t testing.TB, object any) string {
	t.Helper()
	text, err := json.Marshal(object)
	check(t, err)
	return string(text)
}
