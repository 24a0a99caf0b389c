package gpuslice

import (
	"fmt"
	"slices"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
)

// TestPodsThatMetALateModelAreWoken: the queue had heard that a device is free, the
// model had not, and the pod was refused.
func TestPodsThatMetALateModelAreWoken(t *testing.T) {
	for name, c := range map[string]struct {
		// When the model hears of it: before the pod is parked, or so long after.
		before bool
		after  time.Duration
		want   []string
	}{
		"in the pod's cycle":      {before: true, want: []string{"default/p"}},
		"just after it is parked": {after: lateness / 2, want: []string{"default/p"}},
		"long after":              {after: 2 * lateness, want: nil}, // the queue's own event was later, too
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			handle := b.handle.(*fakeHandle)
			now := clocktesting.NewFakePassiveClock(time.Now())
			b.refusals.clock = now
			b.manager.claims.wakers.Store("this", func() { b.wake(klog.Background()) })
			held := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "held", UID: "held"}}
			held.Status.Allocation = &resourceapi.AllocationResult{Devices: resourceapi.DeviceAllocationResult{Results: []resourceapi.DeviceRequestAllocationResult{
				{Driver: "gpu.example.com", Pool: "node-a", Device: "gpu-0"}, {Driver: "gpu.example.com", Pool: "node-b", Device: "gpu-0"}}}}
			if err := b.manager.claims.indexer.Add(held); err != nil {
				t.Fatal(err)
			}
			b.manager.claims.heard(held)
			state, passed := b.cycle()
			if len(passed) > 0 {
				t.Fatalf("%v passed, though all is taken", passed)
			}
			hears := func() {
				if err := b.manager.claims.indexer.Delete(held); err != nil {
					t.Fatal(err)
				}
				b.manager.claims.heard(held)
			}
			if c.before {
				hears()
			}
			if _, status := b.PostFilter(t.Context(), state, b.pod, nil); status.Code() != fwk.Unschedulable {
				t.Fatal(status)
			}
			if !c.before {
				now.SetTime(now.Now().Add(c.after))
				hears()
			}
			if !slices.Equal(handle.woken, c.want) {
				t.Errorf("woken %v, want %v", handle.woken, c.want)
			}
			handle.woken = nil
			b.manager.claims.heard(held)
			if len(handle.woken) > 0 {
				t.Errorf("woken again: %v", handle.woken)
			}
		})
	}
}

// TestAPodIsNotWokenAgainAtOnce: waking passes over the back-off, and a pod that can
// never be served must not be tried for each claim that goes.
func TestAPodIsNotWokenAgainAtOnce(t *testing.T) {
	now := clocktesting.NewFakePassiveClock(time.Now())
	r := newRefusals(now)
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p", UID: "p"}}
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {lateness, 0}, {respite - 2*lateness, 0}, {lateness, 1}} {
		now.SetTime(now.Now().Add(c.after))
		r.add(pod)
		if got := r.take(); len(got) != c.want {
			t.Errorf("%v later: %d woken, want %d", c.after, len(got), c.want)
		}
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	r := newRefusals(clocktesting.NewFakePassiveClock(time.Now()))
	for i := range 3 * maxRefused {
		r.add(&v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint(i), UID: types.UID(fmt.Sprint(i))}})
	}
	got := r.take()
	if last := fmt.Sprintf("default/%d", 3*maxRefused-1); len(got) != maxRefused || got[last] == nil {
		t.Errorf("%d are remembered, %s among them: %t; want the last %d", len(got), last, got[last] != nil, maxRefused)
	}
}

func TestAPodThatGivesUpBeforeItIsBoundWakesOthers(t *testing.T) {
	b := newBench(t)
	plain := v1.PodSpec{}
	extended := v1.PodSpec{Containers: []v1.Container{{Resources: v1.ResourceRequirements{Requests: v1.ResourceList{"nvidia.com/gpu": {}}}}}}
	claims := v1.PodSpec{ResourceClaims: []v1.PodResourceClaim{{Name: "gpu", ResourceClaimName: ptr.To("c")}}}
	for _, c := range []struct {
		spec  v1.PodSpec
		phase v1.PodPhase
		want  fwk.QueueingHint
	}{
		{claims, v1.PodPending, fwk.Queue}, {extended, "", fwk.Queue}, {plain, v1.PodPending, fwk.QueueSkip},
		{claims, v1.PodRunning, fwk.QueueSkip}, {claims, v1.PodSucceeded, fwk.QueueSkip},
	} {
		left := &v1.Pod{Spec: c.spec, Status: v1.PodStatus{Phase: c.phase}}
		if got, err := b.afterPodLeft(klog.Background(), b.pod, left, nil); got != c.want || err != nil {
			t.Errorf("%d claims, phase %q: %v, %v; want %v", len(c.spec.ResourceClaims), c.phase, got, err, c.want)
		}
	}
}

// TestNodesAreAlikeOnlyIfTheyReachTheSameDevices: a pool of several nodes has a
// device for each, and that of node-x is taken.
func TestNodesAreAlikeOnlyIfTheyReachTheSameDevices(t *testing.T) {
	b := newBench(t)
	device := func(name, node string) resourceapi.Device {
		d := gpu(name)
		d.NodeName = ptr.To(node)
		return d
	}
	both := gpu("both")
	both.NodeSelector = &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{MatchExpressions: []v1.NodeSelectorRequirement{
		{Key: "rack", Operator: v1.NodeSelectorOpIn, Values: []string{"r1"}}}}}}
	slice := &resourceapi.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: "several"}, Spec: resourceapi.ResourceSliceSpec{Driver: "gpu.example.com",
		PerDeviceNodeSelection: ptr.To(true), Pool: resourceapi.ResourcePool{Name: "several", ResourceSliceCount: 1},
		Devices: []resourceapi.Device{device("x", "node-x"), device("y", "node-y"), both}}}
	b.dra.slices = append(b.dra.slices, slice)
	state, _ := b.cycle()
	r, err := state.Read(requestKey)
	if err != nil {
		t.Fatal(err)
	}
	key := func(name, rack string) string {
		key, alike := r.(*request).view.Alike(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"rack": rack}}})
		if !alike {
			t.Errorf("%s publishes nothing, and is like no other", name)
		}
		return key
	}
	if key("node-x", "r1") == key("node-y", "r1") || key("a", "r1") == key("b", "r2") || key("a", "r1") == key("node-x", "r1") {
		t.Error("nodes that reach different devices are taken for alike")
	}
	if key("a", "r1") != key("b", "r1") || key("c", "r2") != key("d", "") {
		t.Error("nodes that reach the same devices are not alike")
	}
	if _, alike := r.(*request).view.Alike(b.node("node-a").Node()); alike {
		t.Error("a node with devices of its own is like others")
	}
}
