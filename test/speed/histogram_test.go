package speed

import (
	"fmt"
	"math"
	"slices"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"pgregory.net/rapid"
)

// histogram is one of Prometheus, or the difference of two. The zero value is
// empty, and adds and subtracts as such.
type histogram struct {
	// Bounds are the upper bounds of the buckets in seconds, rising, without +Inf.
	Bounds []float64
	// Cumulative are the observations up to each bound.
	Cumulative []uint64
	// Count is of all observations, Sum their seconds.
	Count uint64
	Sum   float64
}

func newHistogram(from *dto.Histogram) histogram {
	h := histogram{Count: from.GetSampleCount(), Sum: from.GetSampleSum()}
	for _, b := range from.GetBucket() {
		if !math.IsInf(b.GetUpperBound(), 1) {
			h.Bounds = append(h.Bounds, b.GetUpperBound())
			h.Cumulative = append(h.Cumulative, b.GetCumulativeCount())
		}
	}
	return h
}

// plus returns both together; their bounds are the same unless one is empty.
func (h histogram) plus(other histogram) histogram {
	if h.Count == 0 {
		return other
	}
	sum := histogram{h.Bounds, slices.Clone(h.Cumulative), h.Count + other.Count, h.Sum + other.Sum}
	for i, n := range other.Cumulative {
		sum.Cumulative[i] += n
	}
	return sum
}

// since returns what was observed after an earlier state of the histogram.
func (h histogram) since(earlier histogram) histogram {
	rest := histogram{h.Bounds, slices.Clone(h.Cumulative), h.Count - earlier.Count, h.Sum - earlier.Sum}
	for i, n := range earlier.Cumulative {
		rest.Cumulative[i] -= n
	}
	return rest
}

// mean returns the mean in seconds, 0 of nothing.
func (h histogram) mean() float64 {
	if h.Count == 0 {
		return 0
	}
	return h.Sum / float64(h.Count)
}

// quantile estimates the q-quantile, 0 < q < 1, in seconds as histogram_quantile of
// Prometheus does: observations are taken to lie evenly within a bucket, the first of
// which begins at 0; what is above all bounds counts as the last of them. It is 0 of
// nothing.
func (h histogram) quantile(q float64) float64 {
	rank := q * float64(h.Count)
	lower, below := 0.0, 0.0
	for i, bound := range h.Bounds {
		upTo := float64(h.Cumulative[i])
		if upTo >= rank && upTo > below {
			return lower + (bound-lower)*(rank-below)/(upTo-below)
		}
		lower, below = bound, upTo
	}
	if h.Count == 0 {
		return 0
	}
	return lower
}

func TestQuantilesAreInterpolatedAsPrometheusDoes(t *testing.T) {
	h := histogram{Bounds: []float64{1, 2, 4}, Cumulative: []uint64{10, 20, 40}, Count: 50}
	for _, c := range []struct {
		name string
		q    float64
		want float64
	}{
		{"the first bucket begins at 0", 0.1, 0.5},
		{"a whole bucket", 0.2, 1},
		{"within a bucket", 0.3, 1.5},
		{"within a wider bucket", 0.6, 3},
		{"above the last bound", 0.99, 4},
	} {
		if got := h.quantile(c.q); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: want %g, got %g", c.name, c.want, got)
		}
	}
	if got := (histogram{}).quantile(0.99); got != 0 {
		t.Errorf("of nothing: want 0, got %g", got)
	}
}

// genHistogram draws from 0 to 60 observations.
func genHistogram(t *rapid.T, label string) histogram {
	h := histogram{Bounds: []float64{1, 2, 4}, Cumulative: make([]uint64, 3)}
	for _, v := range rapid.SliceOfN(rapid.IntRange(0, 9), 0, 60).Draw(t, label) {
		h.Count++
		h.Sum += float64(v)
		for i, bound := range h.Bounds {
			if float64(v) <= bound {
				h.Cumulative[i]++
			}
		}
	}
	return h
}

func TestWhatWasAddedIsWhatWasObservedSince(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genHistogram(t, "a"), genHistogram(t, "b")
		if got := a.plus(b).since(a); fmt.Sprint(got) != fmt.Sprint(b) {
			t.Fatalf("(%v + %v) since the former: got %v", a, b, got)
		}
		low, high := b.quantile(0.2), b.quantile(0.8)
		if low < 0 || low > high || high > 4 {
			t.Fatalf("%v: quantiles 0.2 and 0.8 are %g and %g", b, low, high)
		}
	})
}
