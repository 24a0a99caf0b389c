package zone

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestRankNear(t *testing.T) {
	cheapAC := NewPrices(0.02)
	cheapAC.Set("a", "c", 0.005)
	costly := NewPrices(0.01)
	costly.Set("a", "a", 1)
	for name, tc := range map[string]struct {
		peers   Peers
		callers []int64
		prices  *Prices
		want    []int
	}{
		"the zone with more endpoints":                {Peers{"a": 0.25, "b": 0.75}, nil, nil, []int{1, 0, 2}},
		"unless it has its share of callers":          {Peers{"a": 0.25, "b": 0.75}, []int64{0, 3, 0}, nil, []int{0, 1, 2}},
		"equal loads are equal":                       {Peers{"a": 0.25, "b": 0.75}, []int64{0, 2, 7}, nil, []int{0, 0, 1}},
		"whatever the rounding":                       {Peers{"a": 0.1 + 0.2, "b": 0.3}, nil, nil, []int{0, 0, 1}},
		"zones without endpoints are alike":           {Peers{"b": 1}, []int64{5, 0, 0}, nil, []int{1, 0, 1}},
		"no endpoints at all: all are alike":          {Peers{}, []int64{5, 0, 0}, nil, []int{0, 0, 0}},
		"nor where they are in no zone of ours":       {Peers{"z": 1}, nil, nil, []int{0, 0, 0}},
		"a share of zero is none":                     {Peers{"a": 0, "b": 1, "c": -1}, nil, nil, []int{1, 0, 1}},
		"with prices: where most traffic stays":       {Peers{"a": 0.25, "b": 0.75}, []int64{0, 9, 0}, NewPrices(0.02), []int{1, 0, 2}},
		"equal prices: the load decides":              {Peers{"a": 0.5, "b": 0.5}, []int64{2, 1, 0}, NewPrices(0.02), []int{1, 0, 2}},
		"equal prices and loads":                      {Peers{"a": 0.5, "b": 0.5}, []int64{2, 2, 0}, NewPrices(0.02), []int{0, 0, 1}},
		"a zone near two others":                      {Peers{"a": 0.4, "b": 0.25, "c": 0.35}, nil, cheapAC, []int{0, 2, 1}},
		"all prices zero: as without":                 {Peers{"a": 0.25, "b": 0.75}, []int64{0, 3, 0}, NewPrices(0), []int{0, 1, 2}},
		"a zone dear in itself":                       {Peers{"a": 1}, nil, costly, []int{1, 0, 0}},
		"prices without peers":                        {nil, nil, cheapAC, []int{0, 0, 0}},
		"callers of fewer zones: the others have 0":   {Peers{"a": 0.5, "c": 0.5}, []int64{1}, nil, []int{1, 2, 0}},
		"what is no number comes last, without panic": {Peers{"a": math.NaN(), "b": 1}, nil, NewPrices(math.Inf(1)), []int{1, 0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			got := make([]int, 3)
			RankNear(tc.peers, []string{"a", "b", "c"}, tc.callers, tc.prices, got)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestPrices(t *testing.T) {
	p := NewPrices(0.02)
	p.Set("a", "b", 0.01)
	p.Set("c", "a", 0.03)
	p.Set("a", "c", 0.04)
	p.Set("b", "b", 0.005)
	for _, tc := range []struct {
		from, to string
		want     float64
	}{
		{"a", "b", 0.01}, {"b", "a", 0.01}, // set one way, used both
		{"c", "a", 0.03}, {"a", "c", 0.04}, // set both ways
		{"a", "a", 0}, {"b", "b", 0.005}, {"b", "c", 0.02}, {"x", "y", 0.02},
	} {
		if got := p.Between(tc.from, tc.to); got != tc.want {
			t.Errorf("from %s to %s: got %v, want %v", tc.from, tc.to, got, tc.want)
		}
	}
	if got := (*Prices)(nil).Between("a", "b"); got != 0 {
		t.Errorf("no prices: got %v", got)
	}
}

func TestCallersEndInProportionToEndpoints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zones := []string{"a", "b", "c", "d"}
		endpoints := make([]int64, len(zones))
		sum := int64(0)
		for i := range endpoints {
			endpoints[i] = rapid.Int64Range(0, 9).Draw(t, "endpoints")
			sum += endpoints[i]
		}
		if sum == 0 {
			return
		}
		peers := make(Peers)
		for i, zone := range zones {
			if endpoints[i] > 0 {
				peers[zone] = float64(endpoints[i]) / float64(sum)
			}
		}
		rounds := rapid.Int64Range(1, 5).Draw(t, "rounds")
		callers, ranks := make([]int64, len(zones)), make([]int, len(zones))
		for range sum * rounds {
			RankNear(peers, zones, callers, nil, ranks)
			for i, r := range ranks {
				if r == 0 {
					callers[i]++
					break
				}
			}
		}
		for i := range callers {
			if callers[i] != endpoints[i]*rounds {
				t.Fatalf("endpoints %v, but callers %v", endpoints, callers)
			}
		}
	})
}

func TestRankNearIsDenseAndFollowsTheCost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zones := []string{"a", "b", "c", "d", "e"}
		number := rapid.Float64Range(0, 1)
		prices := NewPrices(number.Draw(t, "elsewhere"))
		peers := make(Peers)
		for _, from := range zones {
			peers[from] = number.Draw(t, "share")
			for _, to := range zones {
				if rapid.Bool().Draw(t, "set") {
					prices.Set(from, to, number.Draw(t, "price"))
				}
			}
		}
		ranks := make([]int, len(zones))
		RankNear(peers, zones, nil, prices, ranks)
		cost := func(i int) float64 {
			sum := 0.0
			for zone, share := range peers {
				sum += share * prices.Between(zones[i], zone)
			}
			return sum
		}
		seen := make([]bool, len(zones)+1)
		for i := range zones {
			seen[ranks[i]] = true
			for j := range zones {
				if ranks[i] < ranks[j] && cost(i) > cost(j)*(1+1e-6) {
					t.Fatalf("%s costs %v and ranks %d, %s costs %v and ranks %d", zones[i], cost(i), ranks[i], zones[j], cost(j), ranks[j])
				}
			}
		}
		for r := 1; r < len(seen); r++ {
			if seen[r] && !seen[r-1] {
				t.Fatalf("ranks have a gap: %v", ranks)
			}
		}
	})
}
