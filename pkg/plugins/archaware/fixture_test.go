package archaware

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"

	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/pkg/arch"
	"plimsoll.dev/scheduler/pkg/images"
)

// known is a set of answers by image; one that is not there waits. It notes what
// is observed.
type known struct {
	mu       sync.Mutex
	answers  map[string]images.Answer
	wanted   []string
	observed []string
}

func (k *known) Lookup(_ images.Asker, image string) images.Answer {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a, found := k.answers[image]; found {
		return a
	}
	return images.Answer{State: images.Waiting}
}

func (k *known) Want(who images.Asker, image string) images.Answer {
	k.mu.Lock()
	k.wanted = append(k.wanted, image)
	k.mu.Unlock()
	return k.Lookup(who, image)
}

func (k *known) OnChange(func(string)) {}

func (k *known) Prove(namespace, image, digest string, on arch.Platform) {
	k.observed = append(k.observed, strings.Join([]string{"proved", namespace, image, digest, on.String()}, " "))
}

func (k *known) Disprove(namespace, image, digest string, on arch.Platform) {
	k.observed = append(k.observed, strings.Join([]string{"disproved", namespace, image, digest, on.String()}, " "))
}

// knows returns answers for lines of an image and its platforms; "?" and a
// reason for one that cannot be inspected.
func knows(t testing.TB, lines string) *known {
	t.Helper()
	k := &known{answers: map[string]images.Answer{}}
	for line := range strings.Lines(lines) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if words[1] == "?" {
			k.answers[words[0]] = images.Answer{State: images.Unknown, Message: strings.Join(words[2:], " ")}
			continue
		}
		k.answers[words[0]] = images.Answer{State: images.Known, Platforms: setOf(t, words[1:]...)}
	}
	return k
}

func setOf(t testing.TB, platforms ...string) arch.Set {
	t.Helper()
	var all []arch.Platform
	for _, text := range platforms {
		p, err := arch.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return arch.NewSet(all...)
}

// fixture is a plugin over a cluster of the given lines.
type fixture struct {
	testing.TB
	*ArchAware
	snapshot fwk.SharedLister
	recorder *events.FakeRecorder
	mu       sync.Mutex
	woken    []string
}

// Activate implements fwk.PodActivator.
func (f *fixture) Activate(_ klog.Logger, pods map[string]*v1.Pod) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, pod := range pods {
		f.woken = append(f.woken, pod.Name)
	}
	slices.Sort(f.woken)
}

func build(t testing.TB, args, nodes string, k *known) *fixture {
	t.Helper()
	metrics.Register()
	nodeList, err := testkit.Nodes(nodes)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	f := &fixture{TB: t, snapshot: cache.NewSnapshot(nil, nodeList), recorder: events.NewFakeRecorder(100)}
	handle, err := frameworkruntime.NewFramework(ctx, nil, nil,
		frameworkruntime.WithInformerFactory(informers.NewSharedInformerFactory(fake.NewClientset(), 0)),
		frameworkruntime.WithSnapshotSharedLister(f.snapshot),
		frameworkruntime.WithEventRecorder(f.recorder),
	)
	if err != nil {
		t.Fatal(err)
	}
	handle.SetPodActivator(f)
	p, err := New(&Shared{Registries: &testkit.Depot{}}, nil)(ctx, &runtime.Unknown{Raw: []byte(args)}, handle)
	if err != nil {
		t.Fatal(err)
	}
	f.ArchAware = p.(*ArchAware)
	f.images = k
	for _, node := range nodeList {
		f.platforms.Observe(node)
	}
	return f
}

func (f *fixture) pod(line string) *v1.Pod {
	f.Helper()
	pods, err := testkit.Pods(line)
	if err != nil {
		f.Fatal(err)
	}
	return pods[0]
}

func (f *fixture) nodes() []fwk.NodeInfo {
	f.Helper()
	nodes, err := f.snapshot.NodeInfos().List()
	if err != nil {
		f.Fatal(err)
	}
	return nodes
}

// ask says what becomes of the pod on every node: its score, or why not. If the
// pod as a whole is refused, it says that of "".
func (f *fixture) ask(pod *v1.Pod) (map[string]any, fwk.CycleState) {
	f.Helper()
	ctx, state, out := f.Context(), framework.NewCycleState(), map[string]any{}
	_, status := f.PreFilter(ctx, state, pod, f.nodes())
	if !status.IsSuccess() && !status.IsSkip() {
		return map[string]any{"": status.Message()}, state
	}
	filters := !status.IsSkip()
	scores := !f.PreScore(ctx, state, pod, f.nodes()).IsSkip()
	for _, info := range f.nodes() {
		name := info.Node().Name
		if filters {
			if status := f.Filter(ctx, state, pod, info); !status.IsSuccess() {
				out[name] = status.Message()
				continue
			}
		}
		out[name] = int64(100)
		if scores {
			score, status := f.Score(ctx, state, pod, info)
			if !status.IsSuccess() {
				f.Fatal(status)
			}
			out[name] = score
		}
	}
	return out, state
}

type nodeInfo = fwk.NodeInfo

func podInfo(t testing.TB, pod *v1.Pod) fwk.PodInfo {
	t.Helper()
	info, err := framework.NewPodInfo(pod)
	if err != nil {
		t.Fatal(err)
	}
	return info
}
