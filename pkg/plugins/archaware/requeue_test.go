package archaware

import (
	"encoding/json"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/pkg/images"
)

func node(t *testing.T, line string) *v1.Node {
	t.Helper()
	if line == "" {
		return nil
	}
	nodes, err := testkit.Nodes(line)
	if err != nil {
		t.Fatal(err)
	}
	return nodes[0]
}

func TestOnlyNodesThatHelpQueueAPod(t *testing.T) {
	const taint = " taint:kubernetes.io/arch=arm64:NoSchedule"
	for name, tc := range map[string]struct {
		pod, before, after string
		want               fwk.QueueingHint
	}{
		"a new one of its architecture":               {"p image=arm", "", "n arch=arm64", fwk.Queue},
		"a new one of another":                        {"p image=arm", "", "n arch=amd64", fwk.QueueSkip},
		"one that becomes it":                         {"p image=arm", "n arch=amd64", "n arch=arm64", fwk.Queue},
		"one that was it before":                      {"p image=arm", "n arch=arm64", "n arch=arm64 label:a=b", fwk.QueueSkip},
		"a new one, tainted":                          {"p image=arm", "", "n arch=arm64" + taint, fwk.QueueSkip},
		"a taint that goes":                           {"p image=arm", "n arch=arm64" + taint, "n arch=arm64", fwk.Queue},
		"a taint that is tolerated":                   {"p image=arm tolerates:kubernetes.io/arch=arm64", "", "n arch=arm64" + taint, fwk.Queue},
		"a taint that goes from the wrong node":       {"p image=amd", "n arch=arm64" + taint, "n arch=arm64", fwk.QueueSkip},
		"for an image that is not known yet":          {"p image=busy", "", "n arch=arm64", fwk.Queue},
		"against its own list":                        {"p image=both annotation:plimsoll.dev/arch=amd64", "", "n arch=arm64", fwk.QueueSkip},
		"for a pod with a mistake":                    {"p image=both annotation:plimsoll.dev/arch=x", "", "n arch=arm64", fwk.QueueSkip},
		"for a pod that selects it":                   {"p image=amd selector:kubernetes.io/arch=arm64", "", "n arch=arm64", fwk.Queue},
		"that goes, for an image that is known":       {"p image=amd", "n arch=amd64", "", fwk.QueueSkip},
		"that goes, under an assumption":              {"p image=lost", "n arch=amd64", "", fwk.Queue},
		"that is tainted, under an assumption":        {"p image=lost", "n arch=amd64", "n arch=amd64 taint:a=b:NoSchedule", fwk.Queue},
		"whose labels change, under an assumption":    {"p image=lost", "n arch=amd64", "n arch=amd64 label:a=b", fwk.QueueSkip},
		"of another kind that is tainted":             {"p image=lost", "n arch=arm64", "n arch=arm64 taint:a=b:NoSchedule", fwk.QueueSkip},
		"of another kind that goes":                   {"p image=lost", "n arch=arm64", "", fwk.QueueSkip},
		"that is too small now":                       {"p image=lost cpu=4", "n arch=amd64 cpu=8", "n arch=amd64 cpu=2", fwk.Queue},
		"that was too small before":                   {"p image=lost cpu=4", "n arch=amd64 cpu=2", "n arch=amd64 cpu=1", fwk.QueueSkip},
		"that goes, for a pod with claims":            {"p image=lost claim=1g.10gb", "n arch=amd64", "", fwk.QueueSkip},
		"a new one, for an image that ran on another": {"p image=ran", "", "n arch=amd64", fwk.Queue},
		"that loses its GPUs":                         {"p image=lost nvidia.com/gpu=1", "n arch=amd64 nvidia.com/gpu=8", "n arch=amd64", fwk.Queue},
		"that goes, for a pod that lists it":          {"p image=lost annotation:plimsoll.dev/arch=arm64>amd64", "n arch=amd64", "", fwk.QueueSkip},
		"a new one, for an image that is not known":   {"p image=lost", "", "n arch=arm64", fwk.Queue},
		"a new one, for a pod that insists":           {"p image=lost annotation:plimsoll.dev/arch-policy=strict", "", "n arch=arm64", fwk.QueueSkip},
		"the one left after a failure":                {"p image=failed", "n arch=arm64", "", fwk.Queue},
		"a change after a failure":                    {"p image=failed", "n arch=arm64", "n arch=arm64 label:a=b", fwk.QueueSkip},
		"that is tainted, for a preference":           {"p image=lost annotation:plimsoll.dev/arch-policy=prefer", "n arch=amd64", "n arch=amd64 taint:a=b:NoSchedule", fwk.QueueSkip},
		"for a pod that opts out":                     {"p image=amd annotation:plimsoll.dev/arch-policy=off", "", "n arch=arm64", fwk.Queue},
	} {
		t.Run(name, func(t *testing.T) {
			f := build(t, "", twoNodes, knows(t, someImages))
			f.images.(*known).answers["failed"] = images.Answer{State: images.Known, Platforms: setOf(t, "linux/amd64", "linux/arm64"),
				Disproved: setOf(t, "linux/amd64")}
			f.images.(*known).answers["ran"] = images.Answer{State: images.Unknown, Proven: setOf(t, "linux/arm64")}
			var before any
			if was := node(t, tc.before); was != nil {
				before = was
			}
			var after any
			if is := node(t, tc.after); is != nil {
				after = is
			}
			got, err := f.afterNode(klog.Background(), f.pod(tc.pod), before, after)
			if err != nil || got != tc.want {
				t.Errorf("got %v, %v, want %v", got, err, tc.want)
			}
		})
	}
}

// An assumption rests on how large nodes are, so it has to see that change.
func TestNodesThatShrinkAreSeen(t *testing.T) {
	f := build(t, "", twoNodes, knows(t, someImages))
	registered, err := f.EventsToRegister(t.Context())
	if err != nil || registered[0].Event.Resource != fwk.Node || registered[0].Event.ActionType&fwk.UpdateNodeAllocatable == 0 {
		t.Errorf("got %v, %v, want changes of what nodes can hold seen first", registered, err)
	}
}

// ways lists pods that differ from "p image=both" in one thing we read.
var ways = map[string]string{
	"an image":      "p image=amd",
	"one more":      "p image=both image=amd",
	"a pull secret": "p image=both secret=pull",
	"an annotation": "p image=both annotation:plimsoll.dev/arch=arm64",
	"a selector":    "p image=both selector:kubernetes.io/arch=arm64",
	"a toleration":  "p image=both tolerates:kubernetes.io/arch=arm64",
}

func TestOnlyChangesOfItsOwnQueueAPod(t *testing.T) {
	f := build(t, "", twoNodes, knows(t, someImages))
	was := f.pod("p image=both")
	for name, line := range ways {
		if got, err := f.afterOwnChange(klog.Background(), was, was, f.pod(line)); err != nil || got != fwk.Queue {
			t.Errorf("%s: got %v, %v, want it queued", name, got, err)
		}
	}
	other := f.pod("other image=amd")
	for name, pair := range map[string][2]*v1.Pod{
		"another pod":       {f.pod("other image=both"), other},
		"nothing we read":   {was, f.pod("p image=both label:a=b")},
		"nothing but words": {was, f.pod("p image=both annotation:example.com/a=b")},
	} {
		if got, err := f.afterOwnChange(klog.Background(), was, pair[0], pair[1]); err != nil || got != fwk.QueueSkip {
			t.Errorf("%s: got %v, %v, want it left alone", name, got, err)
		}
	}
	if got, err := f.afterOwnChange(klog.Background(), was, "no pod", was); err == nil || got != fwk.Queue {
		t.Errorf("what is no pod: got %v, %v, want an error", got, err)
	}
}

func TestPodsThatDifferForUsHaveSignaturesOfTheirOwn(t *testing.T) {
	f := build(t, "", twoNodes, knows(t, someImages))
	sign := func(line string, change func(*v1.Pod)) string {
		pod := f.pod(line)
		change(pod)
		fragments, status := f.SignPod(t.Context(), pod)
		if !status.IsSuccess() {
			t.Fatal(status)
		}
		text, err := json.Marshal(fragments)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	same := func(*v1.Pod) {}
	first := sign("p image=both", same)
	if again := sign("q image=both label:a=b", same); again != first {
		t.Errorf("two pods that are alike for us differ:\n%s\n%s", first, again)
	}
	seen := map[string]string{first: "the first"}
	check := func(name, signature string) {
		if other, found := seen[signature]; found {
			t.Errorf("%s is signed as %s", name, other)
		}
		seen[signature] = name
	}
	for name, line := range ways {
		check(name, sign(line, same))
	}
	mounts := func(image string) func(*v1.Pod) {
		return func(p *v1.Pod) {
			p.Spec.Volumes = []v1.Volume{{VolumeSource: v1.VolumeSource{Image: &v1.ImageVolumeSource{Reference: image}}}}
		}
	}
	check("an image that is mounted", sign("p image=both", mounts("model")))
	check("an image that runs", sign("p image=both image=model", same))
	check("a request", sign("p image=both nvidia.com/gpu=1", same))
	check("a claim", sign("p image=both claim=1g.10gb", same))
	check("a class", sign("p image=both class=wasm", same))
	check("an agent", sign("p image=both owner=DaemonSet", same))
	check("another namespace", sign("p image=both", func(p *v1.Pod) { p.Namespace = "elsewhere" }))
	check("an operating system", sign("p image=both", func(p *v1.Pod) { p.Spec.OS = &v1.PodOS{Name: v1.Windows} }))
}

// BenchmarkAfterNode is what one pod that was refused costs when a node comes that
// does not help: the queue's lock is held for all of them.
func BenchmarkAfterNode(b *testing.B) {
	f := build(b, "", twoNodes, knows(b, someImages))
	nodes, err := testkit.Nodes("n arch=arm64")
	if err != nil {
		b.Fatal(err)
	}
	f.platforms.Observe(nodes[0])
	pod := f.pod("p image=amd")
	b.ReportAllocs()
	for b.Loop() {
		if hint, err := f.afterNode(klog.Background(), pod, nil, nodes[0]); hint != fwk.QueueSkip || err != nil {
			b.Fatal(hint, err)
		}
	}
}
