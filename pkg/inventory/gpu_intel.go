package inventory

import (
	"strings"

	"plimsoll.dev/scheduler/pkg/gpus"
)

// Labels that Intel's rules for node feature discovery write.
const (
	labelIntelProduct = "gpu.intel.com/product"      // Max_1100
	labelIntelCount   = "gpu.intel.com/device.count" // GPUs
	labelIntelDevice  = "gpu.intel.com/device-id."   // and <class>-<id>.count: GPUs of one kind
	// Bytes of all GPUs together. Versions of today do not write it; an
	// administrator can.
	labelIntelMemory = "gpu.intel.com/memory.max"
)

// intel reads the offer of gpu.intel.com/i915 or xe. No label says that a GPU
// is shared: there are then more units than GPUs.
func (r *gpuReader) intel(resource string) gpus.Offer {
	o := gpus.Offer{
		Resource: resource, Units: r.units[resource], Kind: gpus.Whole, Isolation: gpus.Exclusive, Replicas: 1, Slices: gpus.SlicesPerGPU,
		Model: r.labels[labelIntelProduct],
	}
	// Both drivers together: the labels do not tell GPUs by driver.
	units := min(max(r.units[gpus.IntelI915], 0), mostCounted) + min(max(r.units[gpus.IntelXe], 0), mostCounted)
	devices := r.intelDevices()
	switch {
	case devices <= 0:
		o.Isolation, o.NoSharing = gpus.TimeSlicing, r.label(labelIntelCount)
	case units > devices:
		o.Kind, o.Isolation = gpus.Share, gpus.TimeSlicing
		o.Replicas = (units + devices - 1) / devices
	}
	memory := r.label(labelIntelMemory)
	bytes, ok := bytesOf(memory.Value)
	if ok && devices > 0 {
		o.MemoryMiB = bytes / (1 << 20) / devices / o.Replicas
	}
	if o.MemoryMiB <= 0 {
		o.NoMemory = memory
		if ok {
			o.NoMemory = r.label(labelIntelCount)
		}
	}
	return o
}

// intelDevices is how many GPUs the node has, 0 if no label tells.
func (r *gpuReader) intelDevices() int64 {
	if n, ok := r.number(labelIntelCount); ok && n > 0 {
		return n
	}
	var sum int64
	for key, value := range r.labels {
		if strings.HasPrefix(key, labelIntelDevice) && strings.HasSuffix(key, ".count") {
			n, _ := count(value)
			sum = min(sum+n, mostCounted)
		}
	}
	return sum
}

// intelHardware is what labels tell of GPUs that no device plugin offers.
func (r *gpuReader) intelHardware() []gpus.Hardware {
	return someGPU(r.labelled(labelIntelCount) || r.labelled(labelIntelDevice), r.labels[labelIntelProduct], gpus.IntelXe)
}
