package mig

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	// tableSlices is the largest grid whose states are all listed in tables: 4096
	// of them. Every GPU that can be partitioned today is within it.
	tableSlices = 12
	// MaxProfiles is how many profiles a geometry may have: a driver that publishes
	// nonsense costs a refusal instead of minutes.
	MaxProfiles = 64
	// MaxPlacements is how many placements all profiles together may have.
	MaxPlacements = 4096
)

// Profile is one size that a GPU can be partitioned into.
type Profile struct {
	// Name is unique in a geometry: "3g.40gb".
	Name string
	// Compute is the number of compute slices, 0 if unknown. It plays no part in
	// what fits: see the package comment.
	Compute int
	// Placements are the sets of memory slices an instance can take, ascending,
	// all of the same size.
	Placements []Mask
}

// Slices returns the memory slices that one instance takes.
func (p *Profile) Slices() int {
	if len(p.Placements) == 0 {
		return 0
	}
	return p.Placements[0].Count()
}

// String lists the starts and the size, as nvidia-smi does: "3g.40gb {0,4}:4".
func (p *Profile) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s {", p.Name)
	for i, q := range p.Placements {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprint(&b, q.Start())
	}
	fmt.Fprintf(&b, "}:%d", p.Slices())
	return b.String()
}

// Geometry is what GPUs of one kind have in common: the grid and what can be
// placed on it. It is immutable and safe for concurrent use.
type Geometry struct {
	slices   int
	profiles []Profile
	index    map[string]int
	// copies is [profile][mask]; nil for grids above tableSlices.
	copies [][]uint8
	// spans are the placements by their first slice; only for grids above
	// tableSlices, where every placement is a run.
	spans [][]span
}

// span is a placement that is a run of size slices from a known start on.
type span struct {
	profile, size int
}

// NewGeometry checks and prepares a grid of 1 to MaxSlices memory slices. The
// profiles are copied, their placements sorted. On grids of more than twelve
// slices every placement must be a run of neighbouring slices: only then can
// what fits be counted exactly in time.
func NewGeometry(slices int, profiles []Profile) (*Geometry, error) {
	if slices < 1 || slices > MaxSlices {
		return nil, fmt.Errorf("a grid of %d memory slices: want 1 to %d", slices, MaxSlices)
	}
	if len(profiles) == 0 || len(profiles) > MaxProfiles {
		return nil, fmt.Errorf("%d profiles: want 1 to %d", len(profiles), MaxProfiles)
	}
	g := &Geometry{slices: slices, index: make(map[string]int, len(profiles))}
	var errs []error
	placements := 0
	for i := range profiles {
		p, err := g.check(&profiles[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("profile %q: %w", profiles[i].Name, err))
			continue
		}
		placements += len(p.Placements)
		g.index[p.Name] = len(g.profiles)
		g.profiles = append(g.profiles, p)
	}
	if placements > MaxPlacements {
		errs = append(errs, fmt.Errorf("%d placements in all: want at most %d", placements, MaxPlacements))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if slices <= tableSlices {
		g.tabulateCopies()
	} else {
		g.sortSpans()
	}
	return g, nil
}

// check returns a clean copy of the profile.
func (g *Geometry) check(p *Profile) (Profile, error) {
	if p.Name == "" {
		return Profile{}, errors.New("has no name")
	}
	if _, taken := g.index[p.Name]; taken {
		return Profile{}, errors.New("is listed twice")
	}
	if p.Compute < 0 {
		return Profile{}, fmt.Errorf("%d compute slices: want 0 or more", p.Compute)
	}
	if len(p.Placements) == 0 {
		return Profile{}, errors.New("has no placement")
	}
	out := Profile{Name: p.Name, Compute: p.Compute, Placements: slices.Sorted(slices.Values(p.Placements))}
	for i, q := range out.Placements {
		switch {
		case q == 0:
			return Profile{}, errors.New("a placement takes no slice")
		case q&^lowest(g.slices) != 0:
			return Profile{}, fmt.Errorf("placement %v leaves the grid of %d slices", q, g.slices)
		case q.Count() != out.Slices():
			return Profile{}, fmt.Errorf("placements %v and %v differ in size", out.Placements[0], q)
		case i > 0 && q == out.Placements[i-1]:
			return Profile{}, fmt.Errorf("placement %v is listed twice", q)
		case g.slices > tableSlices && !q.contiguous():
			return Profile{}, fmt.Errorf("placement %v has gaps: on more than %d slices it must be a run", q, tableSlices)
		}
	}
	return out, nil
}

// tabulateCopies counts for every state, the fullest first: the most copies
// after the best first step, plus that one.
func (g *Geometry) tabulateCopies() {
	g.copies = make([][]uint8, len(g.profiles))
	for i := range g.profiles {
		table := make([]uint8, 1<<g.slices)
		for used := len(table) - 1; used >= 0; used-- {
			for _, q := range g.profiles[i].Placements {
				if Mask(used)&q == 0 {
					table[used] = max(table[used], 1+table[Mask(used)|q])
				}
			}
		}
		g.copies[i] = table
	}
}

func (g *Geometry) sortSpans() {
	g.spans = make([][]span, g.slices)
	for i := range g.profiles {
		for _, q := range g.profiles[i].Placements {
			g.spans[q.Start()] = append(g.spans[q.Start()], span{profile: i, size: q.Count()})
		}
	}
	for _, s := range g.spans {
		slices.SortFunc(s, func(a, b span) int {
			return cmp.Or(cmp.Compare(a.size, b.size), cmp.Compare(a.profile, b.profile))
		})
	}
}

// Slices returns the number of memory slices.
func (g *Geometry) Slices() int { return g.slices }

// Profiles returns the profiles in the order they were given. The placements are
// shared: the caller must not write to them.
func (g *Geometry) Profiles() []Profile { return slices.Clone(g.profiles) }

// Find returns the index of the profile that goes by that name: the same name,
// or one that differs only in extras, which have the same placements, or in the
// last gigabyte, which drivers round differently ("7g.79gb" is "7g.80gb").
func (g *Geometry) Find(name string) (profile int, ok bool) {
	if i, ok := g.index[name]; ok {
		return i, true
	}
	compute, memory, _, err := ParseProfile(name)
	if err != nil {
		return 0, false
	}
	best := 2 // gigabytes that are too far off
	for i := range g.profiles {
		c, m, _, err := ParseProfile(g.profiles[i].Name)
		if err != nil || c != compute {
			continue
		}
		if off := max(m-memory, memory-m); off < best {
			profile, best, ok = i, off, true
		}
	}
	return profile, ok
}

// Free returns how many memory slices are not used.
func (g *Geometry) Free(used Mask) int { return (lowest(g.slices) &^ used).Count() }

// Copies returns the most instances of a profile, by its index, that fit beside
// what is used. It is exact, and 0 for an index that does not exist.
func (g *Geometry) Copies(used Mask, profile int) int {
	if profile < 0 || profile >= len(g.profiles) {
		return 0
	}
	if g.copies != nil {
		return int(g.copies[profile][used&lowest(g.slices)])
	}
	// Runs of one length, ascending: taking the first that fits is never worse
	// than any other choice, as it ends first.
	copies := 0
	for _, q := range g.profiles[profile].Placements {
		if used&q == 0 {
			used |= q
			copies++
		}
	}
	return copies
}

// String lists the grid and its profiles.
func (g *Geometry) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d slices", g.slices)
	for i := range g.profiles {
		fmt.Fprintf(&b, ", %v", &g.profiles[i])
	}
	return b.String()
}
