package devices

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	resourceapi "k8s.io/api/resource/v1"

	"plimsoll.dev/scheduler/pkg/mig"
)

// gpu is one physical device: all entries of a pool that share its counters, or
// name the same parent, or a device of its own.
type gpu struct {
	// kind is its grid; nil if its counters show none.
	kind  *kind
	cells int // memory slices of the grid
	// first and counters are where its counters lie in the pool's.
	first, counters int
	members         []int
	model           string
	// whole is what all of it weighs, see weigh.
	whole int64

	used mig.Mask
	busy int64
}

// kind is what GPUs of one sort have in common.
type kind struct {
	geometry *mig.Geometry
}

// weigh is how much of its GPU a device is: grid cells, else memory, else one.
func (g *gpu) weigh(d *device) int64 {
	switch {
	case g.kind != nil:
		return int64(d.mask.Count())
	case d.multi:
		return 0 // by capacity, see fullness
	case d.memory > 0:
		return d.memory
	}
	return 1
}

// groupGPUs finds the GPUs behind a pool's devices.
func (p *pool) groupGPUs(sets map[string]*counterSet, kinds map[string]*kind) {
	bySet := map[string]int{}
	byParent := map[string]int{}
	for i := range p.devices {
		d := &p.devices[i]
		var groups map[string]int
		var key string
		switch {
		case len(d.spec.ConsumesCounters) == 1:
			groups, key = bySet, d.spec.ConsumesCounters[0].CounterSet
		case len(d.spec.ConsumesCounters) == 0:
			groups, key = byParent, parent(d)
		default:
			continue // straddles sets: no single GPU
		}
		at, found := groups[key]
		if !found || key == "" {
			at = len(p.gpus)
			p.gpus = append(p.gpus, gpu{})
			groups[key] = at
		}
		d.gpu = at
		g := &p.gpus[at]
		g.members = append(g.members, i)
		g.model = cmp.Or(g.model, modelOf(d))
	}
	for name, at := range bySet {
		p.gpus[at].first, p.gpus[at].counters = sets[name].first, len(sets[name].index)
		p.readGrid(&p.gpus[at], sets[name], kinds)
	}
	for i := range p.gpus {
		g := &p.gpus[i]
		g.whole = p.weighWhole(g)
		for _, m := range g.members {
			d := &p.devices[m]
			d.partition = parent(d) != "" || d.mask != 0 && d.mask.Count() < g.cells
		}
	}
}

func (p *pool) weighWhole(g *gpu) int64 {
	if g.kind != nil {
		return int64(g.cells)
	}
	var sum, largest int64
	for _, i := range g.members {
		w := g.weigh(&p.devices[i])
		sum, largest = sum+w, max(largest, w)
	}
	if len(g.members) > 0 && len(p.devices[g.members[0]].takes) > 0 {
		return largest // alternatives over the same counters
	}
	return sum
}

// parent names the GPU that a static partition was cut from; a device without
// such an attribute is a GPU itself.
func parent(d *device) string {
	return stringAttribute(d, "parentUUID", "parentPciAddr", "parentDeviceID")
}

// stringAttribute returns the first of the attributes that the device has, in
// the driver's own domain, whether or not the name says it.
func stringAttribute(d *device, names ...string) string {
	for _, want := range names {
		for _, name := range []string{want, d.id.Driver.String() + "/" + want} {
			if a, found := d.spec.Attributes[resourceapi.QualifiedName(name)]; found && a.StringValue != nil {
				return *a.StringValue
			}
		}
	}
	return ""
}

// modelOf is the product name of a device's GPU, written as node labels do.
func modelOf(d *device) string {
	return strings.ReplaceAll(stringAttribute(d, "productName", "product", "model"), " ", "-")
}

// readGrid finds the counters that are a grid: unit counters with a common name
// and a running number, each of which a device takes wholly or not at all
// ("memory-slice-0" to "memory-slice-7").
func (p *pool) readGrid(g *gpu, set *counterSet, kinds map[string]*kind) {
	cells := p.cells(g, set)
	if len(cells) < 2 || len(cells) > mig.MaxSlices {
		p.weighExtra(g, nil)
		return
	}
	at := map[int]int{}
	for i, counter := range cells {
		at[counter] = i
	}
	for _, i := range g.members {
		d := &p.devices[i]
		d.mask = 0
		for _, t := range d.takes {
			if cell, ok := at[t.counter]; ok && t.milli > 0 {
				d.mask |= 1 << cell
			}
		}
	}
	profiles := p.profiles(g)
	p.weighExtra(g, at)
	key := fmt.Sprintf("%d %v", len(cells), profiles)
	if kinds[key] == nil {
		geometry, err := mig.NewGeometry(len(cells), profiles)
		if err != nil {
			for _, i := range g.members {
				p.devices[i].mask = 0
			}
			return // counters still rule; only the grid's worth is unknown
		}
		kinds[key] = &kind{geometry: geometry}
	}
	g.cells = len(cells)
	g.kind = kinds[key]
}

// cells returns the counters of the largest family of unit counters.
func (p *pool) cells(g *gpu, set *counterSet) []int {
	type cell struct{ number, counter int }
	families := map[string][]cell{}
	for name, counter := range set.index {
		dash := strings.LastIndexByte(name, '-')
		if dash < 0 || p.total[counter] != 1000 {
			continue
		}
		number, err := strconv.Atoi(name[dash+1:])
		if err != nil || number < 0 {
			continue
		}
		families[name[:dash]] = append(families[name[:dash]], cell{number, counter})
	}
	for _, i := range g.members {
		for _, t := range p.devices[i].takes {
			if t.milli == 0 || t.milli == 1000 {
				continue
			}
			// Takes part of a unit: its family is no grid.
			name := p.counters[t.counter]
			delete(families, name[:max(0, strings.LastIndexByte(name, '-'))])
		}
	}
	var best string
	for name, family := range families {
		if len(family) > len(families[best]) || len(family) == len(families[best]) && name < best {
			best = name
		}
	}
	family := families[best]
	slices.SortFunc(family, func(a, b cell) int { return cmp.Compare(a.number, b.number) })
	out := make([]int, len(family))
	for i := range family {
		out[i] = family[i].counter
	}
	return out
}

// profiles groups a GPU's devices by what they take. Variants with the same
// placements (media engines, graphics) are one profile of the grid: counted
// apart they would weigh their size twice.
func (p *pool) profiles(g *gpu) []mig.Profile {
	byName := map[string][]mig.Mask{}
	for _, i := range g.members {
		d := &p.devices[i]
		if d.mask == 0 {
			continue
		}
		name := fmt.Sprintf("%s/%d", profileName(d), d.mask.Count())
		if !slices.Contains(byName[name], d.mask) {
			byName[name] = append(byName[name], d.mask)
		}
	}
	names := make([]string, 0, len(byName))
	for name := range byName {
		slices.Sort(byName[name])
		names = append(names, name)
	}
	// A MIG name before any other (a driver may publish the whole GPU over the
	// same counters), then the plain variant, which has the shortest.
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(isMIG(b), isMIG(a)), cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	})
	var out []mig.Profile
	for _, name := range names {
		known := slices.ContainsFunc(out, func(q mig.Profile) bool { return slices.Equal(q.Placements, byName[name]) })
		if !known {
			plain, _, _ := strings.Cut(name, "/")
			if slices.ContainsFunc(out, func(q mig.Profile) bool { return q.Name == plain }) {
				plain = name
			}
			out = append(out, mig.Profile{Name: plain, Compute: computeSlices(plain), Placements: byName[name]})
		}
	}
	return out
}

// profileName is the profile a device publishes, else its kind.
func profileName(d *device) string {
	return cmp.Or(stringAttribute(d, "profile", "partitionProfile"), stringAttribute(d, "type"), "device")
}

// isMIG is 1 for a profile's key whose name is one of MIG's.
func isMIG(key string) int {
	name, _, _ := strings.Cut(key, "/")
	if _, _, _, err := mig.ParseProfile(name); err != nil {
		return 0
	}
	return 1
}

func computeSlices(profile string) int {
	compute, _, _, err := mig.ParseProfile(profile)
	if err != nil {
		return 0
	}
	return compute
}

// weighExtra notes what each device takes of the counters besides the grid.
func (p *pool) weighExtra(g *gpu, grid map[int]int) {
	for _, i := range g.members {
		d := &p.devices[i]
		d.extra = 0
		for _, t := range d.takes {
			if _, cell := grid[t.counter]; !cell {
				d.extra += millionths(t.milli, p.total[t.counter])
			}
		}
	}
}
