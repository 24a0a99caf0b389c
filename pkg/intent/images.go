package intent

import (
	"slices"

	v1 "k8s.io/api/core/v1"
)

// Images lists what a node must pull to run the pod, as the pod names it, each
// once: the images of its containers, init containers and image volumes. Those
// of ephemeral containers come later, when the pod has its node.
func Images(pod *v1.Pod) []string {
	out := make([]string, 0, len(pod.Spec.Containers)+len(pod.Spec.InitContainers))
	add := func(image string) {
		if image != "" && !slices.Contains(out, image) {
			out = append(out, image)
		}
	}
	for i := range pod.Spec.InitContainers {
		add(pod.Spec.InitContainers[i].Image)
	}
	for i := range pod.Spec.Containers {
		add(pod.Spec.Containers[i].Image)
	}
	for i := range pod.Spec.Volumes {
		if source := pod.Spec.Volumes[i].Image; source != nil {
			add(source.Reference)
		}
	}
	return out
}

// Mounted lists those images of volumes that no container runs.
func Mounted(pod *v1.Pod) (out []string) {
	for i := range pod.Spec.Volumes {
		source := pod.Spec.Volumes[i].Image
		if source == nil || source.Reference == "" || slices.Contains(out, source.Reference) {
			continue
		}
		runs := func(c v1.Container) bool { return c.Image == source.Reference }
		if !slices.ContainsFunc(pod.Spec.InitContainers, runs) && !slices.ContainsFunc(pod.Spec.Containers, runs) {
			out = append(out, source.Reference)
		}
	}
	return out
}

// PullSecrets lists the names of the pod's imagePullSecrets. What its service
// account adds to them is in the pod already.
func PullSecrets(pod *v1.Pod) []string {
	if len(pod.Spec.ImagePullSecrets) == 0 {
		return nil
	}
	out := make([]string, 0, len(pod.Spec.ImagePullSecrets))
	for _, ref := range pod.Spec.ImagePullSecrets {
		if ref.Name != "" {
			out = append(out, ref.Name)
		}
	}
	return out
}

// RuntimeClass is the name of the pod's RuntimeClass, "" if it has none.
func RuntimeClass(pod *v1.Pod) string {
	if pod.Spec.RuntimeClassName == nil {
		return ""
	}
	return *pod.Spec.RuntimeClassName
}

// OS is the operating system the pod says it is for, "" if it does not say.
func OS(pod *v1.Pod) string {
	if pod.Spec.OS == nil {
		return ""
	}
	return string(pod.Spec.OS.Name)
}
