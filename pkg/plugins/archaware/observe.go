package archaware

import (
	"context"
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/tools/cache"

	"plimsoll.dev/scheduler/pkg/arch"
	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/metrics"
	"plimsoll.dev/scheduler/pkg/registry"
)

// watch has the plugin see nodes, the images of pods that run, and the pods that
// wait for an image.
func (p *ArchAware) watch() error {
	core := p.handle.SharedInformerFactory().Core().V1()
	var err error
	p.nodesSeen, err = core.Nodes().Informer().AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(obj any, _ bool) { p.observeNode(obj) },
		UpdateFunc: func(_, obj any) {
			p.observeNode(obj)
		},
		DeleteFunc: func(obj any) {
			if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj); err == nil {
				p.platforms.Forget(key) // nodes have no namespace
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watching nodes for their platforms: %w", err)
	}
	pods := core.Pods().Informer()
	profile := p.handle.ProfileName()
	if err := pods.AddIndexers(cache.Indexers{waitingImages(profile): indexWaiting(profile)}); err != nil {
		return fmt.Errorf("indexing pods by image: %w", err)
	}
	_, err = pods.AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(obj any, _ bool) { p.observePod(nil, obj) },
		UpdateFunc: func(before, after any) {
			p.observePod(before, after)
		},
		DeleteFunc: func(obj any) {
			if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj
			}
			if pod, ok := obj.(*v1.Pod); ok {
				p.parked.forget(pod.UID)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watching pods for the images they run: %w", err)
	}
	return nil
}

// learnBacklog learns from the pods that ran when we started: their events may
// have come before those of their nodes.
func (p *ArchAware) learnBacklog(ctx context.Context) {
	pods := p.handle.SharedInformerFactory().Core().V1().Pods().Informer()
	if !cache.WaitForCacheSync(ctx.Done(), pods.HasSynced, p.nodesSeen.HasSynced) {
		return
	}
	for _, pod := range pods.GetStore().List() {
		p.observePod(nil, pod)
	}
}

func (p *ArchAware) observeNode(obj any) {
	if node, ok := obj.(*v1.Node); ok {
		p.platforms.Observe(node)
	}
}

// observePod learns from containers where their images run and where they do not.
func (p *ArchAware) observePod(before, after any) {
	pod, ok := after.(*v1.Pod)
	if !ok || pod.Spec.NodeName == "" {
		return
	}
	p.parked.forget(pod.UID)
	if p.classes[intent.RuntimeClass(pod)] != nil || pod.Status.ObservedGeneration != 0 && pod.Status.ObservedGeneration < pod.Generation {
		return // runs something else, or its status is of what it was before
	}
	if was, ok := before.(*v1.Pod); ok && was.Spec.NodeName == pod.Spec.NodeName &&
		equality.Semantic.DeepEqual(was.Status.ContainerStatuses, pod.Status.ContainerStatuses) &&
		equality.Semantic.DeepEqual(was.Status.InitContainerStatuses, pod.Status.InitContainerStatuses) {
		return
	}
	kind, known := p.platforms.KindOf(pod.Spec.NodeName)
	if !known {
		return // learnBacklog comes back to it, or the node has left
	}
	on := p.platforms.Kinds()[kind]
	p.observeContainers(pod, pod.Spec.InitContainers, pod.Status.InitContainerStatuses, on)
	p.observeContainers(pod, pod.Spec.Containers, pod.Status.ContainerStatuses, on)
}

func (p *ArchAware) observeContainers(pod *v1.Pod, specs []v1.Container, statuses []v1.ContainerStatus, on arch.Platform) {
	for i := range statuses {
		status := &statuses[i]
		image, command := "", false
		for j := range specs {
			if specs[j].Name == status.Name {
				image, command = specs[j].Image, len(specs[j].Command) > 0
			}
		}
		switch {
		case image == "" || on == arch.Platform{} || !names(status.Image, image):
		case ran(status):
			p.images.Prove(pod.Namespace, image, status.ImageID, on)
		case failedForItsArchitecture(status, command):
			if p.told.First(strings.Join([]string{"disproved", pod.Namespace, image, status.ImageID, on.String()}, " ")) {
				metrics.DisprovedPlatforms.WithLabelValues(p.handle.ProfileName(), on.Architecture).Inc()
			}
			p.images.Disprove(pod.Namespace, image, status.ImageID, on)
		}
	}
}

// names tells whether what a container status says of its image is the image of
// the spec: after a change in place it is the one before, for a while. Runtimes
// that tell an ID or nothing are believed.
func names(told, image string) bool {
	if told == "" || told == image || strings.HasPrefix(told, "sha256:") {
		return true
	}
	a, err1 := registry.Parse(told)
	b, err2 := registry.Parse(image)
	return err1 == nil && err2 == nil && a.Registry == b.Registry && a.Repository == b.Repository && (a.Tag == b.Tag || a.Digest != "" && a.Digest == b.Digest)
}

// ran tells whether the container did what it is for: it is ready, or has
// completed.
func ran(status *v1.ContainerStatus) bool {
	return status.Ready && status.State.Running != nil ||
		status.State.Terminated != nil && status.State.Terminated.ExitCode == 0
}

// execFormatError is the kernel's ENOEXEC, as runtimes report it when they start a
// container. Where the runtime has started it already, as runc has, only the
// container's output says it, which is in its status with the
// terminationMessagePolicy FallbackToLogsOnError.
const execFormatError = "exec format error"

// noMatch are the words, in small letters, for an index that has nothing for the
// node: containerd's, CRI-O's (containers/image) and Docker's.
var noMatch = []string{
	"no match for platform",
	"no image found in image index for architecture",
	"no image found in manifest list for architecture",
	"no matching manifest for",
}

// failedForItsArchitecture tells whether the image of a container does not fit its
// node. A command that the pod gives need not be the image's: it may be a script
// of a ConfigMap that lacks its shebang.
func failedForItsArchitecture(status *v1.ContainerStatus, command bool) bool {
	for _, state := range []*v1.ContainerState{&status.State, &status.LastTerminationState} {
		said := ""
		switch {
		case state.Terminated != nil && state.Terminated.ExitCode != 0:
			said = strings.ToLower(state.Terminated.Message)
		case state.Waiting != nil:
			said = strings.ToLower(state.Waiting.Message)
			if slices.ContainsFunc(noMatch, func(words string) bool { return strings.Contains(said, words) }) {
				return true
			}
		}
		if !command && strings.Contains(said, execFormatError) {
			return true
		}
	}
	return false
}
