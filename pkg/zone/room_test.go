package zone

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestFits(t *testing.T) {
	for name, tc := range map[string]struct {
		free, need  Amounts
		limit, want int64
	}{
		"the scarcest resource decides":           {Amounts{8000, 32, 3}, Amounts{1000, 4, 1}, 100, 3},
		"what is not needed does not count":       {Amounts{8000, 0, -5}, Amounts{1000}, 100, 8},
		"a negative need does not count":          {Amounts{8000, 1}, Amounts{1000, -4}, 100, 8},
		"nothing is needed":                       {Amounts{-1, -1}, Amounts{}, 7, 7},
		"no more than the limit":                  {Amounts{8000}, Amounts{1}, 5, 5},
		"less than one":                           {Amounts{999}, Amounts{1000}, 5, 0},
		"more is in use than there is":            {Amounts{8000, -1}, Amounts{1000, 1}, 5, 0},
		"a limit of nothing":                      {Amounts{8000}, Amounts{1000}, 0, 0},
		"a negative limit":                        {Amounts{}, Amounts{}, -3, 0},
		"the largest numbers":                     {Amounts{math.MaxInt64}, Amounts{1}, math.MaxInt64, math.MaxInt64},
		"a product beyond the largest number":     {Amounts{math.MaxInt64}, Amounts{math.MaxInt64 - 1}, math.MaxInt64, 1},
		"the last resource counts like the first": {Amounts{9, 9, 9, 9, 9, 9, 9, 4}, Amounts{1, 1, 1, 1, 1, 1, 1, 2}, 9, 2},
	} {
		if got := Fits(&tc.free, &tc.need, tc.limit); got != tc.want {
			t.Errorf("%s: got %d, want %d", name, got, tc.want)
		}
	}
}

func TestFitsIsTheMostThatCanBeTaken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var free, need Amounts
		for i := range free {
			free[i] = rapid.Int64Range(-5, 100).Draw(t, "free")
			need[i] = rapid.Int64Range(-2, 10).Draw(t, "need")
		}
		limit := rapid.Int64Range(0, 30).Draw(t, "limit")
		holds := func(pods int64) bool {
			for i := range free {
				if need[i] > 0 && need[i]*pods > free[i] {
					return false
				}
			}
			return pods <= limit
		}
		got := Fits(&free, &need, limit)
		if got > 0 && !holds(got) || holds(got+1) {
			t.Fatalf("got %d", got)
		}
	})
}

func TestRoomIsTheSumOverNodes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		levels, nodes, fits := smallCluster(t)
		tree := Build(levels, nodes)
		room := NewRoom(tree, func(n NodeID) int64 { return fits[n] })
		for range 2 {
			for d := range DomainID(tree.Domains()) {
				want := int64(0)
				for _, n := range members(tree, d) {
					want += room.On(n)
					if room.On(n) != max(fits[n], 0) {
						t.Fatalf("on %s: got %d, want %d", tree.NodeName(n), room.On(n), fits[n])
					}
				}
				if got := room.In(d); got != want {
					t.Fatalf("in %s: got %d, want %d", tree.Path(d), got, want)
				}
			}
			for i := range fits {
				fits[i] = rapid.Int64Range(-1, 6).Draw(t, "later")
			}
			room.Fill(tree, func(n NodeID) int64 { return fits[n] })
		}
	})
}

func TestRoomDoesNotOverflow(t *testing.T) {
	c := draw(t, "zone\n a-01 a\n a-02 a\n b-01 b")
	room := NewRoom(c.tree, func(NodeID) int64 { return math.MaxInt64 })
	if got := room.In(Root); got < math.MaxInt64-3 {
		t.Errorf("three nodes with endless room hold %d", got)
	}
	if a, b := room.In(c.find("zone=a")), room.In(c.find("zone=b")); a != 2*b {
		t.Errorf("of equal nodes, two hold %d and one %d", a, b)
	}
	none := NewRoom(Build(nil, nil), nil)
	if got := none.In(Root); got != 0 {
		t.Errorf("a cluster without nodes holds %d", got)
	}
}
