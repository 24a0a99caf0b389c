package zone

import (
	"cmp"
	"slices"
)

// Spread is a wish for replicas over zones.
type Spread struct {
	// Replicas is how many there will be; PerZone how many a used zone should
	// hold, at least 1; MinZones how many zones to use at least, 2 if it is 0.
	Replicas, PerZone, MinZones int64
}

// ZoneState is what is known of one zone when a replica is placed.
type ZoneState struct { //nolint:revive // zone.State would not say of what
	// Replicas are already there.
	Replicas int64
	// Room is how many more it could take; 0 for a closed zone.
	Room int64
}

// Zones is how many zones to use of those there are: as many as hold PerZone
// replicas each, but at least MinZones if they exist, never more than replicas,
// and at least 1.
func (s Spread) Zones(zones int64) int64 {
	return s.use(s.Replicas, s.minZones(), zones)
}

func (s Spread) perZone() int64 { return max(s.PerZone, 1) }

func (s Spread) minZones() int64 {
	if s.MinZones <= 0 {
		return 2
	}
	return s.MinZones
}

// use is Zones for that many replicas.
func (s Spread) use(replicas, least, zones int64) int64 {
	return max(1, min(max(replicas/s.perZone(), least), replicas, zones))
}

// Rank ranks zones for the next replica: 0 is best, equal zones rank equal, and
// closed ones come last, all alike. into takes the ranks, one for each zone.
//
// As long as too few zones are in use, the next is opened; then the fullest of
// those in use, as many as are wanted, are evened out. So stragglers from larger
// times are not built up again, and every rollout ends like the first one. What
// is in closed zones stays there, and only the rest is divided among the others.
func (s Spread) Rank(zones []ZoneState, into []int) {
	var memory [16]standing // no allocation for as many zones
	all := memory[:0]
	target := s.survey(zones)
	for _, z := range zones {
		all = append(all, target.standing(z))
	}
	slices.SortFunc(all, standing.compare)
	all = slices.Compact(all)
	for i, z := range zones {
		into[i], _ = slices.BinarySearchFunc(all, target.standing(z), standing.compare)
	}
}

// target is what Rank aims at.
type target struct {
	// zones is how many open ones to use, share what the fullest of them gets.
	zones, share int64
	// used is how many open ones are in use, roomy how many more could take a
	// whole share.
	used, roomy int64
	// pivot is how many replicas are in the last of the fullest that are to be
	// used, if so many are in use already.
	pivot int64
}

// survey decides how many zones to use.
func (s Spread) survey(zones []ZoneState) target {
	var t target
	var open, closed, kept, gone int64 // kept: replicas in open zones; gone: in closed ones
	for _, z := range zones {
		switch {
		case z.Room > 0:
			open++
			kept += max(z.Replicas, 0)
			if z.Replicas > 0 {
				t.used++
			}
		case z.Replicas > 0:
			closed++
			gone += z.Replicas
		}
	}
	// There is at least the one being placed, whatever the owner says.
	rest := max(s.Replicas-gone, kept+1)
	least := max(s.minZones()-closed, 1)
	t.zones = s.use(rest, least, open)

	// A zone that cannot even hold the floor is opened only to reach MinZones:
	// one lonely endpoint would draw all the traffic of its zone.
	floor := min(ceil(rest, t.zones), s.perZone())
	able := t.used + count(zones, floor)
	t.zones = min(t.zones, max(able, least))
	t.share = ceil(rest, t.zones)
	t.roomy = count(zones, t.share)
	if t.used >= t.zones {
		t.pivot = pivot(zones, t.zones)
	}
	return t
}

// ceil is a/b, rounded up.
func ceil(a, b int64) int64 {
	if a%b > 0 {
		return a/b + 1
	}
	return a / b
}

// count is how many zones are not in use and have at least that much room.
func count(zones []ZoneState, room int64) int64 {
	n := int64(0)
	for _, z := range zones {
		if z.Replicas <= 0 && z.Room > 0 && z.Room >= room {
			n++
		}
	}
	return n
}

// pivot is the k-th largest number of replicas in open zones.
func pivot(zones []ZoneState, k int64) int64 {
	var memory [16]int64
	used := memory[:0]
	for _, z := range zones {
		if z.Room > 0 && z.Replicas > 0 {
			used = append(used, z.Replicas)
		}
	}
	slices.Sort(used)
	return used[int64(len(used))-k]
}

// standing is what zones are ranked by: first the group, then the number.
type standing struct {
	group  int
	number int64
}

func (s standing) compare(other standing) int {
	return cmp.Or(cmp.Compare(s.group, other.group), cmp.Compare(s.number, other.number))
}

// The groups of zones, best first.
const (
	opening  = iota // to be opened, with room for a share
	squeezed        // to be opened for want of roomier ones; the roomiest first
	chosen          // in use and to be filled further; the least loaded first
	leftover        // in use, though fewer would do; the least loaded first
	spare           // not in use and not to be, with room for a share
	tight           // likewise, with less; the roomiest first
	shut            // closed
)

// standing places one zone.
func (t target) standing(z ZoneState) standing {
	switch enough := z.Room >= t.share; {
	case z.Room <= 0:
		return standing{group: shut}
	case z.Replicas > 0 && z.Replicas < t.pivot:
		return standing{leftover, z.Replicas}
	case z.Replicas > 0:
		return standing{chosen, z.Replicas}
	case t.used < t.zones && enough:
		return standing{group: opening}
	case t.used+t.roomy < t.zones:
		return standing{squeezed, -z.Room}
	case enough:
		return standing{group: spare}
	default:
		return standing{tight, -z.Room}
	}
}
