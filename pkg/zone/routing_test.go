package zone

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestHintsKept(t *testing.T) {
	for name, tc := range map[string]struct {
		cpu     []int64
		dropped []int64 // of 1 to 60
	}{
		"three equal zones":             {[]int64{8000, 8000, 8000}, []int64{1, 2, 4, 5, 8, 11}},
		"two equal zones":               {[]int64{8000, 8000}, []int64{1, 3, 5}},
		"three zones, one twice as big": {[]int64{8000, 16000, 8000}, []int64{1, 2, 3, 5, 6, 10}},
		"one zone":                      {[]int64{8000}, upTo(60)},
		"no zones":                      {nil, upTo(60)},
		"a zone without CPU":            {[]int64{8000, 8000, 0}, upTo(60)},
		"more CPU than can be counted":  {[]int64{math.MaxInt64, 1}, upTo(60)},
	} {
		t.Run(name, func(t *testing.T) {
			var dropped []int64
			for n := int64(1); n <= 60; n++ {
				if !HintsKept(n, tc.cpu) {
					dropped = append(dropped, n)
				}
			}
			if diff := cmp.Diff(tc.dropped, dropped); diff != "" {
				t.Errorf("dropped (-want +got)\n%s", diff)
			}
			if HintsKept(0, tc.cpu) || HintsKept(-1, tc.cpu) {
				t.Error("kept without endpoints")
			}
		})
	}
}

func upTo(n int64) []int64 {
	var all []int64
	for i := int64(1); i <= n; i++ {
		all = append(all, i)
	}
	return all
}

func TestNearestKept(t *testing.T) {
	three := []int64{8000, 8000, 8000}
	for _, tc := range []struct {
		endpoints           int64
		cpu                 []int64
		wantFewer, wantMore int64
	}{
		{4, three, 3, 6}, {5, three, 3, 6}, {8, three, 7, 9}, {11, three, 10, 12},
		{2, three, 0, 3}, {3, three, 0, 6}, {0, three, 0, 3}, {-5, three, 0, 3},
		{1000, three, 999, 1001}, {math.MaxInt64, three, math.MaxInt64 - 1, math.MaxInt64},
		{5, []int64{8000}, 0, 0}, {5, []int64{8000, 0}, 0, 0}, {5, nil, 0, 0},
	} {
		if fewer, more := NearestKept(tc.endpoints, tc.cpu); fewer != tc.wantFewer || more != tc.wantMore {
			t.Errorf("%d over %v: got %d and %d, want %d and %d", tc.endpoints, tc.cpu, fewer, more, tc.wantFewer, tc.wantMore)
		}
	}
}

// nearestIsNearest compares the search with a plain one.
func nearestIsNearest(t *rapid.T) {
	cpu := rapid.SliceOfN(rapid.Int64Range(1, 1_000_000), 2, 12).Draw(t, "cpu")
	endpoints := rapid.Int64Range(0, 200).Draw(t, "endpoints")
	var wantFewer, wantMore int64
	for n := range endpoints {
		if HintsKept(n, cpu) {
			wantFewer = n
		}
	}
	for n := endpoints + 1; wantMore == 0; n++ {
		if HintsKept(n, cpu) {
			wantMore = n
		}
	}
	if fewer, more := NearestKept(endpoints, cpu); fewer != wantFewer || more != wantMore {
		t.Fatalf("got %d and %d, want %d and %d", fewer, more, wantFewer, wantMore)
	}
}

func TestNearestIsNearest(t *testing.T) { rapid.Check(t, nearestIsNearest) }
func FuzzNearestKept(f *testing.F)      { f.Fuzz(rapid.MakeFuzz(nearestIsNearest)) }
