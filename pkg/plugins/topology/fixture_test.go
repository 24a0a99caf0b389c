package topology

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	intree "k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
	clocktesting "k8s.io/utils/clock/testing"

	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/pkg/verdict"
	"plimsoll.dev/scheduler/pkg/zone"
)

// fixture is the plugin over a cluster of the given lines, with a clock of its
// own and a journal of what it reports.
type fixture struct {
	testing.TB
	*Topology
	fw       framework.Framework
	snapshot fwk.SharedLister
	events   *events.FakeRecorder
	clock    *clocktesting.FakeClock

	mu     sync.Mutex
	woken  []string
	placed []string
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

// wakes returns who was woken since it was last asked.
func (f *fixture) awake() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.woken
	f.woken = nil
	return out
}

// Placed implements verdict.Recorder.
func (f *fixture) Placed(_, name, _, node string, reason verdict.Reason) {
	f.placed = append(f.placed, name+" on "+node+": "+reason.Message)
}

func build(t testing.TB, args, nodes string, objects ...runtime.Object) *fixture {
	t.Helper()
	return buildWith(t, &Shared{}, testkit.SchedulerName, args, nodes, objects...)
}

func buildWith(t testing.TB, shared *Shared, profile, args, nodes string, objects ...runtime.Object) *fixture {
	t.Helper()
	metrics.Register()
	nodeList, err := testkit.Nodes(nodes)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	f := &fixture{TB: t, snapshot: cache.NewSnapshot(nil, nodeList), events: events.NewFakeRecorder(100), clock: clocktesting.NewFakeClock(time.Unix(1e9, 0))}
	factory := informers.NewSharedInformerFactory(fake.NewClientset(objects...), 0)
	f.fw, err = frameworkruntime.NewFramework(ctx, intree.NewInTreeRegistry(), &config.KubeSchedulerProfile{SchedulerName: profile, Plugins: &config.Plugins{
		QueueSort: config.PluginSet{Enabled: []config.Plugin{{Name: "PrioritySort"}}},
		Bind:      config.PluginSet{Enabled: []config.Plugin{{Name: "DefaultBinder"}}},
	}}, frameworkruntime.WithInformerFactory(factory),
		frameworkruntime.WithSnapshotSharedLister(f.snapshot), frameworkruntime.WithEventRecorder(f.events),
		frameworkruntime.WithWaitingPods(frameworkruntime.NewWaitingPodsMap()))
	if err != nil {
		t.Fatal(err)
	}
	f.fw.SetPodActivator(f)
	p, err := newPlugin(ctx, shared, f, &runtime.Unknown{Raw: []byte(args)}, f.fw, f.clock)
	if err != nil {
		t.Fatal(err)
	}
	f.Topology = p
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	if !toolscache.WaitForCacheSync(ctx.Done(), p.podsSeen.HasSynced) {
		t.Fatal("the plugin does not see the pods")
	}
	return f
}

// pods reads pods and makes them known, as the informer would.
func (f *fixture) pods(lines string) []*v1.Pod {
	f.Helper()
	pods, err := testkit.Pods(lines)
	if err != nil {
		f.Fatal(err)
	}
	for _, pod := range pods {
		f.know(pod)
	}
	return pods
}

func (f *fixture) know(pod *v1.Pod) {
	f.Helper()
	if err := f.handle.SharedInformerFactory().Core().V1().Pods().Informer().GetIndexer().Add(pod); err != nil {
		f.Fatal(err)
	}
	f.podSeen(pod)
	if pod.Spec.NodeName != "" {
		f.fill(pod, pod.Spec.NodeName)
	}
}

// forget takes a pod away, as its deletion would.
func (f *fixture) forget(pod *v1.Pod, node string) {
	f.Helper()
	if err := f.handle.SharedInformerFactory().Core().V1().Pods().Informer().GetIndexer().Delete(pod); err != nil {
		f.Fatal(err)
	}
	f.leaves(pod.UID)
	if node != "" {
		f.empty(pod, node)
	}
}

func (f *fixture) info(node string) fwk.NodeInfo {
	f.Helper()
	info, err := f.snapshot.NodeInfos().Get(node)
	if err != nil {
		f.Fatal(err)
	}
	return info
}

func (f *fixture) nodes() []fwk.NodeInfo {
	f.Helper()
	nodes, err := f.snapshot.NodeInfos().List()
	if err != nil {
		f.Fatal(err)
	}
	return nodes
}

func (f *fixture) fill(pod *v1.Pod, node string) {
	f.Helper()
	info, err := framework.NewPodInfo(pod)
	if err != nil {
		f.Fatal(err)
	}
	f.info(node).AddPodInfo(info)
}

func (f *fixture) empty(pod *v1.Pod, node string) {
	f.Helper()
	if err := f.info(node).RemovePod(klog.Background(), pod); err != nil {
		f.Fatal(err)
	}
}

// attempt is what came of one cycle.
type attempt struct {
	pod   *v1.Pod
	state fwk.CycleState
	// node is where the pod has a place, "" if it has none.
	node string
	// said is why not, or what it waits for.
	said string
	// waits: it waits for others.
	waits bool
}

// try runs the pod through a whole cycle: of the nodes that pass, and have room,
// it takes the first of the best.
func (f *fixture) try(pod *v1.Pod) attempt {
	f.Helper()
	ctx, a := f.Context(), attempt{pod: pod, state: framework.NewCycleState()}
	if status := f.PreEnqueue(ctx, pod); !status.IsSuccess() {
		a.said = status.Message()
		return a
	}
	feasible, said := f.filter(&a)
	if len(feasible) == 0 {
		a.said = said
		return a
	}
	a.node = f.best(&a, feasible)
	f.fill(pod, a.node)
	if status := f.Reserve(ctx, a.state, pod, a.node); !status.IsSuccess() {
		f.Fatal(status)
	}
	status, timeout := f.Permit(ctx, a.state, pod, a.node)
	switch {
	case status.IsWait():
		a.waits, a.said = true, status.Message()
		f.fw.AddWaitingPod(pod, map[string]time.Duration{Name: timeout})
		return a
	case !status.IsSuccess():
		f.Fatal(status)
	}
	f.bind(a)
	return a
}

// filter returns the nodes that pass, or why none does.
func (f *fixture) filter(a *attempt) (feasible []fwk.NodeInfo, said string) {
	f.Helper()
	ctx := f.Context()
	narrowed, status := f.PreFilter(ctx, a.state, a.pod, f.nodes())
	if !status.IsSuccess() && !status.IsSkip() {
		return nil, status.Message()
	}
	statuses := framework.NewDefaultNodeToStatus()
	need := needOf(a.pod)
	for _, info := range f.nodes() {
		name := info.Node().Name
		if !narrowed.AllNodes() && !narrowed.NodeNames.Has(name) {
			continue
		}
		filtered := (*fwk.Status)(nil)
		if !status.IsSkip() {
			filtered = f.Filter(ctx, a.state, a.pod, info)
		}
		if filtered == nil {
			var free, used = need.amounts, need.amounts
			need.meter.Allocatable(info, &free)
			need.meter.Requested(info, &used)
			for i := range need.names {
				free[i] -= used[i]
			}
			if zone.Fits((*zone.Amounts)(&free), (*zone.Amounts)(&need.amounts), 1) > 0 && !strings.Contains(a.pod.Name, "never") {
				feasible = append(feasible, info)
				continue
			}
			filtered = fwk.NewStatus(fwk.Unschedulable, "Insufficient room").WithPlugin("NodeResourcesFit")
		}
		if filtered.Plugin() == "" {
			filtered.SetPlugin(Name)
		}
		said = filtered.Message()
		statuses.Set(name, filtered)
	}
	if len(feasible) == 0 {
		if _, status := f.PostFilter(ctx, a.state, a.pod, statuses); status.Message() != "" {
			said += "; " + status.Message()
		}
	}
	return feasible, said
}

func (f *fixture) best(a *attempt, feasible []fwk.NodeInfo) string {
	f.Helper()
	scores := f.scores(a, feasible)
	best := ""
	for _, info := range feasible {
		if name := info.Node().Name; best == "" || scores[name] > scores[best] || scores[name] == scores[best] && name < best {
			best = name
		}
	}
	return best
}

// scores returns the normalized score by node; all 0 if the plugin has nothing to
// say.
func (f *fixture) scores(a *attempt, feasible []fwk.NodeInfo) map[string]int64 {
	f.Helper()
	ctx, out := f.Context(), map[string]int64{}
	if f.PreScore(ctx, a.state, a.pod, feasible).IsSkip() {
		return out
	}
	var list fwk.NodeScoreList
	for _, info := range feasible {
		score, status := f.Score(ctx, a.state, a.pod, info)
		if !status.IsSuccess() {
			f.Fatal(status)
		}
		list = append(list, fwk.NodeScore{Name: info.Node().Name, Score: score})
	}
	if status := f.NormalizeScore(ctx, a.state, a.pod, list); !status.IsSuccess() {
		f.Fatal(status)
	}
	for _, s := range list {
		out[s.Name] = s.Score
	}
	return out
}

// bind does what the binding cycle does.
func (f *fixture) bind(a attempt) {
	bound := a.pod.DeepCopy()
	bound.Spec.NodeName = a.node
	f.podSeen(bound)
	f.PostBind(f.Context(), a.state, a.pod, a.node)
}

// giveUp does what becomes of a waiting pod that was rejected.
func (f *fixture) giveUp(a attempt) {
	f.Helper()
	if f.fw.GetWaitingPod(a.pod.UID) == nil {
		f.Fatalf("%s does not wait", a.pod.Name)
	}
	status := f.fw.WaitOnPermit(f.Context(), a.pod)
	if status.IsSuccess() {
		f.Fatalf("%s was allowed", a.pod.Name)
	}
	f.Unreserve(f.Context(), a.state, a.pod, a.node)
	f.empty(a.pod, a.node)
}

// allowed does what becomes of a waiting pod that was allowed.
func (f *fixture) allowed(a attempt) {
	f.Helper()
	if status := f.fw.WaitOnPermit(f.Context(), a.pod); !status.IsSuccess() {
		f.Fatalf("%s was not allowed: %v", a.pod.Name, status)
	}
	f.bind(a)
}

// tryAll tries one pod after the other and, once they are allowed, binds those
// that waited.
func (f *fixture) tryAll(pods []*v1.Pod) map[string]string {
	f.Helper()
	out := map[string]string{}
	var waiting []attempt
	for _, pod := range pods {
		a := f.try(pod)
		if a.waits {
			waiting = append(waiting, a)
		}
		out[pod.Name] = a.node
		if a.node == "" {
			f.Errorf("%s found no place: %s", pod.Name, a.said)
		}
	}
	for _, a := range waiting {
		f.allowed(a)
	}
	return out
}

// countBy counts what is placed by the part of a node's name before the last -.
func countBy(placed map[string]string) map[string]int {
	out := map[string]int{}
	for _, node := range placed {
		out[node[:strings.LastIndex(node, "-")]]++
	}
	return out
}

func constraintOver(key string) []v1.TopologySpreadConstraint {
	return []v1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: key, WhenUnsatisfiable: v1.ScheduleAnyway}}
}
