// Package fleet makes fake clusters: nodes of several pools over three zones and
// the ResourceSlices that GPU drivers would publish for them.
package fleet

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PoolLabel names a node's pool.
const PoolLabel = "pool"

// Fleet is a cluster's nodes and what its GPU drivers publish.
type Fleet struct {
	Nodes         []*v1.Node
	DeviceClasses []*resourceapi.DeviceClass
	Slices        []*resourceapi.ResourceSlice
}

// MinNodes is the size of the smallest mixed cluster.
const MinNodes = 14

// RackLabel names a node's rack within its zone.
const RackLabel = "topology.kubernetes.io/rack"

// rackNodes is how many nodes a rack holds at most, where two racks hold no more.
const rackNodes = 8

// zones of the fake region.
var zones = []string{"eu-a", "eu-b", "eu-c"}

// Mixed returns a cluster of n nodes: in every zone a pool of amd64 and one of
// arm64 nodes, and five nodes with GPUs,
//
//	mig         two nodes of two A100s, partitioned on demand through claims
//	shared-gpu  two H100s that claims may share by memory
//	l4          four L4s of a device plugin
//	mps         one L40S of a device plugin, in four parts by MPS
//
// What n has beyond MinNodes goes to the two CPU pools, two amd64 for one arm64.
// A zone's nodes are dealt out to its racks, two or more; racks of different zones
// have the same names. It fails for fewer than MinNodes.
func Mixed(n int) (*Fleet, error) {
	if n < MinNodes {
		return nil, fmt.Errorf("a mixed cluster has at least %d nodes, got %d", MinNodes, n)
	}
	f := &Fleet{DeviceClasses: DeviceClasses()}
	const gpuNodes = 5
	for i := range n - gpuNodes {
		zone := zones[i%len(zones)]
		if i/len(zones)%3 == 2 {
			f.addNode(nodeSpec{"arm64", "arm64", zone, "8", "32Gi", "c8g.2xlarge"}, i)
		} else {
			f.addNode(nodeSpec{"amd64", "amd64", zone, "8", "32Gi", "c7i.2xlarge"}, i)
		}
	}
	for i := range 2 {
		node := f.addGPUNode(nodeSpec{"mig", "amd64", zones[i], "48", "512Gi", "a2-ultragpu-2g"}, i)
		published, err := Partitionable(node.Name, "A100-SXM4-80GB", 2)
		if err != nil {
			return nil, err
		}
		f.Slices = append(f.Slices, published...)
	}
	node := f.addGPUNode(nodeSpec{"shared-gpu", "amd64", zones[2], "48", "512Gi", "a3-highgpu-2g"}, 0)
	f.Slices = append(f.Slices, Sharable(node.Name, 2))
	offer(f.addGPUNode(nodeSpec{"l4", "amd64", zones[0], "48", "192Gi", "g6.12xlarge"}, 0), "4", map[string]string{
		"product": "NVIDIA-L4", "memory": "23034", "count": "4", "replicas": "1", "sharing-strategy": "none"})
	offer(f.addGPUNode(nodeSpec{"mps", "amd64", zones[1], "16", "128Gi", "g6e.4xlarge"}, 0), "4", map[string]string{
		"product": "NVIDIA-L40S-SHARED", "memory": "46068", "count": "1", "replicas": "4", "sharing-strategy": "mps"})
	f.fillRacks()
	return f, nil
}

func (f *Fleet) fillRacks() {
	inZone := map[string][]*v1.Node{}
	for _, n := range f.Nodes {
		zone := n.Labels[v1.LabelTopologyZone]
		inZone[zone] = append(inZone[zone], n)
	}
	for _, nodes := range inZone {
		racks := max(2, (len(nodes)+rackNodes-1)/rackNodes)
		for i, n := range nodes {
			n.Labels[RackLabel] = fmt.Sprintf("r%d", i%racks+1)
		}
	}
}

// offer makes the node offer nvidia.com/gpu, with the labels that GPU feature
// discovery would write.
func offer(node *v1.Node, units string, labels map[string]string) {
	for name, value := range labels {
		node.Labels["nvidia.com/gpu."+name] = value
	}
	node.Status.Capacity["nvidia.com/gpu"] = resource.MustParse(units)
	node.Status.Allocatable["nvidia.com/gpu"] = resource.MustParse(units)
}

type nodeSpec struct {
	pool, arch, zone, cpu, memory, instance string
}

func (f *Fleet) addNode(s nodeSpec, i int) *v1.Node {
	name := fmt.Sprintf("%s-%s-%02d", s.zone, s.pool, i/len(zones)+1)
	capacity := v1.ResourceList{
		v1.ResourceCPU: resource.MustParse(s.cpu), v1.ResourceMemory: resource.MustParse(s.memory),
		v1.ResourceEphemeralStorage: resource.MustParse("100Gi"), v1.ResourcePods: resource.MustParse("110"),
	}
	node := &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			v1.LabelHostname: name, v1.LabelArchStable: s.arch, v1.LabelOSStable: "linux",
			v1.LabelTopologyZone: s.zone, v1.LabelTopologyRegion: "eu", v1.LabelInstanceTypeStable: s.instance,
			PoolLabel: s.pool,
		}},
		Status: v1.NodeStatus{
			Capacity: capacity, Allocatable: allocatable(capacity),
			NodeInfo: v1.NodeSystemInfo{Architecture: s.arch, OperatingSystem: "linux"},
		},
	}
	f.Nodes = append(f.Nodes, node)
	return node
}

func (f *Fleet) addGPUNode(s nodeSpec, i int) *v1.Node {
	node := f.addNode(s, i)
	node.Spec.Taints = []v1.Taint{{Key: "nvidia.com/gpu", Value: "present", Effect: v1.TaintEffectNoSchedule}}
	return node
}

// allocatable takes off what a managed node reserves for kubelet and system:
// about a tenth of a core and of the memory.
func allocatable(capacity v1.ResourceList) v1.ResourceList {
	out := capacity.DeepCopy()
	out[v1.ResourceCPU] = *resource.NewMilliQuantity(capacity.Cpu().MilliValue()-100, resource.DecimalSI)
	out[v1.ResourceMemory] = *resource.NewQuantity(capacity.Memory().Value()/10*9, resource.BinarySI)
	return out
}
