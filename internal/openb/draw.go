package openb

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
)

// The streams of random numbers that one seed gives to what is drawn here.
const (
	streamOrder = 0
	streamLives = 3
)

// Draw returns the order in which pods arrive, as indices of the list: all of it,
// shuffled, and then one at random at a time, with replacement, until the next would
// ask for more than load times the capacity, in thousandths of a GPU. The same seed
// gives the same order. It fails if the pods would never ask for that much.
func Draw(pods []Pod, capacity int64, load float64, seed uint64) ([]int, error) {
	limit := load * float64(capacity)
	if !(limit > 0) || math.IsInf(limit, 1) {
		return nil, fmt.Errorf("drawing pods for %v times %d thousandths of a GPU: want both above 0", load, capacity)
	}
	var listed int64
	for i := range pods {
		listed += pods[i].Asks()
	}
	if listed == 0 {
		return nil, errors.New("drawing pods: none of the list asks for a GPU; want at least one that does")
	}
	rnd := rand.New(rand.NewPCG(seed, streamOrder))
	out := rnd.Perm(len(pods))
	var asked int64
	for i := 0; ; i++ {
		if i == len(out) {
			out = append(out, rnd.IntN(len(pods)))
		}
		asked += pods[out[i]].Asks()
		if float64(asked) > limit {
			return out[:i], nil
		}
	}
}

// Arrival is a pod of the list that comes at one time and leaves at another, both in
// mean lifetimes, if it finds a place.
type Arrival struct {
	Pod         int // an index of the list
	At, Leaving float64
}

// Churn is pods that come and go for ever: they arrive at random (Poisson), drawn from
// the list with replacement, and live for a random time (exponential, with one mean
// for all).
//
// It begins as it goes on: with as many pods as there are on average if none is lost,
// all of them at 0, each to live on for an exponential time, which is what such pods
// have left at any moment.
type Churn struct {
	pods int
	seed uint64
	// PerLife is how many pods arrive in a mean lifetime.
	PerLife float64
}

// NewChurn makes pods arrive at such a rate that what they ask for is on average load
// times the capacity, in thousandths of a GPU. It fails if that is no rate.
func NewChurn(pods []Pod, capacity int64, load float64, seed uint64) (*Churn, error) {
	var mean float64
	for i := range pods {
		mean += float64(pods[i].Asks()) / float64(len(pods))
	}
	if mean == 0 {
		return nil, errors.New("churning: none of the list asks for a GPU; want at least one that does")
	}
	rate := load * float64(capacity) / mean
	if !(rate > 0) || math.IsInf(rate, 1) {
		return nil, fmt.Errorf("churning at %v times %d thousandths of a GPU: want both above 0", load, capacity)
	}
	return &Churn{len(pods), seed, rate}, nil
}

// All yields the arrivals, in their order, without an end. The same seed gives the same.
func (c *Churn) All() iter.Seq[Arrival] {
	return func(yield func(Arrival) bool) {
		rnd := rand.New(rand.NewPCG(c.seed, streamLives))
		first := int(math.Round(c.PerLife))
		now := 0.0
		for i := 0; ; i++ {
			if i >= first {
				now += rnd.ExpFloat64() / c.PerLife
			}
			pod, life := rnd.IntN(c.pods), rnd.ExpFloat64()
			if !yield(Arrival{pod, now, now + life}) {
				return
			}
		}
	}
}
