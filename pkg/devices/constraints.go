package devices

import (
	resourceapi "k8s.io/api/resource/v1"
)

// constraintsHold checks the claim's constraints with a device added.
func (q *search) constraintsHold(i, device int) bool {
	s := &q.slots[i]
	c := &q.shape.claims[s.claim]
	for k := range c.constraints {
		constraint := &c.constraints[k]
		if !constraint.covers(&c.requests[s.request], q.alternativeOf(s)) {
			continue
		}
		value := q.attribute(s.pool, device, constraint.attribute)
		if value == nil {
			return false
		}
		for j := range i {
			other := &q.slots[j]
			if other.claim != s.claim || !constraint.covers(&c.requests[other.request], q.alternativeOf(other)) {
				continue
			}
			if equal(value, q.attribute(other.pool, q.chosen[j], constraint.attribute)) == constraint.distinct {
				return false
			}
		}
	}
	return true
}

func (q *search) attribute(pool, device int, name string) *resourceapi.DeviceAttribute {
	p := q.n.pools[pool]
	attributes := p.devices[device].spec.Attributes
	if a, found := attributes[resourceapi.QualifiedName(name)]; found {
		return &a
	}
	if len(name) > len(p.id.driver) && name[:len(p.id.driver)] == p.id.driver && name[len(p.id.driver)] == '/' {
		if a, found := attributes[resourceapi.QualifiedName(name[len(p.id.driver)+1:])]; found {
			return &a
		}
	}
	return nil
}

func equal(a, b *resourceapi.DeviceAttribute) bool {
	switch {
	case a == nil || b == nil:
		return false
	case a.StringValue != nil:
		return b.StringValue != nil && *a.StringValue == *b.StringValue
	case a.IntValue != nil:
		return b.IntValue != nil && *a.IntValue == *b.IntValue
	case a.BoolValue != nil:
		return b.BoolValue != nil && *a.BoolValue == *b.BoolValue
	case a.VersionValue != nil:
		return b.VersionValue != nil && *a.VersionValue == *b.VersionValue
	}
	return false
}
