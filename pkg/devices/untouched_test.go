package devices

import "testing"

func TestOnlyNodesOfSeveralIdleGPUsAreUntouched(t *testing.T) {
	for name, c := range map[string]struct {
		gpus *NodeGPUs
		want bool
	}{
		"publishes nothing": {nil, false},
		"one GPU":           {&NodeGPUs{Idle: []int64{1000}}, false}, // nothing is broken up by using it
		"all idle":          {&NodeGPUs{Idle: []int64{1000, 1000}}, true},
		"a slice in use":    {&NodeGPUs{Idle: []int64{1000, 875}}, false},
	} {
		if got := c.gpus.Untouched(); got != c.want {
			t.Errorf("%s: untouched is %v, want %v", name, got, c.want)
		}
	}
}
