package worlds

import (
	"context"
	"testing"

	"k8s.io/dynamic-resource-allocation/cel"
)

// TestSelectorsAreWhatTheyAreCalled: all compile, the safe ones do not fail on any
// device, and the others fail on some.
func TestSelectorsAreWhatTheyAreCalled(t *testing.T) {
	g, compiled := generator(t), expressions{}.of(Features())
	failed := map[string]bool{}
	for seed := range uint64(500) {
		w := g.Generate(1<<44 + seed)
		if w.Features.ListTypeAttributes || seed%largeEvery == 0 {
			continue
		}
		for _, s := range w.Slices {
			for i := range s.Spec.Devices {
				for _, expression := range append(safeSelectors(), failingSelectors()...) {
					selector := compiled.GetOrCompile(expression)
					if selector.Error != nil {
						t.Fatalf("%s: %v", expression, selector.Error)
					}
					d := &s.Spec.Devices[i]
					_, _, err := selector.DeviceMatches(context.Background(), cel.Device{Driver: s.Spec.Driver,
						AllowMultipleAllocations: d.AllowMultipleAllocations, Attributes: d.Attributes, Capacity: d.Capacity})
					failed[expression] = failed[expression] || err != nil
				}
			}
		}
	}
	for _, expression := range safeSelectors() {
		if failed[expression] {
			t.Errorf("%s fails on some device", expression)
		}
	}
	for _, expression := range failingSelectors() {
		if !failed[expression] {
			t.Errorf("%s fails on no device", expression)
		}
	}
}
