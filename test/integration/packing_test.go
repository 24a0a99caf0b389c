package integration

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"plimsoll.dev/scheduler/manifests"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// swayed is a cluster full of what sways the default profile: images that are
// present on some nodes only, a Service over the pods, running pods that prefer
// the company of new ones, lopsided nodes, and zones of different sizes.
const swayed = `
eu-a-[01-04]  zone=eu-a cpu=16 memory=64Gi
eu-a-05       zone=eu-a cpu=16 memory=64Gi image:example.test/app:1=900Mi
eu-b-[01-02]  zone=eu-b cpu=16 memory=64Gi image:example.test/app:1=900Mi
eu-b-03       zone=eu-b cpu=32 memory=64Gi
eu-c-01       zone=eu-c cpu=8 memory=64Gi
`

const swaying = `
lopsided-[1-2]  cpu=5 memory=1Gi label:app=web node=eu-a-01
filled          cpu=9 memory=40Gi label:app=web node=eu-a-02
fan-1           cpu=500m memory=1Gi label:app=fan near:app=web node=eu-a-03
fan-2           cpu=500m memory=1Gi label:app=fan near:app=web node=eu-b-03
cache           cpu=1 memory=30Gi label:app=web node=eu-c-01
`

// TestNothingOutvotesPacking lets BinPack itself say, pod by pod, whether
// another node would have packed better than the chosen one.
func TestNothingOutvotesPacking(t *testing.T) {
	if n := outvoted(t, string(manifests.SchedulerConfig)); n != 0 {
		t.Errorf("with the shipped profile, %d placements were outvoted", n)
	}
}

// TestTheShippedProfileIsWhatKeepsPackingFromBeingOutvoted adds what the shipped
// profile switches off, and sees the same pods outvoted: the test above can fail.
func TestTheShippedProfileIsWhatKeepsPackingFromBeingOutvoted(t *testing.T) {
	const noisy = `
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
percentageOfNodesToScore: 100
profiles:
- schedulerName: plimsoll
  plugins:
    multiPoint:
      enabled: [{name: BinPack, weight: 1}]
`
	if n := outvoted(t, noisy); n == 0 {
		t.Error("beside the default scores, packing was never outvoted: the cluster sways nobody")
	}
}

func outvoted(t *testing.T, config string) int {
	c := start(t, swayed)
	web := &v1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: v1.ServiceSpec{
		Selector: map[string]string{"app": "web"}, Ports: []v1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(80)}},
	}}
	if _, err := c.client.CoreV1().Services("default").Create(t.Context(), web, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.running(c.create(swaying)...)
	c.schedule(config)
	n := 0
	for i, shape := range []string{"cpu=1 memory=4Gi", "cpu=500m memory=8Gi", "cpu=3 memory=2Gi", "cpu=2 memory=6Gi"} {
		for j := range 8 {
			name := fmt.Sprintf("web-%d-%d", i, j)
			c.running(c.create(fmt.Sprintf("%s label:app=web %s", name, shape))...)
			var reason verdict.Reason
			c.eventually(func() error {
				var found bool
				if reason, found = c.reasons.of(name); !found {
					return fmt.Errorf("nothing is said of pod %s", name)
				}
				return nil
			})
			if reason.Code == verdict.PackingOutweighed {
				n++
			}
		}
	}
	return n
}

func TestTwoProfilesInOneProcessKeepTheirOwnTargets(t *testing.T) {
	c := start(t, "n-[1-6] zone=eu-a cpu=10 memory=40Gi")
	c.schedule(profiles(t, map[string]string{"dense": "{targetPercent: 100}", "careful": "{targetPercent: 30}"}))
	perNode := func(scheduler string) map[string]int {
		counts := map[string]int{}
		for i := range 6 {
			name := fmt.Sprintf("%s-%d", scheduler, i)
			line := fmt.Sprintf("%s cpu=1500m memory=1Gi scheduler=%s", name, scheduler)
			counts[c.running(c.create(line)...)[0]]++
		}
		return counts
	}
	careful, dense := perNode("careful"), perNode("dense")
	for node, n := range careful {
		if n > 2 {
			t.Errorf("%s carries %d pods of 15%%, want at most two under a target of 30%%", node, n)
		}
	}
	if len(careful) != 3 || len(dense) != 2 {
		t.Errorf("careful on %v, dense on %v: want three nodes, and two of these filled up", careful, dense)
	}
	for node := range dense {
		if careful[node] == 0 {
			t.Errorf("dense opened %s while nodes in use had room", node)
		}
	}
}

// profiles returns the shipped configuration with one profile per name, whose
// BinPack has the given arguments.
func profiles(t *testing.T, args map[string]string) string {
	t.Helper()
	var config map[string]any
	if err := yaml.Unmarshal(manifests.SchedulerConfig, &config); err != nil {
		t.Fatal(err)
	}
	shipped, err := yaml.Marshal(config["profiles"].([]any)[0])
	if err != nil {
		t.Fatal(err)
	}
	var list []any
	for _, name := range sortedKeys(args) {
		var profile, its map[string]any
		if err := yaml.Unmarshal(bytes.Clone(shipped), &profile); err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal([]byte(args[name]), &its); err != nil {
			t.Fatal(err)
		}
		profile["schedulerName"] = name
		for _, pc := range profile["pluginConfig"].([]any) {
			if pc := pc.(map[string]any); pc["name"] == "BinPack" {
				pc["args"] = its
			}
		}
		list = append(list, profile)
	}
	config["profiles"] = list
	text, err := yaml.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func TestAWrongAnnotationWaitsForItsCorrection(t *testing.T) {
	c := start(t, "n zone=eu-a cpu=10 memory=40Gi")
	c.schedule(string(manifests.SchedulerConfig))
	c.create("p cpu=1 annotation:plimsoll.dev/target-utilization=eighty")
	c.pending("p", `annotation plimsoll.dev/target-utilization: "eighty" is not valid: want a whole number of percent from 1 to 100`)
	c.eventually(func() error {
		events, err := c.client.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=p"})
		if err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.Reason == "FailedScheduling" && strings.Contains(e.Message, `"eighty" is not valid`) {
				return nil
			}
		}
		return fmt.Errorf("no event among %d tells the user", len(events.Items))
	})
	patch := []byte(`{"metadata": {"annotations": {"plimsoll.dev/target-utilization": "80"}}}`)
	if _, err := c.client.CoreV1().Pods("default").Patch(t.Context(), "p", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	c.running("p")
}

func TestACeilingHoldsAndLetsGo(t *testing.T) {
	c := start(t, "n-[1-2] zone=eu-a cpu=10 memory=40Gi")
	c.schedule(profiles(t, map[string]string{"plimsoll": "{targetPercent: 80, ceilingPercent: 85}"}))
	c.running(c.create("first cpu=8 memory=1Gi\nsecond cpu=8 memory=1Gi")...)
	c.create("waits cpu=1 memory=1Gi")
	c.pending("waits", "0/2 nodes are available: 2 node(s) would pass the 85% ceiling on cpu")
	freed := c.pod("first").Spec.NodeName
	if err := c.client.CoreV1().Pods("default").Delete(t.Context(), "first", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := c.running("waits")[0]; got != freed {
		t.Errorf("on %s, want %s, whose pod left", got, freed)
	}
}
