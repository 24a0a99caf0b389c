package arch

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unique"
)

// Set is a set of platforms, those of an image for example. It never changes,
// and copies are one word; the zero value is empty.
type Set struct {
	all *members // nil if there are none
}

// members lists a set twice, in the same order: to be read and to be matched.
type members struct {
	platforms []Platform // sorted, each once
	entries   []entry
}

// entry is a platform prepared for matching, which then compares two words.
type entry struct {
	build   unique.Handle[Platform] // without its OSVersion
	version int64                   // see windowsVersion
}

// NewSet returns the set of the platforms that are Usable.
func NewSet(all ...Platform) Set {
	sorted := make([]Platform, 0, len(all))
	for _, p := range all {
		if p = New(p.OS, p.Architecture, p.Variant, p.OSVersion); p.Usable() {
			sorted = append(sorted, p)
		}
	}
	if len(sorted) == 0 {
		return Set{}
	}
	slices.SortFunc(sorted, compare)
	sorted = slices.Clip(slices.Compact(sorted))
	entries := make([]entry, len(sorted))
	for i, p := range sorted {
		entries[i] = entry{buildOf(p), windowsVersion(p.OSVersion)}
	}
	return Set{&members{sorted, entries}}
}

func buildOf(p Platform) unique.Handle[Platform] {
	p.OSVersion = ""
	return unique.Make(p)
}

// Ranges of windowsVersion.
const (
	versionUnsaid = -1
	versionMost   = math.MaxInt64
	// buildsPerVersion is the first number behind a version's builds.
	buildsPerVersion = 1 << 16
)

// windowsVersion is major.minor.build as one number, without the revision, which
// matters to nothing. It is versionUnsaid for no version, and 0 for one that
// containerd cannot read.
func windowsVersion(text string) int64 {
	if text == "" {
		return versionUnsaid
	}
	var version int64
	for _, bits := range [...]int{8, 8, 16} {
		part, rest, dot := strings.Cut(text, ".")
		n, err := strconv.ParseUint(part, 10, bits)
		if err != nil || !dot && bits == 8 {
			return 0
		}
		version, text = version<<bits|int64(n), rest
	}
	return version
}

// Platforms lists the set in a fixed order. It must not be changed.
func (s Set) Platforms() []Platform {
	if s.all == nil {
		return nil
	}
	return s.all.platforms
}

// Len is the number of platforms.
func (s Set) Len() int { return len(s.Platforms()) }

// Empty reports whether there is no platform.
func (s Set) Empty() bool { return s.all == nil }

// Has reports whether the set has exactly this platform; what can run where is
// for a Host to say.
func (s Set) Has(p Platform) bool {
	_, found := slices.BinarySearchFunc(s.Platforms(), New(p.OS, p.Architecture, p.Variant, p.OSVersion), compare)
	return found
}

// Equal reports whether both sets have the same platforms.
func (s Set) Equal(other Set) bool {
	return s == other || slices.Equal(s.Platforms(), other.Platforms())
}

// Union is the set of the platforms of either.
func (s Set) Union(other Set) Set {
	switch {
	case other.Empty():
		return s
	case s.Empty():
		return other
	}
	return NewSet(slices.Concat(s.Platforms(), other.Platforms())...)
}

// Minus is the set of the platforms that the other set has not.
func (s Set) Minus(other Set) Set {
	if other.Empty() {
		return s
	}
	return NewSet(slices.DeleteFunc(slices.Clone(s.Platforms()), other.Has)...)
}

// String lists the platforms for people: all of a few, the first of many.
func (s Set) String() string {
	const most = 6
	if s.Empty() {
		return "no platform"
	}
	names := make([]string, 0, most)
	for _, p := range s.Platforms()[:min(s.Len(), most)] {
		names = append(names, p.String())
	}
	text := strings.Join(names, ", ")
	if more := s.Len() - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
