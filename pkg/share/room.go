package share

import "math"

// A cluster that fills up has room for a while. What matters then is that no node
// runs out of cores before it runs out of GPU, and what is left on a node is not
// scarce yet. Once it is full, room comes only from tasks that leave: whole sets of
// GPUs come free where few tasks are, if others do not take what was freed first.
const (
	// roomyUntil and fullFrom are shares of the GPU in use. In between, weights
	// change by degrees.
	roomyUntil, fullFrom = .7, .9
	// degrees are as many as make no step a jump; more Outlooks would be of no use.
	degrees = 8
)

// roomy are the weights of a cluster with some room, 1 being all that counts.
func roomy(w Weights, room float64) Weights {
	w.Starved *= 1 + 2.5*room
	w.IdleGPU *= 1 - room/2
	w.Sets *= 1 - room
	return w
}

// At returns the outlook for a cluster of which this share of the GPU is in use, 0
// to 1. An outlook as it is made is for a full cluster, and At(1) is itself.
func (o *Outlook) At(used float64) *Outlook {
	room := (fullFrom - used) / (fullFrom - roomyUntil)
	i := int(math.Round(degrees * min(max(room, 0), 1)))
	if i <= 0 || o.withRoom == nil { // also for a share that is not a number
		return o
	}
	return &o.withRoom[i-1]
}

// makeRoom derives the outlooks for clusters with room.
func (o *Outlook) makeRoom() {
	withRoom := make([]Outlook, degrees)
	for i := range withRoom {
		withRoom[i] = *o
		withRoom[i].weights = roomy(o.weights, float64(i+1)/degrees)
	}
	o.withRoom = withRoom
}
