package devices

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/dynamic-resource-allocation/structured"

	"plimsoll.dev/scheduler/pkg/mig"
)

// pool is what one driver offers on one node, as far as the model understands
// it. What follows from the ResourceSlices is fixed; what is allocated changes.
type pool struct {
	id   poolID
	node string
	// selection are the nodes that share it, nil if it is one node's own.
	selection *selection
	// slices are those of the newest generation, by name: the allocator's order.
	slices []*resourceapi.ResourceSlice
	// unusable says why the allocator takes nothing from this pool: it is
	// incomplete or invalid. opaque says what of it the model cannot hold exactly,
	// so that the allocator decides alone. "" if all is well.
	unusable, opaque string
	// late: the allocator looks at pools with binding conditions after all others.
	late bool

	devices []device
	// first is the first slice with devices: chosen devices are moved to its top.
	first int
	// total and free hold the counters of all sets, in thousandths.
	total, free []int64
	counters    []string
	gpus        []gpu
	// overdrawn: some counter is below zero. The allocator then refuses every
	// device of the pool that consumes counters.
	overdrawn bool
	// misshared: a device is in use as one that claims share, and is not published
	// as one any more. What is left of it depends on which capacities it has now.
	misshared bool

	matches map[*selector]*match
	dirty   bool
}

type poolID struct{ driver, name string }

func (p poolID) compare(q poolID) int {
	return cmp.Or(strings.Compare(p.driver, q.driver), strings.Compare(p.name, q.name))
}

// device is one entry of a ResourceSlice.
type device struct {
	id    structured.DeviceID
	spec  *resourceapi.Device
	slice int // index into pool.slices
	gpu   int // index into pool.gpus
	// takes is what it consumes of the pool's counters.
	takes []take
	// mask is its place on its GPU's grid, 0 without one.
	mask mig.Mask
	// partition: it is a part of a GPU.
	partition bool
	// memory in bytes, 0 if it publishes none.
	memory int64
	// extra is what it takes of the counters besides the grid, as the sum of its
	// shares in millionths: an instance with media engines has more of it.
	extra int64
	// multi: it may be allocated to several claims, by capacity.
	multi      bool
	capacities []capacity

	allocated bool // to one claim alone
	shared    bool // to at least one claim of several
	// measured: something is counted of what those claims take. Only then does the
	// allocator leave the counters out when one more claim comes.
	measured bool
}

type take struct {
	counter int
	milli   int64
}

// capacity of a device, in thousandths.
type capacity struct {
	name  resourceapi.QualifiedName
	total int64
	used  int64
}

func (d *device) inUse() bool { return d.allocated || d.shared }

// buildPool reads the slices of one pool, which are all of the same generation.
func buildPool(id poolID, node string, published []*resourceapi.ResourceSlice, features *structured.Features, kinds map[string]*kind) *pool {
	p := &pool{id: id, node: node, slices: slices.Clone(published), first: -1, matches: map[*selector]*match{}, dirty: true}
	slices.SortFunc(p.slices, func(a, b *resourceapi.ResourceSlice) int { return strings.Compare(a.Name, b.Name) })
	if !features.PartitionableDevices && slices.ContainsFunc(p.slices, counts) {
		p.opaque = "partitionable devices are switched off"
		return p
	}
	want := p.slices[0].Spec.Pool.ResourceSliceCount
	if slices.ContainsFunc(p.slices, func(s *resourceapi.ResourceSlice) bool { return s.Spec.Pool.ResourceSliceCount != want }) {
		// The allocator believes the one it happens to come upon first, which planning
		// decides.
		p.opaque = "slices that disagree on how many there are"
		return p
	}
	if int64(len(p.slices)) != want {
		p.unusable = fmt.Sprintf("it has %d of %d slices", len(p.slices), want)
		return p
	}
	sets, err := p.readCounters()
	if err == nil {
		err = p.readDevices(sets, features)
	}
	switch {
	case errors.Is(err, errOpaque):
		p.opaque, p.devices = err.Error(), nil
		return p
	case err != nil:
		p.unusable, p.devices = err.Error(), nil
		return p
	}
	p.groupGPUs(sets, kinds)
	return p
}

// counts tells whether a slice has counters, or devices that take of some.
func counts(s *resourceapi.ResourceSlice) bool {
	if len(s.Spec.SharedCounters) > 0 {
		return true
	}
	for i := range s.Spec.Devices {
		if len(s.Spec.Devices[i].ConsumesCounters) > 0 {
			return true
		}
	}
	return false
}

// namedTwice tells whether a name stands for two values, once with the driver as its
// domain and once without. Which of them an expression sees is left to chance.
func namedTwice[V any](driver string, values map[resourceapi.QualifiedName]V) bool {
	for name := range values {
		domain, id, qualified := strings.Cut(string(name), "/")
		if !qualified || domain != driver {
			continue
		}
		if _, both := values[resourceapi.QualifiedName(id)]; both {
			return true
		}
	}
	return false
}

// counterSet is where a set's counters lie in the pool's arrays.
type counterSet struct {
	name  string
	first int
	index map[string]int
}

func (p *pool) readCounters() (map[string]*counterSet, error) {
	sets := map[string]*counterSet{}
	for _, s := range p.slices {
		for i := range s.Spec.SharedCounters {
			published := &s.Spec.SharedCounters[i]
			if sets[published.Name] != nil {
				return nil, fmt.Errorf("counter set %q is published twice", published.Name)
			}
			set := &counterSet{name: published.Name, first: len(p.total), index: map[string]int{}}
			sets[published.Name] = set
			names := make([]string, 0, len(published.Counters))
			for name := range published.Counters {
				names = append(names, name)
			}
			slices.Sort(names)
			for _, name := range names {
				v, exact := milli(published.Counters[name].Value)
				if !exact {
					return nil, fmt.Errorf("counter %s of set %q has an amount that thousandths cannot hold: %w", name, published.Name, errOpaque)
				}
				set.index[name] = len(p.total)
				p.total = append(p.total, v)
				p.counters = append(p.counters, name)
			}
		}
	}
	p.free = slices.Clone(p.total)
	return sets, nil
}

func (p *pool) readDevices(sets map[string]*counterSet, features *structured.Features) error {
	seen := map[string]bool{}
	for i, s := range p.slices {
		if len(s.Spec.SharedCounters) > 0 {
			continue
		}
		if p.first < 0 {
			p.first = i
		}
		for j := range s.Spec.Devices {
			spec := &s.Spec.Devices[j]
			if seen[spec.Name] {
				return fmt.Errorf("device %q is published twice", spec.Name)
			}
			seen[spec.Name] = true
			if namedTwice(p.id.driver, spec.Attributes) || namedTwice(p.id.driver, spec.Capacity) {
				return fmt.Errorf("device %q names an attribute or capacity with and without its driver: %w", spec.Name, errOpaque)
			}
			d := device{id: structured.MakeDeviceID(p.id.driver, p.id.name, spec.Name), spec: spec, slice: i, gpu: -1,
				multi: features.ConsumableCapacity && spec.AllowMultipleAllocations != nil && *spec.AllowMultipleAllocations}
			if err := d.readTakes(sets); err != nil {
				return err
			}
			if err := d.readCapacities(); err != nil {
				return err
			}
			p.late = p.late || spec.BindingConditions != nil
			p.devices = append(p.devices, d)
		}
	}
	return nil
}

func (d *device) readTakes(sets map[string]*counterSet) error {
	for i := range d.spec.ConsumesCounters {
		consumes := &d.spec.ConsumesCounters[i]
		set := sets[consumes.CounterSet]
		if set == nil {
			return fmt.Errorf("device %q consumes counter set %q, which is not published", d.spec.Name, consumes.CounterSet)
		}
		for name, c := range consumes.Counters {
			at, found := set.index[name]
			if !found {
				return fmt.Errorf("device %q consumes counter %s, which set %q does not have", d.spec.Name, name, set.name)
			}
			v, exact := milli(c.Value)
			if !exact || v < 0 {
				return fmt.Errorf("device %q consumes an amount of %s that thousandths cannot hold: %w", d.spec.Name, name, errOpaque)
			}
			d.takes = append(d.takes, take{at, v})
		}
	}
	slices.SortFunc(d.takes, func(a, b take) int { return cmp.Compare(a.counter, b.counter) })
	return nil
}

// memoryNames are what drivers call a GPU's memory, without their domain.
var memoryNames = []string{"memory", "vram"}

func (d *device) readCapacities() error {
	for name, c := range d.spec.Capacity {
		v, exact := milli(c.Value)
		if !exact {
			return fmt.Errorf("device %q has an amount of %s that thousandths cannot hold: %w", d.spec.Name, name, errOpaque)
		}
		if slices.Contains(memoryNames, bare(name)) {
			d.memory = max(0, v/1000)
		}
		if d.multi {
			d.capacities = append(d.capacities, capacity{name: name, total: v})
		}
	}
	slices.SortFunc(d.capacities, func(a, b capacity) int { return cmp.Compare(a.name, b.name) })
	return nil
}

// bare is a qualified name without its domain.
func bare(name resourceapi.QualifiedName) string {
	return string(name[strings.LastIndexByte(string(name), '/')+1:])
}

// settle recomputes what is free from what is allocated. Walking all devices
// makes the result independent of the order in which they were allocated.
func (p *pool) settle() {
	copy(p.free, p.total)
	for i := range p.gpus {
		p.gpus[i].used, p.gpus[i].busy = 0, 0
	}
	p.misshared = false
	for i := range p.devices {
		d := &p.devices[i]
		if !d.inUse() {
			continue
		}
		p.misshared = p.misshared || d.shared && !d.multi
		for _, t := range d.takes {
			p.free[t.counter] -= t.milli
		}
		if d.gpu >= 0 {
			g := &p.gpus[d.gpu]
			g.used |= d.mask
			g.busy += g.weigh(d)
		}
	}
	p.overdrawn = slices.ContainsFunc(p.free, func(v int64) bool { return v < 0 })
	p.dirty = false
}
