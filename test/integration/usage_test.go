package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/component-base/metrics/legacyregistry"
)

// metricsCRD serves metrics.k8s.io from the API server itself, so that its
// objects can say whatever a test wants.
const metricsCRD = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: nodes.metrics.k8s.io
  annotations:
    api-approved.kubernetes.io: unapproved, for tests
spec:
  group: metrics.k8s.io
  scope: Cluster
  names: {kind: NodeMetrics, listKind: NodeMetricsList, plural: nodes, singular: nodemetrics}
  versions:
  - name: v1beta1
    served: true
    storage: true
    schema:
      openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
`

func sample(node string, at time.Time, cpu string) string {
	return fmt.Sprintf("---\napiVersion: metrics.k8s.io/v1beta1\nkind: NodeMetrics\nmetadata: {name: %s}\ntimestamp: %q\nwindow: 1s\nusage: {cpu: %q, memory: 1Gi}\n",
		node, at.UTC().Format(time.RFC3339), cpu)
}

// usageNodes reads the gauge that says how nodes are judged.
func usageNodes(profile, state string) string {
	families, err := legacyregistry.DefaultGatherer.Gather()
	if err != nil {
		return err.Error()
	}
	for _, f := range families {
		if f.GetName() != "plimsoll_binpack_usage_nodes" {
			continue
		}
		for _, m := range f.GetMetric() {
			text := m.String()
			if strings.Contains(text, fmt.Sprintf("%q", profile)) && strings.Contains(text, fmt.Sprintf("%q", state)) {
				return fmt.Sprint(m.GetGauge().GetValue())
			}
		}
	}
	return "none"
}

// TestSchedulingGoesOnWithoutUsage covers a metrics-server that is absent, then
// lies, then tells the truth.
func TestSchedulingGoesOnWithoutUsage(t *testing.T) {
	const profile = "measured"
	c := start(t, "n-[1-4] zone=eu-a cpu=10 memory=40Gi")
	c.running(c.create("half cpu=4 memory=4Gi node=n-1\nmost cpu=6 memory=4Gi node=n-2")...)
	c.schedule(profiles(t, map[string]string{profile: "{targetPercent: 80, measuredUsage: {weightPercent: 100, pollSeconds: 5}}"}))
	place := func(name string) string {
		t.Helper()
		return c.running(c.create(fmt.Sprintf("%s cpu=100m memory=100Mi scheduler=%s", name, profile))...)[0]
	}
	is := func(state, want string) {
		t.Helper()
		c.eventually(func() error {
			if got := usageNodes(profile, state); got != want {
				return fmt.Errorf("%s nodes %s, want %s", state, got, want)
			}
			return nil
		})
	}

	is("missing", "4")
	if node := place("absent"); node != "n-2" {
		t.Errorf("without metrics.k8s.io: on %s, want n-2, the fullest by requests", node)
	}

	if _, err := c.Apply(t.Context(), []byte(metricsCRD)); err != nil {
		t.Fatal(err)
	}
	lies := sample("n-1", time.Now().AddDate(-1, 0, 0), "9") + sample("n-2", time.Now(), "-3") + sample("n-3", time.Now(), "NaN")
	c.eventually(func() error { _, err := c.Apply(t.Context(), []byte(lies)); return err })
	is("stale", "1")
	is("invalid", "2")
	if node := place("lies"); node != "n-2" {
		t.Errorf("with a year-old, a negative and a nonsensical sample: on %s, want n-2", node)
	}

	truth := sample("n-1", time.Now(), "4") + sample("n-2", time.Now(), "9500m")
	if _, err := c.Apply(t.Context(), []byte(truth)); err != nil {
		t.Fatal(err)
	}
	is("fresh", "2")
	if node := place("truth"); node != "n-1" {
		t.Errorf("n-2 really uses 9.5 of its 10 cores: on %s, want n-1", node)
	}
}
