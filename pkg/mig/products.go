package mig

import (
	"strings"
	"sync"
)

// family is a GPU product whose partitions are known.
type family struct {
	// product is the beginning of the product label after "NVIDIA-", whole words.
	product string
	grid    *grid
	// names are the plain profiles, in the order of the grid's rows.
	names string
}

// grid is what families that partition alike share.
type grid struct {
	slices int
	rows   []row
}

// row is one profile of a grid: its compute slices, its memory slices and the
// memory slices it can start at.
type row struct {
	compute, size int
	starts        []int
}

// The three grids that exist. 4g has a single start though it takes half of the
// memory; slice 7 of eight belongs to no 1g; and the grid of twelve has units
// that no profile uses alone.
var (
	gridOfFour = &grid{4, []row{
		{1, 1, []int{0, 1, 2, 3}}, {2, 2, []int{0, 2}}, {4, 4, []int{0}},
	}}
	gridOfEight = &grid{8, []row{
		{1, 1, []int{0, 1, 2, 3, 4, 5, 6}}, {1, 2, []int{0, 2, 4, 6}}, {2, 2, []int{0, 2, 4}},
		{3, 4, []int{0, 4}}, {4, 4, []int{0}}, {7, 8, []int{0}},
	}}
	gridOfTwelve = &grid{12, []row{
		{1, 3, []int{0, 3, 6, 9}}, {2, 6, []int{0, 6}}, {4, 12, []int{0}},
	}}
)

// families are matched by their longest product. Sources: names and counts from
// NVIDIA's MIG user guide ("Supported MIG Profiles") and mig-parted's default
// configurations; placements from outputs of `nvidia-smi mig -lgipp` on A30,
// A100, H100 NVL and RTX PRO 6000. Those of the other Hopper parts follow from
// the H100 NVL, which has the same die; those of Blackwell data-centre parts
// from the memory fractions in the guide, not from a machine.
var families = []family{
	{"A30", gridOfFour, "1g.6gb 2g.12gb 4g.24gb"},
	{"A100-SXM4-40GB", gridOfEight, "1g.5gb 1g.10gb 2g.10gb 3g.20gb 4g.20gb 7g.40gb"},
	{"A100-PCIE-40GB", gridOfEight, "1g.5gb 1g.10gb 2g.10gb 3g.20gb 4g.20gb 7g.40gb"},
	{"A100-SXM4-80GB", gridOfEight, "1g.10gb 1g.20gb 2g.20gb 3g.40gb 4g.40gb 7g.80gb"},
	{"A100-80GB-PCIe", gridOfEight, "1g.10gb 1g.20gb 2g.20gb 3g.40gb 4g.40gb 7g.80gb"},
	{"H100-80GB-HBM3", gridOfEight, "1g.10gb 1g.20gb 2g.20gb 3g.40gb 4g.40gb 7g.80gb"},
	{"H100-PCIe", gridOfEight, "1g.10gb 1g.20gb 2g.20gb 3g.40gb 4g.40gb 7g.80gb"},
	{"H100-NVL", gridOfEight, "1g.12gb 1g.24gb 2g.24gb 3g.47gb 4g.47gb 7g.94gb"},
	{"GH200-480GB", gridOfEight, "1g.12gb 1g.24gb 2g.24gb 3g.48gb 4g.48gb 7g.96gb"},
	{"GH200-144G-HBM3e", gridOfEight, "1g.18gb 1g.36gb 2g.36gb 3g.72gb 4g.72gb 7g.144gb"},
	{"H200", gridOfEight, "1g.18gb 1g.35gb 2g.35gb 3g.71gb 4g.71gb 7g.141gb"},
	{"B200", gridOfEight, "1g.23gb 1g.45gb 2g.45gb 3g.90gb 4g.90gb 7g.180gb"},
	{"RTX-PRO-6000-Blackwell", gridOfTwelve, "1g.24gb 2g.48gb 4g.96gb"},
}

// geometries are built once, when first asked for, so that GPUs of one product
// share their tables and a process that has none pays nothing. A row that makes
// no sense would be nil, its product unknown; a test looks every one up.
var geometries = sync.OnceValue(func() []*Geometry {
	out := make([]*Geometry, len(families))
	for i, f := range families {
		profiles := make([]Profile, len(f.grid.rows))
		for j, name := range strings.Fields(f.names) {
			r := f.grid.rows[j]
			profiles[j] = Profile{Name: name, Compute: r.compute}
			for _, start := range r.starts {
				profiles[j].Placements = append(profiles[j].Placements, Run(start, r.size))
			}
		}
		if g, err := NewGeometry(f.grid.slices, profiles); err == nil {
			out[i] = g
		}
	}
	return out
})

// Table returns the geometry of a GPU product by its name or label, such as
// "NVIDIA-A100-SXM4-80GB", with any suffix that tells how the GPU is partitioned
// or shared: "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb-SHARED". The same product always
// gives the same geometry. ok is false if the product is not known, and then
// nothing is known of how its partitions lie.
func Table(product string) (g *Geometry, ok bool) {
	name := strings.ReplaceAll(strings.TrimSpace(product), " ", "-")
	name = strings.TrimPrefix(name, "NVIDIA-")
	longest := 0
	for i, f := range families {
		if len(f.product) > longest && startsWithWords(name, f.product) {
			g, longest = geometries()[i], len(f.product)
		}
	}
	return g, g != nil
}

// startsWithWords says whether s begins with the words of prefix: "H200-SHARED"
// begins with "H200", "H2000" does not. Case is ignored.
func startsWithWords(s, prefix string) bool {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return false
	}
	return len(s) == len(prefix) || s[len(prefix)] == '-'
}
