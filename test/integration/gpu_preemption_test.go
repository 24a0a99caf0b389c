package integration

import (
	"fmt"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/component-base/metrics/testutil"

	"plimsoll.dev/scheduler/pkg/metrics"
)

// TestAPodWithAClaimPreemptsForItsCores: the model serves its slice beside the victim's,
// and while the victim leaves nobody else gets the cores that it was nominated for.
func TestAPodWithAClaimPreemptsForItsCores(t *testing.T) {
	const profile = "plimsoll-preempts"
	c := sliced(t, 1)
	c.schedule(strings.Replace(shippedProfile(t), "schedulerName: plimsoll", "schedulerName: "+profile, 1))
	pod := func(name, cores string) *v1.Pod {
		out := claimant(name, "smallest", "")
		out.Spec.SchedulerName = profile
		out.Spec.Containers[0].Resources.Requests["cpu"] = *amount(cores)
		return out
	}
	victim := pod("victim", "90")
	victim.Finalizers = []string{held}
	c.submit(victim)
	c.running("victim")

	urgent := pod("urgent", "80")
	urgent.Spec.PriorityClassName = "system-cluster-critical"
	c.submit(urgent)
	c.eventually(func() error {
		if c.pod("victim").DeletionTimestamp == nil || c.pod("urgent").Status.NominatedNodeName != "gpu-01" {
			return fmt.Errorf("the victim stays, or urgent is nominated to %q: %s", c.pod("urgent").Status.NominatedNodeName, condition(c.pod("urgent")))
		}
		return nil
	})
	c.submit(pod("small", "6"), pod("greedy", "20"))
	// The victim still has its cores, and urgent is promised them.
	c.pending("small", "Insufficient cpu")
	c.pending("greedy", "Insufficient cpu")
	c.letGo("victim")
	if devices := c.devices("urgent"); len(devices) != 1 {
		t.Errorf("urgent has %v, want one slice", devices)
	}
	c.running("small") // beside it
	c.pending("greedy", "Insufficient cpu")
	for by, want := range map[string]bool{"model": true, "allocator": false, "cluster": false} {
		n, err := testutil.GetCounterMetricValue(metrics.DeviceAnswers.WithLabelValues(profile, by))
		if err != nil || n > 0 != want {
			t.Errorf("%v attempts were answered by %s, %v; want any: %t", n, by, err, want)
		}
	}
}

// TestSharedDevicesBesideAProfileWithDynamicResources: what another profile of the same
// process has just taken of a pool that nodes share, on another node, is not given again.
func TestSharedDevicesBesideAProfileWithDynamicResources(t *testing.T) {
	c := sliced(t)
	c.fabric()
	for _, node := range []string{"bare-1", "bare-2"} {
		c.addNode(node)
		c.label(node, "rack", "a")
	}
	c.accelerator("accelerator", "a")
	// Both wait before the scheduler starts, which then tries them back to back.
	names := []string{"theirs", "ours"}
	for i, name := range names {
		pod := claimant(name, "accelerator", fmt.Sprintf("bare-%d", i+1))
		if pod.Spec.SchedulerName = "plimsoll"; name == "theirs" {
			pod.Spec.SchedulerName, pod.Spec.PriorityClassName = v1.DefaultSchedulerName, "system-cluster-critical" // goes first
		}
		c.submit(pod)
		c.eventually(func() error {
			if len(c.pod(name).Status.ResourceClaimStatuses) == 0 {
				return fmt.Errorf("pod %s has no claim yet", name)
			}
			return nil
		})
	}
	c.schedule(strings.Replace(shippedProfile(t), "profiles:\n", "profiles:\n- schedulerName: default-scheduler\n", 1))
	c.eventually(func() error {
		var run, wait []string
		for _, name := range names {
			switch pod := c.pod(name); {
			case pod.Spec.NodeName != "":
				run = append(run, name)
			case condition(pod) != "":
				wait = append(wait, name)
			}
		}
		if len(run) == 2 {
			t.Fatalf("%v were both given the one device", run)
		}
		if len(run) == 0 || len(wait) == 0 {
			return fmt.Errorf("%v run and %v wait, want one of each", run, wait)
		}
		return nil
	})
}
