package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-base/metrics/testutil"
	"k8s.io/utils/ptr"

	"plimsoll.dev/scheduler/internal/fleet"
	"plimsoll.dev/scheduler/internal/stack"
	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/pkg/metrics"
	"plimsoll.dev/scheduler/pkg/mig"
	"plimsoll.dev/scheduler/pkg/plugins"
	"plimsoll.dev/scheduler/pkg/plugins/archaware"
)

// smallest is how many 1g.10gb slices an A100-80GB has room for.
const smallest = 7

// sliced starts a control plane with a node of partitionable GPUs for each number,
// and a template for the smallest slice of one.
func sliced(t *testing.T, gpus ...int) *cluster {
	t.Helper()
	t.Parallel()
	return slicedAlone(t, gpus...)
}

// slicedAlone is sliced for a test that runs beside no other.
func slicedAlone(t *testing.T, gpus ...int) *cluster {
	t.Helper()
	c := launch(t, "cpu-01 cpu=64 memory=256Gi")
	for _, class := range fleet.DeviceClasses() {
		if _, err := c.client.ResourceV1().DeviceClasses().Create(t.Context(), class, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for i, n := range gpus {
		name := fmt.Sprintf("gpu-%02d", i+1)
		c.addNode(name)
		list, err := fleet.Partitionable(name, "A100-SXM4-80GB", n)
		if err != nil {
			t.Fatal(err)
		}
		for _, slice := range list {
			if _, err := c.client.ResourceV1().ResourceSlices().Create(t.Context(), slice, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.template("smallest", "1g.10gb")
	return c
}

// crowd creates pods that take a smallest slice each, of the given profiles in
// turn.
func (c *cluster) crowd(prefix string, count int, profiles ...string) {
	c.Helper()
	for i := range count {
		pod := claimant(fmt.Sprintf("%s-%03d", prefix, i), "smallest", "")
		pod.Spec.SchedulerName = profiles[i%len(profiles)]
		pod.Spec.Containers[0].Resources.Requests = v1.ResourceList{"cpu": *amount("100m")}
		c.submit(pod)
	}
}

// served waits until so many claims are allocated, and fails if two of them
// overlap.
func (c *cluster) served(want int) {
	c.Helper()
	c.eventually(func() error {
		list, err := c.client.ResourceV1().ResourceClaims("default").List(c.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		used := map[string]mig.Mask{}
		n := 0
		for i := range list.Items {
			if list.Items[i].Status.Allocation == nil {
				continue
			}
			n++
			for _, d := range list.Items[i].Status.Allocation.Devices.Results {
				gpu, mask := d.Pool+"/"+gpuOf(d.Device), cells(c, d.Device)
				if used[gpu]&mask != 0 {
					c.Fatalf("claim %s has %s of %s, and so has another", list.Items[i].Name, d.Device, d.Pool)
				}
				used[gpu] |= mask
			}
		}
		if n != want {
			return fmt.Errorf("%d claims are allocated, want %d", n, want)
		}
		return nil
	})
}

// cells reads a device's name: gpu-0-mig-1g10gb-19-4 is the fifth slice of GPU 0.
func cells(c *cluster, device string) mig.Mask {
	c.Helper()
	sizes := map[string]int{"1g10gb": 1, "1g20gb": 2, "2g20gb": 2, "3g40gb": 4, "4g40gb": 4, "7g80gb": 8}
	var gpu, id, at int
	var profile string
	name := strings.NewReplacer("-", " ").Replace(device)
	if _, err := fmt.Sscanf(name, "gpu %d mig %s %d %d", &gpu, &profile, &id, &at); err != nil {
		c.Fatalf("reading device %q: %v", device, err)
	}
	return mig.Run(at, sizes[profile])
}

func TestBurstsThroughTwoProfilesNeverShareADevice(t *testing.T) {
	c := sliced(t, 2, 2)
	raw, err := os.ReadFile("../../manifests/profiles/three-profiles.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c.schedule(strings.Replace(string(raw), "leaderElect: true", "leaderElect: false", 1))
	const room = 4 * smallest
	c.crowd("burst", room+6, "plimsoll", "plimsoll-dense")
	c.served(room)
	// No other test of this process has pods with claims in this profile.
	for by, want := range map[string]bool{"model": true, "allocator": false, "cluster": false} {
		n, err := testutil.GetCounterMetricValue(metrics.DeviceAnswers.WithLabelValues("plimsoll-dense", by))
		if err != nil || n > 0 != want {
			t.Errorf("%v attempts were answered by %s, %v; want any: %t", n, by, err, want)
		}
	}
	for _, profile := range []string{"plimsoll", "plimsoll-dense"} {
		n, err := testutil.GetCounterMetricValue(metrics.Disagreements.WithLabelValues(profile))
		if err != nil || n != 0 {
			t.Errorf("profile %s: model and allocator disagreed %v times, %v", profile, n, err)
		}
	}
	for i := range 6 {
		c.leave(fmt.Sprintf("burst-%03d", i))
	}
	c.served(room) // those that waited take their place
}

func TestAStartedSchedulerKnowsWhatIsAllocated(t *testing.T) {
	c := sliced(t, 2)
	options := stack.SchedulerOptions{Config: []byte(shippedProfile(t)),
		Plugins: plugins.Options(plugins.Shared{Images: &archaware.Shared{Registries: &testkit.Depot{}}})}
	first, err := c.StartScheduler(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	c.crowd("first", smallest, "plimsoll")
	c.served(smallest)
	first.Stop()
	// Some go while nobody looks, and more come.
	c.leave("first-000")
	c.leave("first-001")
	c.crowd("second", smallest+2, "plimsoll")
	if _, err := c.StartScheduler(t.Context(), options); err != nil {
		t.Fatal(err)
	}
	c.served(2 * smallest)
}

// TestAProfileWithDynamicResourcesBesideIsSafe: its pods' claims in flight are not
// told to the model.
func TestAProfileWithDynamicResourcesBesideIsSafe(t *testing.T) {
	c := sliced(t, 4)
	c.schedule(strings.Replace(shippedProfile(t), "profiles:\n", "profiles:\n- schedulerName: default-scheduler\n", 1))
	const room = 4 * smallest
	c.crowd("mixed", room+4, "plimsoll", "default-scheduler")
	c.served(room)
}

// TestDevicesOfAFailedBindingAreGivenBack: the API server refuses to store the
// allocation of one pod, and another pod gets the only GPU.
func TestDevicesOfAFailedBindingAreGivenBack(t *testing.T) {
	c := sliced(t, 1)
	c.refuseAllocations("unlucky")
	// With claims that are there already, pods are tried in the order they come.
	c.claim("unlucky-gpu", "7g.80gb")
	c.claim("lucky-gpu", "7g.80gb")
	c.schedule(shippedProfile(t))
	c.submit(holder("unlucky"))
	// Parked while the other holds the GPU: nothing but its failure can wake it.
	c.submit(holder("lucky"))
	c.eventually(func() error {
		events, err := c.client.EventsV1().Events("default").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for i := range events.Items {
			if e := &events.Items[i]; e.Regarding.Name == "unlucky" && strings.Contains(e.Note, "not for unlucky") {
				return nil
			}
		}
		return fmt.Errorf("no binding of the unlucky pod has failed yet")
	})
	c.running("lucky")
}

// holder is a pod that uses the claim named after it.
func holder(name string) *v1.Pod {
	pod := claimant(name, "", "")
	pod.Spec.ResourceClaims[0].ResourceClaimTemplateName = nil
	pod.Spec.ResourceClaims[0].ResourceClaimName = ptr.To(name + "-gpu")
	return pod
}

// claim creates a claim for one slice of the given profile.
func (c *cluster) claim(name, profile string) {
	c.Helper()
	claim := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Spec: oneSlice(profile)}
	if _, err := c.client.ResourceV1().ResourceClaims("default").Create(c.Context(), claim, metav1.CreateOptions{}); err != nil {
		c.Fatal(err)
	}
}

// refuseAllocations has the API server refuse the status of a pod's claims.
func (c *cluster) refuseAllocations(pod string) {
	c.Helper()
	policy := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "refuse"}, Spec: admissionv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{admissionv1.Update},
			Rule:       admissionv1.Rule{APIGroups: []string{resourceapi.GroupName}, APIVersions: []string{"*"}, Resources: []string{"resourceclaims/status"}}}}}},
		Validations: []admissionv1.Validation{{Expression: fmt.Sprintf("!object.metadata.name.startsWith('%s-')", pod), Message: "not for " + pod}}}}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "refuse"}, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: "refuse", ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}}}
	if _, err := c.client.AdmissionregistrationV1().ValidatingAdmissionPolicies().Create(c.Context(), policy, metav1.CreateOptions{}); err != nil {
		c.Fatal(err)
	}
	if _, err := c.client.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Create(c.Context(), binding, metav1.CreateOptions{}); err != nil {
		c.Fatal(err)
	}
	// Policies are enforced a moment after they are there.
	probe := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Name: pod + "-probe", Namespace: "default"}, Spec: resourceapi.ResourceClaimSpec{
		Devices: resourceapi.DeviceClaim{Requests: []resourceapi.DeviceRequest{{Name: "r", Exactly: &resourceapi.ExactDeviceRequest{DeviceClassName: "mig.nvidia.com"}}}}}}
	probe, err := c.client.ResourceV1().ResourceClaims("default").Create(c.Context(), probe, metav1.CreateOptions{})
	if err != nil {
		c.Fatal(err)
	}
	c.eventually(func() error {
		_, err := c.client.ResourceV1().ResourceClaims("default").UpdateStatus(c.Context(), probe, metav1.UpdateOptions{})
		if err == nil {
			return fmt.Errorf("the policy is not enforced yet")
		}
		return nil
	})
	if err := c.client.ResourceV1().ResourceClaims("default").Delete(c.Context(), probe.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: ptr.To(probe.UID)}}); err != nil {
		c.Fatal(err)
	}
}
