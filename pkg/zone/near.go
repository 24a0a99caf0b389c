package zone

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// Prices is what traffic costs between zones, per GB. It is filled once and then
// only read, by any number of goroutines. A nil *Prices is no prices at all.
type Prices struct {
	elsewhere float64
	perGB     map[[2]string]float64
}

// NewPrices returns prices that are 0 within a zone and elsewhere, per GB, from
// any zone to any other.
func NewPrices(elsewhere float64) *Prices {
	return &Prices{elsewhere: elsewhere, perGB: make(map[[2]string]float64)}
}

// Set sets the price from one zone to another, and back unless that is set itself.
func (p *Prices) Set(from, to string, perGB float64) {
	p.perGB[[2]string{from, to}] = perGB
}

// Between is the price from one zone to another: 0 within a zone unless set.
func (p *Prices) Between(from, to string) float64 {
	if p == nil {
		return 0
	}
	if price, ok := p.perGB[[2]string{from, to}]; ok {
		return price
	}
	if price, ok := p.perGB[[2]string{to, from}]; ok {
		return price
	}
	if from == to {
		return 0
	}
	return p.elsewhere
}

// Peers is where the endpoints are that a pod talks to: share of its traffic by
// zone, 0 to 1.
type Peers map[string]float64

// RankNear ranks zones for one more caller of the peers: 0 is best, and zones
// that differ by less than rounding rank equal. callers is how many each zone
// has already, nil for none; into takes the ranks, one for each zone.
//
// Without prices the zone comes first that would be least loaded with one caller
// more, and those without endpoints come last, all alike:
//
//	load(z) = (callers(z) + 1) / share(z)
//
// So callers end in proportion to the ready endpoints. It matters because a
// Service with trafficDistribution PreferSameZone sends all of a zone's traffic
// to the endpoints of that zone, however few they are.
//
// With prices the cheapest zone comes first, and the load decides between equal
// ones:
//
//	cost(z) = Σ over zones p  share(p) · price(z, p)
func RankNear(peers Peers, zones []string, callers []int64, prices *Prices, into []int) {
	var memory [16]rated // no allocation for as many zones
	all := memory[:0]
	for i := range zones {
		all = append(all, rated{zone: i})
	}
	if prices != nil {
		names := slices.Sorted(maps.Keys(peers)) // to round alike each time
		for i := range all {
			for _, name := range names {
				all[i].number += max(peers[name], 0) * prices.Between(zones[i], name)
			}
		}
		rank(all)
	}
	for i := range all {
		r := &all[i]
		count := int64(0)
		if r.zone < len(callers) {
			count = max(callers[r.zone], 0)
		}
		r.group, r.number = r.rank, loadOf(count, peers[zones[r.zone]])
	}
	rank(all)
	for _, r := range all {
		into[r.zone] = r.rank
	}
}

// loadOf is +Inf in a zone without endpoints.
func loadOf(callers int64, share float64) float64 {
	if !(share > 0) { // NaN too
		return math.Inf(1)
	}
	return (float64(callers) + 1) / share
}

// rated is a zone, by its index, and what it is ranked by: first the group, then
// the number.
type rated struct {
	zone, group int
	number      float64
	rank        int
}

// rounding is by how much two numbers may differ and yet count as equal, of the
// larger.
const rounding = 1e-9

// rank sorts by group and number, smallest first, and sets the ranks. What is no
// number comes last.
func rank(all []rated) {
	for i := range all {
		if math.IsNaN(all[i].number) {
			all[i].number = math.Inf(1)
		}
	}
	slices.SortFunc(all, func(a, b rated) int {
		return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.number, b.number))
	})
	first, next := 0, 0 // of those that rank equal
	for i := range all {
		if all[first].group != all[i].group || !equal(all[first].number, all[i].number) {
			first = i
			next++
		}
		all[i].rank = next
	}
}

// equal allows for rounding; a is not the larger.
func equal(a, b float64) bool {
	return a == b || b-a <= rounding*max(math.Abs(a), math.Abs(b)) && !math.IsInf(b-a, 0)
}
