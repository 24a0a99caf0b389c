package perf

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// topologyCase is a workload of our own: nodes of some zones or racks, and pods
// made from a template.
type topologyCase struct {
	name string
	// labelKey, of so many values in turn, is what its nodes are labelled with.
	labelKey string
	values   int
	// annotations of its pods; {{.Index}} is the pod's number.
	annotations string
	pods, nodes int
}

var topologyCases = []topologyCase{
	// What it costs pods that ask nothing of it.
	{"Plain", "topology.kubernetes.io/rack", 100, "{}", 2500, 1000},
	{"PlainLarge", "topology.kubernetes.io/rack", 100, "{}", 2500, 5000},
	{"SpreadOverZones", "topology.kubernetes.io/zone", 3, `{plimsoll.dev/group: "web-{{DivideInt .Index 50}}", plimsoll.dev/min-per-zone: "3"}`, 2500, 1000},
	{"GangsInRacks", "topology.kubernetes.io/rack", 100,
		`{plimsoll.dev/topology-required: rack, plimsoll.dev/group: "train-{{DivideInt .Index 10}}", plimsoll.dev/group-size: "10"}`, 2500, 1000},
}

// podTemplate is what the case's pods are made from.
func (c topologyCase) podTemplate() string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata:
  generateName: pod-
  annotations: %s
spec:
  containers:
  - name: pause
    image: registry.k8s.io/pause:3.10.2
    resources:
      requests: {cpu: 100m, memory: 500Mi}
`, c.annotations)
}

// testCase writes the case's template into the folder and returns the case as
// scheduler_perf reads it.
func (c topologyCase) testCase(folder string) (object, error) {
	template := filepath.Join(folder, c.name+".yaml")
	if err := os.WriteFile(template, []byte(c.podTemplate()), 0o600); err != nil {
		return nil, err
	}
	values := make([]any, c.values)
	for i := range values {
		values[i] = fmt.Sprintf("d%d", i)
	}
	return object{
		"workloadTemplate": []any{
			object{"opcode": "createNodes", "countParam": "$nodes", "labelNodePrepareStrategy": object{"labelKey": c.labelKey, "labelValues": values}},
			object{"opcode": "createPods", "countParam": "$pods", "podTemplatePath": template, "collectMetrics": true},
		},
		"labels":    []any{"performance", "short"},
		"workloads": []any{object{"name": variant{}.String(), "params": object{"nodes": c.nodes, "pods": c.pods}}},
	}, nil
}

// BenchmarkTopology compares the shipped profile with itself without Topology.
func BenchmarkTopology(b *testing.B) {
	folder := b.TempDir()
	configs, err := writeConfigs(folder, topologyProfiles)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range topologyCases {
		testCase, err := c.testCase(folder)
		if err != nil {
			b.Fatal(err)
		}
		for round := range rounds {
			for i := range topologyProfiles {
				p := topologyProfiles[(round+i)%len(topologyProfiles)]
				testCase["name"] = fmt.Sprintf("%s/%dNodes_%dPods/round=%d/profile=%s", c.name, c.nodes, c.pods, round+1, p.name)
				runCase(b, folder, testCase, configs[p.name])
			}
		}
	}
}

func TestTopologyCasesAreRead(t *testing.T) {
	for _, c := range topologyCases {
		testCase, err := c.testCase(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		checkFilesExist(t, testCase)
		if c.values < 1 || c.pods < 1000 {
			t.Errorf("%s: too little to measure", c.name)
		}
	}
}
