package zone

import (
	"cmp"
	"maps"
	"math/bits"
	"slices"
	"strings"
)

// Build forms the domains of the nodes. Levels go from broad to narrow and are at
// most MaxLevels: the caller sees to it, since what is beyond is left out.
//
// A node's path is its values in the order of the levels; a level whose label it
// lacks is skipped. But a node that lacks a label and has a narrower one is put
// beside the others with this narrower value, if all of them that do not
// contradict the node's own labels agree where that is.
func Build(levels []Level, nodes []Node) *Tree {
	levels = slices.Clone(levels[:min(len(levels), MaxLevels)])
	t := &Tree{
		levels: levels,
		refs:   refsOf(levels),
		nodes:  make([]string, len(nodes)),
		byName: make(map[string]NodeID, len(nodes)),
		leaf:   make([]DomainID, len(nodes)),
		place:  make([]int32, len(nodes)),
	}
	for i := range nodes {
		t.nodes[i] = nodes[i].Name
		t.byName[nodes[i].Name] = NodeID(i)
	}
	values := readTable(len(levels), nodes)
	for level := 1; level < len(levels); level++ {
		values.adopt(level)
	}
	t.order = values.sort(t.nodes)
	for at, n := range t.order {
		t.place[n] = int32(at)
	}
	t.grow(values)

	t.at = make(map[Ref][]DomainID, len(t.refs))
	for _, ref := range t.refs {
		if _, ok := t.at[ref]; !ok {
			t.at[ref] = t.scan(ref)
		}
	}
	t.nameLevels()
	return t
}

// refsOf maps every alias, and every key that is no alias, to its levels.
func refsOf(levels []Level) map[string]Ref {
	refs := make(map[string]Ref, 2*len(levels))
	for i, l := range levels {
		if l.Alias != "" {
			refs[l.Alias] |= 1 << i
		}
	}
	aliases := maps.Clone(refs)
	for i, l := range levels {
		if _, taken := aliases[l.Key]; l.Key != "" && !taken {
			refs[l.Key] |= 1 << i
		}
	}
	return refs
}

// table holds the nodes' values as small numbers, which compare like the values.
type table struct {
	levels int
	// ranks is by node and level: 0 where the node lacks the label, else one more
	// than the value's index in values.
	ranks  []int32
	values [][]string
	// have is by node: the levels whose label it has.
	have []Ref
}

// row is a node's ranks.
func (v *table) row(n int) []int32 { return v.ranks[n*v.levels : (n+1)*v.levels] }

func readTable(levels int, nodes []Node) *table {
	v := &table{
		levels: levels,
		ranks:  make([]int32, levels*len(nodes)),
		values: make([][]string, levels),
		have:   make([]Ref, len(nodes)),
	}
	for level := range levels {
		v.readLevel(level, nodes)
	}
	return v
}

func (v *table) readLevel(level int, nodes []Node) {
	numbers := make(map[string]int32)
	var distinct []string
	last, number := "", int32(0) // neighbours often share a value
	for n := range nodes {
		if level >= len(nodes[n].Values) || nodes[n].Values[level] == "" {
			continue
		}
		if value := nodes[n].Values[level]; value != last {
			known := false
			if number, known = numbers[value]; !known {
				number = int32(len(distinct))
				numbers[value] = number
				distinct = append(distinct, value)
			}
			last = value
		}
		v.row(n)[level] = number + 1
		v.have[n] |= 1 << level
	}
	sorted := make([]int32, len(distinct))
	for i := range sorted {
		sorted[i] = int32(i)
	}
	slices.SortFunc(sorted, func(a, b int32) int { return strings.Compare(distinct[a], distinct[b]) })
	rank := make([]int32, len(distinct)+1)
	v.values[level] = make([]string, len(distinct))
	for i, number := range sorted {
		v.values[level][i] = distinct[number]
		rank[number+1] = int32(i + 1)
	}
	for n := range nodes {
		v.row(n)[level] = rank[v.row(n)[level]]
	}
}

// compare orders two nodes by path: pair by pair, level before value, and a path
// before those that go on from it.
func (v *table) compare(a, b NodeID) int {
	rowA, rowB := v.row(int(a)), v.row(int(b))
	for level, rank := range rowA {
		switch other := rowB[level]; {
		case rank == other:
		case rank != 0 && other != 0:
			return cmp.Compare(rank, other)
		case rank == 0: // a's next pair is of a later level, or there is none
			if v.have[a]>>level == 0 {
				return -1
			}
			return 1
		default:
			if v.have[b]>>level == 0 {
				return 1
			}
			return -1
		}
	}
	return 0
}

// sort lists the nodes by path, those of one path by name.
func (v *table) sort(names []string) []NodeID {
	order := make([]NodeID, len(names))
	for i := range order {
		order[i] = NodeID(i)
	}
	slices.SortFunc(order, func(a, b NodeID) int {
		if c := v.compare(a, b); c != 0 {
			return c
		}
		return cmp.Or(strings.Compare(names[a], names[b]), cmp.Compare(a, b))
	})
	return order
}

// grow makes the domains: walking the sorted nodes, each path's domains come up
// in path order, and each ends where the first node outside it stands.
func (t *Tree) grow(v *table) {
	expected := 1 // more only where values repeat under several parents
	for _, values := range v.values {
		expected += len(values)
	}
	t.domains = append(make([]domain, 0, expected), domain{parent: None, level: -1})
	path := []DomainID{Root}
	leave := func(depth int, at int32) {
		for ; len(path) > depth; path = path[:len(path)-1] {
			d := &t.domains[path[len(path)-1]]
			d.end, d.last = DomainID(len(t.domains)), at
		}
	}
	for at, n := range t.order {
		// The path shared with the node before is its levels before the first at
		// which the two differ.
		shared := 0
		if at > 0 {
			row, before := v.row(int(n)), v.row(int(t.order[at-1]))
			for shared < v.levels && row[shared] == before[shared] {
				shared++
			}
		}
		own := v.have[n]
		leave(1+bits.OnesCount64(uint64(own&broader(shared))), int32(at))
		for todo := own &^ broader(shared); todo != 0; todo &= todo - 1 {
			level := todo.first()
			parent := path[len(path)-1]
			path = append(path, DomainID(len(t.domains)))
			t.domains = append(t.domains, domain{
				value:  v.values[level][v.row(int(n))[level]-1],
				levels: own & (broader(level) | 1<<level),
				parent: parent, first: int32(at),
				level: int16(level), depth: int16(len(path) - 1),
			})
		}
		t.leaf[n] = path[len(path)-1]
	}
	leave(0, int32(len(t.order)))
}
