package binpack

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/pkg/usage"
)

// build returns a plugin with the given arguments over a cluster of the given
// lines.
func build(t testing.TB, args, nodes, pods string) (*BinPack, fwk.SharedLister) {
	t.Helper()
	metrics.Register()
	nodeList, err := testkit.Nodes(nodes)
	if err != nil {
		t.Fatal(err)
	}
	podList, err := testkit.Pods(pods)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	client := fake.NewClientset()
	snapshot := cache.NewSnapshot(podList, nodeList)
	handle, err := frameworkruntime.NewFramework(ctx, nil, nil,
		frameworkruntime.WithInformerFactory(informers.NewSharedInformerFactory(client, 0)),
		frameworkruntime.WithSnapshotSharedLister(snapshot))
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(nil)(ctx, &runtime.Unknown{Raw: []byte(args)}, handle)
	if err != nil {
		t.Fatal(err)
	}
	return p.(*BinPack), snapshot
}

func onePod(t testing.TB, line string) *v1.Pod {
	t.Helper()
	pods, err := testkit.Pods(line)
	if err != nil {
		t.Fatal(err)
	}
	return pods[0]
}

// scores asks the plugin about every node.
func scores(t testing.TB, p *BinPack, snapshot fwk.SharedLister, pod *v1.Pod) map[string]int64 {
	t.Helper()
	state := framework.NewCycleState()
	if _, status := p.PreFilter(t.Context(), state, pod, nil); !status.IsSuccess() && !status.IsSkip() {
		t.Fatal(status)
	}
	nodes, err := snapshot.NodeInfos().List()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int64{}
	for _, node := range nodes {
		score, status := p.Score(t.Context(), state, pod, node)
		if !status.IsSuccess() {
			t.Fatal(status)
		}
		out[node.Node().Name] = score
	}
	return out
}

const twoNodes = "half cpu=10 memory=10Gi\nmost cpu=10 memory=10Gi"

func TestTwoProfilesKeepTheirOwnTargets(t *testing.T) {
	const running = "a cpu=4 memory=4Gi node=half\nb cpu=7 memory=7Gi node=most"
	dense, snapshot := build(t, "{targetPercent: 95}", twoNodes, running)
	careful, _ := build(t, "{targetPercent: 60}", twoNodes, running)
	pod := onePod(t, "p cpu=1 memory=1Gi")
	if got := scores(t, dense, snapshot, pod); got["most"] <= got["half"] {
		t.Errorf("with a target of 95%%: %v, want the fuller node higher", got)
	}
	if got := scores(t, careful, snapshot, pod); got["half"] <= got["most"] {
		t.Errorf("with a target of 60%%: %v, want the node under its target higher", got)
	}
}

func TestMeasuredUsageMovesANodeOnlyWhileFresh(t *testing.T) {
	p, snapshot := build(t, "", twoNodes, "a cpu=4 memory=4Gi node=half\nb cpu=7 memory=7Gi node=most")
	clock := clocktesting.NewFakeClock(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))
	poller := &usage.Poller{Clock: clock}
	p.measured = newMeasured(&UsageArgs{WeightPercent: ptr.To[int64](50)}, []v1.ResourceName{"cpu", "memory"}, poller)
	pod := onePod(t, "p cpu=500m memory=500Mi")

	// By requests "most" is at 75 % and wins. Its pods really use 3 cores more
	// than they requested: half of that counts, and it would end over the line.
	if got := scores(t, p, snapshot, pod); got["most"] <= got["half"] {
		t.Errorf("before the first sample: %v, want the fuller node by requests higher", got)
	}
	usagetable(poller, clock.Now(), map[string]usage.Excess{"most": {MilliCPU: 3000}})
	if got := scores(t, p, snapshot, pod); got["half"] <= got["most"] {
		t.Errorf("with a fresh sample: %v, want the node that is really busy lower", got)
	}
	clock.Step(time.Hour)
	if got := scores(t, p, snapshot, pod); got["most"] <= got["half"] {
		t.Errorf("with a stale sample: %v, want requests to decide again", got)
	}
}

func TestExcessLeavesWithThePodsItCameFrom(t *testing.T) {
	p, snapshot := build(t, "", twoNodes, "a cpu=4 memory=4Gi node=half\nb cpu=7 memory=7Gi node=most")
	clock := clocktesting.NewFakeClock(time.Now())
	poller := &usage.Poller{Clock: clock}
	p.measured = newMeasured(&UsageArgs{WeightPercent: ptr.To[int64](100)}, []v1.ResourceName{"cpu", "memory"}, poller)
	// When "most" was measured it carried 9 cores of requests and used none of
	// them; the 7 of now are not the same pods.
	usagetable(poller, clock.Now(), map[string]usage.Excess{"most": {MilliCPU: -9000, RequestedMilliCPU: 9000}})
	if got := scores(t, p, snapshot, onePod(t, "p cpu=2 memory=1Gi")); got["half"] <= got["most"] {
		t.Errorf("%v: want most judged by its requests, over the line", got)
	}
}

func TestUsageNeverCountsBelowNothing(t *testing.T) {
	p, snapshot := build(t, "", twoNodes, "")
	clock := clocktesting.NewFakeClock(time.Now())
	poller := &usage.Poller{Clock: clock}
	p.measured = newMeasured(&UsageArgs{WeightPercent: ptr.To[int64](100)}, []v1.ResourceName{"cpu", "memory"}, poller)
	usagetable(poller, clock.Now(), map[string]usage.Excess{"half": {MilliCPU: -1 << 40, Memory: -1 << 60}})
	got := scores(t, p, snapshot, onePod(t, "p cpu=1 memory=1Gi"))
	if got["half"] != got["most"] {
		t.Errorf("two empty nodes, one measured below nothing: %v, want them equal", got)
	}
}

func usagetable(poller *usage.Poller, at time.Time, excess map[string]usage.Excess) {
	samples := map[string]usage.Sample{}
	for node, e := range excess {
		samples[node] = usage.Sample{Excess: e, At: at, Valid: true}
	}
	poller.SetTable(usage.NewTable(samples, time.Minute))
}

func TestSignaturesTellPodsApartThatScoreDifferently(t *testing.T) {
	p, _ := build(t, "", twoNodes, "")
	sign := func(line string) string {
		fragments, status := p.SignPod(t.Context(), onePod(t, line))
		if !status.IsSuccess() {
			t.Fatal(status)
		}
		return fmt.Sprint(fragments)
	}
	base := sign("p cpu=1 memory=1Gi")
	if other := sign("q cpu=1 memory=1Gi label:app=web node=half"); other != base {
		t.Errorf("pods that ask the same sign %s and %s, want one signature", base, other)
	}
	for _, line := range []string{"p cpu=2 memory=1Gi", "p cpu=1 memory=2Gi", "p cpu=1 memory=1Gi nvidia.com/gpu=1",
		"p cpu=1 memory=1Gi owner=DaemonSet", "p cpu=1 memory=1Gi annotation:plimsoll.dev/unknown=x", "p cpu=1 memory=1Gi annotation:plimsoll.dev/target-utilization=80"} {
		if sign(line) == base {
			t.Errorf("%s signs like the pod it differs from", line)
		}
	}
}

func TestHints(t *testing.T) {
	const ceiling = "{targetPercent: 80, ceilingPercent: 90, pools: [{matchLabels: {pool: small}, targetPercent: 40, ceilingPercent: 50}]}"
	p, _ := build(t, ceiling, twoNodes, "")
	waiting, wrong := "w cpu=8 memory=1Gi", "w cpu=8 annotation:plimsoll.dev/target-utilization=x"
	node := func(line string) *v1.Node {
		nodes, err := testkit.Nodes(line)
		if err != nil {
			t.Fatal(err)
		}
		return nodes[0]
	}
	nominated := onePod(t, "a cpu=1")
	nominated.Status.NominatedNodeName = "half"
	for name, tc := range map[string]struct {
		pod           string
		before, after any
		want          fwk.QueueingHint
	}{
		"a bound pod left":                      {waiting, onePod(t, "a cpu=1 node=half"), nil, fwk.Queue},
		"a pending pod left":                    {waiting, onePod(t, "a cpu=1"), nil, fwk.QueueSkip},
		"a nominated pod left":                  {waiting, nominated, nil, fwk.Queue},
		"a bound pod asks for less":             {waiting, onePod(t, "a cpu=2 node=half"), onePod(t, "a cpu=1 node=half"), fwk.Queue},
		"a bound pod asks for more":             {waiting, onePod(t, "a cpu=1 node=half"), onePod(t, "a cpu=2 node=half"), fwk.QueueSkip},
		"a bound pod got a label":               {waiting, onePod(t, "a cpu=1 node=half"), onePod(t, "a cpu=1 node=half label:x=y"), fwk.QueueSkip},
		"itself asks for less":                  {waiting, onePod(t, waiting), onePod(t, "w cpu=1"), fwk.Queue},
		"itself got a label":                    {waiting, onePod(t, waiting), onePod(t, waiting+" label:x=y"), fwk.QueueSkip},
		"its annotation was corrected":          {wrong, onePod(t, wrong), onePod(t, waiting), fwk.Queue},
		"its annotation is wrong, a pod left":   {wrong, onePod(t, "a cpu=1 node=half"), nil, fwk.QueueSkip},
		"its annotation is wrong, a node came":  {wrong, nil, node("n cpu=64 memory=64Gi"), fwk.QueueSkip},
		"a node came that can take it":          {waiting, nil, node("n cpu=10 memory=10Gi"), fwk.Queue},
		"a node came that is too small":         {waiting, nil, node("n cpu=8 memory=8Gi"), fwk.QueueSkip},
		"a node came with a lower ceiling":      {waiting, nil, node("n cpu=10 memory=10Gi label:pool=small"), fwk.QueueSkip},
		"a node grew":                           {waiting, node("n cpu=8 memory=8Gi"), node("n cpu=16 memory=8Gi"), fwk.Queue},
		"a node shrank":                         {waiting, node("n cpu=32 memory=8Gi"), node("n cpu=16 memory=8Gi"), fwk.QueueSkip},
		"a node got another label":              {waiting, node("n cpu=16 memory=8Gi"), node("n cpu=16 memory=8Gi label:x=y"), fwk.QueueSkip},
		"a node moved to a pool that may carry": {waiting, node("n cpu=10 memory=8Gi label:pool=small"), node("n cpu=10 memory=8Gi"), fwk.Queue},
		"something that is neither":             {waiting, "a string", nil, fwk.Queue},
	} {
		t.Run(name, func(t *testing.T) {
			hint := p.afterPodLeft
			switch after := tc.after.(type) {
			case *v1.Node:
				hint = p.afterNodeChange
			case *v1.Pod:
				if after.Name == "w" {
					hint = p.afterOwnChange
				}
			}
			got, err := hint(klog.Background(), onePod(t, tc.pod), tc.before, tc.after)
			if got != tc.want || (err != nil) != (tc.before == "a string") {
				t.Errorf("got %v and error %v, want %v", got, err, tc.want)
			}
		})
	}
}

func TestLostStateIsAnErrorNotAGuess(t *testing.T) {
	p, snapshot := build(t, "{ceilingPercent: 90}", twoNodes, "")
	node, err := snapshot.NodeInfos().Get("half")
	if err != nil {
		t.Fatal(err)
	}
	empty, pod := framework.NewCycleState(), onePod(t, "p cpu=1")
	if status := p.Filter(t.Context(), empty, pod, node); status.Code() != fwk.Error || !strings.Contains(status.Message(), string(requestKey)) {
		t.Errorf("Filter without PreFilter says %v, want an error that names the state", status)
	}
	if _, status := p.Score(t.Context(), empty, pod, node); status.Code() != fwk.Error {
		t.Errorf("Score without PreFilter says %v, want an error", status)
	}
	if status := p.Reserve(t.Context(), empty, pod, "half"); status.Code() != fwk.Error {
		t.Errorf("Reserve without PreFilter says %v, want an error", status)
	}
	p.PostBind(t.Context(), empty, pod, "half") // nothing to report, nothing to panic about
}
