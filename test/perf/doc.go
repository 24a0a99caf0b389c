// Package perf measures how many pods a second are scheduled, ours beside
// upstream's, by upstream's own benchmark: the workloads are read from the
// performance-config.yaml files of k8s.io/kubernetes and run by its
// scheduler_perf, three times over with nothing but the configuration changed:
//
//	profile=default-all      upstream's default profile, all nodes looked at
//	profile=default-sampled  upstream's default profile as it comes
//	profile=plimsoll         manifests/base/scheduler-config.yaml as shipped
//
// From the root of the repository:
//
//	set -o pipefail
//	go test -run '^$' -bench '^BenchmarkShort$' -count 3 -timeout 30m ./test/perf | go run ./hack/ratio -log bench.log
//
// BenchmarkShort has sizes for CI, BenchmarkFull upstream's. Both keep
// OpportunisticBatching off, as upstream's benchmark does; BenchmarkShortBatching
// and BenchmarkFullBatching have it on for all three. Part of a set is chosen as
// always, by -bench 'Full$/SchedulingBasic'.
//
// On a shared machine a single run says little. -count 3 makes three rounds of
// the three profiles, not three runs of each in a row, so that a slow minute
// befalls all of them; every round starts with another profile, since the first
// one warms the process up. hack/ratio compares the medians, and
//
//	benchstat -col /profile -ignore /round bench.log
//
// shows the spread. Too little to sample for is no result: throughput is
// counted once a second, from the second sample on.
//
// BenchmarkTopology compares the shipped profile with itself without Topology, on
// pods that ask nothing of it, replicas over zones, and gangs in racks.
//
// etcd needs no installation: the test binary is its own, see etcd_test.go.
// Logs are kept back and printed for what fails; -args -v=2 has more of them.
package perf
