package zone

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const endless = math.MaxInt32

// place puts replicas one by one into a best-ranked zone, pick(n) of n equal
// ones, until there are as many as wanted or no zone is open.
func place(s Spread, zones []ZoneState, pick func(int) int) {
	ranks := make([]int, len(zones))
	for total(zones) < s.Replicas {
		s.Rank(zones, ranks)
		var best []int
		for i, r := range ranks {
			if r == 0 {
				best = append(best, i)
			}
		}
		if len(best) == 0 {
			return
		}
		z := &zones[best[pick(len(best))]]
		if z.Room <= 0 {
			return
		}
		z.Replicas++
		z.Room--
	}
}

func total(zones []ZoneState) int64 {
	sum := int64(0)
	for _, z := range zones {
		sum += z.Replicas
	}
	return sum
}

// counts are the replicas by zone, in the given order.
func counts(zones []ZoneState) []int64 {
	var all []int64
	for _, z := range zones {
		all = append(all, z.Replicas)
	}
	return all
}

func first(int) int { return 0 }

func TestSpreadEnds(t *testing.T) {
	open := func(replicas ...int64) []ZoneState {
		var zones []ZoneState
		for _, r := range replicas {
			zones = append(zones, ZoneState{r, endless})
		}
		return zones
	}
	for name, tc := range map[string]struct {
		spread Spread
		zones  []ZoneState
		want   []int64
	}{
		"1":                               {Spread{1, 3, 0}, open(0, 0, 0), []int64{1, 0, 0}},
		"2, available in two zones":       {Spread{2, 3, 0}, open(0, 0, 0), []int64{1, 1, 0}},
		"4, available in two zones":       {Spread{4, 3, 0}, open(0, 0, 0), []int64{2, 2, 0}},
		"6":                               {Spread{6, 3, 0}, open(0, 0, 0), []int64{3, 3, 0}},
		"7":                               {Spread{7, 3, 0}, open(0, 0, 0), []int64{4, 3, 0}},
		"8":                               {Spread{8, 3, 0}, open(0, 0, 0), []int64{4, 4, 0}},
		"9":                               {Spread{9, 3, 0}, open(0, 0, 0), []int64{3, 3, 3}},
		"11":                              {Spread{11, 3, 0}, open(0, 0, 0), []int64{4, 4, 3}},
		"12 over more zones than needed":  {Spread{12, 3, 0}, open(0, 0, 0, 0, 0), []int64{3, 3, 3, 3, 0}},
		"4, available in three zones":     {Spread{4, 3, 3}, open(0, 0, 0), []int64{2, 1, 1}},
		"4, in one zone if one will do":   {Spread{4, 3, 1}, open(0, 0, 0), []int64{4, 0, 0}},
		"6, more zones wanted than exist": {Spread{6, 3, 5}, open(0, 0), []int64{3, 3}},
		"9 in the only zone":              {Spread{9, 3, 0}, open(0), []int64{9}},
		"no floor is a floor of one":      {Spread{3, 0, 0}, open(0, 0, 0), []int64{1, 1, 1}},

		"4 scaled to 9":                             {Spread{9, 3, 0}, open(2, 2, 0), []int64{3, 3, 3}},
		"2 scaled to 7 stays in its zones":          {Spread{7, 3, 0}, open(0, 1, 1), []int64{0, 4, 3}},
		"9 scaled down to 4 and up to 7":            {Spread{7, 3, 0}, open(2, 1, 1), []int64{3, 3, 1}},
		"a straggler is not built up":               {Spread{8, 3, 0}, open(1, 3, 2), []int64{1, 4, 3}},
		"more than the owner wants go on even":      {Spread{9, 3, 0}, open(3, 2, 3), []int64{3, 3, 3}},
		"a zone with too little room is not begun":  {Spread{9, 3, 0}, []ZoneState{{0, endless}, {0, 2}, {0, endless}}, []int64{5, 0, 4}},
		"unless availability asks for it":           {Spread{9, 3, 3}, []ZoneState{{0, endless}, {0, 2}, {0, endless}}, []int64{4, 2, 3}},
		"the roomiest first":                        {Spread{4, 3, 2}, []ZoneState{{0, endless}, {0, 1}, {0, 2}}, []int64{2, 0, 2}},
		"a chosen zone fills up: it goes on":        {Spread{7, 3, 0}, []ZoneState{{3, 0}, {2, endless}, {0, endless}}, []int64{3, 4, 0}},
		"both chosen zones fill up: a third":        {Spread{9, 3, 2}, []ZoneState{{3, 0}, {3, 0}, {0, endless}}, []int64{3, 3, 3}},
		"a closed zone has few: the rest is evened": {Spread{7, 3, 0}, []ZoneState{{1, 0}, {0, endless}, {0, endless}}, []int64{1, 3, 3}},
		"a closed zone is one to be available in":   {Spread{4, 3, 0}, []ZoneState{{2, 0}, {0, endless}, {0, endless}}, []int64{2, 2, 0}},
		"all closed: what fits":                     {Spread{9, 3, 0}, []ZoneState{{0, 2}, {0, 1}, {0, 0}}, []int64{2, 1, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			place(tc.spread, tc.zones, first)
			if diff := cmp.Diff(tc.want, counts(tc.zones)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestARolloutEndsAsItBegan(t *testing.T) {
	for _, n := range []int64{1, 2, 4, 5, 7, 9, 11, 20} {
		before, after := make([]ZoneState, 4), make([]ZoneState, 4)
		for i := range before {
			before[i].Room, after[i].Room = endless, endless
		}
		place(Spread{n, 3, 0}, before, first)
		place(Spread{n, 3, 0}, after, func(equal int) int { return equal - 1 }) // another revision counts from 0
		a, b := counts(before), counts(after)
		slices.Sort(a)
		slices.Sort(b)
		if diff := cmp.Diff(a, b); diff != "" {
			t.Errorf("%d replicas (-before +after)\n%s", n, diff)
		}
	}
}

func TestSpreadRanksAllZones(t *testing.T) {
	for name, tc := range map[string]struct {
		spread Spread
		zones  []ZoneState
		want   []int
	}{
		"unopened zones rank alike, so that packing decides": {Spread{9, 3, 0},
			[]ZoneState{{0, 50}, {0, 5}, {0, 9}}, []int{0, 0, 0}},
		"chosen, left over, spare, tight, closed": {Spread{8, 3, 0},
			[]ZoneState{{0, 0}, {0, 1}, {0, 90}, {1, 90}, {3, 90}, {2, 90}, {0, 2}, {4, 0}}, []int{6, 5, 3, 2, 1, 0, 4, 6}},
		"opening, chosen, tight": {Spread{9, 3, 0},
			[]ZoneState{{2, 9}, {2, 9}, {0, 9}, {0, 1}, {1, 9}, {0, 0}}, []int{1, 1, 2, 3, 0, 4}},
		"no zones": {Spread{9, 3, 0}, nil, []int{}},
	} {
		t.Run(name, func(t *testing.T) {
			got := make([]int, len(tc.zones))
			tc.spread.Rank(tc.zones, got)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestZonesToUse(t *testing.T) {
	for _, tc := range []struct {
		spread      Spread
		exist, want int64
	}{
		{Spread{9, 3, 0}, 3, 3}, {Spread{7, 3, 0}, 3, 2}, {Spread{4, 3, 0}, 3, 2}, {Spread{1, 3, 0}, 3, 1},
		{Spread{0, 3, 0}, 3, 1}, {Spread{9, 3, 9}, 3, 3}, {Spread{100, 3, 0}, 3, 3}, {Spread{9, 3, 0}, 0, 1},
		{Spread{2, 3, 3}, 3, 2}, {Spread{-1, -1, -1}, 3, 1},
	} {
		if got := tc.spread.Zones(tc.exist); got != tc.want {
			t.Errorf("%+v over %d zones: got %d, want %d", tc.spread, tc.exist, got, tc.want)
		}
	}
}

// spreads checks a placement from nothing, with and without bounds on the room.
func spreads(t *rapid.T) {
	s := Spread{
		Replicas: rapid.Int64Range(1, 40).Draw(t, "replicas"),
		PerZone:  rapid.Int64Range(1, 6).Draw(t, "per zone"),
		MinZones: rapid.Int64Range(0, 5).Draw(t, "min zones"),
	}
	bounded := rapid.Bool().Draw(t, "bounded")
	zones := make([]ZoneState, rapid.IntRange(1, 7).Draw(t, "zones"))
	room := int64(0)
	for i := range zones {
		zones[i].Room = endless
		if bounded {
			zones[i].Room = rapid.Int64Range(0, 12).Draw(t, "room")
		}
		room += zones[i].Room
	}
	start := slices.Clone(zones)
	pick := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "pick") }
	place(s, zones, pick)
	if got, want := total(zones), min(s.Replicas, room); got != want {
		t.Fatalf("%+v: %d placed, want %d: %v from %v", s, got, want, zones, start)
	}
	if !bounded {
		balanced(t, s, zones, s.Zones(int64(len(zones))))
		// Scaling up on top is as balanced as starting anew.
		s.Replicas += rapid.Int64Range(1, 40).Draw(t, "more")
		before := counts(zones)
		place(s, zones, pick)
		if diff := slices.Max(before); diff <= s.Replicas/s.Zones(int64(len(zones))) {
			balanced(t, s, zones, s.Zones(int64(len(zones))))
		}
	}
}

// balanced: that many zones are in use, and evenly.
func balanced(t *rapid.T, s Spread, zones []ZoneState, want int64) {
	used := slices.DeleteFunc(counts(zones), func(n int64) bool { return n == 0 })
	if int64(len(used)) != want || slices.Max(used)-slices.Min(used) > 1 {
		t.Fatalf("%+v: want %d zones in use, evenly, got %v", s, want, used)
	}
}

func TestSpreads(t *testing.T)      { rapid.Check(t, spreads) }
func FuzzSpread(f *testing.F)       { f.Fuzz(rapid.MakeFuzz(spreads)) }
func TestRanksAreFair(t *testing.T) { rapid.Check(t, ranksAreFair) }
func FuzzRank(f *testing.F)         { f.Fuzz(rapid.MakeFuzz(ranksAreFair)) }

// ranksAreFair checks one ranking of any state: equal zones rank equal, wherever
// they stand, closed ones are last and alike, and some open one is best.
func ranksAreFair(t *rapid.T) {
	s := Spread{
		Replicas: rapid.Int64Range(-1, 20).Draw(t, "replicas"),
		PerZone:  rapid.Int64Range(-1, 6).Draw(t, "per zone"),
		MinZones: rapid.Int64Range(-1, 5).Draw(t, "min zones"),
	}
	zones := make([]ZoneState, rapid.IntRange(0, 20).Draw(t, "zones"))
	for i := range zones {
		zones[i] = ZoneState{rapid.Int64Range(-1, 5).Draw(t, "replicas"), rapid.Int64Range(-1, 5).Draw(t, "room")}
	}
	ranks := make([]int, len(zones))
	s.Rank(zones, ranks)
	seen := make(map[int]bool)
	worstOpen, closed := -1, -1
	for i, z := range zones {
		seen[ranks[i]] = true
		for j, other := range zones {
			if z == other && ranks[i] != ranks[j] {
				t.Fatalf("%+v: equal zones rank %d and %d: %v", s, ranks[i], ranks[j], zones)
			}
		}
		switch {
		case z.Room > 0:
			worstOpen = max(worstOpen, ranks[i])
		case closed >= 0 && closed != ranks[i]:
			t.Fatalf("%+v: closed zones rank %d and %d: %v", s, closed, ranks[i], zones)
		default:
			closed = ranks[i]
		}
	}
	if closed >= 0 && closed <= worstOpen {
		t.Fatalf("%+v: a closed zone ranks %d, an open one %d: %v", s, closed, worstOpen, zones)
	}
	for r := range len(seen) {
		if !seen[r] {
			t.Fatalf("%+v: no zone ranks %d: %v", s, r, fmt.Sprint(zones, ranks))
		}
	}
}
