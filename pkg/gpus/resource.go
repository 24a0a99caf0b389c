package gpus

import "strings"

// Resources of whole GPUs, and of shares that their device plugin renamed.
const (
	NvidiaGPU    = "nvidia.com/gpu"
	NvidiaMIG    = "nvidia.com/mig-" // and a profile, for example 1g.10gb.me
	NvidiaShared = ".shared"         // ends the name of a renamed share
	AMDGPU       = "amd.com/gpu"
	IntelI915    = "gpu.intel.com/i915"
	IntelXe      = "gpu.intel.com/xe"
)

// Vendor is the domain that a GPU vendor's resources and labels begin with.
type Vendor string

// The vendors whose device plugins are known.
const (
	Nvidia Vendor = "nvidia.com/"
	AMD    Vendor = "amd.com/"
	Intel  Vendor = "gpu.intel.com/"
)

// VendorOf returns the vendor of a GPU resource, "" for any other resource,
// including those by which vendors publish something else than GPUs
// (gpu.intel.com/monitoring). A share that its administrator gave a name of his
// own is not known.
func VendorOf(resource string) Vendor {
	switch resource {
	case NvidiaGPU, NvidiaGPU + NvidiaShared:
		return Nvidia
	case AMDGPU:
		return AMD
	case IntelI915, IntelXe:
		return Intel
	}
	if profile, found := strings.CutPrefix(resource, NvidiaMIG); found && profile != "" {
		return Nvidia
	}
	if mode, found := strings.CutPrefix(resource, string(AMD)); found && Partitions(mode) > 0 {
		return AMD
	}
	return ""
}

// Partitions returns into how many devices an AMD compute and memory partition
// mode such as cpx_nps4 divides a GPU, 0 if it is no such mode. CPX makes one
// of each compute die: eight, as on MI300X.
func Partitions(mode string) int64 {
	compute, memory, found := strings.Cut(strings.ToLower(mode), "_nps")
	if !found || len(memory) != 1 || memory < "1" || memory > "8" {
		return 0
	}
	switch compute {
	case "spx":
		return 1
	case "dpx":
		return 2
	case "tpx":
		return 3
	case "qpx":
		return 4
	case "cpx":
		return 8
	}
	return 0
}
