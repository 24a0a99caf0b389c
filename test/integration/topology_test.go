package integration

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"plimsoll.dev/scheduler/internal/stack"
	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/pkg/plugins"
	"plimsoll.dev/scheduler/pkg/plugins/archaware"
	"plimsoll.dev/scheduler/pkg/plugins/topology"
)

const (
	zoneLabel  = v1.LabelTopologyZone
	blockLabel = "cloud.google.com/gce-topology-block"
	rackLabel  = "topology.kubernetes.io/rack"
)

// topologyCluster starts a control plane with the nodes and the shipped profile,
// in which Topology has the arguments, as YAML.
func topologyCluster(t *testing.T, nodes, args string) *cluster {
	t.Helper()
	c := start(t, nodes)
	c.startTopology(args)
	return c
}

// startTopology starts a scheduler with the shipped profile and arguments for
// Topology.
func (c *cluster) startTopology(args string) *stack.Scheduler {
	c.Helper()
	s, err := c.StartScheduler(c.Context(), stack.SchedulerOptions{
		Config:  []byte(withTopology(c, args)),
		Plugins: plugins.Options(plugins.Shared{Recorder: &c.reasons, Images: &archaware.Shared{Registries: &testkit.Depot{}}}),
	})
	if err != nil {
		c.Fatal(err)
	}
	return s
}

// withTopology is the shipped profile with arguments for Topology.
func withTopology(t testing.TB, args string) string {
	t.Helper()
	var config, its map[string]any
	if err := yaml.Unmarshal([]byte(shippedProfile(t)), &config); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(args), &its); err != nil {
		t.Fatal(err)
	}
	profile := config["profiles"].([]any)[0].(map[string]any)
	others := slices.DeleteFunc(profile["pluginConfig"].([]any), func(pc any) bool { return pc.(map[string]any)["name"] == topology.Name })
	profile["pluginConfig"] = append(others, map[string]any{"name": topology.Name, "args": its})
	text, err := yaml.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// racks lists nodes, two for every rack, so that a rack holds as many pods of one
// CPU as the table says, which must be an even number.
func racks(table map[string]int) string {
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(table)) {
		zone, rack, _ := strings.Cut(path, "/")
		fmt.Fprintf(&b, "%s-%s-[1-2] zone=%s rack=%s cpu=%d memory=256Gi\n", zone, rack, zone, rack, table[path]/2)
	}
	return b.String()
}

// gang is the line of a group's pods.
func gang(name string, size int, level string) string {
	return fmt.Sprintf("%s-[01-%02d] cpu=1 annotation:plimsoll.dev/{topology-required=%s,group=%s,group-size=%d}", name, size, level, name, size)
}

// domains counts the pods, which it waits for, by the labels of their nodes.
func (c *cluster) domains(pods []string, labels ...string) map[string]int {
	c.Helper()
	nodes, err := c.client.CoreV1().Nodes().List(c.Context(), metav1.ListOptions{})
	if err != nil {
		c.Fatal(err)
	}
	paths := map[string]string{}
	for _, n := range nodes.Items {
		var values []string
		for _, label := range labels {
			values = append(values, n.Labels[label])
		}
		paths[n.Name] = strings.Join(values, "/")
	}
	counts := map[string]int{}
	for _, node := range c.running(pods...) {
		counts[paths[node]]++
	}
	return counts
}

// none fails the test if one of the pods has a node.
func (c *cluster) none(pods []string) {
	c.Helper()
	for _, name := range pods {
		if node := c.pod(name).Spec.NodeName; node != "" {
			c.Errorf("pod %s is on node %s, want its whole group without nodes", name, node)
		}
	}
}

// vanish deletes pods and waits until they are gone.
func (c *cluster) vanish(pods ...string) {
	c.Helper()
	for _, name := range pods {
		if err := c.client.CoreV1().Pods("default").Delete(c.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))}); err != nil {
			c.Fatal(err)
		}
	}
	c.eventually(func() error {
		left, err := c.client.CoreV1().Pods("default").List(c.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, p := range left.Items {
			if slices.Contains(pods, p.Name) {
				return fmt.Errorf("pod %s is still there", p.Name)
			}
		}
		return nil
	})
}

// join adds nodes, one per line.
func (c *cluster) join(lines string) {
	c.Helper()
	nodes, err := testkit.Nodes(lines)
	if err != nil {
		c.Fatal(err)
	}
	for _, node := range nodes {
		if _, err := c.client.CoreV1().Nodes().Create(c.Context(), node, metav1.CreateOptions{}); err != nil {
			c.Fatal(err)
		}
	}
}

// bind puts a pod on a node, as another scheduler would.
func (c *cluster) bind(pod, node string) {
	c.Helper()
	err := c.client.CoreV1().Pods("default").Bind(c.Context(), &v1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: pod}, Target: v1.ObjectReference{Kind: "Node", Name: node}}, metav1.CreateOptions{})
	if err != nil {
		c.Fatal(err)
	}
}

// 16 pods on 3 zones of 4 racks go to the one rack that is left with the least.
func TestAGangGoesToTheRackThatFitsItBest(t *testing.T) {
	c := topologyCluster(t, racks(map[string]int{
		"eu-1a/r1": 12, "eu-1a/r2": 20, "eu-1a/r3": 24, "eu-1a/r4": 28,
		"eu-1b/r1": 10, "eu-1b/r2": 18, "eu-1b/r3": 32, "eu-1b/r4": 14,
		"eu-1c/r1": 40, "eu-1c/r2": 14, "eu-1c/r3": 22, "eu-1c/r4": 36,
	}), "{}")
	for i, want := range []string{"eu-1b/r2", "eu-1a/r2", "eu-1c/r3"} {
		name := fmt.Sprintf("train-%c", 'a'+i)
		pods := c.create(gang(name, 16, "rack"))
		if diff := cmp.Diff(map[string]int{want: 16}, c.domains(pods, zoneLabel, rackLabel)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
	// A label's key is as good as its alias.
	pods := c.create(gang("by-key", 16, rackLabel))
	if diff := cmp.Diff(map[string]int{"eu-1a/r3": 16}, c.domains(pods, zoneLabel, rackLabel)); diff != "" {
		t.Errorf("by-key (-want +got)\n%s", diff)
	}
}

// A group that fits into no rack waits as a whole, says why, and is placed when
// there is room: pods leave, or a node joins.
func TestAGangThatFitsNowhereWaitsWhole(t *testing.T) {
	c := topologyCluster(t, racks(map[string]int{"eu-1a/r1": 10, "eu-1a/r2": 20, "eu-1b/r1": 12, "eu-1b/r2": 8}), "{}")
	fill := c.create("fill-[1-6] cpu=1 selector:topology.kubernetes.io/zone=eu-1a selector:topology.kubernetes.io/rack=r2")
	c.running(fill...)
	pods := c.create(gang("train", 16, "rack"))
	for _, name := range pods {
		c.pending(name, "domain zone=eu-1a/rack=r2 holds 14 of the 16 pods of group train; required")
	}
	c.none(pods)
	// Two racks would do together: half a gang is none.
	c.vanish(fill[0])
	for _, name := range pods {
		c.pending(name, "domain zone=eu-1a/rack=r2 holds 15 of the 16 pods of group train; required")
	}
	c.vanish(fill[1])
	if diff := cmp.Diff(map[string]int{"eu-1a/r2": 16}, c.domains(pods, zoneLabel, rackLabel)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	next := c.create(gang("next", 16, "rack"))
	for _, name := range next {
		c.pending(name, "domain zone=eu-1b/rack=r1 holds 12 of the 16 pods of group next; required")
	}
	c.join("eu-1b-r2-3 zone=eu-1b rack=r2 cpu=8 memory=64Gi")
	if diff := cmp.Diff(map[string]int{"eu-1b/r2": 16}, c.domains(next, zoneLabel, rackLabel)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Two groups that come pod by pod in turn, and would both like the same rack, end
// in two racks; a third that finds none has no pod anywhere.
func TestGangsAreNeverInterleaved(t *testing.T) {
	c := topologyCluster(t, racks(map[string]int{"eu-1a/r1": 16, "eu-1a/r2": 18, "eu-1b/r1": 10}), "{}")
	for round := range 3 {
		red, blue := fmt.Sprintf("red-%d", round), fmt.Sprintf("blue-%d", round)
		var pods [2][]string
		for i := range 16 {
			for which, name := range []string{red, blue} {
				pods[which] = append(pods[which], c.create(fmt.Sprintf(
					"%s-%02d cpu=1 annotation:plimsoll.dev/{topology-required=rack,group=%s,group-size=16}", name, i, name))...)
			}
		}
		got := []string{}
		for which := range pods {
			for path, n := range c.domains(pods[which], zoneLabel, rackLabel) {
				got = append(got, fmt.Sprintf("%d in %s", n, path))
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff([]string{"16 in eu-1a/r1", "16 in eu-1a/r2"}, got); diff != "" {
			t.Errorf("round %d (-want +got)\n%s", round, diff)
		}
		third := c.create(gang(fmt.Sprintf("third-%d", round), 16, "rack"))
		for _, name := range third {
			c.pending(name, "domain zone=eu-1b/rack=r1 holds 10 of the 16 pods of group third-"+fmt.Sprint(round))
		}
		c.none(third)
		c.vanish(slices.Concat(third, pods[0], pods[1])...)
	}
}

// topology-preferred takes a rack where one does, else a block, else a zone, and
// is never a reason to wait.
func TestPreferredClimbs(t *testing.T) {
	c := topologyCluster(t, `
		a1-[1-2]  zone=eu-1a block=b1 rack=r1 cpu=4 memory=64Gi
		a2-[1-2]  zone=eu-1a block=b1 rack=r2 cpu=4 memory=64Gi
		a3-[1-2]  zone=eu-1a block=b2 rack=r1 cpu=4 memory=64Gi
		a4-[1-2]  zone=eu-1a block=b2 rack=r2 cpu=4 memory=64Gi
		b1-[1-2]  zone=eu-1b block=b1 rack=r1 cpu=4 memory=64Gi
		b2-[1-2]  zone=eu-1b block=b1 rack=r2 cpu=4 memory=64Gi
		b3-[1-2]  zone=eu-1b block=b2 rack=r1 cpu=4 memory=64Gi
		b4-[1-2]  zone=eu-1b block=b2 rack=r2 cpu=4 memory=64Gi`, "{}")
	for _, tc := range []struct{ size, racks, blocks, zones int }{{8, 1, 1, 1}, {16, 2, 1, 1}, {24, 3, 2, 1}, {40, 5, 3, 2}} {
		name := fmt.Sprintf("g%d", tc.size)
		pods := c.create(fmt.Sprintf("%s-[01-%02d] cpu=1 annotation:plimsoll.dev/{topology-preferred=rack,group=%s,group-size=%d}", name, tc.size, name, tc.size))
		racks, blocks := len(c.domains(pods, zoneLabel, blockLabel, rackLabel)), len(c.domains(pods, zoneLabel, blockLabel))
		if zones := len(c.domains(pods, zoneLabel)); zones != tc.zones || blocks != tc.blocks || racks != tc.racks {
			t.Errorf("%d pods: %d racks, %d blocks, %d zones; want %d, %d, %d", tc.size, racks, blocks, zones, tc.racks, tc.blocks, tc.zones)
		}
		c.vanish(pods...)
	}
	// Required and preferred together: within a zone, in one block if that does.
	pods := c.create("both-[01-16] cpu=1 annotation:plimsoll.dev/{topology-required=zone,topology-preferred=block,group=both,group-size=16}")
	if got := c.domains(pods, zoneLabel, blockLabel); len(got) != 1 {
		t.Errorf("required zone, preferred block: %v, want one block", got)
	}
	large := c.create("large-[01-40] cpu=1 annotation:plimsoll.dev/{topology-required=zone,topology-preferred=block,group=large,group-size=40}")
	c.pending(large[0], "holds 32 of the 40 pods of group large; required")
	c.none(large)
}

// Nodes without the label take no part, and a rack's name means nothing outside
// its zone.
func TestDomainsArePathsOfLabels(t *testing.T) {
	c := topologyCluster(t, `
		a-[1-2]     zone=eu-1a rack=r1 cpu=4 memory=64Gi
		b-[1-2]     zone=eu-1b rack=r1 cpu=4 memory=64Gi
		bare-[1-4]  zone=eu-1a cpu=16 memory=64Gi
		lost-[1-4]  cpu=16 memory=64Gi`, "{}")
	pods := c.create(gang("train", 16, "rack"))
	for _, name := range pods {
		c.pending(name, "holds 8 of the 16 pods of group train; required")
	}
	c.none(pods)
	small := c.create(gang("small", 8, "rack"))
	if got := c.domains(small, zoneLabel, rackLabel); len(got) != 1 || got["eu-1a/r1"]+got["eu-1b/r1"] != 8 {
		t.Errorf("8 pods went to %v, want one rack r1", got)
	}
	// A rack within no zone is a domain of its own.
	c.join("late-[1-2] rack=r1 cpu=8 memory=64Gi")
	if diff := cmp.Diff(map[string]int{"/r1": 16}, c.domains(pods, zoneLabel, rackLabel)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// No node has the label at all.
	nowhere := c.create(gang("nowhere", 2, "block"))
	c.eventually(func() error {
		if said := condition(c.pod(nowhere[0])); said == "" {
			return fmt.Errorf("nothing is said of pod %s", nowhere[0])
		}
		return nil
	})
	c.none(nowhere)
	// All the while, others go where they like.
	c.running(c.create("plain-[1-20] cpu=1")...)
}
