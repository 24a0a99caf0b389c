package mig

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrOccupied says that a slice is in use already.
var ErrOccupied = errors.New("slices are in use")

// GPU is one GPU: a geometry and the instances on it. It never over-commits. It
// is not safe for concurrent use.
type GPU struct {
	geometry *Geometry
	// used is the union of the instances, which never overlap.
	used      Mask
	instances []Instance
}

// Instance is one partition of a GPU.
type Instance struct {
	// Profile is an index in the geometry.
	Profile   int
	Placement Mask
}

// NewGPU returns an empty GPU.
func NewGPU(g *Geometry) *GPU { return &GPU{geometry: g} }

// Clone returns a copy that shares nothing but the geometry.
func (g *GPU) Clone() *GPU {
	return &GPU{geometry: g.geometry, used: g.used, instances: slices.Clone(g.instances)}
}

// Geometry returns the kind of the GPU.
func (g *GPU) Geometry() *Geometry { return g.geometry }

// Used returns the slices in use.
func (g *GPU) Used() Mask { return g.used }

// Instances returns a copy of the instances by their first slice.
func (g *GPU) Instances() []Instance { return slices.Clone(g.instances) }

// Place puts an instance of the profile, by its index, on the slices. It fails,
// and changes nothing, if the profile cannot be there or a slice is in use; the
// latter wraps ErrOccupied.
func (g *GPU) Place(profile int, placement Mask) error {
	if profile < 0 || profile >= len(g.geometry.profiles) {
		return fmt.Errorf("placing profile %d: there are %d", profile, len(g.geometry.profiles))
	}
	p := &g.geometry.profiles[profile]
	if _, legal := slices.BinarySearch(p.Placements, placement); !legal {
		return fmt.Errorf("placing %v at %v: no legal placement", p, placement)
	}
	if g.used&placement != 0 {
		return fmt.Errorf("placing %v at %v on %v: %w", p, placement, g, ErrOccupied)
	}
	at, _ := slices.BinarySearchFunc(g.instances, placement, func(i Instance, m Mask) int { return i.Placement.Start() - m.Start() })
	g.instances = slices.Insert(g.instances, at, Instance{Profile: profile, Placement: placement})
	g.used |= placement
	return nil
}

// Release removes the instance on exactly these slices.
func (g *GPU) Release(placement Mask) error {
	at := slices.IndexFunc(g.instances, func(i Instance) bool { return i.Placement == placement })
	if at < 0 {
		return fmt.Errorf("releasing %v on %v: no such instance", placement, g)
	}
	g.instances = slices.Delete(g.instances, at, at+1)
	g.used &^= placement
	return nil
}

// String draws the grid with a cell per slice: an instance is its name and a bar
// for each further slice, a free slice a dot, and a free slice that no profile
// can reach any more a blank.
//
//	gpu [1g.10gb|·|2g.20gb═|3g.40gb═══]
func (g *GPU) String() string {
	reachable := Mask(0)
	for i := range g.geometry.profiles {
		for _, q := range g.geometry.profiles[i].Placements {
			if g.used&q == 0 {
				reachable |= q
			}
		}
	}
	var b strings.Builder
	b.WriteString("gpu [")
	before := -2 // neither an instance nor free
	for slice := range g.geometry.slices {
		at := slices.IndexFunc(g.instances, func(i Instance) bool { return i.Placement>>slice&1 == 1 })
		if slice > 0 && at != before {
			b.WriteByte('|')
		}
		switch {
		case at >= 0 && at == before:
			b.WriteRune('═')
		case at >= 0:
			b.WriteString(g.geometry.profiles[g.instances[at].Profile].Name)
		case reachable>>slice&1 == 1:
			b.WriteRune('·')
		default:
			b.WriteByte(' ')
		}
		before = at
	}
	b.WriteByte(']')
	return b.String()
}
