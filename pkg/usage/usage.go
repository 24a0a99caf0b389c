// Package usage knows what nodes really use, from metrics.k8s.io. A poller
// reads samples beside the scheduling cycle; a cycle sees an immutable table.
//
// What a cycle adds to a node's requests is the sample's excess: measured usage
// minus what the measured pods requested when the sample was taken. Pods placed
// since then are not in the measurement, and count with their requests:
//
//	used = requested now + weight · (measured - requested by the measured pods)
//
// Once a node requests less than the measured pods did, some of them have left,
// and the excess no longer applies.
package usage

import (
	"time"
)

// Excess is measured usage minus the requests of the pods that were measured.
// It is negative on a node whose pods use less than they requested.
type Excess struct {
	MilliCPU int64
	// Memory is in bytes.
	Memory int64
	// What the measured pods requested. A node that requests less by now has
	// lost some of them, and the excess is no longer its own.
	RequestedMilliCPU, RequestedMemory int64
}

// State says what is known of a node's usage.
type State string

// The states of a sample.
const (
	Fresh   State = "fresh"
	Stale   State = "stale"
	Missing State = "missing"
	Invalid State = "invalid"
)

// States lists every state, for metrics and their documentation.
func States() []State { return []State{Fresh, Stale, Missing, Invalid} }

// Sample is what the last successful read said of a node.
type Sample struct {
	Excess Excess
	// At is when the usage was measured, by the clock of who measured it.
	At time.Time
	// Valid is false for a sample that cannot be true, such as a negative one.
	Valid bool
}

// Table is the immutable result of the last read.
type Table struct {
	samples map[string]Sample
	maxAge  time.Duration
}

// NewTable returns a table whose samples are stale after maxAge.
func NewTable(samples map[string]Sample, maxAge time.Duration) *Table {
	return &Table{samples, maxAge}
}

// Lookup returns what a cycle that began at now may assume of the node. The
// excess is zero unless the state is Fresh. A nil table knows no node.
func (t *Table) Lookup(node string, now time.Time) (Excess, State) {
	if t == nil {
		return Excess{}, Missing
	}
	s, found := t.samples[node]
	switch {
	case !found:
		return Excess{}, Missing
	case !s.Valid || s.At.After(now.Add(t.maxAge)):
		// Measured in the future: that clock cannot tell its age.
		return Excess{}, Invalid
	case now.Sub(s.At) > t.maxAge:
		return Excess{}, Stale
	}
	return s.Excess, Fresh
}
