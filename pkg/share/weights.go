package share

// Weights say how much each term of a Loss counts; the package comment says
// what the terms are.
type Weights struct {
	// Per thousandth of a GPU.
	Fragment, Starved, Piece, Scarcity, Cores, Sets, IdleGPU float64
	// Per core.
	IdleCore float64
	// Per GPU, and per node, that was empty.
	OpenGPU, OpenNode float64
}

// DefaultWeights come from sweeps over the lists of the openb trace, filling up and
// with tasks that come and go, on other orders of arrival than those the benchmarks
// report. They are for a cluster that is full; most have a wide optimum there.
// Scarcity has a threshold instead: below 1, lists where many tasks name a model
// lose a point. See Outlook.At for clusters with room.
func DefaultWeights() Weights {
	return Weights{
		Fragment: 1, Starved: .2, Piece: 40, Scarcity: 1, Cores: 2, Sets: .1,
		IdleGPU: .04, IdleCore: .1, OpenGPU: 5, OpenNode: 5,
	}
}
