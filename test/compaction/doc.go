// Package compaction measures packing the way clusters pay for it: how many
// nodes a fixed list of pods ends up on. The real framework places the list,
// pod by pod, with upstream's random choice among equals, under the default
// profile, under MostAllocated and under ours. GPUs are measured by how many of
// the slices that are asked for are served.
//
//	go test ./test/compaction               asserts what the documentation promises
//	go test ./test/compaction -bench .      prints the node counts
package compaction
