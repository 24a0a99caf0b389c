package explain

import (
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"pgregory.net/rapid"

	"plimsoll.dev/scheduler/internal/fleet"
	"plimsoll.dev/scheduler/internal/testkit"
)

func TestChangesToClaims(t *testing.T) {
	const nodes = "n-[1-2] cpu=4 memory=8Gi"
	exactly := func(c *resourceapi.ResourceClaim) *resourceapi.ExactDeviceRequest {
		return c.Spec.Devices.Requests[0].Exactly
	}
	tests := map[string]struct {
		world *world
		want  string
	}{
		"a claim that is allocated elsewhere": {&world{gpus: "n-[1-2] 1xA30", pods: "p cpu=1 claim=1g.6gb selector:kubernetes.io/hostname=n-2",
			editClaim: func(c *resourceapi.ResourceClaim) {
				c.Status.Allocation = &resourceapi.AllocationResult{NodeSelector: &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{
					MatchFields: []v1.NodeSelectorRequirement{{Key: "metadata.name", Operator: v1.NodeSelectorOpIn, Values: []string{"n-1"}}}}}},
					Devices: resourceapi.DeviceAllocationResult{Results: []resourceapi.DeviceRequestAllocationResult{
						{Request: "gpu", Driver: fleet.Driver, Pool: "n-1", Device: "gpu-0-mig-1g6gb-14-0"}}}}
			}}, "have claim gpu allocated anew: 1 n-2"},
		"devices that must be alike": {&world{gpus: "n-1 1xA30 \nn-2 1xA30", pods: "p cpu=1 claim=2x1g.6gb",
			editClaim: func(c *resourceapi.ResourceClaim) {
				name := resourceapi.FullyQualifiedName(fleet.Driver + "/nothing")
				c.Spec.Devices.Constraints = []resourceapi.DeviceConstraint{{MatchAttribute: &name}}
			}}, "drop the constraints of claim gpu: 2 n-1 n-2"},
		"all devices, of which some are taken": {&world{gpus: "n-1 1xA30", pods: "p cpu=1 claim=1g.6gb",
			editClaim: func(c *resourceapi.ResourceClaim) {
				exactly(c).AllocationMode, exactly(c).Count, exactly(c).Selectors = resourceapi.DeviceAllocationModeAll, 0, nil
			}}, "ask for 1 device instead of all in request gpu of claim gpu: 1 n-1"},
		"devices that are tainted": {&world{gpus: "n-1 1xA30", pods: "p cpu=1 claim=1g.6gb",
			editSlice: func(s *resourceapi.ResourceSlice) {
				for i := range s.Spec.Devices {
					s.Spec.Devices[i].Taints = []resourceapi.DeviceTaint{{Key: "broken", Effect: resourceapi.DeviceTaintEffectNoSchedule}}
				}
			}}, "tolerate all taints of devices in request gpu of claim gpu: 1 n-1"},
		"alternatives of which none is there": {&world{gpus: "n-1 1xA30", pods: "p cpu=1 claim=7g.80gb|3g.40gb"},
			"drop the selectors of all alternatives in request gpu of claim gpu: 1 n-1"},
		"another class": {&world{gpus: "n-1 1xH100-SHARED", pods: "p cpu=1 claim=1g.6gb", editClaim: func(c *resourceapi.ResourceClaim) { exactly(c).Selectors = nil }},
			"ask for class gpu.nvidia.com instead of mig.nvidia.com in request gpu of claim gpu: 1 n-1"},
		"a claim that is not there": {&world{pods: "p cpu=1", edit: func(p *v1.Pod) {
			name := "gone"
			p.Spec.ResourceClaims = []v1.PodResourceClaim{{Name: "gpu", ResourceClaimName: &name}}
		}}, "drop claim gpu: 2 n-1 n-2"},
		"the claims of a group": {&world{gpus: "n-[1-2] 1xA30", pods: "p-[1-2] cpu=1 claim=5x1g.6gb annotation:plimsoll.dev/{group=train,group-size=3}\np cpu=1 claim=5x1g.6gb annotation:plimsoll.dev/{group=train,group-size=3}"},
			"ask for 4 devices instead of 5 in request gpu of claim gpu in all 3 pods of its group: 2 n-1 n-2"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.world.nodes = nodes
			e := test.world.explain(t)
			if got := said(e.Changes); !slices.Contains(got, test.want) {
				t.Errorf("%q, want %q among them; lost %v, refused %v", got, test.want, e.Lost, e.Refused)
			}
		})
	}
}

func TestVolumesAndPagesAreChanges(t *testing.T) {
	w := &world{nodes: "n-1 cpu=4 memory=8Gi hugepages-2Mi=7Mi", pods: "p cpu=1", edit: func(p *v1.Pod) {
		p.Spec.Volumes = []v1.Volume{{Name: "data", VolumeSource: v1.VolumeSource{
			PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "gone"}}}}
	}}
	if got := said(w.explain(t).Changes); !slices.Contains(got, "drop volume data: 1 n-1") {
		t.Errorf("%q, want the volume dropped", got)
	}
	w = &world{nodes: w.nodes, pods: "p cpu=1 memory=1Mi hugepages-2Mi=12Mi"}
	if got := said(w.explain(t).Changes); !slices.Contains(got, "ask for hugepages-2Mi 6Mi instead of 12Mi: 1 n-1") {
		t.Errorf("%q, want whole pages", got)
	}
}

// TestLoweredRequestsKeepTheirProportion: a pod asks for no more than the target,
// and for less only by what rounding takes of each container.
func TestLoweredRequestsKeepTheirProportion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pod := &v1.Pod{}
		name := rapid.SampledFrom([]v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory, "example.com/nic"}).Draw(t, "resource")
		amount := rapid.Int64Range(0, 1<<50)
		for range rapid.IntRange(1, 4).Draw(t, "containers") {
			one := v1.Container{}
			one.Resources.Requests = v1.ResourceList{name: *resource.NewQuantity(amount.Draw(t, "amount")%(1<<40), resource.BinarySI)}
			one.Resources.Limits = one.Resources.Requests.DeepCopy()
			pod.Spec.Containers = append(pod.Spec.Containers, one)
		}
		before := pod.DeepCopy()
		total := requestsOf(pod)[name]
		target := *resource.NewQuantity(amount.Draw(t, "target")%(total.Value()+1), resource.BinarySI)
		lower(pod, name, target)
		after := requestsOf(pod)[name]
		if after.Cmp(target) > 0 || target.Value()-after.Value() > int64(len(pod.Spec.Containers)) {
			t.Errorf("%s of %s lowered to %s: asks for %s", total.String(), name, target.String(), after.String())
		}
		for i := range pod.Spec.Containers {
			is, was := pod.Spec.Containers[i].Resources, before.Spec.Containers[i].Resources.Requests[name]
			if q := is.Requests[name]; q.Cmp(was) > 0 || q.Cmp(is.Limits[name]) != 0 && name == "example.com/nic" {
				t.Errorf("container %d asks for %s, limit %v, before %s", i, q.String(), is.Limits, was.String())
			}
		}
	})
}

func TestARealPlacementIsPassedOn(t *testing.T) {
	w := &world{nodes: "n-1 cpu=4 memory=8Gi", pods: "p cpu=1"}
	var next Recorder
	w.recorder.Next = &next
	c := w.open(t, false)
	next.trying = true // it listens
	pods, err := testkit.Pods(w.pods)
	check(t, err)
	e, err := c.Evaluate(t.Context(), pods[0])
	check(t, err)
	check(t, c.Place(t.Context(), e, "n-1"))
	if len(next.heard) != 1 || next.heard[0].Plugin != "BinPack" {
		t.Errorf("heard %v, want what BinPack says", next.heard)
	}
}
