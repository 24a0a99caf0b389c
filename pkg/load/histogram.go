package load

import (
	"math"
	"slices"
)

// Histogram counts the shapes of the pods seen recently: each new pod fades the
// older ones, so that a changed workload is learnt within a few half-lives. It
// is not safe for concurrent use.
type Histogram struct {
	// fade is what one more pod leaves of the weight of all before it.
	fade    float64
	buckets map[[MaxResources]int8]*bucket
	// clock counts observations, so that fading costs nothing per bucket.
	clock float64
}

// bucket sums the pods of similar size; its shape is their mean, so that
// identical pods are remembered exactly.
type bucket struct {
	weight float64
	sum    [MaxResources]float64
	// at is the clock of the last change: older weight has faded since.
	at float64
}

// unknownPods is how many pods "any shape" weighs as much as: a mix learnt from
// a handful of pods must not overrule the curve.
const unknownPods = 100

// maxBuckets bounds memory; the faintest bucket makes room for a new one.
const maxBuckets = 256

// NewHistogram returns an empty histogram that weighs a pod half as much after
// halfLife further pods. halfLife must be at least 1.
func NewHistogram(halfLife int) *Histogram {
	return &Histogram{
		fade:    math.Exp2(-1 / float64(max(halfLife, 1))),
		buckets: map[[MaxResources]int8]*bucket{},
	}
}

// Observe counts one pod. A pod that needs nothing says nothing.
func (h *Histogram) Observe(need Vector) {
	if need == (Vector{}) {
		return
	}
	h.clock++
	key := bucketOf(need)
	b := h.buckets[key]
	if b == nil {
		if len(h.buckets) >= maxBuckets {
			h.dropFaintest()
		}
		b = &bucket{at: h.clock}
		h.buckets[key] = b
	}
	kept := h.weightAfter(1, h.clock-b.at)
	b.weight = b.weight*kept + 1
	for r := range need {
		b.sum[r] = b.sum[r]*kept + float64(need[r])
	}
	b.at = h.clock
}

// Mix returns what the histogram knows now; nil if it has seen nothing.
func (h *Histogram) Mix() *Mix {
	shapes, seen := make([]Shape, 0, len(h.buckets)), 0.0
	for _, b := range h.buckets {
		s := Shape{Share: h.weightAfter(b.weight, h.clock-b.at)}
		for r, sum := range b.sum {
			s.Need[r] = int64(math.Round(sum / b.weight))
		}
		shapes, seen = append(shapes, s), seen+s.Share
	}
	return NewMix(shapes, unknownPods/(unknownPods+seen))
}

func (h *Histogram) weightAfter(weight, observations float64) float64 {
	return weight * math.Pow(h.fade, observations)
}

func (h *Histogram) dropFaintest() {
	var faintest [MaxResources]int8
	least := math.Inf(1)
	for key, b := range h.buckets {
		w := h.weightAfter(b.weight, h.clock-b.at)
		if w < least || w == least && slices.Compare(key[:], faintest[:]) < 0 {
			faintest, least = key, w
		}
	}
	delete(h.buckets, faintest)
}

// bucketOf rounds every amount to the nearest half power of two: pods within
// about 20 % of each other share a bucket.
func bucketOf(need Vector) (key [MaxResources]int8) {
	for r, amount := range need {
		if amount > 0 {
			key[r] = int8(1 + math.Round(2*math.Log2(float64(amount))))
		}
	}
	return key
}
