package devices

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"
)

// Model is what the devices of all nodes are and what of them is allocated. All
// profiles of a process share one, so that each sees the others' allocations.
// It is safe for concurrent use.
type Model struct {
	features structured.Features
	cel      *cel.Cache

	mu sync.Mutex
	// known are the slices of the last update, by identity: the informers replace
	// an object that changes.
	known map[*resourceapi.ResourceSlice]struct{}
	// published counts the changes of them.
	published uint64
	pools     map[poolID]*entry
	order     []*entry // as handed to the allocator
	foreign   []*entry // those of them that are not on one node alone
	// selections are the nodes that these are for, by what they say, seats the same
	// in their order, and reaches the nodes that were judged.
	selections map[string]*selection
	seats      []*selection
	reaches    map[string]*reach
	// fabrics are the pools that nodes share, by what these reach; counted are the names
	// of such pools that have counters.
	fabrics     map[string]*node
	counted     map[string]bool
	fabricPools int
	// sharing counts the changes of what nodes share, ticks those of fabrics.
	sharing, ticks uint64
	nodes          map[string]*node
	// index finds a node's place in all; it is replaced, never changed.
	index map[string]int
	all   []*node

	byID map[structured.DeviceID]ref
	// uses is what is in use, published or not, and dirty the pools in which that
	// changed since they were last looked at.
	uses  map[poolID]map[structured.DeviceID]*usage
	dirty []*pool
	// claims are what is known to hold something, and names finds one by
	// namespace/name.
	claims map[types.UID]*holding
	names  map[string]types.UID
	// freed counts how often a claim gave back what it held.
	freed atomic.Uint64

	kinds     map[string]*kind
	selectors map[string]*selector
	shapes    map[string]*Shape
	questions uint64
	// budget is what is left of what one view may cost, see budget.go.
	budget int
}

// entry is one pool as published.
type entry struct {
	id     poolID
	slices []*resourceapi.ResourceSlice
	// local is nil if the pool is not on one node alone: it is handed on as it is.
	local *pool
	// foreign holds such a pool's devices, for telling which requests it could
	// serve.
	foreign *pool
	// shared is such a pool as it is planned for, nil if it cannot be: its devices are
	// for different nodes, say.
	shared *pool
	// selections are the nodes that such a pool has devices for.
	selections []*selection
}

// ref is where a device is.
type ref struct {
	pool   *pool
	device int
}

// node is a node's pools in the order in which the allocator looks at them.
type node struct {
	name  string
	pools []*pool
	// fabric: the pools are not a node's own, several share them; entries are all of
	// them.
	fabric  bool
	entries []*entry
	// obscure: what the allocator does cannot be told. Two drivers' pools with counters
	// have the same name, by which it keeps what is left of them, and which it meets
	// first decides; or a fabric has a pool that is not understood.
	obscure bool
	version uint64
	// plans are the last few, see recall.
	plans []*planned
	facts *NodeGPUs
	stock *stocked
}

const (
	// maxShapes bounds the requests that are remembered: beyond, the half that
	// was not asked for longest is forgotten.
	maxShapes = 256
	// celPrograms is how many compiled expressions are kept.
	celPrograms = 512
)

// NewModel returns an empty model. The features are those that the scheduler's
// allocator, and its expressions, run with.
func NewModel(features structured.Features, expressions cel.Features) *Model {
	m := &Model{
		features: features,
		cel:      cel.NewCache(celPrograms, expressions),
		pools:    map[poolID]*entry{}, nodes: map[string]*node{},
		byID: map[structured.DeviceID]ref{}, kinds: map[string]*kind{},
		selectors: map[string]*selector{}, shapes: map[string]*Shape{},
		selections: map[string]*selection{}, reaches: map[string]*reach{}, fabrics: map[string]*node{},
		uses: map[poolID]map[structured.DeviceID]*usage{}, claims: map[types.UID]*holding{}, names: map[string]types.UID{},
	}
	return m
}

// forget drops the older half of what was compiled, and what only it needed.
func (m *Model) forget() {
	var ages []uint64
	for _, s := range m.shapes {
		ages = append(ages, s.asked)
	}
	slices.Sort(ages)
	needed := map[*selector]bool{}
	for key, s := range m.shapes {
		if s.asked <= ages[len(ages)/2] {
			delete(m.shapes, key)
			continue
		}
		for i := range s.claims {
			for j := range s.claims[i].requests {
				for _, a := range s.claims[i].requests[j].alternatives {
					needed[a.selector] = true
				}
			}
		}
	}
	for key, s := range m.selectors {
		if !needed[s] {
			delete(m.selectors, key)
		}
	}
	unneeded := func(s *selector, _ *match) bool { return !needed[s] }
	for _, e := range m.order {
		if e.local != nil {
			maps.DeleteFunc(e.local.matches, unneeded)
		} else {
			maps.DeleteFunc(e.foreign.matches, unneeded)
		}
	}
}

// Shape compiles what a pod asks for, or finds it compiled. Its error is that
// of a class that cannot be found.
func (m *Model) Shape(asks []Ask, limits Limits, classes ClassLister) (*Shape, error) {
	key, err := shapeKey(asks, limits, classes)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.questions++
	if s := m.shapes[key]; s != nil {
		s.asked = m.questions
		return s, nil
	}
	if len(m.shapes) >= maxShapes {
		m.forget()
	}
	s, err := m.compile(asks, limits, classes)
	if err != nil {
		return nil, err
	}
	s.asked = m.questions
	m.shapes[key] = s
	return s, nil
}

// View returns how a pod with this shape sees the model. Nodes in which nothing
// changed since the shape was last asked for cost a lookup, the others are planned
// when they are asked about.
func (m *Model) View(s *Shape, w *Worth) *View {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settle()
	m.elsewhere(s)
	v := &View{m: m, shape: s, worth: w, index: m.index, nodes: m.all, plans: make([]atomic.Pointer[planned], len(m.all)), budget: viewBudget, edition: m.published, sharing: m.sharing, freed: m.freed.Load()}
	for _, other := range s.elsewhere {
		v.elsewhere = v.elsewhere || other
	}
	for i, n := range m.all {
		if known := n.recall(s, w, allRequests); known != nil {
			v.plans[i].Store(known)
		}
	}
	return v
}

func (m *Model) updateSlices(published []*resourceapi.ResourceSlice) {
	same := len(published) == len(m.known)
	for i := 0; same && i < len(published); i++ {
		_, same = m.known[published[i]]
	}
	if same {
		return
	}
	m.published++
	m.known = make(map[*resourceapi.ResourceSlice]struct{}, len(published))
	grouped := map[poolID][]*resourceapi.ResourceSlice{}
	for _, s := range published {
		m.known[s] = struct{}{}
		id := poolID{s.Spec.Driver, s.Spec.Pool.Name}
		grouped[id] = append(grouped[id], s)
	}
	changed, foreign := map[string]bool{}, false
	for id, old := range m.pools {
		if _, left := grouped[id]; !left {
			foreign = foreign || old.local == nil
			m.drop(old, changed)
		}
	}
	for id, list := range grouped {
		slices.SortFunc(list, func(a, b *resourceapi.ResourceSlice) int { return strings.Compare(a.Name, b.Name) })
		old := m.pools[id]
		if old != nil && slices.Equal(old.slices, list) {
			continue
		}
		if old != nil {
			foreign = foreign || old.local == nil
			m.drop(old, changed)
		}
		m.add(&entry{id: id, slices: list}, changed)
		foreign = foreign || m.pools[id].local == nil
	}
	m.reindex(changed, foreign)
	if foreign {
		// What others serve decides what is planned on a node's own devices.
		for _, n := range m.all {
			n.version++
		}
	}
}

func (m *Model) drop(e *entry, changed map[string]bool) {
	delete(m.pools, e.id)
	held := e.shared
	if e.local != nil {
		held = e.local
		changed[e.local.node] = true
	}
	if held == nil {
		return
	}
	for i := range held.devices {
		delete(m.byID, held.devices[i].id)
	}
}

func (m *Model) add(e *entry, changed map[string]bool) {
	m.pools[e.id] = e
	newest := newestGeneration(e.slices)
	name := soleNode(newest)
	if name == "" {
		e.selections = m.selectionsOf(newest)
		e.foreign = &pool{id: e.id, matches: map[*selector]*match{}}
		for _, s := range newest {
			for i := range s.Spec.Devices {
				e.foreign.devices = append(e.foreign.devices, device{spec: &s.Spec.Devices[i],
					id: structured.MakeDeviceID(e.id.driver, e.id.name, s.Spec.Devices[i].Name)})
			}
		}
		read := buildPool(e.id, name, newest, &m.features, m.kinds)
		e.foreign.unusable = cmp.Or(read.unusable, read.opaque)
		if read.selection = m.selectionFor(newest); read.selection == nil || read.opaque != "" || len(newest) < len(e.slices) {
			return // of an older generation it may see more, or less
		}
		if e.shared = read; read.unusable == "" {
			e.foreign = read
		}
		m.hold(read)
		return
	}
	e.local = buildPool(e.id, name, newest, &m.features, m.kinds)
	changed[name] = true
	m.hold(e.local)
}

// hold keeps a pool's devices up to date from now on.
func (m *Model) hold(p *pool) {
	for i := range p.devices {
		d := &p.devices[i]
		m.byID[d.id] = ref{p, i}
		if u := m.uses[p.id][d.id]; u != nil {
			d.apply(u)
		}
	}
	m.dirty = append(m.dirty, p)
}

func newestGeneration(list []*resourceapi.ResourceSlice) []*resourceapi.ResourceSlice {
	newest := list[0].Spec.Pool.Generation
	for _, s := range list {
		newest = max(newest, s.Spec.Pool.Generation)
	}
	var out []*resourceapi.ResourceSlice
	for _, s := range list {
		if s.Spec.Pool.Generation == newest {
			out = append(out, s)
		}
	}
	return out
}

// soleNode is the node that all devices of the slices are on, "" if they are
// not on one: devices move only between slices with the same node selection.
// Counters belong to the pool, wherever it is, and only say so if they are all
// that is published of it yet.
func soleNode(list []*resourceapi.ResourceSlice) string {
	counters := func(s *resourceapi.ResourceSlice) bool { return len(s.Spec.SharedCounters) > 0 }
	alone := !slices.ContainsFunc(list, func(s *resourceapi.ResourceSlice) bool { return !counters(s) })
	sole := ""
	for _, s := range list {
		if counters(s) && !alone {
			continue
		}
		if s.Spec.NodeName == nil || *s.Spec.NodeName == "" || sole != "" && sole != *s.Spec.NodeName {
			return ""
		}
		sole = *s.Spec.NodeName
	}
	return sole
}

// reindex rebuilds the changed nodes and the order of pools; foreign tells whether some
// that are not on one node alone changed.
func (m *Model) reindex(changed map[string]bool, foreign bool) {
	m.order = m.order[:0:0]
	byNode := map[string][]*pool{}
	for _, e := range m.pools {
		m.order = append(m.order, e)
		if e.local != nil && changed[e.local.node] {
			byNode[e.local.node] = append(byNode[e.local.node], e.local)
		}
	}
	slices.SortFunc(m.order, func(a, b *entry) int { return a.id.compare(b.id) })
	if foreign {
		m.foreign, m.counted = m.foreign[:0:0], map[string]bool{}
		m.sharing++
		for _, e := range m.order {
			if e.local != nil {
				continue
			}
			m.foreign = append(m.foreign, e)
			if slices.ContainsFunc(e.slices, counts) {
				m.counted[e.id.name] = true
			}
		}
		m.seat()
	}
	for name := range changed {
		pools := byNode[name]
		if len(pools) == 0 {
			delete(m.nodes, name)
			continue
		}
		n := &node{name: name, pools: pools}
		n.arrange()
		m.nodes[name] = n
	}
	m.all = m.all[:0:0]
	for _, n := range m.nodes {
		m.all = append(m.all, n)
	}
	slices.SortFunc(m.all, func(a, b *node) int { return cmp.Compare(a.name, b.name) })
	m.index = make(map[string]int, len(m.all))
	for i, n := range m.all {
		m.index[n.name] = i
	}
}

// arrange puts the pools in the order in which the allocator looks at them.
func (n *node) arrange() {
	slices.SortFunc(n.pools, func(a, b *pool) int {
		if a.late != b.late {
			if b.late {
				return -1
			}
			return 1
		}
		return a.id.compare(b.id)
	})
	n.obscure = n.obscure || entangled(n.pools)
}

// entangled tells whether two pools with counters have the same name.
func entangled(pools []*pool) bool {
	seen := map[string]bool{}
	for _, p := range pools {
		if len(p.total) == 0 {
			continue
		}
		if seen[p.id.name] {
			return true
		}
		seen[p.id.name] = true
	}
	return false
}
