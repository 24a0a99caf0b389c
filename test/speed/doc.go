// Package speed measures how fast pods get slices of GPUs that are partitioned on
// demand, ours beside upstream's default profile, and what it costs:
//
//	             ┌─ API server, etcd ─┐
//	load, clock ─┤                    ├─ scheduler     (one process each)
//	 (the test)  └────────────────────┘─ informers only, afterwards
//
// Nodes have eight A100-SXM4-80GB each, nine ResourceSlices, 144 placements. Every
// pod has a claim of its own, made beforehand; of four, three ask for a 1g.10gb and
// one for a 4g.40gb, which fill a GPU without a rest. All pods wait in the queue
// when the scheduling loop starts, and that is when the clock does; it stops when the
// watch has shown the last pod bound. Then every allocation is checked against the
// counters, as a fast scheduler that is wrong is no result.
//
//	go test ./test/speed -run '^$' -bench '^BenchmarkFull$' -timeout 2h | go run ./hack/ratio -log speed.log
//
// BenchmarkFull has 100, 400 and 1,000 nodes, the last one without upstream's
// profile, which takes minutes for a pod there; BenchmarkShort has 40. Part of them
// is chosen as always: -bench 'Full$/Partitionable/400Nodes'. -count 3 makes three
// rounds of the profiles in turn. What is reported:
//
//	SchedulingThroughput/Average
//	    pods bound per second
//	p99-ms, mean-ms
//	    scheduler_scheduling_algorithm_duration_seconds, the 99th percentile as
//	    Prometheus would interpolate it
//	cpu-ms
//	    CPU time of the scheduler's process per pod, binding and garbage collection
//	    included, which other work on the machine does not change much
//	reserve-ms
//	    mean of the Reserve extension point, which comes after the algorithm
//	first-ms, last-ms, last/first
//	    mean of both together over the pods scheduled first, but for some to warm up,
//	    and over the last ones, a thousand or a quarter of a smaller batch; above 1,
//	    cost grows with the pods already placed
//	megabytes-above-caches, megabytes-caches
//	    millions of bytes on the scheduler's heap after garbage collection, less those
//	    of a fresh process with nothing but the same informers; and the latter
//	us/node
//	    of PartitionableMIG/Slope: how much of algorithm and Reserve together a further
//	    node costs, between the smallest and the largest cluster. There, each pod is
//	    created when the one before it is bound: what else keeps the cores busy while
//	    thousands are being bound would count many times over. It is the mean over the
//	    last 200 of 800 pods: expressions are compiled by then
//	busy-us/node
//	    the same between the batches as a whole, with all that happens besides
//
// hack/ratio prints them beside the ratios, and holds them to limits:
//
//	-min 'PartitionableMIG/100Nodes plimsoll/default=50'
//	-min 'PartitionableMIG/1000Nodes plimsoll pods/s=60'
//	-max 'PartitionableMIG/1000Nodes plimsoll p99-ms=100'
//	-max 'PartitionableMIG/1000Nodes plimsoll megabytes-above-caches=150'
//	-max 'PartitionableMIG/Slope plimsoll us/node=2'
//
// With a folder in PLIMSOLL_SPEED_CPUPROFILE every scheduler writes a profile of the
// CPU there.
package speed
