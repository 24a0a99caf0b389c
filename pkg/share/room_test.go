package share

import (
	"math"
	"testing"
)

func TestWeightsFollowTheRoom(t *testing.T) {
	full := DefaultWeights()
	o := NewOutlook([]Class{{Task{CPUMilli: 8000, GPUMilli: Whole, GPUs: 1}, 1}}, nil, 1, full)
	for _, used := range []float64{.9, 1, 7, math.Inf(1), math.NaN()} {
		if o.At(used) != o {
			t.Errorf("with %v of the GPU in use it is another outlook, want the one for a full cluster", used)
		}
	}
	empty := o.At(0)
	for _, used := range []float64{.7, -1, math.Inf(-1)} {
		if o.At(used) != empty {
			t.Errorf("with %v in use it is not the outlook of an empty cluster", used)
		}
	}
	before := empty.weights
	if before.Starved <= full.Starved || before.IdleGPU >= full.IdleGPU || before.Sets >= full.Sets {
		t.Errorf("weights of an empty cluster %+v, of a full one %+v", before, full)
	}
	changes := 0
	for used := .7; used <= .9; used += .001 {
		now := o.At(used).weights
		if now.Starved > before.Starved || now.IdleGPU < before.IdleGPU || now.Sets < before.Sets {
			t.Fatalf("at %.3f in use %+v after %+v: want one direction", used, now, before)
		}
		if now != before {
			changes++
		}
		before = now
	}
	if changes != degrees {
		t.Errorf("%d changes on the way, want %d", changes, degrees)
	}
	if at := o.At(.8); at.Known() != o.Known() || at.Worth(500) != o.Worth(500) || at.At(0) != at {
		t.Error("only weights are to change, and once")
	}
}

// Two nodes of one kind, one with fewer idle GPUs but hardly any cores to go with
// them. With room elsewhere the cores decide, in a full cluster the set of GPUs that
// the other could become.
func TestCoresDecideWhileThereIsRoomAndSetsOnceThereIsNone(t *testing.T) {
	o := NewOutlook([]Class{
		{Task{CPUMilli: 12000, GPUMilli: Whole, GPUs: 1}, .9},
		{Task{CPUMilli: 64000, GPUMilli: Whole, GPUs: 8}, .1},
	}, nil, 1, DefaultWeights())
	task := &Task{CPUMilli: 18000, GPUMilli: Whole, GPUs: 1}
	short := &Node{CPUMilli: 96000, IdleCPUMilli: 40000, GPUs: []int64{0, 0, 0, 0, 0, Whole, Whole, Whole}}
	ample := &Node{CPUMilli: 96000, IdleCPUMilli: 96000, GPUs: []int64{0, Whole, Whole, Whole, Whole, Whole, Whole, Whole}}
	prefersAmple := func(used float64) bool {
		a, _, okA := o.At(used).Best(short, task)
		b, _, okB := o.At(used).Best(ample, task)
		if !okA || !okB {
			t.Fatal("the task fits both")
		}
		return b < a
	}
	if !prefersAmple(.5) || prefersAmple(.95) {
		t.Errorf("prefers the node with ample cores: %t half full, %t when full; want true, false", prefersAmple(.5), prefersAmple(.95))
	}
}
