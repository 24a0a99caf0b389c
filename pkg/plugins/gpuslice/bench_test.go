package gpuslice

import (
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	fwk "k8s.io/kube-scheduler/framework"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/utils/ptr"
)

// BenchmarkCycle is what a pod with a claim pays per node on 1,000 nodes with a GPU
// each, by extension point, once the model knows the nodes:
//
//	go test -run '^$' -bench Cycle ./pkg/plugins/gpuslice
func BenchmarkCycle(b *testing.B) {
	const count = 1000
	bench := newBench(b)
	var nodes []*v1.Node
	bench.dra.slices = nil
	for i := range count {
		name := fmt.Sprintf("gpu-node-%05d.example.com", i)
		nodes = append(nodes, &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
		bench.dra.slices = append(bench.dra.slices, &resourceapi.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: "slice-of-" + name},
			Spec: resourceapi.ResourceSliceSpec{Driver: "gpu.example.com", NodeName: ptr.To(name),
				Pool: resourceapi.ResourcePool{Name: name, ResourceSliceCount: 1}, Devices: []resourceapi.Device{gpu("gpu-0")}}})
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
