package inventory

import (
	"strings"

	"plimsoll.dev/scheduler/pkg/gpus"
)

// Labels of AMD's node labeller. It writes each fact as amd.com/gpu.<fact>, the
// same with the prefix beta., and counted as beta.amd.com/gpu.<fact>.<value>;
// older versions write only the last.
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
	o := gpus.Offer{Resource: resource, Kind: gpus.Whole, Isolation: gpus.Exclusive, Replicas: 1, Slices: gpus.SlicesPerGPU}
	name, _ := r.amdFact(labelAMDName)
	o.Model = name.Value
	vram, described := r.amdFact(labelVRAM)

	mode := strings.TrimPrefix(resource, string(gpus.AMD))
	if resource == gpus.AMDGPU {
		if mode = r.labels[labelPartitionDocumented]; mode == "" {
			partition, _ := r.amdFact(labelPartition)
			mode = partition.Value
		}
	}
	parts, units := max(gpus.Partitions(mode), 1), r.units[resource]
	if resource == gpus.AMDGPU && described > 0 && units > described {
		// The count knows better: CPX makes six of an MI300A.
		parts = (min(units, mostCounted) + described - 1) / described
	}
	o.MemoryMiB = vramMiB(vram.Value)
	if resource != gpus.AMDGPU || described != units {
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

// amdFact reads one fact, and for how many devices it was counted (0: that is
// not known). What was counted goes before the plain label, which has been seen
// to tell of a partition where the count tells of GPUs. A fact that devices
// differ in is unknown.
func (r *gpuReader) amdFact(fact string) (found gpus.Label, devices int64) {
	found.Key = labelAMD + fact
	prefix, values := labelAMDBeta+fact+".", 0
	for key, n := range r.labels {
		if value, ok := strings.CutPrefix(key, prefix); ok && value != "" {
			found.Value = value
			devices, _ = count(n)
			values++
		}
	}
	switch {
	case values > 1:
		return gpus.Label{Key: found.Key}, 0
	case values == 1:
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
