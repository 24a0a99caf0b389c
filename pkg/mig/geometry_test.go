package mig

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestWhatFitsBesideWhat(t *testing.T) {
	g := a100(t)
	for _, tc := range []struct {
		name    string
		used    Mask
		profile string
		want    int
	}{
		{"seven 1g go on one GPU", 0, "1g.10gb", 7},
		{"four 1g with double memory go on one GPU", 0, "1g.20gb", 4},
		{"only three 2g do, as 2g may not start at slice 6", 0, "2g.20gb", 3},
		{"two 3g go on one GPU", 0, "3g.40gb", 2},
		{"one 4g does, though it takes half of the memory", 0, "4g.40gb", 1},
		{"a 4g still fits beside three 1g", Run(4, 3), "4g.40gb", 1},
		{"a 3g still fits beside three 1g", Run(4, 3), "3g.40gb", 1},
		{"no 4g fits beside a 1g at its start", Run(0, 1), "4g.40gb", 0},
		{"no 7g fits beside anything", Run(6, 1), "7g.80gb", 0},
		{"slice 7 alone is of no use to a 1g", Run(0, 7), "1g.10gb", 0},
		{"the last two slices hold a 1g with double memory", Run(0, 6), "1g.20gb", 1},
		{"the last two slices hold no 2g", Run(0, 6), "2g.20gb", 0},
		{"nothing fits on a full GPU", Run(0, 8), "1g.10gb", 0},
		{"a name with extras has the placements of the plain one", 0, "1g.10gb+me", 7},
		{"a name rounded by another driver is the same profile", 0, "7g.79gb", 1},
		{"a profile that does not exist fits nowhere", 0, "5g.50gb", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			i, ok := g.Find(tc.profile)
			if !ok {
				i = -1
			}
			if got := g.Copies(tc.used, i); got != tc.want {
				t.Errorf("beside %v: %d copies of %s, want %d", tc.used, got, tc.profile, tc.want)
			}
		})
	}
}

func TestNewGeometryRefusesWhatMakesNoSense(t *testing.T) {
	one := func(placements ...Mask) []Profile { return []Profile{{Name: "p", Placements: placements}} }
	for name, tc := range map[string]struct {
		slices   int
		profiles []Profile
		want     string
	}{
		"no slices":                    {0, one(1), "0 memory slices"},
		"more slices than a mask has":  {65, one(1), "65 memory slices"},
		"no profiles":                  {8, nil, "0 profiles"},
		"too many profiles":            {8, make([]Profile, MaxProfiles+1), "65 profiles"},
		"too many placements":          {12, crowd(), "placements in all"},
		"no name":                      {8, []Profile{{Placements: []Mask{1}}}, "no name"},
		"a name twice":                 {8, append(one(1), one(2)...), "twice"},
		"no placement":                 {8, one(), "no placement"},
		"an empty placement":           {8, one(0), "takes no slice"},
		"a placement off the grid":     {8, one(1 << 8), "leaves the grid"},
		"placements of two sizes":      {8, one(1, 6), "differ in size"},
		"a placement twice":            {8, one(1, 1), "twice"},
		"compute below zero":           {8, []Profile{{Name: "p", Compute: -1, Placements: []Mask{1}}}, "compute slices"},
		"gaps on a grid beyond tables": {13, one(5), "has gaps"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewGeometry(tc.slices, tc.profiles)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want one with %q", err, tc.want)
			}
		})
	}
}

// crowd is five profiles that can each be on any half of twelve slices.
func crowd() []Profile {
	var halves []Mask
	for m := range Mask(1) << tableSlices {
		if m.Count() == tableSlices/2 {
			halves = append(halves, m)
		}
	}
	var out []Profile
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		out = append(out, Profile{Name: name, Placements: halves})
	}
	return out
}

func TestAGeometryIsNotChangedThroughItsInput(t *testing.T) {
	placements := []Mask{4, 1}
	g, err := NewGeometry(3, []Profile{{Name: "p", Placements: placements}})
	if err != nil {
		t.Fatal(err)
	}
	placements[0] = 7
	if diff := cmp.Diff([]Profile{{Name: "p", Placements: []Mask{1, 4}}}, g.Profiles()); diff != "" {
		t.Errorf("profiles (-want +got):\n%s", diff)
	}
	g.Profiles()[0].Name = "q"
	if g.Profiles()[0].Name != "p" {
		t.Error("the caller renamed a profile")
	}
}

func TestCopiesAgreesWithTryingEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGeometry(t, 16)
		used := Mask(rapid.Uint64().Draw(t, "used"))
		for i, p := range g.Profiles() {
			if got, want := g.Copies(used, i), tryAll(used, p.Placements); got != want {
				t.Fatalf("%v beside %v: %d copies of %v, trying everything finds %d", g, used, got, &p, want)
			}
		}
		if g.Copies(used, -1) != 0 || g.Copies(used, len(g.Profiles())) != 0 {
			t.Fatal("copies of a profile that does not exist")
		}
	})
}

// tryAll takes or leaves every placement.
func tryAll(used Mask, placements []Mask) int {
	if len(placements) == 0 {
		return 0
	}
	most := tryAll(used, placements[1:])
	if used&placements[0] == 0 {
		most = max(most, 1+tryAll(used|placements[0], placements[1:]))
	}
	return most
}

// drawGeometry draws a grid of up to most slices, with gaps in its placements
// where those are allowed.
func drawGeometry(t *rapid.T, most int) *Geometry {
	slices := rapid.IntRange(1, most).Draw(t, "slices")
	var profiles []Profile
	for i := range rapid.IntRange(1, 4).Draw(t, "profiles") {
		size := rapid.IntRange(1, slices).Draw(t, "size")
		shape := Run(0, size)
		if slices <= tableSlices && size > 1 && rapid.Bool().Draw(t, "gap") {
			shape = Run(0, size-1) | Run(rapid.IntRange(size-1, slices-1).Draw(t, "last"), 1)
		}
		p := Profile{Name: string(rune('a' + i))}
		for _, start := range rapid.SliceOfNDistinct(rapid.IntRange(0, slices-1), 1, 6, rapid.ID).Draw(t, "starts") {
			if q := shape << start; q&^Run(0, slices) == 0 && q.Count() == shape.Count() {
				p.Placements = append(p.Placements, q)
			}
		}
		if len(p.Placements) == 0 {
			p.Placements = []Mask{shape}
		}
		profiles = append(profiles, p)
	}
	g, err := NewGeometry(slices, profiles)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func FuzzNewGeometry(f *testing.F) {
	f.Add(8, "1g.10gb", 1, uint64(1), uint64(2), uint64(0))
	f.Add(64, "x", 0, ^uint64(0), uint64(0), ^uint64(0))
	f.Add(12, "x", -1, uint64(5), uint64(10), uint64(3))
	f.Fuzz(func(t *testing.T, slices int, name string, compute int, a, b, used uint64) {
		g, err := NewGeometry(slices, []Profile{
			{Name: name, Compute: compute, Placements: []Mask{Mask(a), Mask(b)}},
			{Name: name + "'", Placements: []Mask{Mask(b)}},
		})
		if err != nil {
			return
		}
		v := g.Values(nil)
		if worth := v.Of(Mask(used)); worth < 0 || worth > int64(g.Free(Mask(used)))*Slice {
			t.Errorf("%v: worth %d with %v used", g, worth, Mask(used))
		}
	})
}
