package openb

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
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
	rnd := rand.New(rand.NewPCG(seed, 0))
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
