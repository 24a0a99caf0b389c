package compaction

import (
	"fmt"
	"testing"

	"k8s.io/kubernetes/pkg/scheduler/apis/config"
)

const (
	pods = 400
	// plenty of nodes: how many are used is the scheduler's own choice.
	plenty = 220
)

func TestWeNeedNoMoreNodesThanMostAllocated(t *testing.T) {
	sumOurs, sumMost := 0, 0
	for _, w := range workloads(pods) {
		dense := place(t, ours(t, 100), w, plenty, 1, nil)
		most := place(t, mostAllocated(t), w, plenty, 1, nil)
		// MostAllocated cannot stop at a target; to compare at 80 % it gets
		// nodes of 80 % of the size.
		held := place(t, ours(t, 80), w, plenty, 1, nil)
		mostHeld := place(t, mostAllocated(t), w, plenty, .8, nil)
		t.Logf("%-22s filled to 100%%: ours %d, MostAllocated %d; to 80%%: ours %d, MostAllocated %d", w.name, dense, most, held, mostHeld)
		if dense > most {
			t.Errorf("%s: %d nodes with a target of 100%%, MostAllocated %d: want no more", w.name, dense, most)
		}
		if held > mostHeld {
			t.Errorf("%s: %d nodes with a target of 80%%, MostAllocated on nodes cut to 80%% %d: want no more", w.name, held, mostHeld)
		}
		sumOurs, sumMost = sumOurs+dense+held, sumMost+most+mostHeld
	}
	if sumOurs >= sumMost {
		t.Errorf("over all workloads %d nodes, MostAllocated %d: want fewer", sumOurs, sumMost)
	}
}

func TestWeNeedFarFewerNodesThanTheDefaultProfile(t *testing.T) {
	for _, w := range workloads(pods) {
		held := place(t, ours(t, 80), w, plenty, 1, nil)
		usual := place(t, byDefault(t), w, plenty, 1, nil)
		t.Logf("%-22s ours, to 80%%: %d nodes, default profile: %d", w.name, held, usual)
		if 4*held > 3*usual {
			t.Errorf("%s: %d nodes, the default profile %d: want at least a quarter fewer", w.name, held, usual)
		}
	}
}

func TestNoNodePassesItsTargetWhileAnotherCouldTakeThePod(t *testing.T) {
	const target = 80
	for _, w := range workloads(pods) {
		// Too few nodes to stay under the target, enough to fit everything.
		inUse := place(t, ours(t, target), w, plenty, 1, nil)
		over := 0
		place(t, ours(t, target), w, inUse*3/4, 1, func(pod size, at int, nodes, used []size) {
			if within(target, nodes[at], used[at]) {
				return
			}
			over++
			for i := range nodes {
				if i != at && within(target, nodes[i], size{used[i].cpu + pod.cpu, used[i].memory + pod.memory}) {
					t.Errorf("%s: a pod of %v passes the target on node %d, which carries %v, while node %d carries only %v", w.name, pod, at, used[at], i, used[i])
				}
			}
		})
		if over == 0 {
			t.Errorf("%s: no placement passed the target on %d nodes: nothing was tested", w.name, inUse*3/4)
		}
	}
}

func within(target int64, node, used size) bool {
	return used.cpu*100 <= node.cpu*target && used.memory*100 <= node.memory*target
}

func BenchmarkNodes(b *testing.B) {
	for _, w := range workloads(pods) {
		for _, c := range []struct {
			name  string
			cfg   *config.KubeSchedulerConfiguration
			share float64
		}{
			{"default", byDefault(b), 1}, {"most-100", mostAllocated(b), 1}, {"ours-100", ours(b, 100), 1},
			{"most-80", mostAllocated(b), .8}, {"ours-80", ours(b, 80), 1},
		} {
			b.Run(fmt.Sprintf("%s/%s", w.name, c.name), func(b *testing.B) {
				nodes := 0
				for b.Loop() {
					nodes = place(b, c.cfg, w, plenty, c.share, nil)
				}
				b.ReportMetric(float64(nodes), "nodes")
			})
		}
	}
}
