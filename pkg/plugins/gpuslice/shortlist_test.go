package gpuslice

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
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
		probes            int
	}{
		"the cheapest":                   {nodes: "a3 a1 a2 a1", want: "1-a1 3-a1", probes: 1},
		"some of it is full":             {nodes: "a3 a1 a2 a1", full: "1-a1", want: "1-a1 3-a1", probes: 2},
		"all of it is full":              {nodes: "a3 a1 a2 a1", full: "1-a1 3-a1", want: "2-a2", probes: 3},
		"of each part":                   {nodes: "a3 c9 a1 b2 b1 c9 -", want: "1-c9 2-a1 4-b1 5-c9", probes: 3},
		"a part that is full is left":    {nodes: "a3 b1 b2", full: "1-b1 2-b2", want: "0-a3", probes: 3},
		"everything is full":             {nodes: "a3 b1", full: "0-a3 1-b1", probes: 2},
		"as many as may be asked about":  {nodes: many, full: "", want: "all", probes: 1},
		"the last that may be, fits":     {nodes: strings.Repeat("a1 ", maxProbes-1) + "a2", full: "a1", want: fmt.Sprintf("%d-a2", maxProbes-1), probes: maxProbes},
		"one too many to be asked about": {nodes: many + "a2", full: "a1", probes: maxProbes},
	} {
		t.Run(name, func(t *testing.T) {
			s := drawn(c.nodes)
			probes := 0
			got, err := s.best(func(node fwk.NodeInfo) (bool, error) {
				probes++
				name := node.Node().Name
				return !slices.Contains(strings.Fields(c.full), name) && (c.full == "" || !strings.HasSuffix(name, "-"+c.full)), nil
			})
			want := sets.New(strings.Fields(c.want)...)
			if c.want == "all" {
				want = sets.New[string]()
				for _, n := range s.nodes {
					want.Insert(n.Node().Name)
				}
			}
			if err != nil || len(want) != len(got) || !want.HasAll(sets.List(got)...) || probes != c.probes {
				t.Errorf("got %v, %v after %d probes; want %v after %d", sets.List(got), err, probes, sets.List(want), c.probes)
			}
		})
	}
	broken := errors.New("a filter failed")
	if got, err := drawn("a1 a2").best(func(fwk.NodeInfo) (bool, error) { return false, broken }); !errors.Is(err, broken) || len(got) > 0 {
		t.Errorf("got %v, %v; want no list and the error", got, err)
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
			Filter: set("ArchAware", "NodeResourcesFit", "GPUSlice"),
			Score:  weigh(map[string]int32{"GPUSlice": 202, "BinPack": 1, "ArchAware": 101, "TaintToleration": 303, "NodeAffinity": 202})}}
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
	if quiet := sets.New("NodeAffinity"); !shipped.decides(quiet) || shipped.decides(sets.New[string]()) {
		t.Error("want GPUSlice to decide where the pod has no preferred affinity, and only there")
	}
}
