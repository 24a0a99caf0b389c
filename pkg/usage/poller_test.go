package usage

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// metricsServer answers with the items it is given, each a NodeMetrics object.
type metricsServer struct {
	items  atomic.Pointer[[]string]
	status atomic.Int64
	// hang makes it wait until the client gives up.
	hang atomic.Bool
}

func (m *metricsServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if m.hang.Load() {
		<-r.Context().Done()
		return
	}
	if code := m.status.Load(); code != 0 {
		w.WriteHeader(int(code))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"apiVersion":"metrics.k8s.io/v1beta1","kind":"NodeMetricsList","metadata":{},"items":[%s]}`, strings.Join(*m.items.Load(), ","))
}

func item(node string, at time.Time, cpu, memory string) string {
	return fmt.Sprintf(`{"apiVersion":"metrics.k8s.io/v1beta1","kind":"NodeMetrics","metadata":{"name":%q},"timestamp":%q,"window":"20s","usage":{"cpu":%q,"memory":%q}}`,
		node, at.Format(time.RFC3339), cpu, memory)
}

// bench is a poller over a scripted metrics server and a cluster of nodes n1 to
// n9, each of 10 cores and 10 GiB of which 9 are allocatable.
type bench struct {
	*Poller
	server *metricsServer
	clock  *clocktesting.FakeClock
	pods   cache.Indexer
	polls  chan map[State]int
	errs   chan error
}

func newBench(t *testing.T, pods ...*v1.Pod) *bench {
	t.Helper()
	b := &bench{server: &metricsServer{}, clock: clocktesting.NewFakeClock(noon), polls: make(chan map[State]int, 100), errs: make(chan error, 100)}
	b.server.items.Store(&[]string{})
	server := httptest.NewServer(b.server)
	t.Cleanup(server.Close)
	client, err := dynamic.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	nodes := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	for i := range 9 {
		node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("n%d", i+1)}}
		node.Status.Capacity = v1.ResourceList{v1.ResourceCPU: resource.MustParse("10"), v1.ResourceMemory: resource.MustParse("10Gi")}
		node.Status.Allocatable = v1.ResourceList{v1.ResourceCPU: resource.MustParse("9"), v1.ResourceMemory: resource.MustParse("9Gi")}
		if err := nodes.Add(node); err != nil {
			t.Fatal(err)
		}
	}
	b.pods = cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	for _, pod := range pods {
		if err := b.pods.Add(pod); err != nil {
			t.Fatal(err)
		}
	}
	b.Poller = &Poller{
		Client: client, Nodes: corelisters.NewNodeLister(nodes), Pods: corelisters.NewPodLister(b.pods),
		Needs:    func(*v1.Pod) (int64, int64) { return 1000, 1 << 30 },
		Interval: 30 * time.Second, MaxAge: 3 * time.Minute, Clock: b.clock,
		OnPoll: func(err error, states map[State]int) { b.errs <- err; b.polls <- states },
	}
	return b
}

func running(name, node string, started time.Time) *v1.Pod {
	at := metav1.NewTime(started)
	return &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.PodSpec{NodeName: node}, Status: v1.PodStatus{Phase: v1.PodRunning, StartTime: &at}}
}

func TestSamplesBecomeExcessOverWhatWasMeasured(t *testing.T) {
	long := noon.Add(-time.Hour)
	finished := running("finished", "n1", long)
	finished.Status.Phase = v1.PodSucceeded
	b := newBench(t,
		running("a", "n1", long), running("b", "n1", long), finished,
		running("during-the-window", "n1", noon.Add(-15*time.Second)),
		running("c", "n2", long),
		&v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "not-started"}, Spec: v1.PodSpec{NodeName: "n2"}})
	b.server.items.Store(&[]string{
		item("n1", noon, "6", "4Gi"),      // 5 cores and 3 GiB by pods that requested 2 and 2
		item("n2", noon, "1500m", "2Gi"),  // half a core and 1 GiB by a pod that requested 1 and 1
		item("n3", noon, "200", "900Gi"),  // more than it has: all it has
		item("n4", noon, "500m", "100Mi"), // less than is reserved for the system
		item("unknown", noon, "1", "1Gi"), // not a node of ours
	})
	b.poll(t.Context())
	if err := <-b.errs; err != nil {
		t.Fatal(err)
	}
	const gib = 1 << 30
	for node, want := range map[string]Excess{
		"n1": {3000, gib, 2000, 2 * gib}, "n2": {-500, 0, 1000, gib}, "n3": {9000, 9 * gib, 0, 0}, "n4": {},
	} {
		got, state := b.Table().Lookup(node, noon)
		if diff := cmp.Diff(want, got); diff != "" || state != Fresh {
			t.Errorf("%s is %s (-want +got)\n%s", node, state, diff)
		}
	}
	if diff := cmp.Diff(map[State]int{Fresh: 4, Missing: 5}, <-b.polls); diff != "" {
		t.Errorf("states (-want +got)\n%s", diff)
	}
}

func TestALyingServerCostsOnlyTheLies(t *testing.T) {
	b := newBench(t)
	b.server.items.Store(&[]string{
		item("n1", noon, "-1", "1Gi"),
		item("n2", noon, "NaN", "1Gi"),
		item("n3", noon, "1", "lots"),
		item("n4", noon.AddDate(-1, 0, 0), "1", "1Gi"),
		item("n5", noon.AddDate(1, 0, 0), "1", "1Gi"),
		item("n6", noon, "9999999999999999999E", "1Gi"),
		`{"metadata":{"name":"n7"},"timestamp":"yesterday","usage":{"cpu":"1","memory":"1Gi"}}`,
		`{"metadata":{"name":"n8"},"usage":[1]}`,
		item("n9", noon, "2", "2Gi"),
	})
	b.poll(t.Context())
	if err := <-b.errs; err != nil {
		t.Fatal(err)
	}
	want := map[string]State{"n1": Invalid, "n2": Invalid, "n3": Invalid, "n4": Stale, "n5": Invalid, "n6": Invalid, "n7": Invalid, "n8": Invalid, "n9": Fresh}
	for node, state := range want {
		excess, got := b.Table().Lookup(node, noon)
		if got != state || state != Fresh && excess != (Excess{}) {
			t.Errorf("%s is %s with %+v, want %s", node, got, excess, state)
		}
	}
	if diff := cmp.Diff(map[State]int{Fresh: 1, Stale: 1, Invalid: 7}, <-b.polls); diff != "" {
		t.Errorf("states (-want +got)\n%s", diff)
	}
}

func TestAFailingServerLeavesTheLastSamplesToGrowStale(t *testing.T) {
	b := newBench(t)
	if _, state := b.Table().Lookup("n1", noon); state != Missing {
		t.Errorf("before the first read n1 is %s, want missing", state)
	}
	b.server.items.Store(&[]string{item("n1", noon, "2", "2Gi")})
	b.poll(t.Context())
	<-b.errs
	<-b.polls

	b.server.status.Store(http.StatusServiceUnavailable)
	b.clock.SetTime(noon.Add(3 * time.Minute))
	b.poll(t.Context())
	if err := <-b.errs; err == nil || !strings.Contains(err.Error(), "listing nodes.metrics.k8s.io") {
		t.Errorf("error %v, want it to say what was read", err)
	}
	if states := <-b.polls; states[Fresh] != 1 {
		t.Errorf("at the end of its age: %v, want n1 fresh", states)
	}
	b.clock.SetTime(noon.Add(3*time.Minute + time.Second))
	b.poll(t.Context())
	<-b.errs
	if states := <-b.polls; states[Stale] != 1 || states[Fresh] != 0 {
		t.Errorf("past its age: %v, want n1 stale", states)
	}
}

func TestASlowServerIsGivenUpOn(t *testing.T) {
	b := newBench(t)
	b.server.hang.Store(true)
	b.Interval = 50 * time.Millisecond
	b.poll(t.Context())
	if err := <-b.errs; err == nil {
		t.Error("a read that never ends: want an error")
	}
}

func TestRunPollsAtItsIntervalUntilItEnds(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { b.Run(ctx); close(done) }()
	for range 3 {
		<-b.errs
		<-b.polls
		for !b.clock.HasWaiters() {
			select {
			case <-t.Context().Done():
				t.Fatal("the poller does not wait for its interval")
			case <-time.After(time.Millisecond):
			}
		}
		b.clock.Step(30 * time.Second)
	}
	cancel()
	<-done
}
