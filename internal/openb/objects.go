package openb

import (
	"fmt"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

const (
	// Driver is the name under which the GPUs are published.
	Driver = "gpu.openb.example"
	// Class is the device class of all of them.
	Class = Driver
	// Namespace is that of all pods and claims.
	Namespace = "openb"
	// Image is that of all pods: the trace does not tell what they run.
	Image = "registry.example/openb/task:1"

	capacityMilli    = "milli"
	attributeModel   = "model"
	attributeProduct = "productName"
	// nodePods is so large that the number of pods never decides.
	nodePods = 1024
)

// DeviceClass returns the class that all claims name.
func DeviceClass() *resourceapi.DeviceClass {
	return &resourceapi.DeviceClass{
		ObjectMeta: metav1.ObjectMeta{Name: Class, UID: Class},
		Spec: resourceapi.DeviceClassSpec{Selectors: []resourceapi.DeviceSelector{
			{CEL: &resourceapi.CELDeviceSelector{Expression: fmt.Sprintf("device.driver == %q", Driver)}},
		}},
	}
}

// Cluster returns the nodes, what the driver publishes of each, and the class.
func Cluster(nodes []Node) []runtime.Object {
	out := []runtime.Object{DeviceClass()}
	for i := range nodes {
		node, published := nodes[i].Objects()
		out = append(out, node)
		if published != nil {
			out = append(out, published)
		}
	}
	return out
}

// Objects returns the node and the slice of its GPUs, nil if it has none. The node
// has the labels of GPU feature discovery that tell of model and number.
func (n *Node) Objects() (*v1.Node, *resourceapi.ResourceSlice) {
	amounts := amountsOf(n.CPUMilli, n.MemoryMiB)
	amounts[v1.ResourcePods] = *resource.NewQuantity(nodePods, resource.DecimalSI)
	node := &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, UID: types.UID(n.Name), Labels: map[string]string{
			v1.LabelHostname: n.Name, v1.LabelArchStable: "amd64", v1.LabelOSStable: "linux",
		}},
		Status: v1.NodeStatus{Capacity: amounts, Allocatable: amounts,
			NodeInfo: v1.NodeSystemInfo{Architecture: "amd64", OperatingSystem: "linux"}},
	}
	if n.GPUs == 0 {
		return node, nil
	}
	node.Labels["nvidia.com/gpu.product"] = n.Model
	node.Labels["nvidia.com/gpu.count"] = strconv.Itoa(n.GPUs)
	published := &resourceapi.ResourceSlice{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name + "-gpus", UID: types.UID(n.Name + "-gpus")},
		Spec: resourceapi.ResourceSliceSpec{Driver: Driver, NodeName: &node.Name,
			Pool: resourceapi.ResourcePool{Name: n.Name, Generation: 1, ResourceSliceCount: 1}},
	}
	for i := range n.GPUs {
		published.Spec.Devices = append(published.Spec.Devices, n.device(i))
	}
	return node, published
}

// device is one GPU. A claim that says nothing of its capacity gets all of it.
func (n *Node) device(i int) resourceapi.Device {
	all, step := resource.NewQuantity(Whole, resource.DecimalSI), resource.NewQuantity(1, resource.DecimalSI)
	return resourceapi.Device{
		Name:                     fmt.Sprintf("gpu-%d", i),
		AllowMultipleAllocations: ptr.To(true),
		Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{
			attributeModel: {StringValue: &n.Model}, attributeProduct: {StringValue: &n.Model},
		},
		Capacity: map[resourceapi.QualifiedName]resourceapi.DeviceCapacity{capacityMilli: {
			Value: *all,
			RequestPolicy: &resourceapi.CapacityRequestPolicy{Default: all,
				ValidRange: &resourceapi.CapacityRequestPolicyRange{Min: step, Max: all, Step: step}},
		}},
	}
}

// Objects returns a pod of this kind under a name of its own, for a scheduler, and
// the claim for its GPUs, nil if it uses none.
func (p *Pod) Objects(name, schedulerName string) (*v1.Pod, *resourceapi.ResourceClaim) {
	pod := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: name, UID: types.UID(name)},
		Spec: v1.PodSpec{SchedulerName: schedulerName, Containers: []v1.Container{{
			Name: "task", Image: Image,
			Resources: v1.ResourceRequirements{Requests: amountsOf(p.CPUMilli, p.MemoryMiB)},
		}}},
	}
	if p.GPUs == 0 {
		return pod, nil
	}
	const inPod = "gpu"
	claim := &resourceapi.ResourceClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: name, UID: types.UID(name + "-claim")},
		Spec: resourceapi.ResourceClaimSpec{Devices: resourceapi.DeviceClaim{Requests: []resourceapi.DeviceRequest{{
			Name: inPod, Exactly: p.request(),
		}}}},
	}
	pod.Spec.ResourceClaims = []v1.PodResourceClaim{{Name: inPod, ResourceClaimName: &claim.Name}}
	pod.Spec.Containers[0].Resources.Claims = []v1.ResourceClaim{{Name: inPod}}
	return pod, claim
}

func (p *Pod) request() *resourceapi.ExactDeviceRequest {
	r := &resourceapi.ExactDeviceRequest{
		DeviceClassName: Class, AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: int64(p.GPUs),
		Capacity: &resourceapi.CapacityRequirements{Requests: map[resourceapi.QualifiedName]resource.Quantity{
			capacityMilli: *resource.NewQuantity(p.GPUMilli, resource.DecimalSI)}},
	}
	if len(p.Models) > 0 {
		quoted := make([]string, len(p.Models))
		for i, model := range p.Models {
			quoted[i] = strconv.Quote(model)
		}
		r.Selectors = []resourceapi.DeviceSelector{{CEL: &resourceapi.CELDeviceSelector{
			Expression: fmt.Sprintf("device.attributes[%q].model in [%s]", Driver, strings.Join(quoted, ", "))}}}
	}
	return r
}

func amountsOf(cpuMilli, memoryMiB int64) v1.ResourceList {
	return v1.ResourceList{
		v1.ResourceCPU:    *resource.NewMilliQuantity(cpuMilli, resource.DecimalSI),
		v1.ResourceMemory: *resource.NewQuantity(memoryMiB<<20, resource.BinarySI),
	}
}
