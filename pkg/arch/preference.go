package arch

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// architectures are the values that the label kubernetes.io/arch can have: the
// kubelet writes its GOARCH there.
var architectures = [...]string{"amd64", "arm64", "arm", "386", "ppc64le", "s390x", "riscv64", "loong64",
	"mips64le", "mips64", "mipsle", "mips", "ppc64"}

// unlisted is the indexOf of every other name.
const unlisted = len(architectures)

func indexOf(architecture string) int {
	for i := range architectures {
		if architectures[i] == architecture {
			return i
		}
	}
	return unlisted
}

// Architectures lists the architectures a node can have, most usual first.
func Architectures() []string { return slices.Clone(architectures[:]) }

// Preference is which architectures a pod may run on and how much it wants each.
// The zero value is empty: any, and none more than another. Preferences are
// equal if they were written alike.
type Preference struct {
	// text is the preference as it was written, which is its canonical form.
	text string
	// points are the scores plus 1, so that 0 is an architecture that is not
	// listed.
	points [len(architectures)]uint8
}

// maxPreferred bounds how many architectures a preference may list.
const maxPreferred = 16

// ParsePreference reads an order, arm64>amd64, which can be a single name, or
// weights from 1 to 100, arm64=80,amd64=20; false if it is neither. Weights are
// whole numbers and need not sum to anything.
func ParsePreference(value string) (Preference, bool) {
	separator := ">"
	weighted := strings.Contains(value, "=")
	if weighted {
		separator = ","
	}
	if strings.Count(value, separator) >= maxPreferred {
		return Preference{}, false
	}
	names := strings.Split(value, separator)
	weights := make([]int, len(names))
	for i := range names {
		weights[i] = len(names) - 1 - i
		if weighted {
			name, text, _ := strings.Cut(names[i], "=")
			names[i], weights[i] = name, weightOf(text)
			if weights[i] == 0 {
				return Preference{}, false
			}
		}
	}
	p, err := newPreference(value, names, weights)
	return p, err == nil
}

// weightOf reads a weight; 0 if it is none.
func weightOf(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 100 || strconv.Itoa(n) != text {
		return 0
	}
	return n
}

// FromOrder returns the preference of architectures from most to least wanted;
// an empty one for none.
func FromOrder(names []string) (Preference, error) {
	weights := make([]int, len(names))
	for i := range names {
		weights[i] = len(names) - 1 - i
	}
	return newPreference(strings.Join(names, ">"), names, weights)
}

// newPreference scales the weights so that the largest is 100 points.
func newPreference(text string, names []string, weights []int) (Preference, error) {
	p := Preference{text: text}
	for i, name := range names {
		at := indexOf(name)
		if at == unlisted {
			return Preference{}, fmt.Errorf("architecture %q, number %d of %d: want one of %s",
				name, i+1, len(names), strings.Join(architectures[:], ", "))
		}
		if p.points[at] > 0 {
			return Preference{}, fmt.Errorf("architecture %q, number %d of %d: it is listed before; want each at most once",
				name, i+1, len(names))
		}
		points := 100 // of the only one, whose weight in an order is 0
		if largest := slices.Max(weights); largest > 0 {
			points = 100 * weights[i] / largest
		}
		p.points[at] = uint8(points + 1)
	}
	return p, nil
}

// Empty reports whether nothing is preferred.
func (p Preference) Empty() bool { return p.text == "" }

// Allows reports whether the architecture is listed; an empty preference allows
// all.
func (p Preference) Allows(architecture string) bool {
	return p.Empty() || p.pointsOf(architecture) > 0
}

// Score is how much the architecture is wanted, 0 to 100: the share of the
// largest weight in percent, or evenly from 100 for the first of an order down
// to 0 for the last of several. It is 0 for those that are not listed.
func (p Preference) Score(architecture string) int64 {
	return int64(max(p.pointsOf(architecture), 1) - 1)
}

func (p *Preference) pointsOf(architecture string) uint8 {
	if at := indexOf(architecture); at != unlisted {
		return p.points[at]
	}
	return 0
}

// Listed lists the architectures from most to least wanted; nil if empty.
func (p Preference) Listed() []string {
	var out []string
	for i, points := range p.points {
		if points > 0 {
			out = append(out, architectures[i])
		}
	}
	slices.SortStableFunc(out, func(a, b string) int { return int(p.pointsOf(b)) - int(p.pointsOf(a)) })
	return out
}

// Equal reports whether both were written alike.
func (p Preference) Equal(other Preference) bool { return p == other }

// String is the preference as ParsePreference reads it; empty if it is.
func (p Preference) String() string { return p.text }
