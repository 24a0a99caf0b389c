package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"plimsoll.dev/scheduler/internal/samples"
	"plimsoll.dev/scheduler/internal/stack"
	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/pkg/plugins"
	"plimsoll.dev/scheduler/pkg/plugins/archaware"
)

const shippedConfig = "../../manifests/base/scheduler-config.yaml"

// gpuCluster starts a control plane with nodes that publish the samples' devices
// and the shipped profile.
func gpuCluster(t *testing.T, files ...string) *cluster {
	t.Helper()
	t.Parallel()
	return gpuClusterAlone(t, files...)
}

// gpuClusterAlone is gpuCluster for a test that runs beside no other.
func gpuClusterAlone(t *testing.T, files ...string) *cluster {
	t.Helper()
	c := launch(t, "cpu-01 cpu=64 memory=256Gi")
	for _, class := range objects[*resourceapi.DeviceClass](t, "deviceclasses") {
		if _, err := c.client.ResourceV1().DeviceClasses().Create(t.Context(), class, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, template := range objects[*resourceapi.ResourceClaimTemplate](t, "resourceclaimtemplates") {
		template.Namespace = "default"
		if _, err := c.client.ResourceV1().ResourceClaimTemplates("default").Create(t.Context(), template, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range files {
		c.publish(file)
	}
	c.schedule(shippedProfile(t))
	return c
}

func objects[T interface {
	comparable
	metav1.Object
}](t testing.TB, file string) []T {
	t.Helper()
	all, err := samples.Objects(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []T
	for _, object := range all {
		if typed, ok := object.(T); ok {
			out = append(out, typed)
		}
	}
	return out
}

// publish makes the nodes of a sample, and what their drivers publish.
func (c *cluster) publish(file string) {
	c.Helper()
	for _, slice := range objects[*resourceapi.ResourceSlice](c, file) {
		slice.OwnerReferences = nil // the node's UID is another here
		c.addNode(*slice.Spec.NodeName)
		if _, err := c.client.ResourceV1().ResourceSlices().Create(c.Context(), slice, metav1.CreateOptions{}); err != nil {
			c.Fatal(err)
		}
	}
}

func (c *cluster) addNode(name string) {
	c.Helper()
	amounts := v1.ResourceList{"cpu": *amount("96"), "memory": *amount("1Ti"), "pods": *amount("200")}
	node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1.LabelHostname: name}},
		Status: v1.NodeStatus{Capacity: amounts, Allocatable: amounts}}
	if _, err := c.client.CoreV1().Nodes().Create(c.Context(), node, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		c.Fatal(err)
	}
}

// claimant is a pod with one claim from a template; node may pin it.
func claimant(name, template, node string) *v1.Pod {
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Spec: v1.PodSpec{SchedulerName: "plimsoll",
		ResourceClaims: []v1.PodResourceClaim{{Name: "gpu", ResourceClaimTemplateName: &template}},
		Containers: []v1.Container{{Name: "c", Image: "registry.example/app", Resources: v1.ResourceRequirements{
			Requests: v1.ResourceList{"cpu": *amount("1"), "memory": *amount("1Gi")}, Claims: []v1.ResourceClaim{{Name: "gpu"}}}}}}}
	if node != "" {
		pod.Spec.NodeSelector = map[string]string{v1.LabelHostname: node}
	}
	return pod
}

func (c *cluster) submit(pods ...*v1.Pod) {
	c.Helper()
	for _, pod := range pods {
		if _, err := c.client.CoreV1().Pods("default").Create(c.Context(), pod, metav1.CreateOptions{}); err != nil {
			c.Fatal(err)
		}
	}
}

// devices waits until the pod runs and returns what it was allocated.
func (c *cluster) devices(name string) []string {
	c.Helper()
	c.running(name)
	var out []string
	for _, status := range c.pod(name).Status.ResourceClaimStatuses {
		claim, err := c.client.ResourceV1().ResourceClaims("default").Get(c.Context(), *status.ResourceClaimName, metav1.GetOptions{})
		if err != nil {
			c.Fatal(err)
		}
		if claim.Status.Allocation == nil {
			c.Fatalf("pod %s runs, but its claim %s is not allocated", name, claim.Name)
		}
		for _, d := range claim.Status.Allocation.Devices.Results {
			out = append(out, d.Device)
		}
	}
	if len(out) == 0 {
		c.Fatalf("pod %s runs without a device", name)
	}
	return out
}

// template adds a claim template for one slice of a profile.
func (c *cluster) template(name, profile string) {
	c.Helper()
	template := &resourceapi.ResourceClaimTemplate{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec: resourceapi.ResourceClaimTemplateSpec{Spec: oneSlice(profile)}}
	if _, err := c.client.ResourceV1().ResourceClaimTemplates("default").Create(c.Context(), template, metav1.CreateOptions{}); err != nil {
		c.Fatal(err)
	}
}

// oneSlice asks for one slice of the given profile.
func oneSlice(profile string) resourceapi.ResourceClaimSpec {
	return resourceapi.ResourceClaimSpec{Devices: resourceapi.DeviceClaim{
		Requests: []resourceapi.DeviceRequest{{Name: "slice", Exactly: &resourceapi.ExactDeviceRequest{DeviceClassName: "mig.nvidia.com",
			Selectors: []resourceapi.DeviceSelector{{CEL: &resourceapi.CELDeviceSelector{
				Expression: fmt.Sprintf("device.attributes['gpu.nvidia.com'].profile == '%s'", profile)}}}}}}}}
}

func gpuOf(device string) string { return strings.SplitN(device, "-mig-", 2)[0] }

// TestSmallSlicesFillOneGPU: of every sort of GPU, as many of the smallest
// slices as one holds go to one, and are given back when their pods leave.
func TestSmallSlicesFillOneGPU(t *testing.T) {
	c := gpuCluster(t, "resourceslices-a100-80gb-8x-dynamic-mig", "resourceslices-h100-80gb-8x-dynamic-mig",
		"resourceslices-h200-141gb-8x-dynamic-mig", "resourceslices-a30-2x-dynamic-mig", "resourceslices-rtxpro6000-2x-dynamic-mig")
	for _, kind := range []struct {
		node, profile string
		copies        int
	}{{"a100-0", "1g.10gb", 7}, {"h100-0", "1g.10gb", 7}, {"h200-0", "1g.18gb", 7}, {"a30-0", "1g.6gb", 4}, {"rtx6000-0", "1g.24gb", 4}} {
		c.template("small-"+kind.node, kind.profile)
		used := map[string]bool{}
		for i := range kind.copies {
			name := fmt.Sprintf("small-%s-%d", kind.node, i)
			c.submit(claimant(name, "small-"+kind.node, kind.node))
			used[gpuOf(c.devices(name)[0])] = true
		}
		if len(used) != 1 {
			t.Errorf("%s: %d %s went to %v, want one GPU", kind.node, kind.copies, kind.profile, used)
		}
	}
}

// TestClaimsOnOneA100Node goes through what users ask of a partitionable GPU.
func TestClaimsOnOneA100Node(t *testing.T) {
	c := gpuCluster(t, "resourceslices-a100-80gb-8x-dynamic-mig")
	c.template("1g", "1g.10gb")
	c.template("4g", "4g.40gb")
	c.template("7g", "7g.80gb")
	gpus := map[string]bool{}
	for i, template := range []string{"1g", "1g", "1g", "4g"} {
		name := fmt.Sprintf("mixed-%d", i)
		c.submit(claimant(name, template, ""))
		gpus[gpuOf(c.devices(name)[0])] = true
	}
	if len(gpus) != 1 {
		t.Errorf("three 1g and a 4g went to %v, want one GPU", gpus)
	}

	c.submit(claimant("pair", "two-slices-same-gpu", ""))
	if pair := c.devices("pair"); len(pair) != 2 || gpuOf(pair[0]) != gpuOf(pair[1]) {
		t.Errorf("two slices of one parent: %v", pair)
	}
	c.submit(claimant("apart", "two-slices-distinct-gpus", ""))
	if apart := c.devices("apart"); len(apart) != 2 || gpuOf(apart[0]) == gpuOf(apart[1]) {
		t.Errorf("two slices of distinct parents: %v", apart)
	}
	if reason, found := c.reasons.of("pair"); !found || reason.Plugin == "" {
		t.Errorf("no reason for pair")
	}
}

// TestFullGPUsAreGivenBack: a pod that finds no room says what is missing, and
// runs once another leaves.
func TestFullGPUsAreGivenBack(t *testing.T) {
	c := gpuCluster(t, "resourceslices-a30-2x-dynamic-mig")
	c.template("whole", "4g.24gb")
	c.template("half", "2g.12gb")
	c.template("quarter", "1g.6gb")
	c.submit(claimant("a", "whole", ""), claimant("b", "half", ""))
	c.devices("a")
	c.devices("b")
	c.submit(claimant("late", "whole", ""))
	c.pending("late", `1 node(s) have GPUs for request gpu/slice, but what is left of them is too little or in pieces`)
	c.pending("late", `1 node(s) publish no devices for claims`)
	if err := c.client.CoreV1().Pods("default").Delete(c.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := c.devices("late"); !strings.Contains(got[0], "4g24gb") {
		t.Errorf("late got %v", got)
	}
}

// TestPrioritizedListsKeepTheUsersOrder, even where a later alternative would
// lose less room.
func TestPrioritizedListsKeepTheUsersOrder(t *testing.T) {
	c := gpuCluster(t, "resourceslices-h100-80gb-8x-dynamic-mig")
	for i := range 16 {
		c.submit(claimant(fmt.Sprintf("big-%d", i), "prefer-3g-else-2x1g", ""))
	}
	for i := range 16 {
		if got := c.devices(fmt.Sprintf("big-%d", i)); len(got) != 1 || !strings.Contains(got[0], "3g40gb") {
			t.Errorf("big-%d got %v, want a 3g.40gb while there are any", i, got)
		}
	}
	c.template("2g", "2g.20gb")
	c.submit(claimant("none-left", "prefer-3g-else-2x1g", ""))
	c.pending("none-left", "node(s) have GPUs for request gpu/accel")
	if err := c.client.CoreV1().Pods("default").Delete(c.Context(), "big-0", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := c.devices("none-left"); !strings.Contains(got[0], "3g40gb") {
		t.Errorf("after one left: %v", got)
	}
}

// TestTaintsSharesAndWholeGPUs on nodes of other sorts.
func TestTaintsSharesAndWholeGPUs(t *testing.T) {
	c := gpuCluster(t, "resourceslices-h100-tainted", "resourceslices-h100-consumable-shares", "resourceslices-h100-full-gpu-only")
	for _, name := range []string{"sound-0", "sound-1"} {
		c.submit(claimant(name, "one-gpu", "h100-sick-0"))
		if got := c.devices(name); got[0] == "gpu-0" {
			t.Errorf("%s got the tainted %v", name, got)
		}
	}
	c.submit(claimant("refused", "one-gpu", "h100-sick-0"))
	c.pending("refused", "1 node(s) have too few free devices for request gpu/gpu: 1 asked for, 0 of 2 free")
	c.submit(claimant("tolerant", "gpu-tolerate-xid", "h100-sick-0"))
	if got := c.devices("tolerant"); got[0] != "gpu-0" {
		t.Errorf("a pod that tolerates the taint got %v", got)
	}

	shares := map[string]int{}
	for i := range 6 {
		name := fmt.Sprintf("share-%d", i)
		c.submit(claimant(name, "shared-20gi", "h100-share-mem"))
		shares[c.devices(name)[0]]++
		if open := len(shares) - i/3; open != 1 {
			t.Errorf("share %d: %v, want one GPU filled after the other", i, shares)
		}
	}

	c.submit(claimant("share-6", "shared-20gi", "h100-share-mem"))
	c.pending("share-6", "1 node(s) have too few free devices for request gpu/gpu: 1 asked for, 0 of 2 free")

	// Each GPU of this node has a PCIe root of its own.
	c.submit(claimant("root", "two-full-gpus-same-root", "h100-full-0"))
	c.pending("root", "1 node(s) have devices for each request of claim gpu, but not for all together as its constraints ask")
}

// TestAnnotationsOnClaims: what the annotations ask is checked against what the
// claim could get.
func TestAnnotationsOnClaims(t *testing.T) {
	c := gpuCluster(t, "resourceslices-h100-80gb-8x-dynamic-mig")
	annotated := func(name, template, key, value string) *v1.Pod {
		pod := claimant(name, template, "")
		pod.Annotations = map[string]string{"plimsoll.dev/" + key: value}
		return pod
	}
	c.submit(annotated("sized", "any-mig", "gpu-memory", "30Gi"))
	if got := c.devices("sized"); !strings.Contains(got[0], "3g40gb") {
		t.Errorf("any slice with 30Gi: %v, want the smallest that has it", got)
	}
	c.submit(annotated("contrary", "one-1g-10gb", "gpu-memory", "30Gi"))
	c.pending("contrary", "1 node(s) have devices for request gpu/slice with 9984Mi, mig, but the pod's annotations ask for 30Gi of memory (plimsoll.dev/gpu-memory)")
	c.submit(annotated("alone", "one-1g-10gb", "gpu-isolation", "exclusive"))
	c.pending("alone", "at least exclusive (plimsoll.dev/gpu-isolation)")
	for name, wrong := range map[string][2]string{
		"negative":  {"gpu-model", "parameters=-7B,dtype=bf16"},
		"unknown":   {"gpu-model", "parameters=7B,dtype=bf17"},
		"lots":      {"gpu-memory", "lots"},
		"ascending": {"gpu-isolation", "mps>mig"},
	} {
		c.submit(annotated(name, "one-1g-10gb", wrong[0], wrong[1]))
		c.pending(name, fmt.Sprintf("annotation plimsoll.dev/%s: %q is not valid: want", wrong[0], wrong[1]))
	}
	// Nothing else is disturbed, and a corrected pod goes on.
	c.submit(claimant("undisturbed", "one-1g-10gb", ""))
	c.devices("undisturbed")
	pod := c.pod("lots")
	pod.Annotations["plimsoll.dev/gpu-memory"] = "8Gi"
	if _, err := c.client.CoreV1().Pods("default").Update(c.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.devices("lots")
}

// TestAnnotationsHoldOnNodesThatAreHalfFull: the allocator, which knows nothing of
// annotations, is not left to take what they exclude.
func TestAnnotationsHoldOnNodesThatAreHalfFull(t *testing.T) {
	c := gpuCluster(t, "resourceslices-a30-2x-dynamic-mig")
	c.template("whole", "4g.24gb")
	c.template("half", "2g.12gb")
	c.submit(claimant("one", "whole", ""), claimant("two", "half", ""))
	c.devices("one")
	c.devices("two")
	pod := claimant("large", "any-mig", "")
	pod.Annotations = map[string]string{"plimsoll.dev/gpu-memory": "20Gi"}
	c.submit(pod) // any slice, but of 20Gi: only a whole A30 has it
	c.pending("large", "node(s) have GPUs for request gpu/slice, but what is left of them is too little or in pieces")
	if err := c.client.CoreV1().Pods("default").Delete(c.Context(), "two", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := c.devices("large"); !strings.Contains(got[0], "4g24gb") {
		t.Errorf("large got %v", got)
	}
}

// TestExtendedResourcesByClaims: a pod that asks for nvidia.com/gpu on a node
// that offers it by a driver gets a claim made, best-fit as well.
func TestExtendedResourcesByClaims(t *testing.T) {
	c := gpuCluster(t, "resourceslices-h100-80gb-8x-dynamic-mig", "resourceslices-h100-full-gpu-only")
	pod := func(name string, resource v1.ResourceName, count string) *v1.Pod {
		p := claimant(name, "", "")
		p.Spec.ResourceClaims = nil
		p.Spec.Containers[0].Resources = v1.ResourceRequirements{
			Requests: v1.ResourceList{"cpu": *amount("1"), resource: *amount(count)}, Limits: v1.ResourceList{resource: *amount(count)}}
		return p
	}
	// What a device plugin that is gone left behind counts for nothing.
	node, err := c.client.CoreV1().Nodes().Get(c.Context(), "h100-full-0", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	node.Status.Capacity["nvidia.com/gpu"], node.Status.Allocatable["nvidia.com/gpu"] = *amount("0"), *amount("0")
	if _, err := c.client.CoreV1().Nodes().UpdateStatus(c.Context(), node, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.submit(pod("slice", "nvidia.com/mig-1g.10gb", "1"))
	gpus := pod("gpus", "nvidia.com/gpu", "2")
	gpus.Annotations = map[string]string{"plimsoll.dev/gpu-memory": "40Gi", "plimsoll.dev/gpu-isolation": "exclusive"}
	gpus.Spec.NodeSelector = map[string]string{v1.LabelHostname: "h100-full-0"}
	c.submit(gpus)
	if got := c.running("slice", "gpus"); got[0] != "h100-0" {
		t.Errorf("slice and gpus run on %v", got)
	}
	claims, err := c.client.ResourceV1().ResourceClaims("default").List(c.Context(), metav1.ListOptions{})
	if err != nil || len(claims.Items) != 2 {
		t.Fatalf("%d claims, %v; want one for each pod", len(claims.Items), err)
	}
	for i := range claims.Items {
		devices := claims.Items[i].Status.Allocation.Devices.Results
		if name := claims.Items[i].Name; strings.HasPrefix(name, "slice-") && (len(devices) != 1 || devices[0].Device != "gpu-0-mig-1g10gb-19-4") {
			t.Errorf("%s got %v, want the place that spoils least", name, devices)
		}
		if name := claims.Items[i].Name; strings.HasPrefix(name, "gpus-") && len(devices) != 2 {
			t.Errorf("%s got %v, want two GPUs", name, devices)
		}
	}
}

// TestPodsWithoutGPUsKeepOffGPUNodes, as long as others have room.
func TestPodsWithoutGPUsKeepOffGPUNodes(t *testing.T) {
	c := gpuCluster(t, "resourceslices-a30-2x-dynamic-mig")
	names := c.create("web-[01-15] cpu=4 memory=8Gi")
	nodes := c.running(names...)
	if slices.Contains(nodes, "a30-0") {
		t.Errorf("web pods run on %v, want cpu-01 while it has room", nodes)
	}
	late := c.create("late-[01-02] cpu=4 memory=8Gi")
	if got := c.running(late...); !slices.Contains(got, "a30-0") {
		t.Errorf("late pods run on %v, want the GPU node once nothing else has room", got)
	}
}

// TestDynamicResourcesBesideGPUSliceIsRefused: both would allocate every claim.
func TestDynamicResourcesBesideGPUSliceIsRefused(t *testing.T) {
	c := start(t, "cpu-01 cpu=64 memory=256Gi")
	both := strings.Replace(shippedProfile(t), "      - name: DynamicResources\n", "", 1)
	_, err := c.StartScheduler(t.Context(), stack.SchedulerOptions{Config: []byte(both), Plugins: plugins.Options(plugins.Shared{Images: &archaware.Shared{Registries: &testkit.Depot{}}})})
	if err == nil || !strings.Contains(err.Error(), `profile "plimsoll" enables DynamicResources beside GPUSlice`) {
		t.Errorf("started with both, or refused for another reason: %v", err)
	}
}

func amount(text string) *resource.Quantity {
	q := resource.MustParse(text)
	return &q
}
