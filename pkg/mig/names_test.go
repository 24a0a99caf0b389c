package mig

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseProfile(t *testing.T) {
	type parsed struct {
		Compute, MemoryGB int
		Attributes        Attributes
	}
	for name, want := range map[string]parsed{
		"1g.10gb":         {1, 10, Attributes{}},
		"7g.141gb":        {7, 141, Attributes{}},
		"mig-3g.40gb":     {3, 40, Attributes{}},
		"1g.10gb+me":      {1, 10, Attributes{With: []string{"me"}}},
		"1g.10gb.me":      {1, 10, Attributes{With: []string{"me"}}},
		"1g.24gb+me.all":  {1, 24, Attributes{With: []string{"me.all"}}},
		"1g.24gb.me.all":  {1, 24, Attributes{With: []string{"me.all"}}},
		"1g.24gb-me":      {1, 24, Attributes{Without: []string{"me"}}},
		"2g.48gb+gfx,me":  {2, 48, Attributes{With: []string{"gfx", "me"}}},
		"2g.48gb+gfx-me":  {2, 48, Attributes{With: []string{"gfx"}, Without: []string{"me"}}},
		"1c.3g.40gb":      {3, 40, Attributes{Compute: 1}},
		"mig-2c.7g.80gb":  {7, 80, Attributes{Compute: 2}},
		"1c.1g.10gb+me":   {1, 10, Attributes{Compute: 1, With: []string{"me"}}},
		"12g.1234gb+next": {12, 1234, Attributes{With: []string{"next"}}},
	} {
		t.Run(name, func(t *testing.T) {
			compute, memory, attrs, err := ParseProfile(name)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, parsed{compute, memory, attrs}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseProfileRefusesOtherNames(t *testing.T) {
	for _, name := range []string{
		"", "g", "1g", "1g.", "1g.gb", "1g.10", "g.10gb", "0g.10gb", "1g.0gb", "01g.10gb", "1g.10GB", "1g.10gb ",
		"1g.10gb+", "1g.10gb+ME", "1g.10gb+me+", "1g.10gb..me", "1g.10gb+me.", "1g.10gb/me", "1g.10gbme",
		"4c.3g.40gb", "c.3g.40gb", "1c.", "-1g.10gb", "99999g.10gb", "1g.99999999999999999999gb", "mig-", "gpu", "mig-mig-1g.10gb",
	} {
		if compute, memory, attrs, err := ParseProfile(name); err == nil {
			t.Errorf("%q: read as %d, %d, %+v", name, compute, memory, attrs)
		} else if !strings.Contains(err.Error(), fmt.Sprintf("%q", name)) {
			t.Errorf("%q: error %q does not name it", name, err)
		}
	}
}

func FuzzParseProfile(f *testing.F) {
	for _, name := range []string{"1g.10gb", "mig-1g.10gb.me", "1c.3g.40gb", "1g.24gb+me.all", "1g.24gb-me", "2g.48gb+gfx,me", "+", "1g.10gb+"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		compute, memory, attrs, err := ParseProfile(name)
		if err != nil {
			return
		}
		if compute < 1 || memory < 1 || attrs.Compute < 0 || attrs.Compute > compute {
			t.Fatalf("%q: %d, %d, %+v", name, compute, memory, attrs)
		}
		again := fmt.Sprintf("%dg.%dgb%v", compute, memory, attrs)
		if attrs.Compute > 0 {
			again = fmt.Sprintf("%dc.%s", attrs.Compute, again)
		}
		c, m, a, err := ParseProfile(again)
		if err != nil || c != compute || m != memory || a.Compute != attrs.Compute || a.String() != attrs.String() {
			t.Fatalf("%q reads as %q, which reads as %d, %d, %+v (%v)", name, again, c, m, a, err)
		}
	})
}

func TestProductsAreFoundByTheirLabels(t *testing.T) {
	for product, want := range map[string]string{
		"NVIDIA-A100-SXM4-80GB":                              "7g.80gb",
		"NVIDIA A100-SXM4-80GB":                              "7g.80gb",
		"NVIDIA A100 80GB PCIe":                              "7g.80gb",
		"A100-SXM4-40GB":                                     "7g.40gb",
		"NVIDIA-A100-SXM4-40GB-MIG-1g.5gb":                   "7g.40gb",
		"NVIDIA-H100-80GB-HBM3":                              "7g.80gb",
		"NVIDIA-H100-80GB-HBM3-SHARED":                       "7g.80gb",
		"NVIDIA-H100-80GB-HBM3-MIG-1g.10gb-SHARED":           "7g.80gb",
		"NVIDIA-H100-80GB-HBM3-MIG-INVALID":                  "7g.80gb",
		"NVIDIA-H100-NVL":                                    "7g.94gb",
		"NVIDIA-H200":                                        "7g.141gb",
		"NVIDIA-H200-NVL":                                    "7g.141gb",
		"NVIDIA-GH200-480GB":                                 "7g.96gb",
		"NVIDIA-GH200-144G-HBM3e":                            "7g.144gb",
		"NVIDIA-B200":                                        "7g.180gb",
		"NVIDIA-A30":                                         "4g.24gb",
		"nvidia-a30":                                         "",
		"NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition":       "4g.96gb",
		"NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition-MIG-x": "4g.96gb",
		"NVIDIA-A300":                                        "",
		"NVIDIA-A100":                                        "",
		"NVIDIA-L40S-SHARED":                                 "",
		"Tesla-T4":                                           "",
		"":                                                   "",
	} {
		t.Run(product, func(t *testing.T) {
			g, ok := Table(product)
			if ok != (want != "") {
				t.Fatalf("found %v, want %q", g, want)
			}
			if !ok {
				return
			}
			profiles := g.Profiles()
			if last := profiles[len(profiles)-1]; last.Name != want || last.Slices() != g.Slices() {
				t.Errorf("the largest profile is %v of %d, want all of %s", &last, g.Slices(), want)
			}
		})
	}
}

// The counts are those that `nvidia-smi mig -lgip` prints as instances.
func TestTablesAgreeWithThePublishedCounts(t *testing.T) {
	counts := map[*grid][]int{gridOfFour: {4, 2, 1}, gridOfEight: {7, 4, 3, 2, 1, 1}, gridOfTwelve: {4, 2, 1}}
	for i, f := range families {
		g := geometries()[i]
		if g == nil {
			t.Fatalf("%s: its row makes no geometry", f.product)
		}
		if names := strings.Fields(f.names); len(names) != len(f.grid.rows) {
			t.Fatalf("%s: %d names for %d rows", f.product, len(names), len(f.grid.rows))
		}
		for j, p := range g.Profiles() {
			compute, _, attrs, err := ParseProfile(p.Name)
			if err != nil || compute != p.Compute || attrs.String() != "" {
				t.Errorf("%s: %v has %d compute slices (%v)", f.product, &p, p.Compute, err)
			}
			if got := g.Copies(0, j); got != counts[f.grid][j] {
				t.Errorf("%s: %d copies of %v, want %d", f.product, got, &p, counts[f.grid][j])
			}
		}
	}
}

func TestWithPlainProfilesTheMemorySlicesDecideBeforeTheComputeSlices(t *testing.T) {
	for i, f := range families {
		g := geometries()[i]
		if g == nil {
			t.Fatalf("%s: its row makes no geometry", f.product)
		}
		limit := map[int]int{4: 4, 8: 7, 12: 4}[g.Slices()]
		var walk func(used Mask, compute, from int)
		walk = func(used Mask, compute, from int) {
			if compute > limit {
				t.Fatalf("%s: %d compute slices beside each other, there are %d", f.product, compute, limit)
			}
			at := 0
			for _, p := range g.profiles {
				for _, q := range p.Placements {
					if at++; at > from && used&q == 0 {
						walk(used|q, compute+p.Compute, at)
					}
				}
			}
		}
		walk(0, 0, 0)
	}
}

func TestFindTakesExtrasAndRoundingForTheSameProfile(t *testing.T) {
	g := table(t, "NVIDIA-B200")
	for name, want := range map[string]string{
		"1g.23gb": "1g.23gb", "1g.24gb": "1g.23gb", "1g.22gb": "1g.23gb", "1g.23gb+me": "1g.23gb", "mig-1g.23gb.me": "1g.23gb",
		"1g.45gb": "1g.45gb", "2g.45gb": "2g.45gb", "1c.3g.90gb": "3g.90gb", "1g.30gb": "", "5g.90gb": "", "gpu": "",
	} {
		got := ""
		if i, ok := g.Find(name); ok {
			got = g.Profiles()[i].Name
		}
		if got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}
