package gpus

import (
	"slices"
	"strings"
)

// Isolation says how well a unit is fenced off from other users of its GPU.
// Higher is stronger.
type Isolation uint8

// The levels, weakest first. The zero value is no level.
const (
	_ Isolation = iota
	// TimeSlicing: others run on the same GPU in turn; neither memory nor time
	// is guaranteed.
	TimeSlicing
	// MPS: others run on the same GPU at the same time; the MPS daemon limits
	// each one's memory and compute.
	MPS
	// MIG: a hardware partition with compute and memory of its own: a MIG
	// instance, or a compute partition of an AMD GPU.
	MIG
	// Exclusive: a whole GPU, alone.
	Exclusive

	levels = int(Exclusive) + 1
)

var words = [levels]string{"", "time-slicing", "mps", "mig", "exclusive"}

// String is the word users write.
func (i Isolation) String() string {
	if int(i) >= levels {
		return ""
	}
	return words[i]
}

// Levels lists the words users can write, strongest first.
func Levels() []string {
	out := slices.Clone(words[1:])
	slices.Reverse(out)
	return out
}

// ParseIsolation reads one word.
func ParseIsolation(word string) (Isolation, bool) {
	if i := slices.Index(words[1:], word); i >= 0 {
		return Isolation(i + 1), true
	}
	return 0, false
}

// ParsePreference reads levels separated by ">", strongest first, each at most
// once. An order that rises contradicts itself, since nothing weaker than the
// last level is accepted: in mps>mig the floor would exclude the favourite.
func ParsePreference(value string) ([]Isolation, bool) {
	// The words bound the length; a longer value is not worth splitting.
	if strings.Count(value, ">") >= levels {
		return nil, false
	}
	var out []Isolation
	for word := range strings.SplitSeq(value, ">") {
		level, ok := ParseIsolation(word)
		if !ok || len(out) > 0 && level >= out[len(out)-1] {
			return nil, false
		}
		out = append(out, level)
	}
	return out, true
}

// refused marks a level that is below the floor in places.
const refused = 0xff

// places gives each level its place in a preference, 0 first. Levels that are
// not listed but not weaker than the floor come after those that are, nearest
// to the floor first. Without a preference all levels are equal.
func places(preference []Isolation) (out [levels]uint8) {
	if len(preference) == 0 {
		return out
	}
	next := uint8(len(preference))
	for level := range Isolation(levels) {
		switch at := slices.Index(preference, level); {
		case at >= 0:
			out[level] = uint8(at)
		case level < preference[len(preference)-1]:
			out[level] = refused
		default:
			out[level] = next
			next++
		}
	}
	return out
}
