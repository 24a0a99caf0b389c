package mig

import (
	"math/bits"
	"strings"
)

// MaxSlices is the largest grid that a Mask can describe.
const MaxSlices = 64

// Mask is a set of memory slices: bit i stands for slice i.
type Mask uint64

// Run returns the mask of size neighbouring slices from start on; slices beyond
// the largest grid are left out.
func Run(start, size int) Mask {
	if start < 0 || start >= MaxSlices || size <= 0 {
		return 0
	}
	return lowest(size) << start
}

// lowest returns the mask of the first n slices.
func lowest(n int) Mask {
	if n >= MaxSlices {
		return ^Mask(0)
	}
	return 1<<n - 1
}

// Count returns how many slices are in the set.
func (m Mask) Count() int { return bits.OnesCount64(uint64(m)) }

// Start returns the lowest slice of the set, 64 if it is empty.
func (m Mask) Start() int { return bits.TrailingZeros64(uint64(m)) }

// contiguous says whether the slices are neighbours.
func (m Mask) contiguous() bool {
	return m != 0 && m>>m.Start() == lowest(m.Count())
}

// String draws the set from slice 0 to its last one: "··██" is slices 2 and 3.
func (m Mask) String() string {
	var b strings.Builder
	for i := range bits.Len64(uint64(m)) {
		if m>>i&1 == 1 {
			b.WriteRune('█')
		} else {
			b.WriteRune('·')
		}
	}
	return b.String()
}
