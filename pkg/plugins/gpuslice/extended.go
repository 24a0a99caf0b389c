package gpuslice

import (
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	fwk "k8s.io/kube-scheduler/framework"
)

// extended is the claim that the wrapped plugin will make for extended resources
// that a device class serves, on a node that has none of them by a device
// plugin: a request for each container that lives as long as the pod, and one
// for what the hungriest init container needs beyond what later containers
// will. Only the order of requests and their counts matter here.
func extended(pod *v1.Pod, resolver fwk.DeviceClassResolver) (*resourceapi.ResourceClaimSpec, []v1.ResourceName) {
	containers := append(slices.Clone(pod.Spec.InitContainers), pod.Spec.Containers...)
	var requests []resourceapi.DeviceRequest
	var served []v1.ResourceName
	for _, name := range resourceNames(containers) {
		class := resolver.GetDeviceClass(name)
		if class == nil {
			continue
		}
		served = append(served, name)
		lasting := make([]int64, len(containers))
		var most int64
		mostAt := -1
		for i := range containers {
			if !passing(&containers[i], i, len(pod.Spec.InitContainers)) {
				lasting[i] = asked(&containers[i], name)
			}
		}
		for i := range containers {
			if !passing(&containers[i], i, len(pod.Spec.InitContainers)) {
				continue
			}
			beyond := asked(&containers[i], name)
			for _, later := range lasting[i:] {
				beyond -= later
			}
			if beyond > most {
				most, mostAt = beyond, i
			}
		}
		for i, count := range lasting {
			if i == mostAt {
				count = most
			}
			if count > 0 {
				requests = append(requests, requestFor(&containers[i], i, name, class.Name, count))
			}
		}
	}
	if len(requests) == 0 {
		return nil, nil
	}
	slices.SortFunc(requests, func(a, b resourceapi.DeviceRequest) int { return strings.Compare(a.Name, b.Name) })
	return &resourceapi.ResourceClaimSpec{Devices: resourceapi.DeviceClaim{Requests: requests}}, served
}

// passing containers are gone before the pod's own begin: init containers that
// are no sidecars.
func passing(c *v1.Container, at, inits int) bool {
	return at < inits && (c.RestartPolicy == nil || *c.RestartPolicy != v1.ContainerRestartPolicyAlways)
}

func asked(c *v1.Container, name v1.ResourceName) int64 {
	amount := c.Resources.Requests[name]
	return amount.Value()
}

func resourceNames(containers []v1.Container) []v1.ResourceName {
	var out []v1.ResourceName
	for i := range containers {
		for name := range containers[i].Resources.Requests {
			if strings.Contains(string(name), "/") && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
}

// requestFor names the request as the wrapped plugin does: the names decide the
// order.
func requestFor(c *v1.Container, at int, name v1.ResourceName, class string, count int64) resourceapi.DeviceRequest {
	names := make([]string, 0, len(c.Resources.Requests))
	for n := range c.Resources.Requests {
		names = append(names, string(n))
	}
	slices.Sort(names)
	return resourceapi.DeviceRequest{Name: fmt.Sprintf("container-%d-request-%d", at, slices.Index(names, string(name))),
		Exactly: &resourceapi.ExactDeviceRequest{DeviceClassName: class, Count: count,
			AllocationMode: resourceapi.DeviceAllocationModeExactCount}}
}
