// Package trace replays Alibaba's GPU cluster trace (internal/openb) through the
// real scheduling framework and the real allocator of devices, in memory
// (internal/replay): the profile that is shipped, upstream's default one and
// MostAllocated, with upstream's random choice among equals.
//
//	go test ./test/trace
//
// compares them on a twentieth of it, and replays all of it for one seed, which has
// to come out as docs/evidence says. That takes a minute.
//
//	go test -run '^$' -bench Trace/plimsoll -benchtime 1x -timeout 0 ./test/trace
//
// measures all of it. PLIMSOLL_TRACE_SEEDS=10 runs seeds 42 to 51, and
// PLIMSOLL_TRACE_EVERY=20 a twentieth of the nodes and pods. docs/evidence.md has
// what comes of it, and of more.
package trace
