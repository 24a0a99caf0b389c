package devices

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
)

// selector is the part of a request that depends on a device alone: class and
// selectors, tolerations, and the capacity asked for. Shapes share it.
type selector struct {
	class       string
	ofClass     []resourceapi.DeviceSelector
	own         []resourceapi.DeviceSelector
	tolerations []resourceapi.DeviceToleration
	requests    map[resourceapi.QualifiedName]resource.Quantity
	sized       bool
	// reads is what the selectors look at, nil if that cannot be told; twins are
	// their answers for devices that are alike in that.
	reads reads
	twins map[string]twin
	// answers are those that were given of pools, by their traits.
	answers map[string]*match
}

// traits are what a selector finds of a device.
type traits uint8

const (
	ofClass  traits = 1 << iota // it is of the class
	selected                    // and the selectors accept it
	fits                        // and it has the capacity at all
	open                        // its taints are tolerated
)

// match is a selector's answer for each device of a pool. Pools of which the same is
// to be said share one: a cluster has thousands, and few kinds of them.
type match struct {
	traits []traits
	// shared is what an allocation takes of the shared devices' capacities; nil if
	// there are none.
	shared [][]int64
	// candidates are the devices that fit and are open.
	candidates []int
	// err is a CEL error on some device, or an amount that the model cannot hold: the
	// natural order decides whether the allocator meets it, so that order is kept.
	err error
}

func (a *match) is(device int, t traits) bool { return a.traits[device]&t == t }

// any tells whether some device has a trait.
func (a *match) any(t traits) bool {
	return slices.ContainsFunc(a.traits, func(has traits) bool { return has&t == t })
}

// needs is what an allocation takes of a shared device's capacities, in their order;
// nil for other devices.
func (a *match) needs(device int) []int64 {
	if a.shared == nil {
		return nil
	}
	return a.shared[device]
}

func (m *Model) selectorFor(d *detail, class *resourceapi.DeviceClass) (*selector, error) {
	for _, s := range d.selectors {
		if s.CEL == nil {
			return nil, fmt.Errorf("unknown selector type: %w", errOpaque)
		}
	}
	for _, s := range class.Spec.Selectors {
		if s.CEL == nil {
			return nil, fmt.Errorf("device class %s: unknown selector type: %w", class.Name, errOpaque)
		}
	}
	key, err := json.Marshal([]any{class.Name, class.UID, class.ResourceVersion, d.selectors, d.tolerations, d.capacity})
	if err != nil {
		return nil, fmt.Errorf("encoding request: %w", err)
	}
	if s := m.selectors[string(key)]; s != nil {
		return s, nil
	}
	s := &selector{class: class.Name, ofClass: class.Spec.Selectors, own: d.selectors, tolerations: d.tolerations}
	if d.capacity != nil {
		s.requests = d.capacity.Requests
	}
	s.reads, s.twins, s.answers = reads{}, map[string]twin{}, map[string]*match{}
	for _, one := range append(slices.Clone(class.Spec.Selectors), d.selectors...) {
		s.sized = s.sized || strings.Contains(one.CEL.Expression, "device.capacity[")
		compiled := m.cel.GetOrCompile(one.CEL.Expression)
		if s.reads != nil && (compiled.Error != nil || !s.reads.add(compiled.Environment, one.CEL.Expression)) {
			s.reads = nil
		}
	}
	m.selectors[string(key)] = s
	return s, nil
}

// match answers from the pool's cache.
func (m *Model) match(p *pool, s *selector) *match {
	if known := p.matches[s]; known != nil {
		return known
	}
	m.budget -= 4 * len(p.devices) // telling which are alike
	answer := m.evaluate(p, s)
	p.matches[s] = answer
	return answer
}

func (m *Model) evaluate(p *pool, s *selector) *match {
	out := &match{traits: make([]traits, len(p.devices))}
	for i := range p.devices {
		d := &p.devices[i]
		if len(d.spec.BindingConditions) > 0 && !m.features.DeviceBindingAndStatus {
			continue
		}
		t := m.judge(p, d, s)
		if out.err = firstError(out.err, t.err); t.ofClass {
			out.traits[i] |= ofClass
		}
		if !t.selected {
			continue
		}
		needs, fit, err := m.needs(d, s)
		out.err = firstError(out.err, err)
		out.traits[i] |= selected
		if fit {
			out.traits[i] |= fits
		}
		if !m.features.DeviceTaints || tolerated(d.spec.Taints, s.tolerations) {
			out.traits[i] |= open
		}
		if out.is(i, fits|open) {
			out.candidates = append(out.candidates, i)
		}
		if needs != nil {
			if out.shared == nil {
				out.shared = make([][]int64, len(p.devices))
			}
			out.shared[i] = needs
		}
	}
	return s.intern(out)
}

// intern returns the answer that was given before of another pool, if it is the same.
// Amounts are of the pool's own devices.
func (s *selector) intern(a *match) *match {
	if a.err != nil || a.shared != nil {
		return a
	}
	raw := make([]byte, len(a.traits))
	for i, t := range a.traits {
		raw[i] = byte(t)
	}
	key := string(raw)
	if known := s.answers[key]; known != nil {
		return known
	}
	if len(s.answers) >= maxTwins {
		clear(s.answers)
	}
	a.candidates = slices.Clip(a.candidates)
	s.answers[key] = a
	return a
}

// maxTwins bounds what a selector remembers: beyond, it begins anew.
const maxTwins = 4096

// judge evaluates the selectors on a device, or remembers what they said of one
// that is alike.
func (m *Model) judge(p *pool, d *device, s *selector) twin {
	key, alike := "", false
	if s.reads != nil {
		key, alike = s.reads.keyOf(p.id.driver, d.spec)
	}
	if alike {
		if known, found := s.twins[key]; found {
			return known
		}
	}
	m.budget -= costOfMatch
	var t twin
	if t.ofClass, t.err = m.accepts(p, d, s.ofClass); t.err == nil && t.ofClass {
		t.selected, t.err = m.accepts(p, d, s.own)
	}
	if alike {
		if len(s.twins) >= maxTwins {
			clear(s.twins)
		}
		s.twins[key] = t
	}
	return t
}

func firstError(known, err error) error {
	if known != nil {
		return known
	}
	return err
}

func (m *Model) accepts(p *pool, d *device, selectors []resourceapi.DeviceSelector) (bool, error) {
	shareable := d.spec.AllowMultipleAllocations
	if f := &m.features; !f.ConsumableCapacity && !f.DeviceBindingAndStatus && !f.ListTypeAttributes {
		shareable = nil // the oldest in-tree allocator, which serves then, does not say so
	}
	for i := range selectors {
		compiled := m.cel.GetOrCompile(selectors[i].CEL.Expression)
		if compiled.Error != nil {
			return false, fmt.Errorf("compiling selector %d: %w", i, compiled.Error)
		}
		ok, _, err := compiled.DeviceMatches(context.Background(), cel.Device{
			Driver: p.id.driver, AllowMultipleAllocations: shareable,
			Attributes: d.spec.Attributes, Capacity: d.spec.Capacity})
		if err != nil {
			return false, fmt.Errorf("evaluating selector %d: %w", i, err)
		}
		if !ok {
			return false, nil
		}
	}
	return true, nil
}

func tolerated(taints []resourceapi.DeviceTaint, tolerations []resourceapi.DeviceToleration) bool {
taints:
	for _, taint := range taints {
		switch taint.Effect {
		case resourceapi.DeviceTaintEffectNoExecute, resourceapi.DeviceTaintEffectNoSchedule:
			for _, toleration := range tolerations {
				if resourceclaim.ToleratesTaint(toleration, taint) {
					continue taints
				}
			}
			return false
		}
	}
	return true
}

// needs is what the request takes of the device's capacities. It reports false
// if the device does not have that much, or its policy does not allow it, and an
// error if thousandths cannot hold it.
func (m *Model) needs(d *device, s *selector) ([]int64, bool, error) {
	if !m.features.ConsumableCapacity {
		return nil, true, nil
	}
	for name := range s.requests {
		if _, found := d.spec.Capacity[name]; !found {
			return nil, false, nil
		}
	}
	var out []int64
	if d.multi {
		out = make([]int64, len(d.capacities))
	}
	for name, c := range d.spec.Capacity {
		v := consumed(s.requests, name, &c)
		if !allowed(v, c.RequestPolicy) || v.Cmp(c.Value) > 0 {
			return nil, false, nil
		}
		for i := range d.capacities {
			if d.capacities[i].name != name {
				continue
			}
			amount, exact := milli(v)
			if !exact {
				return nil, false, fmt.Errorf("device %q gives an amount of %s that thousandths cannot hold: %w", d.spec.Name, name, errOpaque)
			}
			out[i] = amount
		}
	}
	return out, true, nil
}
