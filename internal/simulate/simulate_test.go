package simulate

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/internal/snapshot"
)

// in simulates in memory.
func inMemory(t *testing.T, s *snapshot.Snapshot, scheduler string) *placement.Simulation {
	t.Helper()
	out, err := Run(t.Context(), Options{Snapshot: s, Scheduler: scheduler, Engine: InMemory, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// where says what became of each pod, in order.
func where(r *placement.SchedulerResult) string {
	var out []string
	for _, p := range r.Pods {
		said := fmt.Sprintf("%s %s %s", p.Name, p.Phase, p.Node)
		if p.Node == "" && len(p.Reasons) > 0 {
			said += p.Reasons[0].Message
		}
		out = append(out, said)
	}
	return strings.Join(out, "\n")
}

func TestPodsOfHigherPriorityComeFirstAndMakeRoom(t *testing.T) {
	s := read(t, "n-1 cpu=4 memory=8Gi\nn-2 cpu=1 memory=8Gi\n", "", `
runs   cpu=3 node=n-1 priority=0 phase=Running
idle   cpu=1 node=n-2 priority=0 phase=Running owner=DaemonSet
small  cpu=1
urgent cpu=4 priority=1000
`, "")
	for _, scheduler := range []string{Plimsoll, Default} {
		r := inMemory(t, s, scheduler).Results[0]
		want := "runs Preempted had to make room for a pod of higher priority\nsmall Pending 2 Insufficient cpu\nurgent Running n-1"
		if diff := cmp.Diff(want, where(&r)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", scheduler, diff)
		}
		if r.Summary.NodesInUse != 1 {
			t.Errorf("%s: %d nodes are in use, want 1: a DaemonSet's pod does not count", scheduler, r.Summary.NodesInUse)
		}
		if a, b := r.Nodes[0].Pods, r.Nodes[1].Pods; a != 1 || b != 0 {
			t.Errorf("%s: %d and %d pods are drawn, want 1 and 0: a DaemonSet's pod does not count", scheduler, a, b)
		}
		if r.Summary.Preempted != 1 || r.Summary.Running != 1 || r.Summary.Pending != 1 {
			t.Errorf("%s: %+v, want one pod each running, pending and preempted", scheduler, r.Summary)
		}
		for _, why := range r.Pods[2].Reasons {
			if strings.Contains(why.Message, "Insufficient") {
				t.Errorf("%s: urgent runs, and keeps the reason %q for which it was refused first", scheduler, why.Message)
			}
		}
		var got []string
		for _, at := range r.Series {
			got = append(got, fmt.Sprintf("%d of %d placed, %.0f%% of the CPU on %d nodes", at.Placed, at.Arrived, at.CPUPercent, at.NodesInUse))
		}
		filling := []string{"0 of 0 placed, 80% of the CPU on 1 nodes", "1 of 1 placed, 100% of the CPU on 1 nodes", "1 of 2 placed, 100% of the CPU on 1 nodes"}
		if diff := cmp.Diff(filling, got); diff != "" {
			t.Errorf("%s: the series (-want +got)\n%s", scheduler, diff)
		}
	}
}

func TestPodsThatWaitForLaterOnesAreTriedAgain(t *testing.T) {
	group := "annotation:plimsoll.dev/group=ring annotation:plimsoll.dev/group-size=3 annotation:plimsoll.dev/topology-required=zone"
	s := read(t, "n-[1-3] zone=eu-a cpu=2 memory=8Gi\n", "", fmt.Sprintf("a-1 cpu=2 %s\na-2 cpu=2 %s\na-3 cpu=2 %s\n", group, group, group), "")
	r := inMemory(t, s, Plimsoll).Results[0]
	if r.Summary.Running != 3 {
		t.Errorf("%d pods of the group run, want 3:\n%s", r.Summary.Running, where(&r))
	}
	last := r.Series[len(r.Series)-1]
	if last.Arrived != 3 || last.Placed != 3 || last.CPUPercent != 100 {
		t.Errorf("the series ends with %+v", last)
	}
}

func TestPodsOfOtherSchedulersAreLeftAlone(t *testing.T) {
	s := read(t, "n-1 cpu=4 memory=8Gi\n", "", "ours cpu=1\ntheirs cpu=1 scheduler=volcano\n", "")
	out := inMemory(t, s, Both)
	for i := range out.Results {
		if got := where(&out.Results[i]); got != "ours Running n-1" {
			t.Errorf("%s: %s", out.Results[i].Scheduler, got)
		}
	}
	if !strings.Contains(strings.Join(out.Notes, "\n"), "1 pod waits for another scheduler and is left alone") {
		t.Errorf("notes %q", out.Notes)
	}
}

// TestPodGroupsSayHowManyBelongTogether: those of scheduler-plugins, as in a cluster that
// has them; in one that has none, the label is but a name.
func TestPodGroupsSayHowManyBelongTogether(t *testing.T) {
	member := func(name, group string) string {
		return fmt.Sprintf(`
---
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: shop, labels: {scheduling.x-k8s.io/pod-group: %s}, annotations: {plimsoll.dev/topology-required: kubernetes.io/hostname}}
spec: {schedulerName: plimsoll, containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 500m}}}]}
`, name, group)
	}
	group := func(name string, members int) string {
		return fmt.Sprintf("\n---\n{apiVersion: scheduling.x-k8s.io/v1alpha1, kind: PodGroup, metadata: {name: %s, namespace: shop}, spec: {minMember: %d}}\n", name, members)
	}
	pods := twoNodes + member("few-1", "few") + member("few-2", "few") + member("lost", "lost") + member("two-1", "two") + member("two-2", "two")
	for _, engine := range []string{InMemory, InControlPlane} {
		r := run(t, readText(t, pods+group("few", 3)+group("two", 2)), engine)
		got := strings.Split(where(r), "\n")
		for i, want := range []string{"few-1 Pending waiting for group few: 2 of its 3 pods exist (PodGroup shop/few)", "few-2 Pending", "lost Pending", "two-1 Running n-", "two-2 Running n-"} {
			if len(got) != 5 || !strings.HasPrefix(got[i], want) {
				t.Errorf("%s: got\n%s\nwant %q as number %d", engine, where(r), want, i+1)
			}
		}
		if want := "PodGroup shop/lost does not exist"; !strings.Contains(where(r), want) {
			t.Errorf("%s: got\n%s\nwant %q", engine, where(r), want)
		}
		if without := run(t, readText(t, pods), engine); without.Summary.Running != 5 {
			t.Errorf("%s: without PodGroups got\n%s\nwant all to run", engine, where(without))
		}
	}
}

// TestGPUsAreDrawnAsTheyAreTaken: slices on their grid, shares by what they take,
// and units of a device plugin.
func TestGPUsAreDrawnAsTheyAreTaken(t *testing.T) {
	s := read(t, "mig-1 cpu=32 memory=64Gi\nshared-1 cpu=32 memory=64Gi\nplugin-1 cpu=32 memory=64Gi nvidia.com/gpu=2 label:nvidia.com/gpu.product=NVIDIA-L4\n",
		"mig-1 1xA100-SXM4-80GB\nshared-1 1xH100-SHARED\n", "half cpu=1 claim=4g.40gb\nshare cpu=1 claim=share:20Gi\nwhole cpu=1 nvidia.com/gpu=1\n", "")
	r := inMemory(t, s, Plimsoll).Results[0]
	got := map[string][]placement.GPU{}
	for _, n := range r.Nodes {
		got[n.Name] = n.GPUs
	}
	if len(got["mig-1"]) != 1 || len(got["shared-1"]) != 1 || len(got["plugin-1"]) != 2 {
		t.Fatalf("GPUs: %+v", got)
	}
	mig := got["mig-1"][0]
	if diff := cmp.Diff([]placement.Part{{Label: "4g.40gb", Cells: 4, Percent: 50, Pod: "default/half"}}, mig.Parts); diff != "" || mig.Cells != 8 || mig.UsedPercent != 50 {
		t.Errorf("%+v (-want +got)\n%s", mig, diff)
	}
	shared := got["shared-1"][0]
	if len(shared.Parts) != 1 || shared.Cells != 0 || shared.Parts[0].Pod != "default/share" || shared.UsedPercent < 20 || shared.UsedPercent > 30 {
		t.Errorf("shared: %+v", shared)
	}
	if a, b := got["plugin-1"][0].UsedPercent, got["plugin-1"][1].UsedPercent; a != 100 || b != 0 {
		t.Errorf("units of the device plugin are used to %v and %v %%", a, b)
	}
	last := r.Series[len(r.Series)-1]
	if want := rounded((50 + shared.UsedPercent + 100) / 4); last.GPUPercent < want-.05 || last.GPUPercent > want+.05 {
		t.Errorf("%.2f %% of the GPUs are used, want %.2f", last.GPUPercent, want)
	}
	if want := rounded((50 + 100 - shared.UsedPercent) / 4); last.FragmentedGPUPercent < want-.05 || last.FragmentedGPUPercent > want+.05 {
		t.Errorf("%.2f %% are idle on GPUs in use, want %.2f", last.FragmentedGPUPercent, want)
	}
}

// TestUnitsAreDrawnForTheGPUsThatTheyMake: pictures and the series tell the same share.
func TestUnitsAreDrawnForTheGPUsThatTheyMake(t *testing.T) {
	s := read(t, `
idle-1 cpu=32 memory=64Gi nvidia.com/gpu=1 label:nvidia.com/gpu.product=NVIDIA-L4
many-1 cpu=99 memory=64Gi nvidia.com/gpu=80 label:nvidia.com/gpu.product=NVIDIA-L40
mig-1  cpu=32 memory=64Gi nvidia.com/mig-1g.10gb=14 label:nvidia.com/gpu.product=NVIDIA-A100-SXM4-80GB label:nvidia.com/mig.strategy=mixed
`, "", `
seven cpu=1 nvidia.com/mig-1g.10gb=7 node=mig-1 phase=Running
more  cpu=1 nvidia.com/mig-1g.10gb=1 node=mig-1 phase=Running
forty cpu=1 nvidia.com/gpu=40 node=many-1 phase=Running
`, "")
	r := inMemory(t, s, Plimsoll).Results[0]
	var drawn []string
	used, all := 0.0, 0.0
	for _, n := range r.Nodes {
		for _, g := range n.GPUs {
			used, all = used+g.Count*g.UsedPercent, all+g.Count
			said := fmt.Sprintf("%s %s: %.2f GPUs, %d cells, %.1f%%", n.Name, g.Name, g.Count, g.Cells, g.UsedPercent)
			for _, p := range g.Parts {
				said += fmt.Sprintf(", %s %d+%d %.1f%%", p.Pod, p.Start, p.Cells, p.Percent)
			}
			drawn = append(drawn, said)
		}
	}
	want := []string{
		"idle-1 gpu-0: 1.00 GPUs, 0 cells, 0.0%",
		"many-1 nvidia.com/gpu: 80.00 GPUs, 0 cells, 50.0%, default/forty 0+0 50.0%",
		"mig-1 nvidia.com/mig-1g.10gb: 1.75 GPUs, 14 cells, 57.1%, default/more 0+1 7.1%, default/seven 1+7 50.0%",
	}
	if diff := cmp.Diff(want, drawn); diff != "" {
		t.Errorf("GPUs (-want +got)\n%s", diff)
	}
	if last := r.Series[len(r.Series)-1]; math.Abs(last.GPUPercent-used/all) > .01 {
		t.Errorf("%.2f %% of the GPUs are drawn as taken, the series says %.2f %%", used/all, last.GPUPercent)
	}
}

func TestTheSnapshotIsNotChanged(t *testing.T) {
	s := mixed(t)
	var before, after strings.Builder
	if err := s.Write(&before); err != nil {
		t.Fatal(err)
	}
	first := inMemory(t, s, Both)
	if err := s.Write(&after); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before.String(), after.String()); diff != "" {
		t.Fatalf("the snapshot (-before +after)\n%s", diff)
	}
	if diff := cmp.Diff(first, inMemory(t, s, Both)); diff != "" {
		t.Errorf("the same seed, again (-first +second)\n%s", diff)
	}
}

func TestTheEngineFitsTheCluster(t *testing.T) {
	small, large := &input{}, &input{nodes: make([]*v1.Node, largestCopyNodes+1)}
	for want, in := range map[string]*input{InControlPlane: small, InMemory: large} {
		if got, err := engineFor(Auto, in); err != nil || got != want {
			t.Errorf("%d nodes: %s, %v; want %s", len(in.nodes), got, err, want)
		}
	}
}

func TestExplainInTurn(t *testing.T) {
	const pods = "first cpu=3 priority=10\nsecond cpu=2\n"
	for inTurn, want := range map[bool]int{false: 1, true: 0} {
		e, err := Explain(t.Context(), ExplainOptions{Snapshot: read(t, "n-1 cpu=4 memory=8Gi\n", "", pods, ""), Pod: "second", Scheduler: Plimsoll, Top: 5, InTurn: inTurn})
		if err != nil {
			t.Fatal(err)
		}
		if e.Feasible != want {
			t.Errorf("in turn %v: %d nodes, want %d", inTurn, e.Feasible, want)
		}
	}
}

func TestAPodThatRunsIsJudgedAsIfItDidNot(t *testing.T) {
	s := read(t, "n-[1-2] cpu=4 memory=8Gi\n", "", "runs cpu=3 node=n-1 phase=Running\nother cpu=1 node=n-2 phase=Running\n", "")
	e, err := Explain(t.Context(), ExplainOptions{Snapshot: s, Pod: "default/runs", Scheduler: Plimsoll, Top: 5})
	if err != nil {
		t.Fatal(err)
	}
	if e.Feasible != 2 || e.Node == "" {
		t.Errorf("%+v", e)
	}
}

func TestAPodThatNamesAMissingClassSaysSo(t *testing.T) {
	r := inMemory(t, read(t, "n-1 cpu=4 memory=8Gi\n", "", "lost cpu=1 claim=1g.10gb\nfine cpu=1\n", ""), Plimsoll).Results[0]
	want := "fine Running n-1\nlost Pending request gpu: device class mig.nvidia.com does not exist"
	if diff := cmp.Diff(want, where(&r)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestNothingToScheduleIsAResult(t *testing.T) {
	r := inMemory(t, read(t, "n-1 cpu=4 memory=8Gi\n", "", "runs cpu=1 node=n-1 phase=Running\n", ""), Plimsoll).Results[0]
	if len(r.Pods) != 0 || r.Summary.NodesInUse != 1 || r.Series[len(r.Series)-1].CPUPercent != 25 {
		t.Errorf("%+v", r)
	}
}

// withWholeGPUs has a class of devices serve nvidia.com/gpu where no device plugin
// does.
func withWholeGPUs(s *snapshot.Snapshot) *snapshot.Snapshot {
	resource := "nvidia.com/gpu"
	s.Objects = append(s.Objects, &resourceapi.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: "whole", UID: "whole"},
		Spec: resourceapi.DeviceClassSpec{ExtendedResourceName: &resource, Selectors: []resourceapi.DeviceSelector{{CEL: &resourceapi.CELDeviceSelector{
			Expression: "device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].profile == '7g.80gb'"}}}}})
	return s
}

// TestExtendedResourcesTakeDevices: where a class of devices serves what a pod asks
// for, it gets a claim as in a cluster, and is counted once.
func TestExtendedResourcesTakeDevices(t *testing.T) {
	for _, scheduler := range []string{Plimsoll, Default} {
		s := withWholeGPUs(read(t, "mig-1 cpu=32 memory=64Gi\nplugin-1 cpu=1 memory=64Gi nvidia.com/gpu=1\n", "mig-1 1xA100-SXM4-80GB\n",
			"first cpu=2 nvidia.com/gpu=1 priority=1\nsecond cpu=2 nvidia.com/gpu=1\n", ""))
		r := inMemory(t, s, scheduler).Results[0]
		if r.Pods[0].Node != "mig-1" || len(r.Pods[0].Devices) != 1 || r.Pods[1].Node != "" {
			t.Fatalf("%s: %+v, want the first pod with a device of mig-1 and the second without a place", scheduler, r.Pods)
		}
		for _, n := range r.Nodes {
			if n.Name == "mig-1" && (len(n.GPUs) != 1 || n.GPUs[0].UsedPercent != 100 || n.GPUs[0].Parts[0].Pod != "default/first") {
				t.Errorf("%s: the GPU is drawn as %+v", scheduler, n.GPUs)
			}
		}
		if got := r.Series[len(r.Series)-1].GPUPercent; got != 50 {
			t.Errorf("%s: %v %% of the GPUs are taken, want 50: one of two", scheduler, got)
		}
	}
}

// TestPreemptedPodsGiveDevicesBack, those of extended resources as well, and may
// name claims that are not there.
func TestPreemptedPodsGiveDevicesBack(t *testing.T) {
	for _, scheduler := range []string{Plimsoll, Default} {
		s := withWholeGPUs(read(t, "mig-1 cpu=4 memory=64Gi\n", "mig-1 1xA100-SXM4-80GB\n",
			"runs cpu=4 nvidia.com/gpu=1 node=mig-1 priority=0 phase=Running\nurgent cpu=3 priority=1000\nnext cpu=1 nvidia.com/gpu=1 priority=500\n", ""))
		missing := "nowhere"
		for _, pod := range s.Pods {
			if pod.Name != "runs" {
				continue
			}
			pod.Spec.ResourceClaims = []v1.PodResourceClaim{{Name: "gone", ResourceClaimName: &missing}, {Name: "never", ResourceClaimTemplateName: &missing}}
			pod.Status.ExtendedResourceClaimStatus = &v1.PodExtendedResourceClaimStatus{ResourceClaimName: "runs-x",
				RequestMappings: []v1.ContainerExtendedResourceRequest{{ContainerName: pod.Spec.Containers[0].Name, ResourceName: "nvidia.com/gpu", RequestName: "container-0-request-0"}}}
			s.Objects = append(s.Objects, extendedClaim(s, pod))
		}
		r := inMemory(t, s, scheduler).Results[0]
		var got []string
		for _, at := range r.Series {
			got = append(got, fmt.Sprintf("%d: %.0f%%", at.Arrived, at.GPUPercent))
		}
		if diff := cmp.Diff([]string{"0: 100%", "1: 0%", "2: 100%"}, got); diff != "" {
			t.Errorf("%s: GPUs in the series (-want +got)\n%s\n%s", scheduler, diff, where(&r))
		}
		if r.Pods[0].Name != "next" || len(r.Pods[0].Devices) != 1 {
			t.Errorf("%s: want pod next to have the device that pod runs had:\n%s", scheduler, where(&r))
		}
	}
}

// extendedClaim is the claim that was made for the pod's extended resource, with the
// first whole GPU that is published.
func extendedClaim(s *snapshot.Snapshot, pod *v1.Pod) *resourceapi.ResourceClaim {
	controller := true
	claim := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Status.ExtendedResourceClaimStatus.ResourceClaimName, UID: "runs-x",
		Annotations:     map[string]string{resourceapi.ExtendedResourceClaimAnnotation: "true"},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID, Controller: &controller}}}}
	claim.Spec.Devices.Requests = []resourceapi.DeviceRequest{{Name: "container-0-request-0",
		Exactly: &resourceapi.ExactDeviceRequest{DeviceClassName: "whole", AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: 1}}}
	claim.Status.ReservedFor = []resourceapi.ResourceClaimConsumerReference{{Resource: "pods", Name: pod.Name, UID: pod.UID}}
	for _, object := range s.Objects {
		published, is := object.(*resourceapi.ResourceSlice)
		if !is {
			continue
		}
		for _, d := range published.Spec.Devices {
			if profile := d.Attributes["profile"].StringValue; profile != nil && *profile == "7g.80gb" {
				claim.Status.Allocation = &resourceapi.AllocationResult{Devices: resourceapi.DeviceAllocationResult{Results: []resourceapi.DeviceRequestAllocationResult{
					{Request: "container-0-request-0", Driver: published.Spec.Driver, Pool: published.Spec.Pool.Name, Device: d.Name}}}}
			}
		}
	}
	return claim
}

// TestOnlyGPUsThatANodeHasAreTaken: what pods still ask for of a device plugin that
// is gone, or of units that are broken, is of no GPU, and what a claim serves is of
// no device plugin.
func TestOnlyGPUsThatANodeHasAreTaken(t *testing.T) {
	s := read(t, "has cpu=8 memory=8Gi nvidia.com/gpu=1\nidle cpu=8 memory=8Gi nvidia.com/gpu=2\nhad cpu=8 memory=8Gi\n", "",
		"a cpu=1 nvidia.com/gpu=2 node=has phase=Running\nb cpu=1 nvidia.com/gpu=4 node=had phase=Running\nc cpu=1 nvidia.com/gpu=2 node=idle phase=Running\n", "")
	s.Pods[2].Status.ExtendedResourceClaimStatus = &v1.PodExtendedResourceClaimStatus{ResourceClaimName: "c-x",
		RequestMappings: []v1.ContainerExtendedResourceRequest{{ContainerName: "c", ResourceName: "nvidia.com/gpu", RequestName: "r"}}}
	r := inMemory(t, s, Plimsoll).Results[0]
	if got := r.Series[0].GPUPercent; got != rounded(100./3) {
		t.Errorf("%v %% of the GPUs are taken, want one of three", got)
	}
	for _, n := range r.Nodes {
		if want := map[string]int{"has": 1, "idle": 2}[n.Name]; len(n.GPUs) != want {
			t.Errorf("node %s is drawn with %d GPUs, want %d", n.Name, len(n.GPUs), want)
		}
		for _, g := range n.GPUs {
			if want := map[string]float64{"has": 100}[n.Name]; g.UsedPercent != want {
				t.Errorf("%s of node %s is taken to %v %%, want %v", g.Name, n.Name, g.UsedPercent, want)
			}
		}
	}
}

// TestASharedClaimCountsWithItsFirstUser, whoever is listed first, until its last
// one has gone; one that nobody uses is held from the start.
func TestASharedClaimCountsWithItsFirstUser(t *testing.T) {
	s := read(t, "mig-1 cpu=32 memory=64Gi\n", "mig-1 2xA100-SXM4-80GB\n", "a cpu=1\nb cpu=1\n", "")
	var pods []*v1.Pod
	for _, pod := range s.Pods {
		pod = pod.DeepCopy()
		pod.Spec.NodeName = "mig-1"
		pods = append(pods, pod)
	}
	h := readHardware(s.Objects)
	claim := func(name string, gpu int, users ...string) resourceapi.ResourceClaim {
		out := resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
		for _, user := range users {
			out.Status.ReservedFor = append(out.Status.ReservedFor, resourceapi.ResourceClaimConsumerReference{Resource: "pods", Name: user})
		}
		l := &h.layouts[gpu]
		for i := range l.Pieces {
			if id := l.Pieces[i].ID; l.Pieces[i].Mask.Count() == l.Cells {
				out.Status.Allocation = &resourceapi.AllocationResult{Devices: resourceapi.DeviceAllocationResult{Results: []resourceapi.DeviceRequestAllocationResult{
					{Driver: id.Driver.String(), Pool: id.Pool.String(), Device: id.Device.String()}}}}
			}
		}
		return out
	}
	f := &machines{nodes: []*v1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "mig-1"}}}, hardware: h}
	filling := func(claims ...resourceapi.ResourceClaim) []float64 {
		var out []float64
		for _, at := range f.series(&history{claims: claims, arrived: []arrival{{}, {pod: pods[0]}, {pod: pods[1]}, {gone: []types.NamespacedName{nameOf(pods[0])}}, {gone: []types.NamespacedName{nameOf(pods[1])}}}}) {
			out = append(out, at.GPUPercent)
		}
		return out
	}
	if diff := cmp.Diff([]float64{0, 0, 50, 50, 50, 0}, filling(claim("shared", 0, "stranger", "b", "a"))); diff != "" {
		t.Errorf("a claim of both pods and a stranger (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]float64{50, 50, 50, 50, 50, 50}, filling(claim("idle", 0))); diff != "" {
		t.Errorf("a claim of nobody (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]float64{50, 50, 100, 100, 50, 50}, filling(claim("theirs", 1, "stranger"), claim("own", 0, "a"))); diff != "" {
		t.Errorf("a claim of a stranger, and one of the first pod (-want +got)\n%s", diff)
	}
}
