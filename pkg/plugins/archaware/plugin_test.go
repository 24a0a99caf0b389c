package archaware

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	clocktesting "k8s.io/utils/clock/testing"

	"plimsoll.dev/scheduler/pkg/images"
)

const twoNodes = "amd arch=amd64 cpu=10 memory=40Gi\narm arch=arm64 cpu=10 memory=40Gi"

const someImages = `
	both  linux/amd64 linux/arm64
	amd   linux/amd64
	arm   linux/arm64
	old   linux/386
	lost  ? no answer`

func TestWhereAPodMayGo(t *testing.T) {
	const lacks = `node(s) run linux/%s, but image %q has only linux/%s`
	type answers = map[string]any
	for name, tc := range map[string]struct {
		args, pod string
		want      answers
	}{
		"one image for both":             {"flexibility: false", "p image=both", answers{"amd": int64(100), "arm": int64(100)}},
		"the scarce one last":            {"", "p image=both", answers{"amd": int64(99), "arm": int64(100)}},
		"an image for one":               {"", "p image=amd", answers{"amd": int64(100), "arm": fmt.Sprintf(lacks, "arm64", "amd", "amd64")}},
		"a 32-bit image last":            {"", "p image=old image=both", answers{"amd": int64(100), "arm": fmt.Sprintf(lacks, "arm64", "old", "386")}},
		"no 32-bit image":                {"use32Bit: false", "p image=old", answers{"amd": fmt.Sprintf(lacks, "amd64", "old", "386"), "arm": fmt.Sprintf(lacks, "arm64", "old", "386")}},
		"the pod's own order":            {"", "p image=both annotation:plimsoll.dev/arch=amd64>arm64", answers{"amd": int64(100), "arm": int64(1)}},
		"the pod's own weights":          {"", "p image=both annotation:plimsoll.dev/arch=amd64=40,arm64=20", answers{"amd": int64(100), "arm": int64(50)}},
		"the pod's own list":             {"", "p image=both annotation:plimsoll.dev/arch=arm64", answers{"amd": "node(s) run linux/amd64, and annotation plimsoll.dev/arch lists only arm64", "arm": int64(100)}},
		"the profile's order":            {"preferredArchitectures: [amd64]", "p image=both", answers{"amd": int64(100), "arm": int64(99)}},
		"the pod's before the profile's": {"preferredArchitectures: [amd64]", "p image=both annotation:plimsoll.dev/arch=arm64>amd64", answers{"amd": int64(1), "arm": int64(100)}},
		"an unknown image, open":         {"", "p image=lost", answers{"amd": int64(100), "arm": `node(s) run linux/arm64, but image "lost" cannot be inspected (no answer) and is taken for linux/amd64`}},
		"an unknown image, anything":     {"{assumedPlatforms: [], flexibility: false}", "p image=lost", answers{"amd": int64(100), "arm": int64(100)}},
		"an assumption nobody can meet":  {"{assumedPlatforms: [linux/s390x], flexibility: false}", "p image=lost", answers{"amd": int64(100), "arm": int64(100)}},
		"an unknown image, closed":       {"whenUnknown: Closed", "p image=lost", answers{"": `image "lost" cannot be inspected (no answer), and the pod waits until its platforms are known`}},
		"an unknown image, strict":       {"", "p image=lost annotation:plimsoll.dev/arch-policy=strict", answers{"": `image "lost" cannot be inspected (no answer), and the pod waits until its platforms are known`}},
		"an image that is inspected":     {"", "p image=busy", answers{"": `waiting for the registry to say for which platforms image "busy" is built`}},
		"a pod that will not wait":       {"", "p image=busy annotation:plimsoll.dev/arch-policy=prefer", answers{"amd": int64(99), "arm": int64(0)}},
		"a preference for its images":    {"", "p image=arm annotation:plimsoll.dev/arch-policy=prefer", answers{"amd": int64(0), "arm": int64(100)}},
		"a pod that opts out":            {"", "p image=arm annotation:plimsoll.dev/arch-policy=off", answers{"amd": int64(100), "arm": int64(100)}},
		"its own selector":               {"", "p image=busy selector:kubernetes.io/arch=arm64", answers{"amd": int64(100), "arm": int64(100)}},
		"its own selector, overruling":   {"", "p image=amd selector:kubernetes.io/arch=arm64", answers{"amd": int64(100), "arm": int64(100)}},
		"its own affinity":               {"preferredArchitectures: [amd64]", "p image=both prefers:kubernetes.io/arch=arm64", answers{"amd": int64(100), "arm": int64(100)}},
		"an agent of its node":           {"", "p image=amd owner=DaemonSet", answers{"amd": int64(100), "arm": int64(100)}},
		"a pod that names its node":      {"", "p image=amd selector:kubernetes.io/hostname=arm", answers{"amd": int64(100), "arm": int64(100)}},
		"a mistake":                      {"", "p image=both annotation:plimsoll.dev/arch=arm", answers{"amd": "node(s) run linux/amd64, and annotation plimsoll.dev/arch lists only arm", "arm": "node(s) run linux/arm64, and annotation plimsoll.dev/arch lists only arm"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := build(t, tc.args, twoNodes, knows(t, someImages))
			got, _ := f.ask(f.pod(tc.pod))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestPreEnqueueHoldsAPodForItsImagesOnly(t *testing.T) {
	for line, want := range map[string]string{
		"p image=both":            "",
		"p image=both image=busy": `waiting for the registry to say for which platforms image "busy" is built`,
		"p image=busy image=slow": `waiting for the registry to say for which platforms image "busy" is built`,
		"p image=lost":            "",
		"p image=lost annotation:plimsoll.dev/arch-policy=strict": "", // PreFilter says why, for all to see
		"p image=busy annotation:plimsoll.dev/arch-policy=prefer": "",
		"p image=busy annotation:plimsoll.dev/arch-policy=off":    "",
		"p image=busy annotation:plimsoll.dev/arch=nonsense":      "",
		"p image=busy selector:kubernetes.io/arch=arm64":          "",
		"p image=busy owner=DaemonSet":                            "",
	} {
		f := build(t, "", twoNodes, knows(t, someImages))
		status := f.PreEnqueue(t.Context(), f.pod(line))
		if got := status.Message(); got != want {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
		if parked := len(f.parked.pods) > 0; parked != (want != "") {
			t.Errorf("%s: parked %v", line, parked)
		}
	}
}

// All images are asked for at once: their waits begin together.
func TestEveryImageIsWantedAtOnce(t *testing.T) {
	f := build(t, "", twoNodes, knows(t, someImages))
	f.PreEnqueue(t.Context(), f.pod("p image=busy image=slow image=both"))
	if got := strings.Join(f.images.(*known).wanted, " "); got != "busy slow both" {
		t.Errorf("wanted %q", got)
	}
}

// A pod whose images changed in place, or whose image is looked up again, is
// held by PreFilter as it is by PreEnqueue.
func TestAPodThatIsHeldInItsCycleIsParkedToo(t *testing.T) {
	f := build(t, "", twoNodes, knows(t, someImages))
	pod := f.pod("p image=busy")
	f.ask(pod)
	if len(f.parked.pods) != 1 {
		t.Fatal("the pod is not parked")
	}
	f.images.(*known).answers["busy"] = images.Answer{State: images.Known, Platforms: setOf(t, "linux/arm64")}
	f.ask(pod)
	if len(f.parked.pods) != 0 {
		t.Error("the pod is still parked when its image is known")
	}
}

func TestParkedPodsAreWokenAtTheirDeadlineAndHeldNoMore(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Unix(1e9, 0))
	there := map[types.UID]bool{"first": true, "second": true}
	p := newParked("test", 20*time.Second, clock, nil, func(_ string, uid types.UID) bool { return there[uid] })
	f := &fixture{TB: t}
	step := func(d time.Duration, want string) {
		t.Helper()
		clock.Step(d)
		var woken []string
		for _, pod := range p.due() {
			woken = append(woken, pod.Name)
		}
		if got := strings.Join(woken, " "); got != want {
			t.Errorf("woke %q, want %q", got, want)
		}
	}
	held := func(pod *v1.Pod, want bool) {
		t.Helper()
		if got := p.add(pod); got != want {
			t.Errorf("%s of %s: held %v, want %v", pod.Name, pod.Spec.Containers[0].Image, got, want)
		}
	}
	first, second := f.pod("first image=busy"), f.pod("second image=busy")
	held(first, true)
	step(15*time.Second, "")
	held(second, true)
	held(first, true) // again, for whatever reason: its time does not begin anew
	step(5*time.Second, "first")
	held(first, false)
	p.letGo(first)
	held(first, false) // another of its images has expired meanwhile
	changed := f.pod("first image=other")
	held(changed, true)
	step(10*time.Second, "")
	p.letGo(second)
	step(9*time.Second, "")
	step(time.Second, "first")
	held(second, true) // it was let go before its time was over
	p.sweep()
	held(changed, false) // still remembered
	p.forget(second.UID)
	delete(there, first.UID)
	p.sweep()
	step(time.Hour, "")
	if len(p.pods) != 0 || p.held != 0 {
		t.Errorf("%d pods are remembered, %d held, after all are gone", len(p.pods), p.held)
	}
}

// What the assumption rests on must be a node that the pod can use.
func TestAnAssumptionKeepsNoPodFromWhereItBelongs(t *testing.T) {
	const windows = "arch=amd64 cpu=8 memory=32Gi label:kubernetes.io/os=windows label:node.kubernetes.io/windows-build=10.0.20348"
	for name, tc := range map[string]struct {
		nodes, pod string
		free       string // nodes that take it
	}{
		"it holds where it can":         {"amd arch=amd64\narm arch=arm64", "p image=lost", "amd"},
		"one architecture":              {"arm arch=arm64", "p image=lost", "arm"},
		"a control plane of another":    {"cp arch=amd64 taint:node-role.kubernetes.io/control-plane=:NoSchedule\narm arch=arm64", "p image=lost", "arm cp"},
		"a taint that is tolerated":     {"gpu arch=amd64 taint:gpu=yes:NoSchedule\narm arch=arm64", "p image=lost tolerates:gpu=yes", "gpu"},
		"the pod's own pool":            {"amd arch=amd64\narm arch=arm64 label:pool=arm", "p image=lost selector:pool=arm", "amd arm"},
		"Windows, by selector":          {"amd arch=amd64\nwin " + windows, "p image=lost selector:kubernetes.io/os=windows", "amd win"},
		"Linux beside Windows":          {"amd arch=amd64\nwin " + windows, "p image=lost", "amd"},
		"an architecture it lists only": {"amd arch=amd64\narm arch=arm64", "p image=lost annotation:plimsoll.dev/arch=arm64", "arm"},
		"all architectures it lists":    {"amd arch=amd64\narm arch=arm64\nz arch=s390x", "p image=lost annotation:plimsoll.dev/arch=arm64>amd64", "amd arm"},
		"GPUs of another architecture":  {"amd arch=amd64\narm arch=arm64 nvidia.com/gpu=4", "p image=lost nvidia.com/gpu=1", "amd arm"},
		"GPUs of both":                  {"amd arch=amd64 nvidia.com/gpu=2\narm arch=arm64 nvidia.com/gpu=4", "p image=lost nvidia.com/gpu=1", "amd"},
		"room on another only":          {"amd arch=amd64 cpu=10\narm arch=arm64 cpu=64", "p image=lost cpu=40", "amd arm"},
		"room on both":                  {"amd arch=amd64 cpu=40\narm arch=arm64 cpu=64", "p image=lost cpu=40", "amd"},
		"devices that no node shows":    {"amd arch=amd64\narm arch=arm64", "p image=lost example.com/dpu=1", "amd arm"},
		"claims":                        {"amd arch=amd64\narm arch=arm64", "p image=lost claim=1g.10gb", "amd arm"},
	} {
		t.Run(name, func(t *testing.T) {
			f := build(t, "", tc.nodes, knows(t, someImages))
			got, _ := f.ask(f.pod(tc.pod))
			if free(got) != tc.free {
				t.Errorf("got %v, want it free to go to %s", got, tc.free)
			}
		})
	}
	f := build(t, "", "amd arch=amd64\nwin "+windows, knows(t, someImages))
	pod := f.pod("p image=lost")
	pod.Spec.OS = &v1.PodOS{Name: v1.Windows}
	if got, _ := f.ask(pod); got["win"] != int64(100) {
		t.Errorf("a pod for Windows: got %v", got)
	}
}

// What nodes do not show, such as the devices of a claim, may be on nodes of any
// architecture: those of what is assumed come first then, and no others are
// refused.
func TestAnAssumptionOnlyLeansWhereItCannotBeTold(t *testing.T) {
	for _, line := range []string{"p image=lost claim=1g.10gb", "p image=lost example.com/dpu=1"} {
		f := build(t, "", twoNodes, knows(t, someImages))
		got, _ := f.ask(f.pod(line))
		if diff := cmp.Diff(map[string]any{"amd": int64(99), "arm": int64(0)}, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", line, diff)
		}
	}
}

// One exec format error must not make an image unschedulable where the pod has
// nowhere else to go.
func TestAFailureCountsOnlyIfThePodCanGoElsewhere(t *testing.T) {
	for name, tc := range map[string]struct{ nodes, pod, free string }{
		"one architecture":              {"amd arch=amd64", "p image=failed", "amd"},
		"another":                       {"amd arch=amd64\narm arch=arm64", "p image=failed", "arm"},
		"another that is too small":     {"amd arch=amd64 cpu=8\narm arch=arm64 cpu=2", "p image=failed cpu=4", "amd arm"},
		"another that takes no pods":    {"amd arch=amd64\ncp arch=arm64 taint:node-role.kubernetes.io/control-plane=:NoSchedule", "p image=failed", "amd cp"},
		"one architecture, not known":   {"amd arch=amd64", "p image=crashed", "amd"},
		"another, and it is not known":  {"amd arch=amd64\narm arch=arm64", "p image=crashed", "arm"},
		"another, for its sidecar only": {"amd arch=amd64\narm arch=arm64", "p image=failed image=amd", "amd"},
	} {
		k := knows(t, someImages)
		amd := setOf(t, "linux/amd64")
		k.answers["failed"] = images.Answer{State: images.Known, Platforms: setOf(t, "linux/amd64", "linux/arm64"), Disproved: amd}
		k.answers["crashed"] = images.Answer{State: images.Unknown, Message: "no answer", Disproved: amd}
		f := build(t, "", tc.nodes, k)
		got, _ := f.ask(f.pod(tc.pod))
		if free(got) != tc.free {
			t.Errorf("%s: got %v, want it free to go to %s", name, got, tc.free)
		}
	}
}

// What is only mounted need not run, unless its index has several to choose from.
func TestAnImageThatIsOnlyMountedBindsToNothing(t *testing.T) {
	k := knows(t, someImages)
	k.answers["plain"] = images.Answer{State: images.Known, Platforms: setOf(t, "linux/arm64"), Mountable: true}
	k.answers["silent"] = images.Answer{State: images.Unknown, Message: "does not say", Mountable: true}
	for name, tc := range map[string]struct {
		pod, volume string
		refused     bool
	}{
		"a plain image":                        {"p image=both", "plain", false},
		"one that does not say":                {"p image=both", "silent", false},
		"an index":                             {"p image=both", "arm", true},
		"a plain image that runs, too":         {"p image=plain", "plain", true},
		"a plain image beside one for another": {"p image=arm", "plain", true},
	} {
		f := build(t, "", twoNodes, k)
		pod := f.pod(tc.pod)
		pod.Spec.Volumes = []v1.Volume{{VolumeSource: v1.VolumeSource{Image: &v1.ImageVolumeSource{Reference: tc.volume}}}}
		got, _ := f.ask(pod)
		if _, refused := got["amd"].(string); refused != tc.refused || got["arm"] != int64(100) {
			t.Errorf("%s: got %v, want amd refused %v", name, got, tc.refused)
		}
	}
}

// Our handler may be behind the snapshot by some events.
func TestANodeThatWasReplacedAMomentAgoIsJudgedAsItIs(t *testing.T) {
	f := build(t, "", twoNodes, knows(t, someImages))
	f.platforms.Forget("arm")
	f.platforms.Observe(node(t, "gone arch=amd64")) // as many as in the snapshot
	got, _ := f.ask(f.pod("p image=amd"))
	if _, refused := got["arm"].(string); !refused {
		t.Errorf("got %v, want arm refused", got)
	}
}

// In its cycle, a pod goes by what was known of an image whose tag is looked up
// again: to hold it would cost it its place in the queue, and its nomination.
func TestAPodInItsCycleGoesByWhatWasKnown(t *testing.T) {
	f := build(t, "", twoNodes, knows(t, someImages))
	k := f.images.(*known)
	k.answers["renewed"] = images.Answer{State: images.Waiting, Platforms: setOf(t, "linux/arm64")}
	k.answers["model"] = images.Answer{State: images.Waiting, Anywhere: true}
	for _, policy := range []string{"", " annotation:plimsoll.dev/arch-policy=strict"} {
		got, _ := f.ask(f.pod("p image=renewed image=model" + policy))
		if _, refused := got["amd"].(string); !refused || got["arm"] != int64(100) {
			t.Errorf("%s: got %v, want it on arm, and not on amd, which is assumed of what nobody knows", policy, got)
		}
	}
	if got := strings.Join(k.wanted[:2], " "); got != "renewed model" {
		t.Errorf("wanted %s, want both images looked up again", got)
	}
	if len(f.parked.pods) != 0 {
		t.Error("the pod is parked")
	}
}

func TestFilterAndScoreAllocateNothing(t *testing.T) {
	f, state, pod := benchmarkPod(t)
	node := f.nodes()[0]
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { f.Filter(ctx, state, pod, node) }); n != 0 {
		t.Errorf("Filter allocates %v times a node", n)
	}
	if n := testing.AllocsPerRun(100, func() { f.Score(ctx, state, pod, node) }); n != 0 {
		t.Errorf("Score allocates %v times a node", n)
	}
}

func BenchmarkFilter(b *testing.B) {
	f, state, pod := benchmarkPod(b)
	node := f.nodes()[0]
	b.ReportAllocs()
	for b.Loop() {
		if status := f.Filter(b.Context(), state, pod, node); status != nil {
			b.Fatal(status)
		}
	}
}

func BenchmarkScore(b *testing.B) {
	f, state, pod := benchmarkPod(b)
	node := f.nodes()[0]
	b.ReportAllocs()
	for b.Loop() {
		if _, status := f.Score(b.Context(), state, pod, node); status != nil {
			b.Fatal(status)
		}
	}
}

// BenchmarkPreFilter judges a pod of three images on a cluster of 5,000 nodes.
func BenchmarkPreFilter(b *testing.B) {
	f, _, pod := benchmarkPod(b)
	nodes := f.nodes()
	b.ReportAllocs()
	for b.Loop() {
		if _, status := f.PreFilter(b.Context(), framework.NewCycleState(), pod, nodes); !status.IsSuccess() {
			b.Fatal(status)
		}
	}
}

func benchmarkPod(t testing.TB) (*fixture, *framework.CycleState, *v1.Pod) {
	t.Helper()
	f := build(t, "", "amd-[0001-4000] arch=amd64 cpu=10 memory=40Gi\narm-[0001-0999] arch=arm64 cpu=10 memory=40Gi\nz-1 arch=s390x cpu=10 memory=40Gi",
		knows(t, "web linux/amd64 linux/arm64\nmesh linux/amd64 linux/arm64 linux/ppc64le linux/s390x\ninit linux/386 linux/amd64 linux/arm/v7 linux/arm64"))
	pod, state := f.pod("p image=web image=mesh image=init"), framework.NewCycleState()
	if _, status := f.PreFilter(t.Context(), state, pod, f.nodes()); !status.IsSuccess() {
		t.Fatal(status)
	}
	return f, state, pod
}

// free names the nodes that did not refuse a pod, by what ask returned. Taints are
// others' to judge here.
func free(answers map[string]any) string {
	var out []string
	for node, answer := range answers {
		if _, refused := answer.(string); !refused {
			out = append(out, node)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}
