package mig

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestAGPUDrawsItself(t *testing.T) {
	type placed struct {
		profile string
		start   int
	}
	for _, tc := range []struct {
		name   string
		placed []placed
		want   string
	}{
		{"empty", nil, "gpu [········]"},
		{"one small instance", []placed{{"1g.10gb", 0}}, "gpu [1g.10gb|·······]"},
		{"several", []placed{{"3g.40gb", 4}, {"1g.10gb", 0}, {"2g.20gb", 2}}, "gpu [1g.10gb|·|2g.20gb═|3g.40gb═══]"},
		{"two of a kind side by side", []placed{{"1g.10gb", 0}, {"1g.10gb", 1}}, "gpu [1g.10gb|1g.10gb|······]"},
		{"a slice that nothing can reach", []placed{{"1g.10gb", 6}}, "gpu [······|1g.10gb| ]"},
		{"full", []placed{{"7g.80gb", 0}}, "gpu [7g.80gb═══════]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := a100(t)
			gpu := NewGPU(g)
			for _, p := range tc.placed {
				i, _ := g.Find(p.profile)
				if err := gpu.Place(i, Run(p.start, g.Profiles()[i].Slices())); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(tc.want, gpu.String()); diff != "" {
				t.Errorf("picture (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAGPURefusesWhatCannotBe(t *testing.T) {
	g := a100(t)
	gpu := NewGPU(g)
	if err := gpu.Place(0, Run(4, 1)); err != nil {
		t.Fatal(err)
	}
	before := gpu.String()
	for name, tc := range map[string]struct {
		err      error
		occupied bool
	}{
		"a 3g over a 1g":                  {gpu.Place(3, Run(4, 4)), true},
		"a 4g at the start of a 3g":       {gpu.Place(4, Run(4, 4)), false},
		"a 1g on slice 7":                 {gpu.Place(0, Run(7, 1)), false},
		"a profile that does not exist":   {gpu.Place(6, Run(0, 1)), false},
		"releasing what is not there":     {gpu.Release(Run(5, 1)), false},
		"releasing more than an instance": {gpu.Release(Run(4, 2)), false},
	} {
		if tc.err == nil || errors.Is(tc.err, ErrOccupied) != tc.occupied {
			t.Errorf("%s: error %v, want one that is ErrOccupied: %v", name, tc.err, tc.occupied)
		}
	}
	if gpu.String() != before {
		t.Errorf("refusing left %v, want %v", gpu, before)
	}
}

func TestAGPUNeverOverCommitsAndUndoRestores(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGeometry(t, MaxSlices)
		gpu := NewGPU(g)
		for range rapid.IntRange(0, 20).Draw(t, "steps") {
			if live := gpu.Instances(); len(live) > 0 && rapid.Bool().Draw(t, "release") {
				if err := gpu.Release(rapid.SampledFrom(live).Draw(t, "instance").Placement); err != nil {
					t.Fatal(err)
				}
				continue
			}
			profile := rapid.IntRange(0, len(g.profiles)-1).Draw(t, "profile")
			placement := rapid.SampledFrom(g.profiles[profile].Placements).Draw(t, "placement")
			before, clone := gpu.String(), gpu.Clone()
			err := gpu.Place(profile, placement)
			if (err != nil) != (clone.Used()&placement != 0) {
				t.Fatalf("%v on %v: %v", placement, before, err)
			}
			if err == nil && rapid.Bool().Draw(t, "undo") {
				if err := gpu.Release(placement); err != nil || gpu.String() != before || gpu.Used() != clone.Used() {
					t.Fatalf("undo left %v, want %v (%v)", gpu, before, err)
				}
			}
			if clone.String() != before {
				t.Fatalf("the clone became %v, was %v", clone, before)
			}
		}
		union := Mask(0)
		for _, i := range gpu.Instances() {
			if union&i.Placement != 0 {
				t.Fatalf("instances overlap on %v", gpu)
			}
			union |= i.Placement
		}
		if union != gpu.Used() || gpu.Geometry() != g {
			t.Fatalf("%v uses %v, its instances %v", gpu, gpu.Used(), union)
		}
	})
}
