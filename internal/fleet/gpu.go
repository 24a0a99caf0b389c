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

// migProduct is a GPU that can be partitioned on demand.
type migProduct struct {
	// name is the product without NVIDIA, as pkg/mig knows it.
	name, architecture string
	memoryMi           int64
	multiprocessors    int64
	slices             int // memory slices
	profiles           []migProfile
}

// migProfile is one MIG profile: what an instance has and where on the grid of
// memory slices it may start. Figures are those of `nvidia-smi mig -lgip` and
// `-lgipp`.
type migProfile struct {
	name            string
	id              int // GPU instance profile ID
	memoryMi        int64
	multiprocessors int64
	slices          int // memory slices
	starts          []int
}

const (
	h100MemoryMi     = 81559
	capacityMemory   = "memory"
	capacityMultiSM  = "multiprocessors"
	deviceTypeMIG    = "mig"
	deviceTypeFull   = "gpu"
	attributeType    = "type"
	attributeProfile = "profile"
	attributeProduct = "productName"
	counterCell      = "memory-slice-"
)

func a100() migProduct {
	return migProduct{"A100-SXM4-80GB", "Ampere", 80384, 98, 8, []migProfile{
		{"1g.10gb", 19, 9856, 14, 1, []int{0, 1, 2, 3, 4, 5, 6}},
		{"1g.20gb", 15, 19968, 14, 2, []int{0, 2, 4, 6}},
		{"2g.20gb", 14, 19968, 28, 2, []int{0, 2, 4}},
		{"3g.40gb", 9, 40192, 42, 4, []int{0, 4}},
		{"4g.40gb", 5, 40192, 56, 4, []int{0}},
		{"7g.80gb", 0, 80384, 98, 8, []int{0}},
	}}
}

func a30() migProduct {
	return migProduct{"A30", "Ampere", 24000, 56, 4, []migProfile{
		{"1g.6gb", 14, 5952, 14, 1, []int{0, 1, 2, 3}},
		{"2g.12gb", 5, 11968, 28, 2, []int{0, 2}},
		{"4g.24gb", 0, 24000, 56, 4, []int{0}},
	}}
}

// DeviceClasses are those that the driver's chart installs.
func DeviceClasses() []*resourceapi.DeviceClass {
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

// Partitionable is what the driver publishes for a node with so many GPUs of a
// product, A100-SXM4-80GB or A30, that can be partitioned on demand: the counters
// of all GPUs in one slice, then the possible placements of each GPU in a slice of
// its own.
func Partitionable(node, product string, gpus int) ([]*resourceapi.ResourceSlice, error) {
	for _, p := range []migProduct{a100(), a30()} {
		if p.name == product {
			return p.publish(node, gpus), nil
		}
	}
	return nil, fmt.Errorf("no partitions are known of product %q: want A100-SXM4-80GB or A30", product)
}

func (m *migProduct) publish(node string, gpus int) []*resourceapi.ResourceSlice {
	counters := slice(node, 0, gpus+1)
	out := []*resourceapi.ResourceSlice{counters}
	for gpu := range gpus {
		counters.Spec.SharedCounters = append(counters.Spec.SharedCounters, resourceapi.CounterSet{
			Name: counterSet(gpu), Counters: consumed(m.memoryMi, m.multiprocessors, 0, m.slices),
		})
		devices := slice(node, gpu+1, gpus+1)
		for _, p := range m.profiles {
			for _, start := range p.starts {
				devices.Spec.Devices = append(devices.Spec.Devices, m.device(&p, node, gpu, start))
			}
		}
		out = append(out, devices)
	}
	return out
}

func (m *migProduct) device(p *migProfile, node string, gpu, start int) resourceapi.Device {
	name := fmt.Sprintf("gpu-%d-mig-%s-%d-%d", gpu, strings.ReplaceAll(p.name, ".", ""), p.id, start)
	return resourceapi.Device{
		Name: name,
		Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{
			attributeType:    text(deviceTypeMIG),
			attributeProfile: text(p.name),
			"parentUUID":     text(uuid(node, gpu)),
			attributeProduct: text("NVIDIA " + m.name),
			"architecture":   text(m.architecture),
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
		out[fmt.Sprint(counterCell, i)] = resourceapi.Counter{Value: *resource.NewQuantity(1, resource.DecimalSI)}
	}
	return out
}

// Sharable is what the driver publishes for H100s that several claims may share by
// memory.
func Sharable(node string, gpus int) *resourceapi.ResourceSlice {
	s := slice(node, 0, 1)
	yes, total, step := true, mebibytes(h100MemoryMi), mebibytes(1)
	for gpu := range gpus {
		s.Spec.Devices = append(s.Spec.Devices, resourceapi.Device{
			Name:                     fmt.Sprintf("gpu-%d", gpu),
			AllowMultipleAllocations: &yes,
			Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{
				attributeType: text(deviceTypeFull), "uuid": text(uuid(node, gpu)),
				attributeProduct: text("NVIDIA H100 80GB HBM3"), "architecture": text("Hopper"),
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
