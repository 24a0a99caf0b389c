package topology

import (
	"fmt"
	"strings"
	"testing"

	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"plimsoll.dev/scheduler/pkg/gang"
)

// large is 5,000 nodes in 100 racks of 3 zones, one of each rack with other pods.
func large(b *testing.B, objects string) *fixture {
	b.Helper()
	var lines strings.Builder
	for rack := range 100 {
		fmt.Fprintf(&lines, "n%02d-[01-50] zone=z%d rack=r%d cpu=32 memory=128Gi\n", rack, rack%3, rack)
	}
	f := build(b, "", lines.String(), replicaSet(b, "ReplicaSet/web replicas=300")...)
	var running strings.Builder
	for rack := range 100 {
		fmt.Fprintf(&running, "run%02d-[0-9] cpu=1 memory=4Gi node=n%02d-01\n", rack, rack)
	}
	f.pods(running.String() + objects)
	return f
}

// cycle is the state in which a pod's nodes are filtered and scored.
func (f *fixture) cycle(line string) (fwk.CycleState, attempt) {
	f.Helper()
	a := attempt{pod: f.pods(line)[0], state: framework.NewCycleState()}
	if _, status := f.PreFilter(f.Context(), a.state, a.pod, f.nodes()); !status.IsSuccess() && !status.IsSkip() {
		f.Fatal(status)
	}
	return a.state, a
}

const (
	gangOf16 = " cpu=4 memory=8Gi annotation:plimsoll.dev/topology-required=rack annotation:plimsoll.dev/group=train annotation:plimsoll.dev/group-size=16"
	spread   = " cpu=1 owner=ReplicaSet/web annotation:plimsoll.dev/min-per-zone=3"
)

// BenchmarkPreFilter has a member decide for its group, follow what was decided,
// spread itself, and be none of them.
func BenchmarkPreFilter(b *testing.B) {
	f := large(b, "")
	nodes := f.nodes()
	bench := func(name, line string, before func()) {
		b.Run(name, func(b *testing.B) {
			pod := f.pods(line)[0]
			b.ReportAllocs()
			for b.Loop() {
				before()
				if _, status := f.PreFilter(b.Context(), framework.NewCycleState(), pod, nodes); !status.IsSuccess() && !status.IsSkip() {
					b.Fatal(status)
				}
			}
		})
	}
	bench("plain", "plain cpu=1", func() {})
	bench("spread", "s-1"+spread, func() {})
	members := f.pods("p-[01-16]" + gangOf16)
	key := attempt{pod: members[0]}.key(f)
	bench("decides", "p-01"+gangOf16, func() {
		f.groups.Fail(key, "", gang.Now, f.clock.Now())
		f.clock.SetTime(f.groups.View(key).NotBefore)
	})
	bench("follows", "p-02"+gangOf16, func() {})
	bench("beside", "other cpu=1", func() {})
}

// BenchmarkFilter asks all nodes, on most of which nothing is held; those on which
// room for a group is; and, for a member, nodes of its group's domain.
func BenchmarkFilter(b *testing.B) {
	f := large(b, "")
	small := strings.Replace(gangOf16, "cpu=4", "cpu=1", 1) // room for others beside it
	f.pods("p-[01-16]" + small)
	member, first := f.cycle("p-01" + small)
	other, plain := f.cycle("other cpu=1")
	kept := f.groups.Charges()
	var charged, inside []fwk.NodeInfo
	for _, info := range f.nodes() {
		if kept[info.Node().Name] != nil {
			charged = append(charged, info)
		}
		if f.Filter(b.Context(), member, first.pod, info) == nil {
			inside = append(inside, info)
		}
	}
	if len(charged) == 0 || len(inside) == 0 {
		b.Fatal("nothing is held")
	}
	for _, tc := range []struct {
		name  string
		state fwk.CycleState
		a     attempt
		nodes []fwk.NodeInfo
	}{{"other", other, plain, f.nodes()}, {"charged", other, plain, charged}, {"member", member, first, inside}} {
		b.Run(tc.name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if status := f.Filter(b.Context(), tc.state, tc.a.pod, tc.nodes[i%len(tc.nodes)]); !status.IsSuccess() {
					b.Fatal(status)
				}
				i++
			}
		})
	}
}

func BenchmarkScore(b *testing.B) {
	f := large(b, "")
	f.pods("p-[01-16]" + gangOf16)
	nodes := f.nodes()
	for name, line := range map[string]string{
		"gang": "p-01" + gangOf16, "spread": "s-1" + spread, "preferred": "q-1 cpu=1 annotation:plimsoll.dev/topology-preferred=rack annotation:plimsoll.dev/group=soft",
	} {
		b.Run(name, func(b *testing.B) {
			state, a := f.cycle(line)
			f.PreScore(b.Context(), state, a.pod, nodes)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, status := f.Score(b.Context(), state, a.pod, nodes[i%len(nodes)]); !status.IsSuccess() {
					b.Fatal(status)
				}
				i++
			}
		})
	}
}

// BenchmarkPreScore orders the zones of 5,000 nodes.
func BenchmarkPreScore(b *testing.B) {
	f := large(b, "")
	nodes := f.nodes()
	state, a := f.cycle("s-1" + spread)
	b.ReportAllocs()
	for b.Loop() {
		if status := f.PreScore(b.Context(), state, a.pod, nodes); !status.IsSuccess() {
			b.Fatal(status)
		}
	}
}

// TestNodesAreJudgedWithoutAllocating holds the hot path to its word.
func TestNodesAreJudgedWithoutAllocating(t *testing.T) {
	f := build(t, "", threeRacks, replicaSet(t, "ReplicaSet/web replicas=3")...)
	f.pods("p-[1-4]" + gangOf4)
	f.cycle("p-1" + gangOf4)
	for line, node := range map[string]string{"p-2" + gangOf4: "a2-1", "s-1" + spread: "b1-1", "other cpu=1": "b1-1"} {
		state, a := f.cycle(line)
		scores := !f.PreScore(t.Context(), state, a.pod, f.nodes()).IsSkip()
		info := f.info(node) // of the rack that the group goes to, or of another
		if got := testing.AllocsPerRun(100, func() {
			f.Filter(t.Context(), state, a.pod, info)
			if scores {
				f.Score(t.Context(), state, a.pod, info)
			}
		}); got != 0 {
			t.Errorf("%s: %v allocations", line, got)
		}
	}
}
