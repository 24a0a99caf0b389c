package devices

import (
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// consumed is what a request takes of a capacity under its request policy:
// what is asked, rounded up to what the policy allows; the policy's default,
// or all of it, if nothing is asked.
func consumed(requests map[resourceapi.QualifiedName]resource.Quantity, name resourceapi.QualifiedName, c *resourceapi.DeviceCapacity) resource.Quantity {
	asked, found := requests[name]
	policy := c.RequestPolicy
	switch {
	case !found && policy != nil && policy.Default != nil:
		return *policy.Default
	case !found:
		return c.Value
	case policy == nil:
		return asked
	case policy.ValidRange != nil && policy.ValidRange.Min != nil:
		return roundUp(asked, policy.ValidRange)
	}
	for _, valid := range policy.ValidValues {
		if asked.Cmp(valid) <= 0 {
			return valid
		}
	}
	return asked
}

func roundUp(asked resource.Quantity, r *resourceapi.CapacityRequestPolicyRange) resource.Quantity {
	if asked.Cmp(*r.Min) < 0 {
		return *r.Min
	}
	if r.Step == nil || r.Step.Value() <= 0 {
		return asked
	}
	least, step := r.Min.Value(), r.Step.Value()
	steps := (asked.Value() - least + step - 1) / step
	return *resource.NewQuantity(least+steps*step, resource.BinarySI)
}

// allowed tells whether a policy accepts the amount.
func allowed(v resource.Quantity, policy *resourceapi.CapacityRequestPolicy) bool {
	if policy == nil || policy.Default != nil && v.Cmp(*policy.Default) == 0 {
		return true
	}
	if r := policy.ValidRange; r != nil {
		if r.Max != nil && v.Cmp(*r.Max) > 0 {
			return false
		}
		if r.Step != nil && r.Min != nil && r.Step.Value() > 0 {
			return (v.Value()-r.Min.Value())%r.Step.Value() == 0
		}
		return true
	}
	if len(policy.ValidValues) == 0 {
		return true
	}
	for _, valid := range policy.ValidValues {
		if v.Cmp(valid) == 0 {
			return true
		}
	}
	return false
}
