package gpuslice

import (
	"errors"
	"testing"

	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"
	fwk "k8s.io/kube-scheduler/framework"
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
