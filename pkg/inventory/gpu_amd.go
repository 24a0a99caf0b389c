package inventory

import (
	"strings"

	"plimsoll.dev/scheduler/pkg/gpus"
)

// Labels of AMD's node labeller. It writes each fact as amd.com/gpu.<fact>, the
// same with the prefix beta., and counted as beta.amd.com/gpu.<fact>.<value>;
// older versions write only the last. Of a fact that devices differ in, only what is
// counted is written. Devices are GPUs to older versions, partitions to newer ones.
const (
	labelAMD       = "amd.com/gpu."
	labelAMDBeta   = "beta.amd.com/gpu."
	labelVRAM      = "vram"         // 192G: GiB, rounded to the nearest
	labelAMDName   = "product-name" // AMD_Instinct_MI300X_OAM
	labelPartition = "compute-memory-partition"
	// The labeller's own documentation writes the partition without gpu.
	labelPartitionDocumented = "amd.com/" + labelPartition
)

// amd reads the offer of amd.com/gpu or amd.com/<partition mode>.
func (r *gpuReader) amd(resource string) gpus.Offer {
	o := gpus.Offer{Resource: resource, Units: r.units[resource], Kind: gpus.Whole, Isolation: gpus.Exclusive, Replicas: 1, Slices: gpus.SlicesPerGPU}
	name, _ := r.amdFact(labelAMDName)
	o.Model = name.Value
	vram, described := r.amdFact(labelVRAM)
	all := r.amdUnits()

	mode := strings.TrimPrefix(resource, string(gpus.AMD))
	if resource == gpus.AMDGPU {
		if mode = r.labels[labelPartitionDocumented]; mode == "" {
			partition, _ := r.amdFact(labelPartition)
			mode = partition.Value
		}
	}
	parts, units := max(gpus.Partitions(mode), 1), o.Units
	if resource == gpus.AMDGPU && described > 0 && units > described {
		// The count knows better: CPX makes six of an MI300A.
		parts = (min(units, mostCounted) + described - 1) / described
	}
	o.MemoryMiB = vramMiB(vram.Value)
	switch {
	case vram.Value == "":
		o.MemoryMiB = r.amdMemoryOf(units, all)
	case described != all:
		// Not as many memories as units, so the label is that of whole GPUs.
		// Where it is not known how many, dividing what is a partition's
		// already promises too little, the reverse would promise too much.
		o.MemoryMiB /= parts
	}
	if o.MemoryMiB <= 0 {
		o.MemoryMiB, o.NoMemory = 0, vram
	}
	if parts > 1 {
		// Compute dies of its own, and the driver holds each partition to its
		// part of the memory.
		o.Kind, o.Isolation = gpus.Slice, gpus.MIG
		o.Slices = max(gpus.SlicesPerGPU/parts, 1)
	}
	return o
}

// amdUnits is how many units the node has of all AMD's resources.
func (r *gpuReader) amdUnits() (sum int64) {
	for resource, units := range r.units {
		if gpus.VendorOf(resource) == gpus.AMD {
			sum += min(max(units, 0), mostCounted)
		}
	}
	return sum
}

// amdMemoryOf is the memory of the partitions of which there are so many, on a node
// whose partitions differ: 192G=5 and 24G=24 beside 5 of spx and 24 of cpx. It is 0 if
// the labels do not count just the node's units, and of two that are as many the
// smaller.
func (r *gpuReader) amdMemoryOf(units, all int64) (mib int64) {
	var sum int64
	for value, devices := range r.amdCounts(labelVRAM) {
		sum += devices
		if has := vramMiB(value); devices == units && (mib == 0 || has < mib) {
			mib = has
		}
	}
	if sum != all {
		return 0
	}
	return mib
}

// amdCounts says of how many devices each value of a fact was counted.
func (r *gpuReader) amdCounts(fact string) map[string]int64 {
	out := map[string]int64{}
	prefix := labelAMDBeta + fact + "."
	for key, n := range r.labels {
		if value, ok := strings.CutPrefix(key, prefix); ok && value != "" {
			out[value], _ = count(n)
		}
	}
	return out
}

// amdFact reads one fact, and for how many devices it was counted (0: that is
// not known). What was counted goes before the plain label, which has been seen
// to tell of a partition where the count tells of GPUs. A fact that devices
// differ in is unknown.
func (r *gpuReader) amdFact(fact string) (found gpus.Label, devices int64) {
	found.Key = labelAMD + fact
	counts := r.amdCounts(fact)
	switch {
	case len(counts) > 1:
		return found, 0
	case len(counts) == 1:
		for value, n := range counts {
			found.Value, devices = value, n
		}
	case r.labels[found.Key] != "":
		found.Value = r.labels[found.Key]
	default:
		found.Value = r.labels[labelAMDBeta+fact]
	}
	return found, devices
}

// vramMiB reads what the labeller writes. The GiB are rounded, so that up to
// half of one may not be there.
func vramMiB(value string) int64 {
	if digits, ok := strings.CutSuffix(value, "G"); ok {
		if gib, ok := count(digits); ok && gib > 0 {
			return gib*1024 - 512
		}
	}
	if digits, ok := strings.CutSuffix(value, "M"); ok {
		if mib, ok := count(digits); ok {
			return mib
		}
	}
	return 0
}

// amdHardware is what labels tell of GPUs that no device plugin offers.
func (r *gpuReader) amdHardware() []gpus.Hardware {
	name, _ := r.amdFact(labelAMDName)
	return someGPU(r.labelled(labelAMD) || r.labelled(labelAMDBeta), name.Value, gpus.AMDGPU)
}
