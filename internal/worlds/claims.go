package worlds

import (
	"fmt"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

const ofGPU = `device.attributes["gpu.example.com"]`

// safeSelectors hold or do not hold on any device; those that fail at run time
// where a device has no such attribute are in failingSelectors.
func safeSelectors() []string {
	return []string{
		`"profile" in ` + ofGPU + ` && ` + ofGPU + `.profile.startsWith("1g")`,
		`"profile" in ` + ofGPU + ` && ` + ofGPU + `.profile.startsWith("1g")`,
		`"profile" in ` + ofGPU + ` && ` + ofGPU + `.profile.startsWith("2g")`,
		`"profile" in ` + ofGPU + ` && ` + ofGPU + `.profile.startsWith("4g")`,
		`"memory" in device.capacity["gpu.example.com"] && device.capacity["gpu.example.com"].memory.compareTo(quantity("10Gi")) >= 0`,
		`"memory" in device.capacity["gpu.example.com"] && device.capacity["gpu.example.com"].memory.compareTo(quantity("30Gi")) >= 0`,
		`device.driver != "nic.example.com"`,
		`device.allowMultipleAllocations`,
		`has(` + ofGPU + `.uuid) || has(` + ofGPU + `.parentUUID)`,
		ofGPU + `.?profile.orValue("") == "1g.10gb"`,
		`cel.bind(a, ` + ofGPU + `, "profile" in a && a.profile.endsWith("+me"))`,
		`size(` + ofGPU + `) > 2`,
		ofGPU + `.all(name, name != "profile")`,
		`"numa" in device.attributes["testing.example.com"] && type(device.attributes["testing.example.com"].numa) == int && device.attributes["testing.example.com"].numa == 1`,
	}
}

func failingSelectors() []string {
	return []string{
		ofGPU + `.profile == "1g.10gb"`,
		ofGPU + `.profile.startsWith("2g")`,
		ofGPU + `.parentUUID == "GPU-0"`,
		`device.capacity["gpu.example.com"].memory.compareTo(quantity("20Gi")) >= 0`,
		`device.attributes["testing.example.com"].numa == 0`,
		`device.attributes[device.driver].type == "gpu"`,
		`device.capacity["gpu.example.com"].shares.compareTo(quantity("2")) >= 0`,
	}
}

func (w *draw) selector() string {
	switch {
	case w.IntN(100) < w.failing:
		return of(w, failingSelectors()...)
	case w.one(4):
		return of(w, safeSelectors()...)
	}
	return ""
}

func (w *draw) claim(i int) *resourceapi.ResourceClaim {
	name := fmt.Sprintf("claim-%d", i)
	c := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns", UID: types.UID(name)}}
	requests := 1 + w.IntN(6)/4 + w.IntN(12)/11
	if w.one(100) {
		requests = 0 // asks for nothing, and gets it anywhere
	}
	for r := range requests {
		request := resourceapi.DeviceRequest{Name: fmt.Sprintf("r%d", r)}
		if w.one(4) {
			for k := range 1 + w.IntN(3) {
				e := w.exact()
				request.FirstAvailable = append(request.FirstAvailable, resourceapi.DeviceSubRequest{Name: fmt.Sprintf("s%d", k),
					DeviceClassName: e.DeviceClassName, Selectors: e.Selectors, AllocationMode: e.AllocationMode, Count: e.Count, Tolerations: e.Tolerations, Capacity: e.Capacity})
			}
		} else {
			request.Exactly = w.exact()
			if w.one(100) {
				request.Exactly.AdminAccess = ptr.To(!w.one(4))
			}
		}
		c.Spec.Devices.Requests = append(c.Spec.Devices.Requests, request)
	}
	for range min(requests, w.IntN(7)/6*(1+w.IntN(4)/3)) {
		c.Spec.Devices.Constraints = append(c.Spec.Devices.Constraints, w.constraint(c))
	}
	return c
}

func (w *draw) constraint(c *resourceapi.ResourceClaim) resourceapi.DeviceConstraint {
	name := of(w, resourceapi.FullyQualifiedName("gpu.example.com/parentUUID"), numaAttribute, numaAttribute, "gpu.example.com/profile", "gpu.example.com/type")
	var out resourceapi.DeviceConstraint
	// The feature that shares devices also brought distinct attributes.
	if w.one(6) && (w.Features.ConsumableCapacity || w.one(10)) {
		out.DistinctAttribute = &name
	} else {
		out.MatchAttribute = &name
	}
	if w.one(2) {
		r := of(w, c.Spec.Devices.Requests...)
		out.Requests = []string{r.Name}
		if len(r.FirstAvailable) > 0 && w.one(2) {
			out.Requests[0] += "/" + of(w, r.FirstAvailable...).Name
		}
	}
	return out
}

func (w *draw) exact() *resourceapi.ExactDeviceRequest {
	e := &resourceapi.ExactDeviceRequest{DeviceClassName: of(w, "any", "any", "any", "any", "any", "any", "gpu", "gpu", "gpu", "mig", "mig", "nic"),
		AllocationMode: resourceapi.DeviceAllocationModeExactCount,
		Count:          int64(1 + w.IntN(6)/5 + w.IntN(20)/19), Selectors: selectors(w.selector())}
	if w.one(14) {
		e.AllocationMode, e.Count = resourceapi.DeviceAllocationModeAll, 0
	} else if w.one(200) {
		e.Count = int64(30 + w.IntN(6))
	}
	if w.one(4) {
		e.Tolerations = append(e.Tolerations, resourceapi.DeviceToleration{Key: of(w, "xid", "xid", "upgrade", ""), Operator: resourceapi.DeviceTolerationOpExists,
			Effect: of(w, "", "", resourceapi.DeviceTaintEffectNoSchedule)})
	}
	if w.one(20) {
		e.Tolerations = append(e.Tolerations, resourceapi.DeviceToleration{Key: "xid", Operator: resourceapi.DeviceTolerationOpEqual, Value: of(w, "", "79")})
	}
	if w.one(6) && (w.Features.ConsumableCapacity || w.one(10)) {
		e.Capacity = &resourceapi.CapacityRequirements{Requests: map[resourceapi.QualifiedName]resource.Quantity{
			of(w, resourceapi.QualifiedName("memory"), "memory", "memory", "shares", "missing"): quantity(of(w, "1Gi", "10Gi", "15Gi", "20Gi", "50Gi", "1500M", "2", "1"))}}
	}
	return e
}
