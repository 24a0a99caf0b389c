package integration

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/component-base/metrics/testutil"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
)

// waiting is how many pods a plugin keeps from being scheduled.
func waiting(t *testing.T, plugin string) int {
	t.Helper()
	value, err := testutil.GetGaugeMetricValue(metrics.UnschedulableReason(plugin, "plimsoll"))
	if err != nil {
		t.Fatal(err)
	}
	return int(value)
}

// Pods come before their claims, and before the template that claims are made of. They
// are held by one plugin, and each gets in when its claims are there.
func TestPodsGetInWhenTheirClaimsAreThere(t *testing.T) {
	const gate = "      - name: ClaimGate\n"
	for holding, config := range map[string]string{
		"ClaimGate": shippedProfile(t),
		"GPUSlice":  strings.Replace(shippedProfile(t), gate, "", 1),
	} {
		t.Run(holding, func(t *testing.T) {
			if has := strings.Contains(config, gate); has != (holding == "ClaimGate") {
				t.Fatalf("the profile has ClaimGate: %v", has)
			}
			c := slicedAlone(t, 2)
			c.schedule(config)
			others := waiting(t, "ClaimGate") + waiting(t, "GPUSlice")
			before := waiting(t, holding)
			var names []string
			for i := range 6 {
				names = append(names, fmt.Sprintf("early-%d", i))
				c.submit(holder(names[i]))
			}
			names = append(names, "untold")
			c.submit(claimant("untold", "later", ""))
			c.submit(claimant("sentinel", "smallest", ""))
			c.running("sentinel")
			c.eventually(func() error {
				if all := waiting(t, "ClaimGate") + waiting(t, "GPUSlice"); all-others != 7 || waiting(t, holding)-before != 7 {
					return fmt.Errorf("%d pods wait, %d because of %s, want 7", all-others, waiting(t, holding)-before, holding)
				}
				return nil
			})
			for _, name := range names { // a pod that was tried has a condition
				if said := condition(c.pod(name)); said != "" {
					t.Errorf("pod %s was not held, but refused: %s", name, said)
				}
			}
			c.template("later", "1g.10gb")
			for _, name := range names[:6] {
				c.claim(name+"-gpu", "1g.10gb")
			}
			c.running(names...)
		})
	}
}
