package explain

import (
	"fmt"
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// mostClasses is how many other device classes are tried for a request.
const mostClasses = 10

// ofClaims lists the changes to what the pod claims.
func (t *trials) ofClaims() ([]*change, error) {
	classes, err := t.cluster.DeviceClasses()
	if err != nil {
		return nil, err
	}
	var out []*change
	for i := range t.pod.Spec.ResourceClaims {
		ref := &t.pod.Spec.ResourceClaims[i]
		c := claimed{name: ref.Name}
		out = append(out, c.change(always("drop claim %s", ref.Name), func(v *variant, _ int64) { v.dropClaim(ref.Name) }))
		claim, err := t.claimOf(t.pod, ref)
		if err != nil {
			return nil, err
		}
		switch {
		case claim == nil:
		case claim.Status.Allocation != nil:
			// Whatever else were changed, this would be changed as well.
			out = append(out, c.change(always("have claim %s allocated anew", ref.Name), func(v *variant, _ int64) { v.claim(ref.Name) }))
		default:
			out = append(out, c.ofSpec(&claim.Spec.Devices, classes)...)
		}
	}
	return out, nil
}

// claimed makes changes to one claim of the pod.
type claimed struct{ name string }

func (c claimed) change(words func(int64) string, edit func(*variant, int64)) *change {
	return &change{family: "claim " + c.name, mixed: true, words: words, edit: edit}
}

func (c claimed) ofSpec(spec *resourceapi.DeviceClaim, classes []string) []*change {
	var out []*change
	if len(spec.Constraints) > 0 {
		out = append(out, c.change(always("drop the constraints of claim %s", c.name), func(v *variant, _ int64) {
			if claim := v.claim(c.name); claim != nil {
				claim.Spec.Devices.Constraints = nil
			}
		}))
	}
	for i := range spec.Requests {
		r := requested{c, spec.Requests[i].Name}
		if exactly := spec.Requests[i].Exactly; exactly != nil {
			out = append(out, r.ofExactly(exactly, classes)...)
		} else {
			out = append(out, r.ofAlternatives(&spec.Requests[i])...)
		}
	}
	return out
}

// requested makes changes to one request of a claim.
type requested struct {
	claimed
	request string
}

// change edits the request, wherever a claim of that name has it.
func (r requested) change(words func(int64) string, edit func(*resourceapi.DeviceRequest, int64)) *change {
	in := fmt.Sprintf(" in request %s of claim %s", r.request, r.name)
	return r.claimed.change(func(amount int64) string { return words(amount) + in }, func(v *variant, amount int64) {
		claim := v.claim(r.name)
		if claim == nil {
			return
		}
		for i := range claim.Spec.Devices.Requests {
			if one := &claim.Spec.Devices.Requests[i]; one.Name == r.request {
				edit(one, amount)
			}
		}
	})
}

// exactly is change for a request without alternatives.
func (r requested) exactly(words func(int64) string, edit func(*resourceapi.ExactDeviceRequest, int64)) *change {
	return r.change(words, func(one *resourceapi.DeviceRequest, amount int64) {
		if one.Exactly != nil {
			edit(one.Exactly, amount)
		}
	})
}

func (r requested) ofExactly(e *resourceapi.ExactDeviceRequest, classes []string) []*change {
	var out []*change
	switch {
	case e.AllocationMode == resourceapi.DeviceAllocationModeAll:
		out = append(out, r.exactly(always("ask for 1 device instead of all"), func(e *resourceapi.ExactDeviceRequest, _ int64) {
			e.AllocationMode, e.Count = resourceapi.DeviceAllocationModeExactCount, 1
		}))
	case e.Count > 1:
		fewer := r.exactly(func(amount int64) string { return fmt.Sprintf("ask for %s instead of %d", devices(amount), e.Count) },
			func(e *resourceapi.ExactDeviceRequest, amount int64) { e.Count = min(e.Count, amount) })
		fewer.least, fewer.most = 1, e.Count-1
		out = append(out, fewer)
	}
	if len(e.Selectors) > 0 {
		out = append(out, r.exactly(always("drop the selectors"), func(e *resourceapi.ExactDeviceRequest, _ int64) { e.Selectors = nil }))
	}
	if e.Capacity != nil {
		for _, name := range slices.Sorted(maps.Keys(e.Capacity.Requests)) {
			if less := r.ofCapacity(name, e.Capacity.Requests[name]); less != nil {
				out = append(out, less)
			}
		}
	}
	tried := 0
	for _, class := range classes {
		if class == e.DeviceClassName || tried == mostClasses {
			continue
		}
		tried++
		out = append(out, r.exactly(always("ask for class %s instead of %s", class, e.DeviceClassName),
			func(e *resourceapi.ExactDeviceRequest, _ int64) { e.DeviceClassName = class }))
	}
	return append(out, r.exactly(always("tolerate all taints of devices"), func(e *resourceapi.ExactDeviceRequest, _ int64) {
		e.Tolerations = append(e.Tolerations, resourceapi.DeviceToleration{Operator: resourceapi.DeviceTolerationOpExists})
	}))
}

// ofCapacity asks for less of a device's capacity; nil if there is no less.
func (r requested) ofCapacity(name resourceapi.QualifiedName, asked resource.Quantity) *change {
	s := scale{step: 1, format: asked.Format}
	switch {
	case asked.Value() >= 64*mebibyte:
		s.step = mebibyte
	case asked.MilliValue()%1000 != 0:
		s.milli = true
	}
	if s.of(asked) < 2 {
		return nil
	}
	less := r.exactly(func(amount int64) string {
		return fmt.Sprintf("ask for %s instead of %s", amountOf(string(name), s.quantity(amount)), asked.String())
	}, func(e *resourceapi.ExactDeviceRequest, amount int64) {
		if e.Capacity == nil {
			return
		}
		if q, found := e.Capacity.Requests[name]; found && s.of(q) > amount {
			e.Capacity.Requests[name] = s.quantity(amount)
		}
	})
	less.least, less.most = 1, s.of(asked)-1
	return less
}

func (r requested) ofAlternatives(request *resourceapi.DeviceRequest) []*change {
	selects := slices.ContainsFunc(request.FirstAvailable, func(s resourceapi.DeviceSubRequest) bool { return len(s.Selectors) > 0 })
	if !selects {
		return nil
	}
	return []*change{r.change(always("drop the selectors of all alternatives"), func(one *resourceapi.DeviceRequest, _ int64) {
		for i := range one.FirstAvailable {
			one.FirstAvailable[i].Selectors = nil
		}
	})}
}

func devices(n int64) string {
	if n == 1 {
		return "1 device"
	}
	return fmt.Sprintf("%d devices", n)
}

// dropClaim drops a claim and what containers say of it.
func (v *variant) dropClaim(name string) {
	v.pod.Spec.ResourceClaims = slices.DeleteFunc(v.pod.Spec.ResourceClaims, func(c v1.PodResourceClaim) bool { return c.Name == name })
	eachContainer(v.pod, func(c *v1.Container) {
		c.Resources.Claims = slices.DeleteFunc(c.Resources.Claims, func(c v1.ResourceClaim) bool { return c.Name == name })
	})
}
