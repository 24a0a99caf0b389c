package integration

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-base/metrics/legacyregistry"

	"plimsoll.dev/scheduler/pkg/metrics"
)

// scraped is a value of the scheduler's own endpoint, -1 if it is not there.
func scraped(t *testing.T, d *metrics.Description, labels map[string]string) float64 {
	t.Helper()
	families, err := legacyregistry.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != d.Name {
			continue
		}
	values:
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				if want, found := labels[l.GetName()]; found && want != l.GetValue() {
					continue values
				}
			}
			return m.GetGauge().GetValue()
		}
	}
	return -1
}

// TestMetricsOfGPUsFollowTheCluster: before any pod is scheduled, while pods
// come, and after they are gone without another one coming.
func TestMetricsOfGPUsFollowTheCluster(t *testing.T) {
	// Alone: metrics are the process's, and tell of the scheduler started last.
	c := gpuClusterAlone(t, "resourceslices-a100-80gb-8x-dynamic-mig")
	labels := func(partition string) map[string]string {
		return map[string]string{"pool": "", "model": "NVIDIA-A100-SXM4-80GB", "partition": partition}
	}
	expect := func(why string, seven, one float64) {
		t.Helper()
		c.eventually(func() error {
			sevens, ones := scraped(t, metrics.PlacementsPossible, labels("7g.80gb")), scraped(t, metrics.PlacementsPossible, labels("1g.10gb"))
			if sevens != seven || ones != one {
				return fmt.Errorf("%s: %v 7g and %v 1g are possible, want %v and %v", why, sevens, ones, seven, one)
			}
			return nil
		})
	}
	expect("eight empty GPUs", 8, 56)
	c.template("1g", "1g.10gb")
	c.submit(claimant("small", "1g", ""))
	c.devices("small")
	expect("a 1g is allocated", 7, 55)
	if err := c.client.CoreV1().Pods("default").Delete(t.Context(), "small", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	expect("it is gone, and no other pod came", 8, 56)
	if got := scraped(t, metrics.GPUSlices, map[string]string{"state": "allocated"}); got != 0 {
		t.Errorf("%v slices are allocated, want none", got)
	}
}
