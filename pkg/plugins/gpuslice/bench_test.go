package gpuslice

import (
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	fwk "k8s.io/kube-scheduler/framework"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"plimsoll.dev/scheduler/pkg/share"
)

// BenchmarkCycle is what a pod with a claim pays per node on 1,000 nodes with eight
// GPUs each, by extension point, once the model knows the nodes:
//
//	go test -run '^$' -bench Cycle ./pkg/plugins/gpuslice
func BenchmarkCycle(b *testing.B) {
	const count = 1000
	bench := newBench(b)
	var nodes []*v1.Node
	store := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	counted := &changes{store: store}
	if err := store.AddIndexers(cache.Indexers{byChange: counted.index}); err != nil {
		b.Fatal(err)
	}
	bench.manager.feed = &feed{lister: &storeLister{store: store}, model: bench.manager.model, changes: counted}
	for i := range count {
		name := fmt.Sprintf("gpu-node-%05d.example.com", i)
		nodes = append(nodes, &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: v1.NodeStatus{Allocatable: v1.ResourceList{"cpu": resource.MustParse("96")}}})
		var eight []resourceapi.Device
		for j := range 8 {
			eight = append(eight, gpu(fmt.Sprintf("gpu-%d", j)))
		}
		if err := store.Add(sliceOf(name, eight...)); err != nil {
			b.Fatal(err)
		}
	}
	for range 64 {
		bench.learner.tasks.Observe(&share.Task{CPUMilli: 12000, GPUMilli: share.Whole, GPUs: 1})
		bench.learner.tasks.Observe(&share.Task{CPUMilli: 8000, GPUMilli: 470, GPUs: 1})
	}
	bench.handle = &fakeHandle{profile: b.Name(), snapshot: internalcache.NewSnapshot(nil, nodes)}
	infos, err := bench.handle.SnapshotSharedLister().NodeInfos().List()
	if err != nil {
		b.Fatal(err)
	}
	state := framework.NewCycleState()
	preFilter := func() {
		state = framework.NewCycleState()
		if _, status := bench.PreFilter(b.Context(), state, bench.pod, infos); !status.IsSuccess() {
			b.Fatal(status)
		}
	}
	each := func(do func(fwk.NodeInfo) *fwk.Status) {
		for _, node := range infos {
			if status := do(node); !status.IsSuccess() {
				b.Fatal(status)
			}
		}
	}
	filter := func(node fwk.NodeInfo) *fwk.Status { return bench.Filter(b.Context(), state, bench.pod, node) }
	preScore := func() {
		if status := bench.PreScore(b.Context(), state, bench.pod, infos); !status.IsSuccess() && !status.IsSkip() {
			b.Fatal(status)
		}
	}
	score := func(node fwk.NodeInfo) *fwk.Status {
		_, status := bench.Score(b.Context(), state, bench.pod, node)
		return status
	}
	preFilter()
	each(filter)
	preScore()
	for _, point := range []struct {
		name string
		run  func()
	}{{"PreFilter", preFilter}, {"Filter", func() { each(filter) }}, {"PreScore", preScore}, {"Score", func() { each(score) }}} {
		b.Run(point.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				point.run()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count), "ns/node")
		})
	}
}
