package devices

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

// claimed is version v of a claim that holds a device; "" holds none.
func claimed(name string, uid types.UID, v int, device string) *resourceapi.ResourceClaim {
	c := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: uid, ResourceVersion: fmt.Sprint(v)}}
	if device != "" {
		c.Status.Allocation = holdingDevices(device)
	}
	return c
}

func holdingDevices(names ...string) *resourceapi.AllocationResult {
	out := &resourceapi.AllocationResult{}
	for _, name := range names {
		out.Devices.Results = append(out.Devices.Results, resourceapi.DeviceRequestAllocationResult{Driver: "gpu.example.com", Pool: "p", Device: name})
	}
	return out
}

// inUse lists the devices that are in use, with what is consumed of those that are
// shared.
func (m *Model) inUse() string {
	state := m.allocatedIn([]poolID{{"gpu.example.com", "p"}})
	var out []string
	for id := range state.AllocatedDevices {
		out = append(out, id.Device.String())
	}
	for id := range state.AllocatedSharedDeviceIDs {
		out = append(out, "share of "+id.GetDeviceID().Device.String())
	}
	for id, used := range state.AggregatedCapacity {
		out = append(out, fmt.Sprintf("%s of %s", used["memory"], id.Device))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func TestADeviceCountsAsLongAsAnyoneMayHoldIt(t *testing.T) {
	// The informers' version when the API server has answered a write.
	var stored *resourceapi.ResourceClaim
	written := func(m *Model, c *resourceapi.ResourceClaim) {
		m.Written(c, func() *resourceapi.ResourceClaim { return stored })
	}
	free, taken, given := claimed("c", "1", 1, ""), claimed("c", "1", 3, "a"), claimed("c", "1", 4, "")
	for name, steps := range map[string][]struct {
		do   func(m *Model)
		want string
	}{
		"from the cycle that reserves it, until it is given up": {
			{func(m *Model) { observe(m, free) }, ""},
			{func(m *Model) { m.Reserve("1", taken) }, "a"},
			{func(m *Model) { release(m, "1") }, ""},
		},
		"written, until the informers have seen that": {
			{func(m *Model) { observe(m, free); stored = free }, ""},
			{func(m *Model) { m.Reserve("1", taken) }, "a"},
			{func(m *Model) { written(m, taken) }, "a"},
			{func(m *Model) { release(m, "1") }, "a"},
			{func(m *Model) { observe(m, claimed("c", "1", 2, "")) }, "a"}, // its finalizer was written
			{func(m *Model) { observe(m, taken) }, "a"},
			{func(m *Model) { observe(m, given) }, ""},
		},
		"until a later version says otherwise": {
			{func(m *Model) { observe(m, free); stored = free }, ""},
			{func(m *Model) { written(m, taken) }, "a"},
			{func(m *Model) { observe(m, given) }, ""},
			{func(m *Model) { observe(m, taken) }, ""}, // late
		},
		"not what was written, if the informers are further": {
			{func(m *Model) { observe(m, free); stored = given }, ""},
			{func(m *Model) { m.Reserve("1", taken) }, "a"},
			{func(m *Model) { written(m, taken) }, "a"},
			{func(m *Model) { release(m, "1") }, ""},
		},
		"written and taken back": {
			{func(m *Model) { observe(m, free); stored = free }, ""},
			{func(m *Model) { written(m, taken) }, "a"},
			{func(m *Model) { m.Restore("default", "c") }, ""},
			{func(m *Model) { m.Restore("default", "unknown") }, ""},
		},
		"until the claim is deleted": {
			{func(m *Model) { observe(m, taken) }, "a"},
			{func(m *Model) { lose(m, taken) }, ""},
		},
		"deleted while a cycle holds on to it": {
			{func(m *Model) { observe(m, free) }, ""},
			{func(m *Model) { m.Reserve("1", taken) }, "a"},
			{func(m *Model) { lose(m, free); stored = nil }, "a"},
			{func(m *Model) { written(m, taken) }, "a"},
			{func(m *Model) { release(m, "1") }, ""},
		},
		"given up when another pod has reserved it again": {
			{func(m *Model) { m.Observe("default", "c", func() *resourceapi.ResourceClaim { return free }) }, ""},
			{func(m *Model) { m.Reserve("1", taken) }, "a"},
			{func(m *Model) { m.Reserve("1", claimed("c", "1", 3, "b")) }, "b"},
			{func(m *Model) { m.Release("1", func() *resourceapi.AllocationResult { return holdingDevices("b") }) }, "b"},
			{func(m *Model) { release(m, "1") }, ""},
		},
		"not written to a claim of that name that came later": {
			{func(m *Model) { stored = claimed("c", "2", 9, "") }, ""},
			{func(m *Model) { written(m, taken) }, ""},
		},
		"deleted and created again unseen": {
			{func(m *Model) { observe(m, taken) }, "a"},
			{func(m *Model) { observe(m, claimed("c", "2", 9, "b")) }, "b"},
			{func(m *Model) { lose(m, claimed("c", "2", 9, "b")) }, ""},
		},
		"reserved under another UID than it is written": {
			{func(m *Model) { m.Reserve("made-up", claimed("special", "made-up", 0, "a")) }, "a"},
			{func(m *Model) { observe(m, claimed("c", "1", 2, "")); stored = claimed("c", "1", 2, "") }, "a"},
			{func(m *Model) { written(m, taken) }, "a"},
			{func(m *Model) { release(m, "made-up") }, "a"},
			{func(m *Model) { lose(m, taken) }, ""},
		},
		"by two claims, somebody's mistake": {
			{func(m *Model) { observe(m, taken) }, "a"},
			{func(m *Model) { observe(m, claimed("d", "2", 5, "a")) }, "a"},
			{func(m *Model) { lose(m, taken) }, "a"},
			{func(m *Model) { lose(m, claimed("d", "2", 5, "a")) }, ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := NewModel(features, expressions)
			for i, step := range steps {
				step.do(m)
				if got := m.inUse(); got != step.want {
					t.Fatalf("step %d: in use %q, want %q", i+1, got, step.want)
				}
			}
			// What is over is forgotten.
			for _, name := range []string{"c", "d"} {
				lose(m, claimed(name, "", 0, ""))
			}
			if len(m.claims)+len(m.names)+len(m.uses) > 0 {
				t.Errorf("left over: %v, %v, %v", m.claims, m.names, m.uses)
			}
		})
	}
}

func TestNewsIsWhatOthersAllocated(t *testing.T) {
	m := NewModel(features, expressions)
	m.Reserve("1", claimed("c", "1", 2, "a"))
	for _, step := range []struct {
		claim *resourceapi.ResourceClaim
		want  bool
	}{
		{claimed("c", "1", 1, ""), false},
		{claimed("d", "2", 3, "b"), true},
		{claimed("d", "2", 4, "b"), false},
		{claimed("d", "2", 5, ""), false},
		{claimed("d", "2", 6, "c"), true},
	} {
		if got := observe(m, step.claim); got != step.want {
			t.Errorf("%s, version %s: news %t, want %t", step.claim.Name, step.claim.ResourceVersion, got, step.want)
		}
	}
	m.Reserve("1", claimed("c", "1", 2, "a"))
	for version, device := range []string{"", "", "a"} { // its finalizer is written first
		if observe(m, claimed("c", "1", 7+version, device)) {
			t.Errorf("version %d: what was reserved here is no news", 7+version)
		}
	}
}

func TestSharesAddUpAndAdminAccessTakesNothing(t *testing.T) {
	m := NewModel(features, expressions)
	share := func(uid types.UID, gib int64) *resourceapi.ResourceClaim {
		c := claimed(string(uid), uid, 1, "gpu")
		r := &c.Status.Allocation.Devices.Results[0]
		r.ShareID = &uid
		r.ConsumedCapacity = map[resourceapi.QualifiedName]resource.Quantity{"memory": *resource.NewQuantity(gib<<30, resource.BinarySI)}
		return c
	}
	watcher := claimed("w", "w", 1, "other")
	watcher.Status.Allocation.Devices.Results[0].AdminAccess = ptr.To(true)
	for i, step := range []struct {
		do   func()
		want string
	}{
		{func() { observe(m, share("1", 10)) }, "10Gi of gpu, share of gpu"},
		{func() { observe(m, share("2", 5)) }, "15Gi of gpu, share of gpu, share of gpu"},
		{func() { observe(m, watcher) }, "15Gi of gpu, share of gpu, share of gpu"},
		{func() { lose(m, share("1", 10)) }, "5Gi of gpu, share of gpu"},
		{func() { lose(m, share("2", 5)) }, ""},
	} {
		if step.do(); m.inUse() != step.want {
			t.Errorf("step %d: in use %q, want %q", i+1, m.inUse(), step.want)
		}
	}
	alone := NewModel(features, expressions)
	alone.features.ConsumableCapacity = false
	observe(alone, share("1", 10))
	if got := alone.inUse(); got != "gpu" {
		t.Errorf("with capacity that cannot be shared in use %q, want the device as a whole", got)
	}
}

// observe has a model see a claim, and lose has it see that one is gone.
func observe(m *Model, claim *resourceapi.ResourceClaim) (news bool) {
	return m.Observe(claim.Namespace, claim.Name, func() *resourceapi.ResourceClaim { return claim })
}

func lose(m *Model, claim *resourceapi.ResourceClaim) {
	m.Observe(claim.Namespace, claim.Name, func() *resourceapi.ResourceClaim { return nil })
}

// release has a model see that nothing is reserved for a claim.
func release(m *Model, uid types.UID) {
	m.Release(uid, func() *resourceapi.AllocationResult { return nil })
}
