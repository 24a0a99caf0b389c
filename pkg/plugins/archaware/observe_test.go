package archaware

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
)

func TestWhatContainersTeach(t *testing.T) {
	ready := v1.ContainerStatus{Ready: true, ImageID: "docker.io/shop/api@sha256:aa", State: v1.ContainerState{Running: &v1.ContainerStateRunning{}}}
	ended := func(code int32, message string) v1.ContainerStatus {
		return v1.ContainerStatus{ImageID: "docker.io/shop/api@sha256:aa",
			State: v1.ContainerState{Terminated: &v1.ContainerStateTerminated{ExitCode: code, Message: message}}}
	}
	waits := func(reason, message string) v1.ContainerStatus {
		return v1.ContainerStatus{State: v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: reason, Message: message}}}
	}
	crashed := waits("CrashLoopBackOff", "back-off 5m0s restarting failed container")
	crashed.LastTerminationState = ended(128, `exec: "/api": exec format error: unknown`).State
	recovered := ready
	recovered.LastTerminationState = crashed.LastTerminationState
	for name, tc := range map[string]struct {
		status v1.ContainerStatus
		want   string
	}{
		"ready":                         {ready, "proved default shop/api:1 docker.io/shop/api@sha256:aa linux/arm64"},
		"running but not ready":         {v1.ContainerStatus{State: v1.ContainerState{Running: &v1.ContainerStateRunning{}}}, ""},
		"completed":                     {ended(0, ""), "proved default shop/api:1 docker.io/shop/api@sha256:aa linux/arm64"},
		"failed for another reason":     {ended(1, "no such file"), ""},
		"failed for its architecture":   {ended(128, `exec: "/api": exec format error: unknown`), "disproved default shop/api:1 docker.io/shop/api@sha256:aa linux/arm64"},
		"crashing for its architecture": {crashed, "disproved default shop/api:1  linux/arm64"},
		"ready after a crash":           {recovered, "proved default shop/api:1 docker.io/shop/api@sha256:aa linux/arm64"},
		"nothing in the index for it":   {waits("ErrImagePull", `failed to pull: no match for platform in manifest: not found`), "disproved default shop/api:1  linux/arm64"},
		"as the kernel has it":          {ended(1, "exec /api: Exec format error"), "disproved default shop/api:1 docker.io/shop/api@sha256:aa linux/arm64"},
		"CRI-O, of an index":            {waits("ErrImagePull", `choosing image instance: no image found in image index for architecture "arm64", variant "v8", OS "linux"`), "disproved default shop/api:1  linux/arm64"},
		"CRI-O, of a manifest list":     {waits("ImagePullBackOff", `no image found in manifest list for architecture arm64, variant "", OS linux`), "disproved default shop/api:1  linux/arm64"},
		"Docker":                        {waits("ErrImagePull", "no matching manifest for linux/arm64/v8 in the manifest list entries"), "disproved default shop/api:1  linux/arm64"},
		"containerd, in capitals":       {waits("ErrImagePull", "No match for platform in manifest"), "disproved default shop/api:1  linux/arm64"},
		"not there at all":              {waits("ImagePullBackOff", "not found"), ""},
		"being created":                 {waits("ContainerCreating", ""), ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, init := range []bool{false, true} {
				f := build(t, "", twoNodes, knows(t, someImages))
				pod := f.pod("p image=shop/api:1 node=arm")
				tc.status.Name = pod.Spec.Containers[0].Name
				pod.Status.ContainerStatuses = []v1.ContainerStatus{tc.status}
				if init {
					pod.Spec.InitContainers, pod.Spec.Containers = pod.Spec.Containers, nil
					pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses = pod.Status.ContainerStatuses, nil
				}
				f.observePod(nil, pod)
				f.observePod(pod, pod.DeepCopy()) // the same again says nothing new
				if got := strings.Join(f.images.(*known).observed, "; "); got != tc.want {
					t.Errorf("init container %v: got %q, want %q", init, got, tc.want)
				}
			}
		})
	}
}

// What a pod has a container execute need not be its image's.
func TestACommandOfThePodIsNotHeldAgainstItsImage(t *testing.T) {
	for message, want := range map[string]int{
		`exec: "/config/run.sh": exec format error: unknown`: 0,
		`failed to pull: no match for platform in manifest`:  1,
	} {
		f := build(t, "", twoNodes, knows(t, someImages))
		pod := f.pod("p image=shop/api:1 node=arm")
		pod.Spec.Containers[0].Command = []string{"/config/run.sh"}
		pod.Status.ContainerStatuses = []v1.ContainerStatus{{Name: pod.Spec.Containers[0].Name,
			State: v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Message: message}}}}
		f.observePod(nil, pod)
		if got := len(f.images.(*known).observed); got != want {
			t.Errorf("%s: %d observations, want %d", message, got, want)
		}
	}
}

func TestSomePodsTeachNothing(t *testing.T) {
	f := build(t, "runtimeClasses: [{name: qemu, platform: linux/amd64}]", twoNodes, knows(t, someImages))
	for _, line := range []string{"p image=shop/api:1", "p image=shop/api:1 node=gone", "p image=shop/api:1 node=arm class=qemu"} {
		pod := f.pod(line)
		pod.Status.ContainerStatuses = []v1.ContainerStatus{
			{Name: pod.Spec.Containers[0].Name, Ready: true, State: v1.ContainerState{Running: &v1.ContainerStateRunning{}}},
			{Name: "of-no-container", Ready: true, State: v1.ContainerState{Running: &v1.ContainerStateRunning{}}}}
		f.observePod(nil, pod)
	}
	f.observePod(nil, "no pod")
	if diff := cmp.Diff([]string(nil), f.images.(*known).observed); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// After a change in place, a status is of the image before for a while.
func TestAStatusOfAnotherImageTeachesNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		told, image string
		generation  int64
		want        int
	}{
		"the same":                   {"shop/api:1", "shop/api:1", 0, 1},
		"the same, in full":          {"docker.io/shop/api:1", "shop/api:1", 0, 1},
		"an ID":                      {"sha256:aa", "shop/api:1", 0, 1},
		"nothing":                    {"", "shop/api:1", 0, 1},
		"the one before":             {"docker.io/shop/api:1", "shop/api:2", 0, 0},
		"a status of the spec":       {"shop/api:1", "shop/api:1", 3, 1},
		"a status of the one before": {"shop/api:1", "shop/api:1", 2, 0},
	} {
		f := build(t, "", twoNodes, knows(t, someImages))
		pod := f.pod("p node=arm image=" + tc.image)
		pod.Generation, pod.Status.ObservedGeneration = 3, tc.generation
		pod.Status.ContainerStatuses = []v1.ContainerStatus{{Name: pod.Spec.Containers[0].Name, Image: tc.told, ImageID: "x@sha256:aa",
			Ready: true, State: v1.ContainerState{Running: &v1.ContainerStateRunning{}}}}
		f.observePod(nil, pod)
		if got := len(f.images.(*known).observed); got != tc.want {
			t.Errorf("%s: %d observations, want %d", name, got, tc.want)
		}
	}
}
