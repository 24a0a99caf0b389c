package inventory

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/endpointslice/topologycache"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"pgregory.net/rapid"

	"plimsoll.dev/scheduler/pkg/zone"
)

var racks = []zone.Level{{Key: v1.LabelTopologyZone, Alias: "zone"}, {Key: "topology.kubernetes.io/rack", Alias: "rack"}}

// placed is a node in a zone and a rack; an empty value is a missing label.
func placed(name, inZone, rack string) *v1.Node {
	node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1.LabelHostname: name}}}
	for key, value := range map[string]string{racks[0].Key: inZone, racks[1].Key: rack} {
		if value != "" {
			node.Labels[key] = value
		}
	}
	return node
}

// snapshot holds the nodes in this order; nil is one of which only pods are left.
func snapshot(nodes ...*v1.Node) []fwk.NodeInfo {
	infos := make([]fwk.NodeInfo, len(nodes))
	for i, node := range nodes {
		info := framework.NewNodeInfo()
		if node != nil {
			info.SetNode(node)
		}
		infos[i] = info
	}
	return infos
}

// paths are the narrowest domains of a tree's nodes.
func paths(tree *zone.Tree) []string {
	var out []string
	for n := range tree.Len() {
		out = append(out, tree.Path(tree.Leaf(zone.NodeID(n))))
	}
	return out
}

func TestATreeIsKeptUntilATopologyLabelChanges(t *testing.T) {
	a, b, c := placed("eu-a-01", "eu-a", "r1"), placed("eu-b-01", "eu-b", "r1"), placed("eu-b-02", "eu-b", "")
	relabelled := func(node *v1.Node, key, value string) *v1.Node {
		node = node.DeepCopy()
		node.Labels[key] = value
		return node
	}
	before := []*v1.Node{a, b, c}
	for name, tc := range map[string]struct {
		after []*v1.Node
		want  []string
		kept  bool
	}{
		"nothing":                       {[]*v1.Node{a, b, c}, []string{"zone=eu-a/rack=r1", "zone=eu-b/rack=r1", "zone=eu-b"}, true},
		"another label":                 {[]*v1.Node{a, relabelled(b, "team", "ml"), c}, []string{"zone=eu-a/rack=r1", "zone=eu-b/rack=r1", "zone=eu-b"}, true},
		"a rack":                        {[]*v1.Node{a, relabelled(b, racks[1].Key, "r2"), c}, []string{"zone=eu-a/rack=r1", "zone=eu-b/rack=r2", "zone=eu-b"}, false},
		"a rack that was missing":       {[]*v1.Node{a, b, relabelled(c, racks[1].Key, "r1")}, []string{"zone=eu-a/rack=r1", "zone=eu-b/rack=r1", "zone=eu-b/rack=r1"}, false},
		"a node less":                   {[]*v1.Node{a, b}, []string{"zone=eu-a/rack=r1", "zone=eu-b/rack=r1"}, false},
		"a node more":                   {[]*v1.Node{a, b, c, placed("eu-a-02", "eu-a", "r1")}, []string{"zone=eu-a/rack=r1", "zone=eu-b/rack=r1", "zone=eu-b", "zone=eu-a/rack=r1"}, false},
		"another order":                 {[]*v1.Node{b, a, c}, []string{"zone=eu-b/rack=r1", "zone=eu-a/rack=r1", "zone=eu-b"}, false},
		"one of the same place":         {[]*v1.Node{a, placed("eu-b-09", "eu-b", "r1"), c}, []string{"zone=eu-a/rack=r1", "zone=eu-b/rack=r1", "zone=eu-b"}, false},
		"one that is gone but for pods": {[]*v1.Node{a, nil, c}, []string{"zone=eu-a/rack=r1", "the cluster", "zone=eu-b"}, false},
		"all":                           {nil, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			zones := NewZones(racks)
			first := zones.Tree(snapshot(before...))
			second := zones.Tree(snapshot(tc.after...))
			if diff := cmp.Diff(tc.want, paths(second)); diff != "" || (first == second) != tc.kept {
				t.Errorf("kept %v, want %v (-want +got)\n%s", first == second, tc.kept, diff)
			}
			for i, node := range tc.after {
				if node != nil && second.NodeName(zone.NodeID(i)) != node.Name {
					t.Errorf("node %d is %s, want %s", i, second.NodeName(zone.NodeID(i)), node.Name)
				}
			}
			if again := zones.Tree(snapshot(tc.after...)); again != second {
				t.Error("the same nodes make another tree")
			}
			if diff := cmp.Diff([]string{"zone=eu-a/rack=r1", "zone=eu-b/rack=r1", "zone=eu-b"}, paths(first)); diff != "" {
				t.Errorf("the tree of the call before has changed (-want +got)\n%s", diff)
			}
		})
	}
}

// TestATreeIsTheOneOfItsNodes changes nodes at random and compares with a keeper
// that has seen nothing before.
func TestATreeIsTheOneOfItsNodes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.SampledFrom([]string{"", "a", "b", "c"})
		zones, nodes := NewZones(racks), []*v1.Node{}
		for range rapid.IntRange(1, 10).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				nodes = append(nodes, placed(fmt.Sprint("node-", len(nodes)), value.Draw(t, "zone"), value.Draw(t, "rack")))
			case 1:
				if i := len(nodes) - 1; i >= 0 {
					nodes[i] = placed(nodes[i].Name, value.Draw(t, "zone"), value.Draw(t, "rack"))
				}
			case 2:
				if len(nodes) > 0 {
					nodes[0], nodes[len(nodes)-1] = nodes[len(nodes)-1], nodes[0].DeepCopy()
				}
			default:
				nodes = nodes[:len(nodes)/2]
			}
			infos := snapshot(nodes...)
			if diff := cmp.Diff(paths(NewZones(racks).Tree(infos)), paths(zones.Tree(infos))); diff != "" {
				t.Fatalf("(-want +got)\n%s", diff)
			}
		}
	})
}

func TestValuesOfANodeInTheLevelsOrder(t *testing.T) {
	for name, tc := range map[string]struct {
		node *v1.Node
		want []string
	}{
		"all labels": {placed("n", "eu-a", "r1"), []string{"eu-a", "r1"}},
		"one label":  {placed("n", "", "r1"), []string{"", "r1"}},
		"no labels":  {&v1.Node{}, []string{"", ""}},
		"no node":    {nil, []string{"", ""}},
	} {
		if diff := cmp.Diff(tc.want, Values(racks, tc.node)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

// worker is a ready node.
func worker(name, inZone, cpu string) *v1.Node {
	node := placed(name, inZone, "")
	node.Status.Conditions = []v1.NodeCondition{{Type: v1.NodeMemoryPressure, Status: v1.ConditionFalse}, {Type: v1.NodeReady, Status: v1.ConditionTrue}}
	node.Status.Allocatable = v1.ResourceList{v1.ResourceCPU: resource.MustParse(cpu)}
	return node
}

func TestZoneCPUCountsAsTheControlPlaneDoes(t *testing.T) {
	with := func(node *v1.Node, change func(*v1.Node)) *v1.Node {
		change(node)
		return node
	}
	notReady := func(n *v1.Node) { n.Status.Conditions[1].Status = v1.ConditionUnknown }
	for name, tc := range map[string]struct {
		nodes []*v1.Node
		want  map[string]int64
	}{
		"none":                      {nil, nil},
		"sums":                      {[]*v1.Node{worker("1", "a", "1"), worker("2", "b", "2500m"), worker("3", "a", "500m")}, map[string]int64{"a": 1500, "b": 2500}},
		"one that is not ready":     {[]*v1.Node{worker("1", "a", "1"), with(worker("2", "", "0"), notReady)}, map[string]int64{"a": 1000}},
		"one that says nothing":     {[]*v1.Node{worker("1", "a", "1"), with(worker("2", "", "0"), func(n *v1.Node) { n.Status.Conditions = nil })}, map[string]int64{"a": 1000}},
		"one of the control plane":  {[]*v1.Node{worker("1", "a", "1"), with(worker("2", "", "8"), func(n *v1.Node) { n.Labels["node-role.kubernetes.io/control-plane"] = "" })}, map[string]int64{"a": 1000}},
		"one that is called master": {[]*v1.Node{worker("1", "a", "1"), with(worker("2", "b", "8"), func(n *v1.Node) { n.Labels["node-role.kubernetes.io/master"] = "no" })}, map[string]int64{"a": 1000}},
		"one without a zone":        {[]*v1.Node{worker("1", "a", "1"), worker("2", "", "1")}, nil},
		"one without CPU":           {[]*v1.Node{worker("1", "a", "1"), worker("2", "b", "0")}, nil},
		"one that is nil":           {[]*v1.Node{worker("1", "a", "1"), nil}, map[string]int64{"a": 1000}},
	} {
		if diff := cmp.Diff(tc.want, ZoneCPU(tc.nodes)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

// TestHintsAreKeptAndDroppedAsTheControlPlaneDoes asks its own code about
// Services of 1 to 60 endpoints over zones of equal and of random size.
func TestHintsAreKeptAndDroppedAsTheControlPlaneDoes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for zones := 1; zones <= 4; zones++ {
		for round := range 40 {
			var nodes []*v1.Node
			for z := range zones {
				for n := range 1 + random.IntN(3) {
					cpu := "4"
					if round > 0 { // the first round has zones of nearly the same size
						cpu = fmt.Sprintf("%dm", 250*(1+random.IntN(64)))
					}
					nodes = append(nodes, worker(fmt.Sprint(z, "-", n), fmt.Sprint("zone-", z), cpu))
					if round == 0 {
						break
					}
				}
			}
			byZone := ZoneCPU(nodes)
			var cpu []int64
			for _, z := range slices.Sorted(maps.Keys(byZone)) {
				cpu = append(cpu, byZone[z])
			}
			for endpoints := range int64(61) {
				if got, want := zone.HintsKept(endpoints, cpu), hinted(nodes, zones, endpoints); got != want {
					t.Errorf("%d endpoints over %v: got %v, want %v", endpoints, byZone, got, want)
				}
			}
		}
	}
}

// hinted tells whether the control plane's code sets hints on a slice of so many
// ready endpoints.
func hinted(nodes []*v1.Node, zones int, endpoints int64) bool {
	logger := klog.Background().V(10) // silent
	cache := topologycache.NewTopologyCache()
	cache.SetNodes(logger, nodes)
	ready, slice := true, &discovery.EndpointSlice{AddressType: discovery.AddressTypeIPv4}
	for i := range endpoints {
		name := fmt.Sprint("zone-", i%int64(zones))
		slice.Endpoints = append(slice.Endpoints, discovery.Endpoint{Zone: &name, Conditions: discovery.EndpointConditions{Ready: &ready}})
	}
	cache.AddHints(logger, &topologycache.SliceInfo{ServiceKey: "shop/cart", AddressType: discovery.AddressTypeIPv4, ToCreate: []*discovery.EndpointSlice{slice}})
	return cache.HasPopulatedHints("shop/cart")
}

// BenchmarkTree5000 is what a scheduling cycle pays if no node has changed, and
// if each has sent a heartbeat.
func BenchmarkTree5000(b *testing.B) {
	var nodes, beaten []*v1.Node
	for i := range 5000 {
		node := placed(fmt.Sprintf("node-%04d", i), fmt.Sprint("zone-", i%3), fmt.Sprint("rack-", i%100))
		nodes, beaten = append(nodes, node), append(beaten, node.DeepCopy())
	}
	infos := [][]fwk.NodeInfo{snapshot(nodes...), snapshot(beaten...)}
	for _, bc := range []struct {
		name string
		step int
	}{{"unchanged", 0}, {"heartbeats", 1}} {
		b.Run(bc.name, func(b *testing.B) {
			zones, at := NewZones(racks), 0
			tree := zones.Tree(infos[0])
			b.ReportAllocs()
			for b.Loop() {
				at = (at + bc.step) % 2
				if zones.Tree(infos[at]) != tree {
					b.Fatal("another tree")
				}
			}
		})
	}
}
