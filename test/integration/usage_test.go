package integration

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/component-base/metrics/testutil"

	"plimsoll.dev/scheduler/pkg/metrics"
	"plimsoll.dev/scheduler/pkg/usage"
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
func usageNodes(t *testing.T, profile string, state usage.State) float64 {
	t.Helper()
	n, err := testutil.GetGaugeMetricValue(metrics.UsageNodes.WithLabelValues(profile, string(state)))
	if err != nil {
		t.Fatal(err)
	}
	return n
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
	is := func(state usage.State, want float64) {
		t.Helper()
		c.eventually(func() error {
			if got := usageNodes(t, profile, state); got != want {
				return fmt.Errorf("%v nodes are %s, want %v", got, state, want)
			}
			return nil
		})
	}

	is(usage.Missing, 4)
	if node := place("absent"); node != "n-2" {
		t.Errorf("without metrics.k8s.io: on %s, want n-2, the fullest by requests", node)
	}

	if _, err := c.Apply(t.Context(), []byte(metricsCRD)); err != nil {
		t.Fatal(err)
	}
	lies := sample("n-1", time.Now().AddDate(-1, 0, 0), "9") + sample("n-2", time.Now(), "-3") + sample("n-3", time.Now(), "NaN")
	c.eventually(func() error { _, err := c.Apply(t.Context(), []byte(lies)); return err })
	is(usage.Stale, 1)
	is(usage.Invalid, 2)
	if node := place("lies"); node != "n-2" {
		t.Errorf("with a year-old, a negative and a nonsensical sample: on %s, want n-2", node)
	}

	truth := sample("n-1", time.Now(), "4") + sample("n-2", time.Now(), "9500m")
	if _, err := c.Apply(t.Context(), []byte(truth)); err != nil {
		t.Fatal(err)
	}
	is(usage.Fresh, 2)
	if node := place("truth"); node != "n-1" {
		t.Errorf("n-2 really uses 9.5 of its 10 cores: on %s, want n-1", node)
	}
}
