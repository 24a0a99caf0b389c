package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-base/metrics/testutil"

	"plimsoll.dev/scheduler/pkg/metrics"
)

// fabricDriver publishes accelerators that are not in a node.
const fabricDriver = "fabric.example.com"

// accelerator publishes a pool of one device for the nodes of a rack.
func (c *cluster) accelerator(pool, rack string) {
	c.Helper()
	slice := &resourceapi.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: pool}, Spec: resourceapi.ResourceSliceSpec{Driver: fabricDriver,
		Pool: resourceapi.ResourcePool{Name: pool, ResourceSliceCount: 1, Generation: 1},
		NodeSelector: &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{MatchExpressions: []v1.NodeSelectorRequirement{
			{Key: "rack", Operator: v1.NodeSelectorOpIn, Values: []string{rack}}}}}},
		Devices: []resourceapi.Device{{Name: "accelerator"}}}}
	if _, err := c.client.ResourceV1().ResourceSlices().Create(c.Context(), slice, metav1.CreateOptions{}); err != nil {
		c.Fatal(err)
	}
}

// fabric adds a claim template for one accelerator, and one for a slice of a GPU as
// well.
func (c *cluster) fabric() {
	c.Helper()
	class := &resourceapi.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: fabricDriver}, Spec: resourceapi.DeviceClassSpec{Selectors: []resourceapi.DeviceSelector{
		{CEL: &resourceapi.CELDeviceSelector{Expression: fmt.Sprintf("device.driver == '%s'", fabricDriver)}}}}}
	if _, err := c.client.ResourceV1().DeviceClasses().Create(c.Context(), class, metav1.CreateOptions{}); err != nil {
		c.Fatal(err)
	}
	accelerator := resourceapi.DeviceRequest{Name: "accelerator", Exactly: &resourceapi.ExactDeviceRequest{DeviceClassName: fabricDriver}}
	both := oneSlice("1g.10gb")
	both.Devices.Requests = append(both.Devices.Requests, accelerator)
	for name, spec := range map[string]resourceapi.ResourceClaimSpec{
		"accelerator": {Devices: resourceapi.DeviceClaim{Requests: []resourceapi.DeviceRequest{accelerator}}}, "both": both,
	} {
		template := &resourceapi.ResourceClaimTemplate{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
			Spec: resourceapi.ResourceClaimTemplateSpec{Spec: spec}}
		if _, err := c.client.ResourceV1().ResourceClaimTemplates("default").Create(c.Context(), template, metav1.CreateOptions{}); err != nil {
			c.Fatal(err)
		}
	}
}

// TestDevicesThatNodesShareAreServedByTheModel: pods go where a free one is reached, with
// or without GPUs of the node's own, none is given twice, and the model tells.
func TestDevicesThatNodesShareAreServedByTheModel(t *testing.T) {
	const profile = "plimsoll-fabric"
	c := sliced(t, 1)
	c.fabric()
	for _, name := range []string{"bare-a1", "bare-a2", "bare-b"} {
		c.addNode(name)
	}
	for node, rack := range map[string]string{"gpu-01": "a", "bare-a1": "a", "bare-a2": "a", "bare-b": "b"} {
		c.label(node, "rack", rack)
	}
	for i := range 4 {
		c.accelerator(fmt.Sprintf("accelerator-a%d", i), "a")
	}
	c.schedule(strings.Replace(shippedProfile(t), "schedulerName: plimsoll", "schedulerName: "+profile, 1))
	pod := func(name, template string) *v1.Pod {
		out := claimant(name, template, "")
		out.Spec.SchedulerName = profile
		return out
	}
	c.submit(pod("both", "both"))
	if got := c.running("both")[0]; got != "gpu-01" {
		t.Errorf("a pod that wants a slice as well is on %s, want gpu-01", got)
	}
	c.submit(pod("one", "accelerator"), pod("two", "accelerator"), pod("three", "accelerator"))
	taken := map[string]bool{}
	for i, node := range c.running("one", "two", "three") {
		if !slices.Contains([]string{"bare-a1", "bare-a2"}, node) {
			t.Errorf("pod %d is on %s, want one of rack a without GPUs, which are spared", i, node)
		}
	}
	for _, name := range []string{"both", "one", "two", "three"} {
		for _, pool := range c.pools(name, fabricDriver) {
			if taken[pool] {
				t.Errorf("pool %s was given twice", pool)
			}
			taken[pool] = true
		}
	}
	if len(taken) != 4 {
		t.Errorf("pools %v are in use, want all four", taken)
	}
	c.submit(pod("late", "accelerator"), pod("late-both", "both"))
	c.pending("late", "too few free devices for request gpu/accelerator: 1 asked for, 0 of 4 free")
	c.pending("late-both", "too few free devices for request gpu/accelerator: 1 asked for, 0 of 4 free")
	c.leave("one")
	c.leave("both")
	c.running("late", "late-both")
	for by, want := range map[string]bool{"model": true, "allocator": false, "cluster": false} {
		n, err := testutil.GetCounterMetricValue(metrics.DeviceAnswers.WithLabelValues(profile, by))
		if err != nil || n > 0 != want {
			t.Errorf("%v attempts were answered by %s, %v; want any: %t", n, by, err, want)
		}
	}
	if n, err := testutil.GetCounterMetricValue(metrics.Disagreements.WithLabelValues(profile)); err != nil || n != 0 {
		t.Errorf("model and allocator disagreed %v times, %v", n, err)
	}
}

// pools are those of a driver that a pod's claims hold devices of.
func (c *cluster) pools(pod, driver string) []string {
	c.Helper()
	var out []string
	for _, status := range c.pod(pod).Status.ResourceClaimStatuses {
		claim, err := c.client.ResourceV1().ResourceClaims("default").Get(c.Context(), *status.ResourceClaimName, metav1.GetOptions{})
		if err != nil {
			c.Fatal(err)
		}
		for _, d := range claim.Status.Allocation.Devices.Results {
			if d.Driver == driver {
				out = append(out, d.Pool)
			}
		}
	}
	return out
}
