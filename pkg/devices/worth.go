package devices

import (
	"plimsoll.dev/scheduler/pkg/mig"
	"plimsoll.dev/scheduler/pkg/share"
)

// Worth is what free room is worth to a profile, at one moment. It is made anew
// when the mix of requests changes, and plans made with the old one are forgotten.
type Worth struct {
	weights func(*mig.Geometry) mig.Weights
	outlook *share.Outlook
	values  map[*kind]*mig.Values // guarded by the model's lock
}

// NewWorth makes one of the weight of each MIG profile and of the outlook for
// pieces of shared GPUs. Either may be nil: all profiles, and all pieces, then
// count alike.
func NewWorth(weights func(*mig.Geometry) mig.Weights, outlook *share.Outlook) *Worth {
	return &Worth{weights: weights, outlook: outlook, values: map[*kind]*mig.Values{}}
}

// of returns what a grid's states are worth.
func (w *Worth) of(k *kind) *mig.Values {
	v := w.values[k]
	if v == nil {
		var weights mig.Weights
		if w.weights != nil {
			weights = w.weights(k.geometry)
		}
		v = k.geometry.Values(weights)
		w.values[k] = v
	}
	return v
}

// piece is what taking part of a shared GPU costs, in millionths of a GPU:
// before and after are what is used, in millionths.
func (w *Worth) piece(before, after int64) int64 {
	if w.outlook == nil {
		return 0
	}
	left := func(used int64) float64 { return w.outlook.Worth(share.Whole - used/1000) }
	return int64(1000 * (left(before) - left(after)))
}
