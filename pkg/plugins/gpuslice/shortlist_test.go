package gpuslice

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/inventory"
	"plimsoll.dev/scheduler/pkg/share"
)

// drawn sorts nodes of which a word tells the part and the loss, such as a3; "-" cannot
// serve the pod.
func drawn(words string) *sorting {
	kinds := kinds{found: map[rating]int{}}
	var nodes []fwk.NodeInfo
	var seats []seat
	var kindOf []int32
	for i, word := range strings.Fields(words) {
		info := framework.NewNodeInfo()
		info.SetNode(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%d-%s", i, word)}})
		nodes = append(nodes, info)
		if word == "-" {
			seats, kindOf = append(seats, seat{}), append(kindOf, noTier)
			continue
		}
		s := standing{name: word, units: true, loss: share.Loss(1000 * int(word[1]-'0'))}
		seats, kindOf = append(seats, seat{part: int32(word[0] - 'a')}), append(kindOf, int32(kinds.of(&s)))
	}
	return newSorting(nodes, seats, kindOf, 3, &kinds)
}

// TestTheBestTierOfEachPartThatFits: the letter is a node's part, the digit what it
// costs; full nodes pass no filter.
func TestTheBestTierOfEachPartThatFits(t *testing.T) {
	many := strings.Repeat("a1 ", maxProbes)
	for name, c := range map[string]struct {
		nodes, full, want string
		left              bool  // some that may fit
		unknown           int32 // a part, 0 for none
		probes            int
	}{
		"the cheapest":                       {nodes: "a3 a1 a2 a1", want: "1-a1 3-a1", left: true, probes: 1},
		"some of it is full":                 {nodes: "a3 a1 a2 a1", full: "1-a1", want: "1-a1 3-a1", left: true, probes: 2},
		"all of it is full":                  {nodes: "a3 a1 a2 a1", full: "1-a1 3-a1", want: "2-a2", left: true, probes: 3},
		"of each part":                       {nodes: "a1 b1 a2 b2 - -", want: "0-a1 1-b1", left: true, probes: 2},
		"and what is between them":           {nodes: "a1 b3 a2 a4 b4 - - - - -", want: "0-a1 1-b3 2-a2", left: true, probes: 2},
		"all that fit":                       {nodes: "a1 a1 - -", want: "0-a1 1-a1", probes: 1},
		"a part that is full is left out":    {nodes: "a3 b1 b2", full: "1-b1 2-b2", want: "0-a3", probes: 3},
		"unless some of it may fit":          {nodes: "a3 b1 b2", full: "1-b1 2-b2", unknown: 1, probes: 3},
		"what may fit comes last":            {nodes: "a3 b1 b2 - - -", unknown: 1, want: "0-a3 1-b1 2-b2", left: true, probes: 2},
		"everything is full":                 {nodes: "a3 b1", full: "0-a3 1-b1", probes: 2},
		"more than half of all":              {nodes: "a1 a1 a1 a2", probes: 1},
		"the last that may be asked fits":    {nodes: strings.Repeat("a1 ", maxProbes-1) + "a2", full: "a1", want: fmt.Sprintf("%d-a2", maxProbes-1), probes: maxProbes},
		"too many would have to be asked":    {nodes: many + "a2", full: "a1", probes: maxProbes},
		"those in the list need not all fit": {nodes: "a1 a1 a2 a2", full: "0-a1", want: "0-a1 1-a1", left: true, probes: 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := drawn(c.nodes)
			s.unknown[c.unknown] = c.unknown > 0
			probes := 0
			best, err := s.best(func(node fwk.NodeInfo) (bool, error) {
				probes++
				name := node.Node().Name
				return !slices.Contains(strings.Fields(c.full), name) && (c.full == "" || !strings.HasSuffix(name, "-"+c.full)), nil
			})
			var got sets.Set[string]
			left := false
			if best != nil {
				got, left = s.choose(best)
			}
			if left != c.left {
				t.Errorf("nodes that may fit are left out: %v, want %v", left, c.left)
			}
			if want := strings.Fields(c.want); err != nil || len(want) != len(got) || !got.HasAll(want...) || probes != c.probes {
				t.Errorf("got %v, %v after %d probes; want %v after %d", sets.List(got), err, probes, want, c.probes)
			}
		})
	}
	broken := errors.New("a filter failed")
	if got, err := drawn("a1 a2").best(func(fwk.NodeInfo) (bool, error) { return false, broken }); !errors.Is(err, broken) || got != nil {
		t.Errorf("got %v, %v; want no list and the error", got, err)
	}
}

// TestAFullNodeIsNotAskedAbout: by what NodeResourcesFit goes by, and only if it
// filters.
func TestAFullNodeIsNotAskedAbout(t *testing.T) {
	info := framework.NewNodeInfo()
	info.SetNode(&v1.Node{Status: v1.NodeStatus{Allocatable: v1.ResourceList{
		v1.ResourceCPU: resource.MustParse("2"), v1.ResourceMemory: resource.MustParse("1Gi"), v1.ResourcePods: resource.MustParse("1")}}})
	for name, c := range map[string]struct {
		asks *request
		want bool
	}{
		"it fits exactly":   {&request{cpu: 2000, memory: 1 << 30}, false},
		"too many cores":    {&request{cpu: 2001, memory: 1 << 30}, true},
		"too much memory":   {&request{cpu: 2000, memory: 1<<30 + 1}, true},
		"asks for no cores": {&request{memory: 1}, false},
	} {
		if got := (&chain{fit: true}).full(c.asks, info); got != c.want {
			t.Errorf("%s: full is %v, want %v", name, got, c.want)
		}
		if (&chain{}).full(c.asks, info) {
			t.Errorf("%s: full, though resources are not filtered", name)
		}
	}
	info.AddPod(&v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "only"}})
	if !(&chain{fit: true}).full(&request{}, info) {
		t.Error("want a node with as many pods as it may have to be full")
	}
}

// TestAShortlistThatNoNodeTakesIsTriedAgainInFull: the pod neither sleeps nor evicts,
// and sees all nodes next time, once.
func TestAShortlistThatNoNodeTakesIsTriedAgainInFull(t *testing.T) {
	b := newBench(t)
	state := framework.NewCycleState()
	r := &request{onModel: true, shortlisted: true}
	state.Write(requestKey, r)
	result, status := b.PostFilter(t.Context(), state, b.pod, nil)
	if result != nil || status.Code() != fwk.UnschedulableAndUnresolvable {
		t.Fatalf("got %v, %v; want nothing, and no other plugin to be asked", result, status)
	}
	if woken := b.handle.(*fakeHandle).woken; !slices.Equal(woken, []string{"default/p"}) {
		t.Errorf("woken: %v", woken)
	}
	for _, wide := range []bool{true, false} {
		if _, found := b.wide.Get(b.pod.UID); found != wide {
			t.Errorf("to be shown all nodes: %v, want %v", found, wide)
		}
		b.shortlist(t.Context(), state, b.pod, &intent.Intent{}, &request{}, make([]fwk.NodeInfo, shortlistFrom))
	}
}

// TestTheRosterKnowsANodeThatChanged: what is kept of a node by its place in the
// snapshot is of that very object, and of what is published now.
func TestTheRosterKnowsANodeThatChanged(t *testing.T) {
	b := newBench(t)
	b.platforms = inventory.NewPlatforms()
	r := b.read(b.pod, &intent.Intent{})
	if status := b.look(r); !status.IsSuccess() {
		t.Fatal(status)
	}
	node := func(name, arch string, soft bool) *v1.Node {
		n := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1.LabelArchStable: arch, v1.LabelOSStable: "linux"}}}
		if soft {
			n.Spec.Taints = []v1.Taint{{Key: "spot", Effect: v1.TaintEffectPreferNoSchedule}}
		}
		return n
	}
	b.roster.open(r.view, 4)
	a := *b.seatOf(0, r.view, node("node-a", "amd64", false))
	again := *b.seatOf(1, r.view, node("node-b", "amd64", false))
	arm := *b.seatOf(2, r.view, node("node-b", "arm64", false))
	silent := node("none", "amd64", true)
	tainted := *b.seatOf(3, r.view, silent)
	if a.part != again.part || a.part == arm.part || a.part == tainted.part || arm.part == tainted.part {
		t.Errorf("parts: amd64 %d and %d, arm64 %d, with a soft taint %d", a.part, again.part, arm.part, tainted.part)
	}
	if a.place == again.place || again.place != arm.place || tainted.place >= 0 {
		t.Errorf("places: node-a %d, node-b %d and %d, one that publishes nothing %d", a.place, again.place, arm.place, tainted.place)
	}
	if now := b.seatOf(0, r.view, node("node-b", "amd64", false)); now.place != again.place {
		t.Errorf("another node at the same place of the snapshot is still taken for node-a")
	}
	b.roster.open(r.view, 2)
	b.roster.open(r.view, 4)
	if s := b.seatOf(3, r.view, silent); s.place != tainted.place {
		t.Errorf("place %d after the cluster had shrunk, want %d", s.place, tainted.place)
	}
	same := node("node-b", "amd64", false)
	b.seatOf(0, r.view, same)
	b.dra.slices = b.dra.slices[1:] // node-a publishes nothing any more
	if status := b.look(r); !status.IsSuccess() {
		t.Fatal(status)
	}
	b.roster.open(r.view, 4)
	if s := b.seatOf(0, r.view, same); s.place != r.view.Place("node-b") {
		t.Errorf("place %d of what was published before, want %d", s.place, r.view.Place("node-b"))
	}
}

// fakeFramework lists plugins.
type fakeFramework struct {
	fakeHandle
	plugins   config.Plugins
	extenders []fwk.Extender
}

func (f *fakeFramework) ListPlugins() *config.Plugins { return &f.plugins }
func (f *fakeFramework) Extenders() []fwk.Extender    { return f.extenders }
func (f *fakeFramework) RunPreFilterPlugins(context.Context, fwk.CycleState, *v1.Pod) (*fwk.PreFilterResult, *fwk.Status, sets.Set[string]) {
	return nil, nil, nil
}

// TestWhichProfilesHaveShortlists: GPUSlice has to know what else decides.
func TestWhichProfilesHaveShortlists(t *testing.T) {
	set := func(names ...string) (out config.PluginSet) {
		for _, name := range names {
			out.Enabled = append(out.Enabled, config.Plugin{Name: name})
		}
		return out
	}
	weigh := func(weights map[string]int32) (out config.PluginSet) {
		for name, weight := range weights {
			out.Enabled = append(out.Enabled, config.Plugin{Name: name, Weight: weight})
		}
		return out
	}
	fine := func() *fakeFramework {
		return &fakeFramework{plugins: config.Plugins{PreFilter: set("NodeAffinity", "Topology", "ArchAware", "GPUSlice", "BinPack"),
			Filter: set("ArchAware", "NodeResourcesFit", "GPUSlice"), PostFilter: set("Topology", "GPUSlice", "DefaultPreemption"),
			Score: weigh(map[string]int32{"GPUSlice": 202, "BinPack": 1, "ArchAware": 101, "TaintToleration": 303, "NodeAffinity": 202})}}
	}
	for name, c := range map[string]struct {
		change func(*fakeFramework)
		want   string
	}{
		"the shipped one": {func(*fakeFramework) {}, ""},
		"an extender":     {func(f *fakeFramework) { f.extenders = make([]fwk.Extender, 1) }, "extenders"},
		"a plugin of somebody else's": {func(f *fakeFramework) { f.plugins.Filter = set("GPUSlice", "Secret") },
			"Secret"},
		"Topology behind GPUSlice": {func(f *fakeFramework) { f.plugins.PreFilter = set("ArchAware", "GPUSlice", "Topology") },
			"before GPUSlice: Topology"},
		"preemption before GPUSlice": {func(f *fakeFramework) { f.plugins.PostFilter = set("DefaultPreemption", "GPUSlice") },
			"before DefaultPreemption"},
		"no postFilter of GPUSlice's": {func(f *fakeFramework) { f.plugins.PostFilter = set("DefaultPreemption") },
			"before DefaultPreemption"},
		"packing that outweighs it": {func(f *fakeFramework) {
			f.plugins.Score = weigh(map[string]int32{"GPUSlice": 100, "BinPack": 1})
		}, "outweigh"},
	} {
		t.Run(name, func(t *testing.T) {
			f := fine()
			c.change(f)
			var chain chain
			if got := chain.read(f); c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if got := chain.of(t.Context(), f).framework != nil; got != (c.want == "") {
				t.Errorf("has shortlists: %v", got)
			}
		})
	}
	var none chain
	if none.of(t.Context(), &fakeHandle{}).framework != nil {
		t.Error("a handle that lists no plugins has shortlists")
	}
	var shipped chain
	shipped.read(fine())
	quiet := sets.New("NodeAffinity")
	if !shipped.decides(quiet) || shipped.decides(sets.New[string]()) {
		t.Error("want GPUSlice to decide where the pod has no preferred affinity, and only there")
	}
	if !shipped.apart(quiet) {
		t.Error("want parts to be apart by the shipped weights, which are multiples of 101")
	}
	shipped.scores["TaintToleration"] = 3
	if shipped.apart(quiet) || !shipped.apart(quiet.Clone().Insert("TaintToleration")) {
		t.Error("want parts not to be apart by upstream's weight of soft taints, unless these are silent")
	}
}
