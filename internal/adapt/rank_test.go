package adapt

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"testing"

	fwk "k8s.io/kube-scheduler/framework"
	"pgregory.net/rapid"
)

const band = 1_000

// threeSides are those of scores from 0 to 3*band.
var threeSides = Bounds{band, 2 * band}

func ranked(values []int64, sides Bounds) []int64 {
	scores := make(fwk.NodeScoreList, len(values))
	for i, v := range values {
		scores[i].Score = v
	}
	DenseRankBySide(scores, sides)
	out := make([]int64, len(values))
	for i := range scores {
		out[i] = scores[i].Score
	}
	return out
}

func distinctOf(values []int64) []int64 {
	distinct := slices.Clone(values)
	slices.SortFunc(distinct, func(a, b int64) int { return cmp.Compare(b, a) })
	return slices.Compact(distinct)
}

type failer interface {
	Fatalf(format string, args ...any)
}

// keepsItsWord checks what is promised of any scores.
func keepsItsWord(t failer, values []int64, sides Bounds) {
	distinct := distinctOf(values)
	place := map[int64]int{}
	for at, v := range distinct {
		place[v] = at
	}
	rank := make([]int64, len(distinct))
	for i, got := range ranked(values, sides) {
		at := place[values[i]]
		if rank[at] != 0 && rank[at] != got {
			t.Fatalf("%d ranks %d and %d", values[i], rank[at], got)
		}
		rank[at] = got
	}
	for at, got := range rank {
		exactly := at < exact || len(distinct) <= ranks
		switch {
		case exactly && got != fwk.MaxScore-int64(at):
			t.Fatalf("place %d of %d ranks %d, want %d", at, len(distinct), got, fwk.MaxScore-int64(at))
		case got < 0 || at > 0 && got > rank[at-1]:
			t.Fatalf("%d ranks %d after %d", distinct[at], got, rank[at-1])
		case at > 0 && got == rank[at-1] && sides.of(distinct[at]) != sides.of(distinct[at-1]):
			t.Fatalf("%d and %d are of different sides and rank %d", distinct[at-1], distinct[at], got)
		}
	}
}

func TestRanksAreExactAtTheTopAndOrderedBelow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Few distinct values as well as many, runs of equal ones included.
		spread := rapid.Int64Range(1, 3*band).Draw(t, "spread")
		values := rapid.SliceOfN(rapid.Int64Range(0, spread), 1, 400).Draw(t, "values")
		keepsItsWord(t, values, threeSides)
		keepsItsWord(t, values, Bounds{math.MinInt64, math.MinInt64})
	})
	DenseRank(nil)
}

func FuzzRanks(f *testing.F) {
	f.Add([]byte("far apart, and more than there are ranks"), int64(0), int64(1<<40))
	f.Fuzz(func(t *testing.T, text []byte, low, high int64) {
		var values []int64
		for i := range text {
			var word [8]byte
			copy(word[:], text[i:])
			values = append(values, int64(binary.LittleEndian.Uint64(word[:])), int64(text[i]))
		}
		keepsItsWord(t, values, Bounds{min(low, high), max(low, high)})
	})
}

// TestRanksBelowTheTopAreSharedEvenly: none is left out, and none holds more than
// one score above its share.
func TestRanksBelowTheTopAreSharedEvenly(t *testing.T) {
	for _, nodes := range []int{102, 151, 1_000, 16_000} {
		values := make([]int64, nodes)
		for i := range values {
			values[i] = int64(i)
		}
		held := map[int64]int{}
		for _, rank := range ranked(values, Bounds{}) {
			held[rank]++
		}
		for rank := range fwk.MaxScore + 1 {
			fewest := 1
			if rank < fwk.MaxScore+1-int64(exact) {
				fewest = (nodes - exact) / (ranks - exact)
			}
			if held[rank] < fewest || held[rank] > fewest+1 {
				t.Errorf("of %d scores %d rank %d, want %d or one more", nodes, held[rank], rank, fewest)
			}
		}
	}
}

// TestASideOfFewKeepsRanksBesideOneOfMany: a few nodes over their line are still
// told apart where thousands are under theirs.
func TestASideOfFewKeepsRanksBesideOneOfMany(t *testing.T) {
	var values []int64
	for i := range int64(900) {
		values = append(values, 2*band+i)
	}
	for i := range int64(20) {
		values = append(values, band+i)
	}
	values = append(values, 1, 2, 3)
	held := map[int]map[int64]bool{}
	for i, rank := range ranked(values, threeSides) {
		side := threeSides.of(values[i])
		if held[side] == nil {
			held[side] = map[int64]bool{}
		}
		held[side][rank] = true
	}
	for side, want := range map[int]int{0: 3, 1: least, 2: ranks - 3 - least} {
		if got := len(held[side]); got != want {
			t.Errorf("side %d holds %d ranks, want %d", side, got, want)
		}
	}
}

func BenchmarkDenseRank(b *testing.B) {
	const nodes = 5000
	for name, distinct := range map[string]int64{"few": 12, "many": 5000} {
		b.Run(name, func(b *testing.B) { benchmark(b, nodes, distinct, DenseRank) })
	}
	b.Run("sides", func(b *testing.B) {
		benchmark(b, nodes, nodes, func(scores fwk.NodeScoreList) { DenseRankBySide(scores, threeSides) })
	})
}

func benchmark(b *testing.B, nodes, distinct int64, rank func(fwk.NodeScoreList)) {
	scores, work := make(fwk.NodeScoreList, nodes), make(fwk.NodeScoreList, nodes)
	for i := range scores {
		scores[i].Score = int64(i) * 7919 % distinct
	}
	b.ReportAllocs()
	for b.Loop() {
		copy(work, scores)
		rank(work)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(nodes), "ns/node")
}

func TestRankingAllocatesNothing(t *testing.T) {
	scores := make(fwk.NodeScoreList, 3*band)
	if n := testing.AllocsPerRun(10, func() {
		for i := range scores {
			scores[i].Score = int64(i)
		}
		DenseRankBySide(scores, threeSides)
	}); n != 0 {
		t.Errorf("ranking %d different scores allocates %v times", len(scores), n)
	}
}
