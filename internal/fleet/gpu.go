package fleet

import (
	"fmt"
	"strings"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Driver is the name NVIDIA's DRA driver publishes under.
const Driver = "gpu.nvidia.com"

// migProfile is one MIG profile of an A100-SXM4-80GB: what an instance has and
// where on the grid of eight memory slices it may start. Figures are those of
// `nvidia-smi mig -lgip` and `-lgipp`.
type migProfile struct {
	name            string
	id              int // GPU instance profile ID
	memoryMi        int64
	multiprocessors int64
	slices          int // memory slices
	starts          []int
}

const (
	gridSlices       = 8
	gpuMemoryMi      = 80384
	gpuProcessors    = 98
	h100MemoryMi     = 81559
	capacityMemory   = "memory"
	capacityMultiSM  = "multiprocessors"
	deviceTypeMIG    = "mig"
	deviceTypeFull   = "gpu"
	attributeType    = "type"
	attributeProfile = "profile"
)

func a100Profiles() []migProfile {
	return []migProfile{
		{"1g.10gb", 19, 9856, 14, 1, []int{0, 1, 2, 3, 4, 5, 6}},
		{"1g.20gb", 15, 19968, 14, 2, []int{0, 2, 4, 6}},
		{"2g.20gb", 14, 19968, 28, 2, []int{0, 2, 4}},
		{"3g.40gb", 9, 40192, 42, 4, []int{0, 4}},
		{"4g.40gb", 5, 40192, 56, 4, []int{0}},
		{"7g.80gb", 0, 80384, 98, 8, []int{0}},
	}
}

func deviceClasses() []*resourceapi.DeviceClass {
	class := func(name, kind string) *resourceapi.DeviceClass {
		expression := fmt.Sprintf("device.driver == '%s' && device.attributes['%s'].type == '%s'", Driver, Driver, kind)
		return &resourceapi.DeviceClass{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: resourceapi.DeviceClassSpec{Selectors: []resourceapi.DeviceSelector{
				{CEL: &resourceapi.CELDeviceSelector{Expression: expression}},
			}},
		}
	}
	return []*resourceapi.DeviceClass{class("gpu.nvidia.com", deviceTypeFull), class("mig.nvidia.com", deviceTypeMIG)}
}

// migSlices is what the driver publishes for a node whose GPUs can be
// partitioned on demand: the counters of all GPUs in one slice, then the
// possible placements of each GPU in a slice of its own.
func migSlices(node string, gpus int) []*resourceapi.ResourceSlice {
	counters := slice(node, 0, gpus+1)
	out := []*resourceapi.ResourceSlice{counters}
	for gpu := range gpus {
		counters.Spec.SharedCounters = append(counters.Spec.SharedCounters, resourceapi.CounterSet{
			Name: counterSet(gpu), Counters: consumed(gpuMemoryMi, gpuProcessors, 0, gridSlices),
		})
		devices := slice(node, gpu+1, gpus+1)
		for _, p := range a100Profiles() {
			for _, start := range p.starts {
				devices.Spec.Devices = append(devices.Spec.Devices, p.device(node, gpu, start))
			}
		}
		out = append(out, devices)
	}
	return out
}

func (p migProfile) device(node string, gpu, start int) resourceapi.Device {
	name := fmt.Sprintf("gpu-%d-mig-%s-%d-%d", gpu, strings.ReplaceAll(p.name, ".", ""), p.id, start)
	return resourceapi.Device{
		Name: name,
		Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{
			attributeType:    text(deviceTypeMIG),
			attributeProfile: text(p.name),
			"parentUUID":     text(uuid(node, gpu)),
			"productName":    text("NVIDIA A100-SXM4-80GB"),
			"architecture":   text("Ampere"),
		},
		Capacity: map[resourceapi.QualifiedName]resourceapi.DeviceCapacity{
			capacityMemory:  {Value: mebibytes(p.memoryMi)},
			capacityMultiSM: {Value: *resource.NewQuantity(p.multiprocessors, resource.DecimalSI)},
		},
		ConsumesCounters: []resourceapi.DeviceCounterConsumption{{
			CounterSet: counterSet(gpu), Counters: consumed(p.memoryMi, p.multiprocessors, start, p.slices),
		}},
	}
}

// consumed lists the counters of an instance that covers some memory slices.
func consumed(memoryMi, multiprocessors int64, start, slices int) map[string]resourceapi.Counter {
	out := map[string]resourceapi.Counter{
		capacityMemory:  {Value: mebibytes(memoryMi)},
		capacityMultiSM: {Value: *resource.NewQuantity(multiprocessors, resource.DecimalSI)},
	}
	for i := start; i < start+slices; i++ {
		out[fmt.Sprintf("memory-slice-%d", i)] = resourceapi.Counter{Value: *resource.NewQuantity(1, resource.DecimalSI)}
	}
	return out
}

// sharedSlice is what the driver publishes for whole GPUs that several claims
// may share by memory.
func sharedSlice(node string, gpus int) *resourceapi.ResourceSlice {
	s := slice(node, 0, 1)
	yes, total, step := true, mebibytes(h100MemoryMi), mebibytes(1)
	for gpu := range gpus {
		s.Spec.Devices = append(s.Spec.Devices, resourceapi.Device{
			Name:                     fmt.Sprintf("gpu-%d", gpu),
			AllowMultipleAllocations: &yes,
			Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{
				attributeType: text(deviceTypeFull), "uuid": text(uuid(node, gpu)),
				"productName": text("NVIDIA H100 80GB HBM3"), "architecture": text("Hopper"),
			},
			Capacity: map[resourceapi.QualifiedName]resourceapi.DeviceCapacity{capacityMemory: {
				Value: total,
				RequestPolicy: &resourceapi.CapacityRequestPolicy{
					Default:    &total,
					ValidRange: &resourceapi.CapacityRequestPolicyRange{Min: &step, Max: &total, Step: &step},
				},
			}},
		})
	}
	return s
}

func slice(node string, number, of int) *resourceapi.ResourceSlice {
	return &resourceapi.ResourceSlice{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%05d-%s-%s", number, Driver, node)},
		Spec: resourceapi.ResourceSliceSpec{
			Driver: Driver, NodeName: &node,
			Pool: resourceapi.ResourcePool{Name: node, Generation: 1, ResourceSliceCount: int64(of)},
		},
	}
}

func counterSet(gpu int) string { return fmt.Sprintf("gpu-%d-counter-set", gpu) }

func uuid(node string, gpu int) string { return fmt.Sprintf("GPU-%s-%d", node, gpu) }

func mebibytes(n int64) resource.Quantity { return *resource.NewQuantity(n<<20, resource.BinarySI) }

func text(s string) resourceapi.DeviceAttribute { return resourceapi.DeviceAttribute{StringValue: &s} }
