package devices

import (
	"cmp"
	"maps"
	"slices"

	resourceapi "k8s.io/api/resource/v1"

	"plimsoll.dev/scheduler/pkg/mig"
	"plimsoll.dev/scheduler/pkg/share"
)

// NodeStock is what a node's GPUs of one model are and have left. It never
// changes.
type NodeStock struct {
	Node, Model string
	// GPUs by what is published of them: one device; several, or a part; one for
	// several claims.
	Whole, Sliced, Shared States
	// Slices are those of GPUs whose grid is known.
	Slices Slices
	// Possible tells of each size of slice how many more would fit, if nothing
	// else were asked for, sorted by name. A whole GPU among slices is a size, too.
	Possible []Possible
	// SharedFree is what is free of the shared GPUs, in thousandths of one.
	SharedFree int64
}

// States counts GPUs by what is left of them; each is in one state.
type States struct {
	Free int
	// Partly: something is allocated, and more would fit.
	Partly int
	// Allocated: something is, and nothing more would fit.
	Allocated int
	// Unavailable: what is left cannot be had without tolerating a taint, or not
	// at all because the allocator refuses the pool.
	Unavailable int
}

// Sum is the number of GPUs.
func (s States) Sum() int { return s.Free + s.Partly + s.Allocated + s.Unavailable }

// Add counts others, too.
func (s *States) Add(t States) {
	s.Free, s.Partly, s.Allocated, s.Unavailable = s.Free+t.Free, s.Partly+t.Partly, s.Allocated+t.Allocated, s.Unavailable+t.Unavailable
}

// Slices counts memory slices; each is in one of the first three.
type Slices struct {
	Allocated, Free int
	// Unavailable as in States.
	Unavailable int
	// Stranded is how many of the free ones are expected to stay unused, see
	// mig.Values.Stranded.
	Stranded float64
}

// Sum is the number of slices.
func (s Slices) Sum() int { return s.Allocated + s.Free + s.Unavailable }

// Add counts others, too.
func (s *Slices) Add(t Slices) {
	s.Allocated, s.Free, s.Unavailable, s.Stranded = s.Allocated+t.Allocated, s.Free+t.Free, s.Unavailable+t.Unavailable, s.Stranded+t.Stranded
}

// Fragmentation is the part of the free slices that is stranded, 0 to 1; 0 if
// none is free.
func (s Slices) Fragmentation() float64 {
	if s.Free == 0 {
		return 0
	}
	return s.Stranded / float64(s.Free)
}

// Possible is how many more slices of one size would fit.
type Possible struct {
	// Partition is the size as published, such as 3g.40gb.
	Partition string
	Count     int
}

// Refresh takes over what is published, given the slices as the scheduler lists them.
func (m *Model) Refresh(published []*resourceapi.ResourceSlice) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.updateSlices(published)
	m.settle()
}

// nodesPerLock bounds how long Stock keeps a scheduling cycle waiting.
const nodesPerLock = 16

// Stock lists what nodes have left as of the last update, by node and model.
// Nodes that did not change since it was last called with the same worth cost
// nothing. Pools that are not on one node, and those that are incomplete or not
// understood, of which no device is known, are left out.
func (m *Model) Stock(w *Worth) []NodeStock {
	m.mu.Lock()
	m.settle()
	all := m.all // is replaced, never changed
	m.mu.Unlock()
	var out []NodeStock
	for some := range slices.Chunk(all, nodesPerLock) {
		out = m.appendStock(out, some, w)
	}
	return out
}

func (m *Model) appendStock(out []NodeStock, some []*node, w *Worth) []NodeStock {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range some {
		if n.stock == nil || n.stock.version != n.version || n.stock.worth != w {
			n.stock = &stocked{version: n.version, worth: w, list: m.takeStock(n, w)}
		}
		out = append(out, n.stock.list...)
	}
	return out
}

// stocked is what a node remembers of its stock.
type stocked struct {
	version uint64
	worth   *Worth
	list    []NodeStock
}

func (m *Model) takeStock(n *node, w *Worth) []NodeStock {
	byModel := map[string]*count{}
	for _, p := range n.pools {
		free := slices.Clone(p.free)
		for i := range p.gpus {
			g := &p.gpus[i]
			if !p.isGPU(g) {
				continue
			}
			model := cmp.Or(g.model, p.id.driver)
			c := byModel[model]
			if c == nil {
				c = &count{m: m, stock: NodeStock{Node: n.name, Model: model}, possible: map[string]int{}}
				byModel[model] = c
			}
			c.pool, c.free = p, free
			c.add(g, w)
		}
	}
	out := make([]NodeStock, 0, len(byModel))
	for _, model := range slices.Sorted(maps.Keys(byModel)) {
		c := byModel[model]
		for _, name := range slices.Sorted(maps.Keys(c.possible)) {
			c.stock.Possible = append(c.stock.Possible, Possible{name, c.possible[name]})
		}
		out = append(out, c.stock)
	}
	return out
}

// isGPU tells GPUs from other devices: they have a product name, a grid, or
// memory.
func (p *pool) isGPU(g *gpu) bool {
	return g.model != "" || g.kind != nil || p.hasMemory(g)
}

// count counts the GPUs of one model on a node.
type count struct {
	m        *Model
	stock    NodeStock
	possible map[string]int

	pool *pool
	free []int64 // a copy of the pool's, in which sizes are tried
}

func (c *count) add(g *gpu, w *Worth) {
	var inUse, fits, open bool
	bySize := map[string][]int{}
	var reach, openReach mig.Mask
	for _, i := range g.members {
		d := &c.pool.devices[i]
		inUse = inUse || d.inUse()
		reach |= d.mask
		if c.open(d) {
			openReach |= d.mask
			open = open || c.fits(d)
		}
		fits = fits || c.fits(d)
		if !d.multi {
			bySize[profileName(d)] = append(bySize[profileName(d)], i)
		}
	}
	states := c.statesOf(g)
	switch {
	case open && !inUse:
		states.Free++
	case open:
		states.Partly++
	case inUse && !fits:
		states.Allocated++
	default:
		states.Unavailable++
	}
	switch states {
	case &c.stock.Shared:
		if open {
			c.stock.SharedFree += share.Whole - dominant(&c.pool.devices[g.members[0]], nil, nil)/1000
		}
	case &c.stock.Sliced:
		for name, members := range bySize {
			c.possible[name] += c.place(members)
		}
		if g.kind != nil {
			c.stock.Slices.Add(slicesOf(g, reach, openReach, w))
		}
	}
}

// statesOf is where a GPU is counted.
func (c *count) statesOf(g *gpu) *States {
	first := &c.pool.devices[g.members[0]]
	switch {
	case first.multi && (g.kind == nil || len(g.members) == 1):
		return &c.stock.Shared
	case first.partition || len(g.members) > 1:
		return &c.stock.Sliced
	}
	return &c.stock.Whole
}

// slicesOf counts a grid. A free slice that no device without a taint reaches is
// unavailable; one that no device reaches at all is stranded.
func slicesOf(g *gpu, reach, open mig.Mask, w *Worth) Slices {
	blocked := reach &^ open &^ g.used
	if open == 0 {
		blocked = mig.Run(0, g.cells) &^ g.used
	}
	return Slices{
		Allocated: g.used.Count(), Unavailable: blocked.Count(), Free: g.cells - (g.used | blocked).Count(),
		Stranded: w.of(g.kind).Stranded(g.used | blocked),
	}
}

// open tells whether the allocator would give a device, if it is free, to a
// request that tolerates nothing.
func (c *count) open(d *device) bool {
	switch {
	case c.pool.overdrawn && len(d.takes) > 0,
		len(d.spec.BindingConditions) > 0 && !c.m.features.DeviceBindingAndStatus,
		c.m.features.DeviceTaints && !tolerated(d.spec.Taints, nil):
		return false
	}
	return true
}

// fits tells whether a device, or some of it, is free beside what is allocated
// and was tried.
func (c *count) fits(d *device) bool {
	if d.shared {
		return dominant(d, nil, nil) < 1e6
	}
	return !d.allocated && !slices.ContainsFunc(d.takes, func(t take) bool { return c.free[t.counter] < t.milli })
}

// place tries how many of the devices, which are all of one size, fit together.
// Taking first what ends first is never worse than any other order.
func (c *count) place(members []int) int {
	devices := c.pool.devices
	slices.SortFunc(members, func(a, b int) int {
		return cmp.Or(cmp.Compare(devices[a].mask, devices[b].mask), cmp.Compare(devices[a].extra, devices[b].extra))
	})
	placed := members[:0]
	for _, i := range members {
		if d := &devices[i]; c.open(d) && c.fits(d) {
			c.move(d, -1)
			placed = append(placed, i)
		}
	}
	for _, i := range placed {
		c.move(&devices[i], 1)
	}
	return len(placed)
}

func (c *count) move(d *device, sign int64) {
	for _, t := range d.takes {
		c.free[t.counter] += sign * t.milli
	}
}
