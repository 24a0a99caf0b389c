package inventory

import (
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"plimsoll.dev/scheduler/pkg/arch"
)

func labelled(pairs ...string) *v1.Node {
	node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{}}}
	for i := 0; i < len(pairs); i += 2 {
		node.Labels[pairs[i]] = pairs[i+1]
	}
	return node
}

func TestPlatformsOfNodes(t *testing.T) {
	const a, o = v1.LabelArchStable, v1.LabelOSStable
	status := &v1.Node{Status: v1.NodeStatus{NodeInfo: v1.NodeSystemInfo{Architecture: "arm64", OperatingSystem: "linux"}}}
	for name, tc := range map[string]struct {
		node *v1.Node
		want arch.Platform
	}{
		"labels":                        {labelled(a, "arm64", o, "linux"), arch.New("linux", "arm64", "", "")},
		"the status without labels":     {status, arch.New("linux", "arm64", "", "")},
		"no operating system":           {labelled(a, "arm64"), arch.New("linux", "arm64", "", "")},
		"nothing":                       {labelled(), arch.Platform{}},
		"an operating system alone":     {labelled(o, "linux"), arch.Platform{}},
		"Windows with its build":        {labelled(a, "amd64", o, "windows", v1.LabelWindowsBuild, "10.0.20348"), arch.New("windows", "amd64", "", "10.0.20348")},
		"a build means nothing else":    {labelled(a, "amd64", o, "linux", v1.LabelWindowsBuild, "10.0.20348"), arch.New("linux", "amd64", "", "")},
		"AVX2 and FMA3 are level 3":     {labelled(a, "amd64", featurePrefix+"AVX", "true", featurePrefix+"AVX2", "true", featurePrefix+"FMA3", "true"), arch.New("linux", "amd64", "v3", "")},
		"AVX alone is level 2":          {labelled(a, "amd64", featurePrefix+"AVX", "true"), arch.New("linux", "amd64", "v2", "")},
		"a feature that is not there":   {labelled(a, "amd64", featurePrefix+"AVX", "false"), arch.New("linux", "amd64", "", "")},
		"features of another CPU":       {labelled(a, "arm64", featurePrefix+"AVX", "true"), arch.New("linux", "arm64", "", "")},
		"all of AVX-512's are level 4":  {labelled(a, "amd64", featurePrefix+"AVX512F", "true", featurePrefix+"AVX512BW", "true", featurePrefix+"AVX512CD", "true", featurePrefix+"AVX512DQ", "true", featurePrefix+"AVX512VL", "true"), arch.New("linux", "amd64", "v4", "")},
		"some of AVX-512's are not":     {labelled(a, "amd64", featurePrefix+"AVX512F", "true", featurePrefix+"AVX512CD", "true"), arch.New("linux", "amd64", "", "")},
		"an architecture nobody has":    {labelled(a, "z80", o, "cpm"), arch.New("cpm", "z80", "", "")},
		"names of other tools are ours": {labelled(a, "x86_64", o, "linux"), arch.New("linux", "amd64", "", "")},
	} {
		if got := PlatformOf(tc.node); got != tc.want {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}

func TestArchTaints(t *testing.T) {
	for name, tc := range map[string]struct {
		taint v1.Taint
		want  bool
	}{
		"GKE's":         {v1.Taint{Key: v1.LabelArchStable, Value: "arm64", Effect: v1.TaintEffectNoSchedule}, true},
		"a soft one":    {v1.Taint{Key: v1.LabelArchStable, Value: "arm64", Effect: v1.TaintEffectPreferNoSchedule}, false},
		"another's key": {v1.Taint{Key: "spot", Effect: v1.TaintEffectNoSchedule}, false},
	} {
		node := labelled()
		node.Spec.Taints = []v1.Taint{{Key: "first", Effect: v1.TaintEffectPreferNoSchedule}, tc.taint}
		if got := ArchTaint(node) != nil; got != tc.want {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}

// The census is that of a plain recount, kinds never change their number, and a
// node is of the kind that its labels say, observed or not.
func TestTheCensusAgreesWithARecount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := NewPlatforms()
		nodes := map[string]*v1.Node{}
		kinds := map[int]arch.Platform{}
		for step := range rapid.IntRange(1, 40).Draw(t, "steps") {
			name := fmt.Sprintf("n%d", rapid.IntRange(0, 5).Draw(t, "node"))
			if rapid.Bool().Draw(t, "delete") {
				p.Forget(name)
				delete(nodes, name)
			} else {
				node := labelled(v1.LabelArchStable, rapid.SampledFrom([]string{"amd64", "arm64", "s390x", ""}).Draw(t, "arch"))
				node.Name, node.UID, node.ResourceVersion = name, types.UID(name), fmt.Sprint(step)
				if rapid.Bool().Draw(t, "taint") {
					node.Spec.Taints = []v1.Taint{{Key: v1.LabelArchStable, Effect: v1.TaintEffectNoSchedule}}
				}
				p.Observe(node)
				nodes[name] = node
			}
			for kind, platform := range p.Kinds() {
				if was, found := kinds[kind]; found && was != platform {
					t.Fatalf("kind %d was %v and is %v", kind, was, platform)
				}
				kinds[kind] = platform
			}
			recount(t, p, nodes)
		}
	})
}

func recount(t *rapid.T, p *Platforms, nodes map[string]*v1.Node) {
	want := map[arch.Platform]int{}
	tainted := 0
	for _, node := range nodes {
		platform := PlatformOf(node)
		want[platform]++
		if ArchTaint(node) != nil {
			tainted++
		}
		if kind := p.Kind(node); p.Kinds()[kind] != platform {
			t.Fatalf("node %s is %v, read as %v", node.Name, platform, p.Kinds()[kind])
		}
	}
	census := p.Census()
	for kind, platform := range p.Kinds() {
		if got := census.Present(kind); got != (want[platform] > 0) {
			t.Fatalf("%v: present %v, want %d", platform, got, want[platform])
		}
		if kind < len(census.Nodes) && census.Nodes[kind] != want[platform] {
			t.Fatalf("%v: %d nodes, want %d", platform, census.Nodes[kind], want[platform])
		}
	}
	if census.Total != len(nodes) || census.Tainted != tainted {
		t.Fatalf("%d nodes, %d tainted, want %d and %d", census.Total, census.Tainted, len(nodes), tainted)
	}
}

func TestAKnownNodeCostsNothing(t *testing.T) {
	p := NewPlatforms()
	node := labelled(v1.LabelArchStable, "arm64", v1.LabelOSStable, "linux")
	p.Observe(node)
	if n := testing.AllocsPerRun(100, func() { p.Kind(node) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
