package devices

import (
	"cmp"
	"slices"
	"strings"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/dynamic-resource-allocation/structured"
)

// updateSlices takes over what is published, and makes anew what that changes.
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
