package gpuslice

import (
	"context"
	"errors"
	"testing"
	"time"

	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
	featuregatetesting "k8s.io/component-base/featuregate/testing"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	kubefeatures "k8s.io/kubernetes/pkg/features"
	"k8s.io/utils/ptr"

	"plimsoll.dev/scheduler/pkg/devices"
)

// storeLister lists a store, and counts how often.
type storeLister struct {
	fwk.ResourceSliceLister
	store cache.Indexer
	lists int
	err   error
}

func (l *storeLister) ListWithDeviceTaintRules() (out []*resourceapi.ResourceSlice, err error) {
	l.lists++
	for _, object := range l.store.List() {
		out = append(out, object.(*resourceapi.ResourceSlice))
	}
	return out, l.err
}

func sliceOf(node string, devices ...resourceapi.Device) *resourceapi.ResourceSlice {
	return &resourceapi.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: "slice-of-" + node},
		Spec: resourceapi.ResourceSliceSpec{Driver: "gpu.example.com", NodeName: ptr.To(node),
			Pool: resourceapi.ResourcePool{Name: node, ResourceSliceCount: 1}, Devices: devices}}
}

// TestSlicesAreListedAfterEachChangeAndNoOther, whichever way the store is changed.
func TestSlicesAreListedAfterEachChangeAndNoOther(t *testing.T) {
	store := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	c := &changes{store: store}
	if err := store.AddIndexers(cache.Indexers{byChange: c.index}); err != nil {
		t.Fatal(err)
	}
	lister := &storeLister{store: store}
	f := &feed{lister: lister, model: devices.NewModel(structured.Features{}, cel.Features{}), changes: c}
	a, b := sliceOf("node-a", gpu("gpu-0")), sliceOf("node-b", gpu("gpu-0"))
	for _, step := range []struct {
		name   string
		change func() error
		nodes  string
	}{
		{"nothing is published", func() error { return nil }, ""},
		{"one comes", func() error { return store.Add(a) }, "a"},
		{"another comes", func() error { return store.Add(b) }, "ab"},
		{"one loses its devices", func() error { return store.Update(sliceOf("node-b")) }, "a"},
		{"one goes", func() error { return store.Delete(a) }, ""},
		{"all are replaced", func() error { return store.Replace([]any{a, b}, "7") }, "ab"},
		{"all are replaced by none", func() error { return store.Replace(nil, "8") }, ""},
	} {
		lister.lists = 0
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := f.refresh(); err != nil {
				t.Fatal(err)
			}
		}
		if lister.lists != 1 {
			t.Errorf("%s: listed %d times, want once", step.name, lister.lists)
		}
		got := ""
		for _, node := range []string{"a", "b"} {
			if facts := f.model.GPUs("node-" + node); facts != nil && len(facts.Idle) > 0 {
				got += node
			}
		}
		if got != step.nodes {
			t.Errorf("%s: the model knows GPUs on nodes %q, want %q", step.name, got, step.nodes)
		}
	}
}

func TestAListThatFailsIsMadeAgain(t *testing.T) {
	store := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	c := &changes{store: store}
	if err := store.AddIndexers(cache.Indexers{byChange: c.index}); err != nil {
		t.Fatal(err)
	}
	if err := store.Add(sliceOf("node-a", gpu("gpu-0"))); err != nil {
		t.Fatal(err)
	}
	lister := &storeLister{store: store, err: errors.New("no")}
	f := &feed{lister: lister, model: devices.NewModel(structured.Features{}, cel.Features{}), changes: c}
	if err := f.refresh(); !errors.Is(err, lister.err) {
		t.Errorf("got %v, want %v", err, lister.err)
	}
	lister.err = nil
	if err := f.refresh(); err != nil || f.model.GPUs("node-a") == nil {
		t.Errorf("after a list that failed: %v, and the model knows %v", err, f.model.GPUs("node-a"))
	}
}

// TestWithoutACountEveryRefreshLists: as with device taint rules.
func TestWithoutACountEveryRefreshLists(t *testing.T) {
	lister := &storeLister{store: cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})}
	f := &feed{lister: lister, model: devices.NewModel(structured.Features{}, cel.Features{})}
	for range 3 {
		if err := f.refresh(); err != nil {
			t.Fatal(err)
		}
	}
	if lister.lists != 3 {
		t.Errorf("listed %d times, want 3", lister.lists)
	}
}

// informed is a handle with informers of its own.
type informed struct {
	fwk.Handle
	factory informers.SharedInformerFactory
}

func (h *informed) SharedInformerFactory() informers.SharedInformerFactory { return h.factory }

// TestARunningInformerCounts whatever it hears of, in batches or not.
func TestARunningInformerCounts(t *testing.T) {
	client := fake.NewClientset(sliceOf("node-a", gpu("gpu-0")))
	handle := &informed{factory: informers.NewSharedInformerFactory(client, 0)}
	c := watchSlices(klog.Background(), handle)
	if c == nil {
		t.Fatal("changes are not counted")
	}
	if watchSlices(klog.Background(), handle) != nil {
		t.Error("a second model counts by the same index, want it to list every time")
	}
	lister := &storeLister{store: c.store}
	f := &feed{lister: lister, model: devices.NewModel(structured.Features{}, cel.Features{}), changes: c}
	handle.factory.Start(t.Context().Done())
	t.Cleanup(handle.factory.Shutdown)
	slices := client.ResourceV1().ResourceSlices()
	await := func(what string, settled func() bool) {
		t.Helper()
		err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, 10*time.Second, true, func(context.Context) (bool, error) {
			return settled(), f.refresh()
		})
		if err != nil {
			t.Fatalf("%s: the model did not see it: %v", what, err)
		}
	}
	knows := func(node string) bool {
		facts := f.model.GPUs(node)
		return facts != nil && len(facts.Idle) > 0
	}
	await("a slice from before", func() bool { return knows("node-a") })
	if _, err := slices.Create(t.Context(), sliceOf("node-b", gpu("gpu-0")), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	await("a new slice", func() bool { return knows("node-b") })
	if _, err := slices.Update(t.Context(), sliceOf("node-b"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	await("a slice without its device", func() bool { return !knows("node-b") })
	if err := slices.Delete(t.Context(), "slice-of-node-a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await("a slice that is gone", func() bool { return !knows("node-a") })
	lists := lister.lists
	for range 3 {
		if err := f.refresh(); err != nil {
			t.Fatal(err)
		}
	}
	if lister.lists > lists {
		t.Errorf("listed %d times more, though nothing changed", lister.lists-lists)
	}
}

// TestDeviceTaintRulesAreListed: the slices with their taints are kept elsewhere.
func TestDeviceTaintRulesAreListed(t *testing.T) {
	featuregatetesting.SetFeatureGateDuringTest(t, utilfeature.DefaultFeatureGate, kubefeatures.DRADeviceTaintRules, true)
	handle := &informed{factory: informers.NewSharedInformerFactory(fake.NewClientset(), 0)}
	if watchSlices(klog.Background(), handle) != nil {
		t.Error("the informer's changes are counted, which are not those of the slices that are listed")
	}
}
