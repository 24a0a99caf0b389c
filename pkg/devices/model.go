package devices

import (
	"maps"
	"slices"
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
	// in their order, and reaches the nodes that were judged. A selection is found by
	// its landmarks, or is among those that may be anywhere.
	selections map[string]*selection
	seats      []*selection
	landmarks  map[landmark][]*selection
	anywhere   []*selection
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
