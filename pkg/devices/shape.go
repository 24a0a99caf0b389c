package devices

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	resourceapi "k8s.io/api/resource/v1"

	"plimsoll.dev/scheduler/pkg/gpus"
)

// Shape is what a pod asks of devices, compiled once and shared by all pods
// that ask for the same. It never changes.
type Shape struct {
	claims []claim
	limits Limits
	// sized: some request selects by capacity, so the smallest device that
	// suffices is the right one, whatever its place.
	sized bool
	// all: some request, if only as an alternative, asks for all devices.
	all bool
	// uniform: one request without alternatives or constraints, so that devices
	// in the same state are interchangeable.
	uniform bool
	// bare: some claim asks for nothing, which the allocator gives on any node.
	bare bool
	// distinct: some constraint wants devices to differ.
	distinct bool
	// opaque says why the model does not plan for it; "" if it does.
	opaque string

	asked uint64 // when, counted in questions

	// elsewhere marks selectors that pools which are not local serve, as of a
	// state of what is published; guarded by the model's lock.
	elsewhere   map[*selector]bool
	elsewhereAt uint64

	// models on which it can be served, as of a state of what is published;
	// guarded by the model's lock.
	models   []string
	modelsAt uint64
}

// Opaque says why the allocator is left to decide alone, "" if it is not.
func (s *Shape) Opaque() string { return s.opaque }

type claim struct {
	name        string
	requests    []request
	constraints []constraint
}

// request is one request of a claim: alternatives in the user's order, one if
// it has no subrequests.
type request struct {
	name         string
	bit          requests // itself
	alternatives []alternative
}

type alternative struct {
	name     string // of the subrequest, "" if there are none
	selector *selector
	count    int
	all      bool
}

// constraint ties the devices of some requests of a claim by an attribute.
type constraint struct {
	attribute string
	distinct  bool
	requests  map[string]bool // empty: all
}

func (c *constraint) covers(r *request, a *alternative) bool {
	return len(c.requests) == 0 || c.requests[r.name] || a.name != "" && c.requests[r.name+"/"+a.name]
}

// Limits is what a pod's annotations ask of its claims' GPUs besides what the
// claims say. Devices that publish no memory are no GPUs, and not judged.
type Limits struct {
	// Memory in bytes that each GPU, slice or share must have; 0 for any.
	Memory int64
	// Isolation lists the levels preferred, strongest first; nothing weaker than
	// the last is accepted. Empty for any.
	Isolation []gpus.Isolation
}

// none: there is nothing to judge.
func (l *Limits) none() bool { return l.Memory == 0 && len(l.Isolation) == 0 }

// place is a level's place in the preference: those listed first, then stronger
// ones that are not. It reports false for a level that is too weak.
func (l *Limits) place(level gpus.Isolation) (int64, bool) {
	if len(l.Isolation) == 0 {
		return 0, true
	}
	if at := slices.Index(l.Isolation, level); at >= 0 {
		return int64(at), true
	}
	return int64(len(l.Isolation)), level > l.Isolation[len(l.Isolation)-1]
}

// Ask is one claim to allocate.
type Ask struct {
	// Name is how the pod calls it; reasons repeat it.
	Name string
	Spec *resourceapi.ResourceClaimSpec
}

// ClassLister finds device classes; the scheduler's own lister is one.
type ClassLister interface {
	Get(name string) (*resourceapi.DeviceClass, error)
}

// maxSlots bounds the devices of one plan: beyond, the allocator decides alone.
const maxSlots = resourceapi.AllocationResultsMaxSize

// shapeKey identifies a shape: what is asked, and the classes as they are now.
func shapeKey(asks []Ask, limits Limits, classes ClassLister) (string, error) {
	var key strings.Builder
	fmt.Fprintf(&key, "%d %v\n", limits.Memory, limits.Isolation)
	encoder := json.NewEncoder(&key)
	for i := range asks {
		planned := *asks[i].Spec
		planned.Devices.Config = nil // the driver's business
		if err := encoder.Encode(planned); err != nil {
			return "", fmt.Errorf("encoding claim %s: %w", asks[i].Name, err)
		}
		key.WriteString(asks[i].Name)
		for j := range asks[i].Spec.Devices.Requests {
			r := &asks[i].Spec.Devices.Requests[j]
			names := make([]string, 0, 1)
			if r.Exactly != nil {
				names = append(names, r.Exactly.DeviceClassName)
			}
			for k := range r.FirstAvailable {
				names = append(names, r.FirstAvailable[k].DeviceClassName)
			}
			for _, name := range names {
				class, err := classes.Get(name)
				if err != nil {
					return "", fmt.Errorf("device class %s: %w", name, err)
				}
				fmt.Fprintf(&key, " %s/%s", class.UID, class.ResourceVersion)
			}
		}
	}
	return key.String(), nil
}

// errOpaque marks shapes that are valid but not planned for.
var errOpaque = errors.New("left to the allocator")

func (m *Model) compile(asks []Ask, limits Limits, classes ClassLister) (*Shape, error) {
	s := &Shape{limits: limits, sized: limits.Memory > 0}
	slots := 0
	for i := range asks {
		c, n, err := m.compileClaim(&asks[i], classes, s)
		if errors.Is(err, errOpaque) {
			s.opaque = err.Error()
			return s, nil
		}
		if err != nil {
			return nil, err
		}
		s.claims = append(s.claims, c)
		s.bare = s.bare || len(c.requests) == 0
		slots += n
	}
	if len(s.claims) == 1 && len(s.claims[0].requests) == 1 && len(s.claims[0].constraints) == 0 {
		s.uniform = len(s.claims[0].requests[0].alternatives) == 1
	}
	count := 0
	for i := range s.claims {
		for j := range s.claims[i].requests {
			s.claims[i].requests[j].bit = 1 << count
			count++
		}
	}
	if count > maxRequests {
		s.opaque = fmt.Sprintf("%d requests are more than are planned for", count)
	}
	if slots > maxSlots {
		s.opaque = fmt.Sprintf("%d devices are more than are planned for", slots)
	}
	return s, nil
}

func (m *Model) compileClaim(ask *Ask, classes ClassLister, s *Shape) (claim, int, error) {
	c := claim{name: ask.Name}
	slots := 0
	for i := range ask.Spec.Devices.Requests {
		spec := &ask.Spec.Devices.Requests[i]
		if len(spec.FirstAvailable) > 0 && !m.features.PrioritizedList {
			return c, 0, fmt.Errorf("claim %s, request %s: alternatives are switched off: %w", ask.Name, spec.Name, errOpaque)
		}
		r := request{name: spec.Name}
		most := 0
		for _, d := range details(spec) {
			a, err := m.compileAlternative(&d, classes, s)
			if err != nil {
				return c, 0, fmt.Errorf("claim %s, request %s: %w", ask.Name, spec.Name, err)
			}
			most = max(most, a.count)
			r.alternatives = append(r.alternatives, a)
		}
		if len(r.alternatives) == 0 {
			return c, 0, fmt.Errorf("claim %s, request %s: unknown request type: %w", ask.Name, spec.Name, errOpaque)
		}
		slots += most
		c.requests = append(c.requests, r)
	}
	for i := range ask.Spec.Devices.Constraints {
		spec := &ask.Spec.Devices.Constraints[i]
		k := constraint{requests: map[string]bool{}}
		switch {
		case m.features.ListTypeAttributes:
			return c, 0, fmt.Errorf("claim %s: attributes may be lists: %w", ask.Name, errOpaque)
		case spec.MatchAttribute != nil:
			k.attribute = string(*spec.MatchAttribute)
		case spec.DistinctAttribute != nil && !m.features.ConsumableCapacity:
			return c, 0, fmt.Errorf("claim %s: distinct attributes are switched off: %w", ask.Name, errOpaque)
		case spec.DistinctAttribute != nil:
			k.attribute, k.distinct = string(*spec.DistinctAttribute), true
			s.distinct = true
		default:
			return c, 0, fmt.Errorf("claim %s: unknown constraint type: %w", ask.Name, errOpaque)
		}
		for _, name := range spec.Requests {
			k.requests[name] = true
		}
		if c.tiesAll(&k) {
			return c, 0, fmt.Errorf("claim %s: %s tied over all devices: %w", ask.Name, k.attribute, errOpaque)
		}
		if k.distinct && !c.plainlyDistinct(&k) {
			return c, 0, fmt.Errorf("claim %s: distinct %s over several devices of a request: %w", ask.Name, k.attribute, errOpaque)
		}
		c.constraints = append(c.constraints, k)
	}
	return c, slots, nil
}

// tiesAll tells whether the constraint covers a request for all devices. The
// allocator gives up on the claim when one of them breaks it.
func (c *claim) tiesAll(k *constraint) bool {
	for i := range c.requests {
		r := &c.requests[i]
		for j := range r.alternatives {
			if r.alternatives[j].all && k.covers(r, &r.alternatives[j]) {
				return true
			}
		}
	}
	return false
}

// plainlyDistinct tells whether the allocator means what the constraint says.
// Of each request it remembers only the device it added last, so that with more
// than two devices the order decides which claims it accepts.
func (c *claim) plainlyDistinct(k *constraint) bool {
	covered, most := 0, 0
	for i := range c.requests {
		r := &c.requests[i]
		for j := range r.alternatives {
			a := &r.alternatives[j]
			if !k.covers(r, a) {
				continue
			}
			if len(r.alternatives) > 1 {
				return false
			}
			covered, most = covered+1, max(most, a.count)
		}
	}
	return most <= 1 || covered == 1 && most == 2
}

// detail is what exact requests and subrequests have in common.
type detail struct {
	name        string
	class       string
	selectors   []resourceapi.DeviceSelector
	mode        resourceapi.DeviceAllocationMode
	count       int64
	admin       bool
	tolerations []resourceapi.DeviceToleration
	capacity    *resourceapi.CapacityRequirements
}

func details(r *resourceapi.DeviceRequest) []detail {
	if e := r.Exactly; e != nil {
		return []detail{{"", e.DeviceClassName, e.Selectors, e.AllocationMode, e.Count,
			e.AdminAccess != nil && *e.AdminAccess, e.Tolerations, e.Capacity}}
	}
	var out []detail
	for i := range r.FirstAvailable {
		sub := &r.FirstAvailable[i]
		out = append(out, detail{sub.Name, sub.DeviceClassName, sub.Selectors, sub.AllocationMode, sub.Count,
			false, sub.Tolerations, sub.Capacity})
	}
	return out
}

func (m *Model) compileAlternative(d *detail, classes ClassLister, s *Shape) (alternative, error) {
	a := alternative{name: d.name}
	if d.admin {
		return a, fmt.Errorf("admin access: %w", errOpaque)
	}
	if d.capacity != nil && !m.features.ConsumableCapacity {
		return a, fmt.Errorf("requests of capacity are switched off: %w", errOpaque)
	}
	switch d.mode {
	case resourceapi.DeviceAllocationModeExactCount, "":
		if d.count < 0 || d.count > maxSlots {
			return a, fmt.Errorf("%d devices: %w", d.count, errOpaque)
		}
		a.count = max(1, int(d.count))
	case resourceapi.DeviceAllocationModeAll:
		a.all, s.all = true, true
	default:
		return a, fmt.Errorf("allocation mode %q: %w", d.mode, errOpaque)
	}
	class, err := classes.Get(d.class)
	if err != nil {
		return a, fmt.Errorf("device class %s: %w", d.class, err)
	}
	a.selector, err = m.selectorFor(d, class)
	if err != nil {
		return a, err
	}
	s.sized = s.sized || a.selector.sized
	return a, nil
}
