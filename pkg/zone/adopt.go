package zone

import "slices"

// adopt gives nodes that have the level but lack a broader label the values of
// the others with their value of the level, where these agree. Levels are taken
// from broad to narrow, so that what a block learns of its zone its racks inherit.
func (v *table) adopt(level int) {
	below := broader(level)
	groups := len(v.values[level]) + 1
	all, missed := make([]Ref, groups), make([]Ref, groups)
	for n, have := range v.have {
		group := v.row(n)[level]
		all[group] |= have & below
		missed[group] |= below &^ have
	}
	members := make(map[int32][]int32) // of the groups in which somebody lacks something
	for n := range v.have {
		if group := v.row(n)[level]; group != 0 && all[group]&missed[group] != 0 {
			members[group] = append(members[group], int32(n))
		}
	}
	for _, group := range members { // each on its own: the order does not matter
		v.adoptIn(group, level)
	}
}

// adoptIn does so for the nodes of one value. All look at the others' values as
// they were before, so that the nodes' order does not matter.
func (v *table) adoptIn(members []int32, level int) {
	prefix := func(n int32) []int32 { return v.row(int(n))[:level] }
	slices.SortFunc(members, func(a, b int32) int { return slices.Compare(prefix(a), prefix(b)) })
	var distinct [][]int32
	for i, n := range members {
		if i == 0 || !slices.Equal(prefix(n), distinct[len(distinct)-1]) {
			distinct = append(distinct, slices.Clone(prefix(n)))
		}
	}
	at := -1
	var full []int32
	for _, n := range members {
		if at < 0 || !slices.Equal(prefix(n), distinct[at]) {
			at++
			full = merge(distinct[at], distinct)
		}
		if full == nil {
			continue
		}
		copy(prefix(n), full)
		for i, rank := range full {
			if rank != 0 {
				v.have[n] |= 1 << i
			}
		}
	}
}

// merge fills the gaps of own from all others that do not contradict it; nil if
// there is nothing to fill or they contradict one another.
func merge(own []int32, others [][]int32) []int32 {
	if !slices.Contains(own, 0) {
		return nil
	}
	full := slices.Clone(own)
	for _, other := range others {
		if contradicts(own, other) {
			continue
		}
		if contradicts(full, other) {
			return nil
		}
		for i, rank := range other {
			if rank != 0 {
				full[i] = rank
			}
		}
	}
	return full
}

// contradicts tells whether two nodes have different values of one label.
func contradicts(a, b []int32) bool {
	for i := range a {
		if a[i] != b[i] && a[i] != 0 && b[i] != 0 {
			return true
		}
	}
	return false
}
