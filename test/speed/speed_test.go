package speed

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"testing"
)

// size is a cluster and how many pods are measured on it; 0 leaves a profile out.
type size struct {
	nodes, theirPods, ourPods int
}

var (
	// fullSizes are those of BenchmarkFull. Upstream's profile schedules two pods a
	// second on the first, one in eight seconds on the second.
	fullSizes  = []size{{100, 40, 2000}, {400, 8, 4000}, {1000, 0, 5000}}
	shortSizes = []size{{40, 60, 800}}
)

// BenchmarkFull compares ours and upstream's on clusters of some hundreds of GPUs
// up to 8,000.
func BenchmarkFull(b *testing.B) { benchmark(b, fullSizes) }

// BenchmarkShort compares them on 320 GPUs.
func BenchmarkShort(b *testing.B) { benchmark(b, shortSizes) }

// benchmark runs all sizes, round after round. Results are named
// PartitionableMIG/NNodes/round=N/profile=NAME.
func benchmark(b *testing.B, sizes []size) {
	const title = "PartitionableMIG"
	busy := map[int]map[int]float64{} // by round and nodes, in seconds per pod
	for _, s := range sizes {
		for round := range rounds {
			batches := slices.DeleteFunc([]batch{{profile: theirs, nodes: s.nodes, pods: s.theirPods}, {profile: ours, nodes: s.nodes, pods: s.ourPods}},
				func(m batch) bool { return m.pods == 0 })
			if round%2 == 1 {
				slices.Reverse(batches)
			}
			for _, m := range batches {
				b.Run(fmt.Sprintf("%s/%dNodes/round=%d/profile=%s", title, s.nodes, round+1, m.profile.name), func(b *testing.B) {
					if r := runBatch(b, m); m.profile.name == ours.name {
						if busy[round] == nil {
							busy[round] = map[int]float64{}
						}
						busy[round][s.nodes] = r.all.perPod()
					}
				})
			}
		}
	}
	smallest, largest := sizes[0].nodes, sizes[len(sizes)-1].nodes
	if smallest == largest {
		return
	}
	for round := range rounds {
		b.Run(fmt.Sprintf("%s/Slope/round=%d/profile=%s", title, round+1, ours.name), func(b *testing.B) {
			slope(b, smallest, largest)
			if low, high := busy[round][smallest], busy[round][largest]; low > 0 && high > 0 { // else not all were chosen
				b.ReportMetric(perNode(low, high, smallest, largest), "busy-us/node")
			}
		})
	}
}

// slope reports what a further node costs a pod that is scheduled by itself, once what
// is done once has been done.
func slope(b *testing.B, smallest, largest int) {
	const pods = 800
	var costs [2]float64 // in seconds per pod
	for i, nodes := range [...]int{smallest, largest} {
		r, err := batch{profile: ours, nodes: nodes, pods: pods, apart: true}.run(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		costs[i] = r.last.perPod()
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(perNode(costs[0], costs[1], smallest, largest), "us/node")
}

// perNode is what a further node costs in microseconds, for costs in seconds.
func perNode(low, high float64, smallest, largest int) float64 {
	return (high - low) * 1e6 / float64(largest-smallest)
}

func runBatch(b *testing.B, m batch) result {
	r, err := m.run(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	const milli, mega = 1e3, 1e-6
	b.ReportMetric(0, "ns/op") // of no interest: most of it is the making of the cluster
	b.ReportMetric(r.podsPerSecond, "SchedulingThroughput/Average")
	b.ReportMetric(r.cpuPerPod*milli, "cpu-ms")
	b.ReportMetric(r.all.Algorithm.quantile(0.99)*milli, "p99-ms")
	b.ReportMetric(r.all.Algorithm.mean()*milli, "mean-ms")
	b.ReportMetric(r.all.Reserve.mean()*milli, "reserve-ms")
	b.ReportMetric(r.first.perPod()*milli, "first-ms")
	b.ReportMetric(r.last.perPod()*milli, "last-ms")
	b.ReportMetric(r.last.perPod()/r.first.perPod(), "last/first")
	b.ReportMetric((float64(r.heapBytes)-float64(r.cachesBytes))*mega, "megabytes-above-caches")
	b.ReportMetric(float64(r.cachesBytes)*mega, "megabytes-caches")
	return r
}

// TestASmallBatchOfEachProfile runs everything that is measured once, and looks for
// leftovers.
func TestASmallBatchOfEachProfile(t *testing.T) {
	for _, p := range []profile{theirs, ours} {
		t.Run(p.name, func(t *testing.T) {
			const pods = 12
			b := batch{profile: p, nodes: 4, pods: pods}
			if p.name == ours.name {
				b.nodes, b.apart = 40, true // enough for a shortlist
			}
			r, err := b.run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			// Nodes are alike for the first pod; the others fill up the one that it took.
			if least := pods - 1.; (r.all.Shortlists >= least) != (p.name == ours.name) {
				t.Errorf("%g shortlists, want %g with GPUSlice", r.all.Shortlists, least)
			}
			if r.podsPerSecond <= 0 || r.cpuPerPod <= 0 {
				t.Errorf("want pods per second and CPU per pod, got %g and %g", r.podsPerSecond, r.cpuPerPod)
			}
			for name, h := range map[string]histogram{"algorithm": r.all.Algorithm, "Reserve": r.all.Reserve} {
				if h.Count < pods || h.Sum <= 0 || h.quantile(0.99) <= 0 {
					t.Errorf("%s: want %d observations or more, got %v", name, pods, h)
				}
			}
			if r.first.Algorithm.Count == 0 || r.last.Algorithm.Count == 0 || r.first.Algorithm.Count+r.last.Algorithm.Count > r.all.Algorithm.Count {
				t.Errorf("want two parts of all observations, got %v and %v of %v", r.first, r.last, r.all)
			}
			const least, most = 1e6, 1e9
			if r.cachesBytes < least || r.heapBytes < r.cachesBytes || r.heapBytes > most {
				t.Errorf("want heaps of %g to %g bytes, the scheduler's the larger one, got %d and %d for the caches", least, most, r.heapBytes, r.cachesBytes)
			}
			for _, kind := range []string{"pods.v1.", "nodes.v1.", "resourceslices.v1.resource.k8s.io", "resourceclaims.v1.resource.k8s.io"} {
				if !slices.Contains(r.kinds, kind) {
					t.Errorf("no informer of %s among %v", kind, r.kinds)
				}
			}
			if _, err := os.Stat(r.folder); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the API server's folder %s is still there: %v", r.folder, err)
			}
		})
	}
}
