package openb

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/dynamic-resource-allocation/cel"
)

func TestANodePublishesItsGPUs(t *testing.T) {
	n := Node{"openb-node-0001", 64000, 262144, 2, "P100"}
	node, published := n.Objects()
	for name, want := range map[v1.ResourceName]int64{v1.ResourceCPU: 64, v1.ResourceMemory: 256 << 30, v1.ResourcePods: 1024} {
		if got := node.Status.Allocatable[name]; got.Value() != want {
			t.Errorf("%s: %v, want %d", name, &got, want)
		}
	}
	if node.Labels["nvidia.com/gpu.product"] != "P100" || node.Labels["nvidia.com/gpu.count"] != "2" {
		t.Errorf("labels %v", node.Labels)
	}
	if *published.Spec.NodeName != n.Name || published.Spec.Pool.ResourceSliceCount != 1 || len(published.Spec.Devices) != 2 {
		t.Errorf("published %+v", published.Spec)
	}
	for i, d := range published.Spec.Devices {
		milli := d.Capacity[capacityMilli]
		r := milli.RequestPolicy.ValidRange
		got := fmt.Sprint(d.Name, *d.AllowMultipleAllocations, *d.Attributes["model"].StringValue, *d.Attributes["productName"].StringValue,
			milli.Value.Value(), milli.RequestPolicy.Default.Value(), r.Min.Value(), r.Max.Value(), r.Step.Value())
		if want := fmt.Sprint(fmt.Sprintf("gpu-%d", i), true, "P100", "P100", 1000, 1000, 1, 1000, 1); got != want {
			t.Errorf("device %s, want %s", got, want)
		}
	}
	if _, published := (&Node{"n", 1, 1, 0, ""}).Objects(); published != nil {
		t.Errorf("a node without GPUs publishes %v", published)
	}
}

func TestAPodAsksForWhatTheTraceSays(t *testing.T) {
	for _, c := range []struct {
		name string
		pod  Pod
		want string
	}{
		{"CPU only", Pod{CPUMilli: 8000, MemoryMiB: 1024}, "8/1Gi"},
		{"part of a GPU", Pod{CPUMilli: 3152, MemoryMiB: 512, GPUs: 1, GPUMilli: 810}, "3152m/512Mi, 1 x 810 of gpu.openb.example"},
		{"eight of a choice of models", Pod{CPUMilli: 64200, MemoryMiB: 2048, GPUs: 8, GPUMilli: 1000, Models: []string{"T4", "P100"}},
			`64200m/2Gi, 8 x 1k of gpu.openb.example if device.attributes["gpu.openb.example"].model in ["T4", "P100"]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			pod, claim := c.pod.Objects("p-1", "sched")
			requests := pod.Spec.Containers[0].Resources.Requests
			got := fmt.Sprintf("%v/%v", requests.Cpu(), requests.Memory())
			if (claim != nil) != (len(pod.Spec.ResourceClaims) == 1) || pod.Spec.SchedulerName != "sched" {
				t.Fatalf("pod %v, claim %v", pod.Spec, claim)
			}
			if claim != nil {
				e := claim.Spec.Devices.Requests[0].Exactly
				milli := e.Capacity.Requests[capacityMilli]
				got += fmt.Sprintf(", %d x %v of %s", e.Count, &milli, e.DeviceClassName)
				if *pod.Spec.ResourceClaims[0].ResourceClaimName != claim.Name || claim.Namespace != pod.Namespace {
					t.Errorf("pod %s/%s names %q, its claim is %s/%s", pod.Namespace, pod.Name, *pod.Spec.ResourceClaims[0].ResourceClaimName, claim.Namespace, claim.Name)
				}
				for _, s := range e.Selectors {
					got += " if " + s.CEL.Expression
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestSelectorsChooseTheModels has the expressions evaluated as the scheduler does.
func TestSelectorsChooseTheModels(t *testing.T) {
	matches := func(expression string, d *resourceapi.Device) bool {
		compiled := cel.GetCompiler(cel.Features{EnableConsumableCapacity: true}).CompileCELExpression(expression, cel.Options{})
		if compiled.Error != nil {
			t.Fatal(compiled.Error)
		}
		ok, _, err := compiled.DeviceMatches(t.Context(), cel.Device{Driver: Driver, Attributes: d.Attributes, Capacity: d.Capacity, AllowMultipleAllocations: d.AllowMultipleAllocations})
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	_, claim := (&Pod{GPUs: 1, GPUMilli: 1, Models: []string{"T4", "V100M32"}}).Objects("p", "s")
	selector := claim.Spec.Devices.Requests[0].Exactly.Selectors[0].CEL.Expression
	for model, want := range map[string]bool{"T4": true, "V100M32": true, "V100M16": false, "T": false} {
		n := Node{"n", 1, 1, 1, model}
		d := n.device(0)
		if got := matches(selector, &d); got != want {
			t.Errorf("%s of %s: %v, want %v", selector, model, got, want)
		}
		if !matches(DeviceClass().Spec.Selectors[0].CEL.Expression, &d) {
			t.Errorf("the class does not choose a %s", model)
		}
	}
}

func TestAClusterIsAllOfIt(t *testing.T) {
	counts := map[string]int{}
	for _, o := range Cluster([]Node{{"a", 1, 1, 1, "T4"}, {"b", 1, 1, 0, ""}}) {
		counts[fmt.Sprintf("%T", o)]++
	}
	want := map[string]int{"*v1.Node": 2, "*v1.ResourceSlice": 1, "*v1.DeviceClass": 1}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
