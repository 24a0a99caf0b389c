// Package worlds compares the device model (pkg/devices) with the in-tree
// allocator, on worlds made at random: nodes, what drivers publish for them, what
// of it is in use, and what one pod asks for.
//
//	seed ──Generate──▶ Case ──Compare──▶ tally, or a Disagreement
//	                    ▲                      │
//	                    └──────── Shrink ◀─────┘ ──▶ YAML
//
// # What must hold
//
// On every node of every world:
//
//   - where the model answers, the allocator that is given the node's scope says
//     the same, in the order in which the slices are published and in the model's
//   - the devices of a plan are those that the allocator takes
//   - the scope is complete: what is in use of its pools is in it, and with all
//     that the cluster publishes the allocator says the same
//
// # What need not
//
// The cluster-wide allocator has quirks that a scope does not share. Each is
// recognised by taking its cause out of the world: if the verdicts still differ,
// it is a disagreement. See Divergences.
//
// Cases are numbered by their seeds: the same seed is the same case everywhere.
package worlds
