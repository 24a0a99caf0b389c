package binpack

import (
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// BenchmarkScore and BenchmarkFilter measure one call on a node that carries
// thirty pods, with a mix of as many shapes as are ever judged by.
func BenchmarkScore(b *testing.B) {
	p, node, state, pod := benchmarkNode(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, status := p.Score(b.Context(), state, pod, node); status != nil {
			b.Fatal(status)
		}
	}
}

func BenchmarkFilter(b *testing.B) {
	p, node, state, pod := benchmarkNode(b)
	b.ReportAllocs()
	for b.Loop() {
		if status := p.Filter(b.Context(), state, pod, node); status != nil {
			b.Fatal(status)
		}
	}
}

// TestScoreAndFilterAllocateNothing holds the hot path to its word.
func TestScoreAndFilterAllocateNothing(t *testing.T) {
	p, node, state, pod := benchmarkNode(t)
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { p.Score(ctx, state, pod, node) }); n != 0 {
		t.Errorf("Score allocates %v times a node", n)
	}
	if n := testing.AllocsPerRun(100, func() { p.Filter(ctx, state, pod, node) }); n != 0 {
		t.Errorf("Filter allocates %v times a node", n)
	}
}

func benchmarkNode(t testing.TB) (*BinPack, fwk.NodeInfo, fwk.CycleState, *v1.Pod) {
	const args = "{ceilingPercent: 95, pools: [{matchLabels: {pool: batch}}, {matchLabels: {pool: gpu, tier: a}}]}"
	p, snapshot := build(t, args,
		"n cpu=64 memory=256Gi nvidia.com/gpu=8 zone=eu-a label:pool=gpu label:tier=b",
		"p-[01-30] cpu=1 memory=4Gi node=n")
	for i := range 600 {
		p.shapes.observe(onePod(t, fmt.Sprintf("s cpu=%dm memory=%dMi", 100<<(i%6), 128<<(i%7))))
	}
	pod, state := onePod(t, "q cpu=500m memory=2Gi"), framework.NewCycleState()
	if _, status := p.PreFilter(t.Context(), state, pod, nil); !status.IsSuccess() {
		t.Fatal(status)
	}
	node, err := snapshot.NodeInfos().Get("n")
	if err != nil {
		t.Fatal(err)
	}
	return p, node, state, pod
}
