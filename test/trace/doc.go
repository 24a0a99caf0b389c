// Package trace replays Alibaba's GPU cluster trace (internal/openb) through the
// real scheduling framework and the real allocator of devices, in memory: the
// profile that is shipped, upstream's default one and MostAllocated, with upstream's
// random choice among equals. Measured is how much GPU is left that nobody got.
//
//	go test ./test/trace                                          a twentieth of it
//	go test -run '^$' -bench Trace/plimsoll -benchtime 1x -timeout 0 ./test/trace
//
// runs all of it for seed 42. PLIMSOLL_TRACE_SEEDS=10 runs seeds 42 to 51, and
// PLIMSOLL_TRACE_EVERY=20 a twentieth of the nodes and pods; -v says what became of
// each run.
package trace
