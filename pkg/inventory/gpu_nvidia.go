package inventory

import (
	"cmp"
	"strings"

	"plimsoll.dev/scheduler/pkg/gpus"
)

// Labels of NVIDIA's GPU feature discovery come in groups that begin with the
// name of the resource they describe: nvidia.com/gpu.memory,
// nvidia.com/mig-1g.10gb.memory. A renamed share has no group of its own, that
// of the original name describes it.
const (
	labelMemory   = ".memory" // MiB; of a slice if units are slices
	labelCount    = ".count"  // GPUs of the model, or slices; before sharing
	labelReplicas = ".replicas"
	labelProduct  = ".product"
	labelSharing  = ".sharing-strategy" // none, time-slicing, mps
	labelSlices   = ".slices.gi"        // compute slices; on slices alone

	labelPresent     = "nvidia.com/gpu.present"      // true on a node with GPUs, whatever they do
	labelVGPU        = "nvidia.com/vgpu.present"     // true in a guest that has a vGPU
	labelMIGStrategy = "nvidia.com/mig.strategy"     // single, mixed; absent for none
	labelMIGState    = "nvidia.com/mig.config.state" // see changing
	labelDeploy      = "nvidia.com/gpu.deploy."      // and a component

	pausedFor = "paused-for-" // mig-change, driver-upgrade

	productShared  = "-SHARED"
	productMIG     = "-MIG-"
	profileInvalid = "INVALID"
)

// changing returns the label that says that the MIG layout is being changed, or the one
// that says that components are paused for something else.
//
// The MIG manager's order is: state pending, components paused, the new layout
// applied (with the state rebooting in between if that takes a reboot),
// components resumed, state success or failed. So pending, rebooting and any
// word that is not known here mean that counts and labels may be of the old
// layout. After failed, plugin and feature discovery run again and say what
// there is now, as after success: that the operator wanted something else is
// not the pod's concern. A component that is still paused, for this or for an
// upgrade of the driver, keeps the node out either way. That mig.config names a
// layout that the manager has not begun to apply cannot be seen from labels.
func (r *gpuReader) changing() (changing, paused gpus.Label) {
	switch state := r.label(labelMIGState); state.Value {
	case "", "success", "failed":
	default:
		return state, gpus.Label{}
	}
	for key, value := range r.labels {
		if !strings.HasPrefix(key, labelDeploy) || !strings.HasPrefix(value, pausedFor) {
			continue
		}
		into := &paused
		if value == pausedFor+"mig-change" {
			into = &changing
		}
		// The first by name, so that the reason does not change by itself.
		if into.Key == "" || key < into.Key {
			*into = gpus.Label{Key: key, Value: value}
		}
	}
	return changing, paused
}

// nvidia reads the offer of nvidia.com/gpu, nvidia.com/mig-<profile>, or a
// renamed share of either.
func (r *gpuReader) nvidia(resource string) gpus.Offer {
	base := strings.TrimSuffix(resource, gpus.NvidiaShared)
	product := r.label(base + labelProduct)
	o := gpus.Offer{Resource: resource, Units: r.units[resource], Kind: gpus.Whole, Isolation: gpus.Exclusive, Replicas: 1, Slices: gpus.SlicesPerGPU}
	var profile string
	o.Model, profile = splitProduct(product.Value)
	if profile == profileInvalid {
		// Under the single strategy, and the slices are not all alike, or not
		// all GPUs are partitioned.
		o.Invalid = product
	}
	if named, found := strings.CutPrefix(base, gpus.NvidiaMIG); found {
		profile = named
	}
	if profile != "" || r.isSlice(base, product) {
		o.Kind, o.Isolation = gpus.Slice, gpus.MIG
		o.Slices = r.slices(base, profile)
	}
	r.share(&o, base, strings.HasSuffix(product.Value, productShared))
	if r.labels[labelVGPU] == "true" {
		// The host gives other guests turns on the same GPU. The memory is this guest's.
		o.Kind, o.Isolation = gpus.Share, gpus.TimeSlicing
	}
	r.memory(&o, base)
	return o
}

// splitProduct takes apart NVIDIA-H100-80GB-HBM3-MIG-1g.10gb-SHARED.
func splitProduct(product string) (model, profile string) {
	model = strings.TrimSuffix(product, productShared)
	if before, after, found := cutLast(model, productMIG); found {
		return before, after
	}
	return model, ""
}

// isSlice tells units of nvidia.com/gpu that are slices from whole GPUs where
// the product does not. Without a product the single strategy may mean either,
// and a slice promises less.
func (r *gpuReader) isSlice(base string, product gpus.Label) bool {
	_, hasSlices := r.number(base + labelSlices)
	return hasSlices || product.Value == "" && r.labels[labelMIGStrategy] == "single"
}

// slices is how many eighths of the GPU's memory a slice has. Under the mixed
// strategy the GPU's own label tells what the whole is. Under the single
// strategy no label does: the compute slices stand in, 1 to 4 of which come
// with as much memory at least, and 7 with all of it.
func (r *gpuReader) slices(base, profile string) int64 {
	part, ok := r.number(base + labelMemory)
	whole, hasWhole := r.number(gpus.NvidiaGPU + labelMemory)
	if base != gpus.NvidiaGPU && ok && hasWhole && part > 0 && whole >= part {
		return max((part*gpus.SlicesPerGPU+whole/2)/whole, 1)
	}
	compute, ok := r.number(base + labelSlices)
	if !ok {
		digits, _, _ := strings.Cut(profile, "g.")
		compute, _ = count(digits)
	}
	switch {
	case compute <= 2:
		return max(compute, 1)
	case compute <= 4:
		return 4
	}
	return gpus.SlicesPerGPU
}

// share works out how a unit is shared.
func (r *gpuReader) share(o *gpus.Offer, base string, productSaysShared bool) {
	strategy, replicas := r.label(base+labelSharing), r.label(base+labelReplicas)
	n, counted := count(replicas.Value)
	shared := o.Resource != base || productSaysShared
	switch strategy.Value {
	case "none":
		shared = shared || n > 1
	case "":
		// Labels of a version before there was more than time-slicing, or none
		// at all. Replicas are 0 where all GPUs are partitioned.
		shared = shared || n > 1
		if !shared && !counted {
			o.NoSharing = strategy
		}
	default:
		// Where shares are renamed and some GPUs are not shared, both names
		// have units, and the old one those that are not.
		shared = shared || r.units[base+gpus.NvidiaShared] <= 0
	}
	switch {
	case o.NoSharing != (gpus.Label{}):
		// The memory that a label tells may be that of several units.
		o.Isolation, o.NoMemory = gpus.TimeSlicing, replicas
		return
	case !shared:
		return
	}
	o.Kind, o.Isolation = gpus.Share, gpus.TimeSlicing
	switch strategy.Value {
	case "mps":
		o.Isolation = gpus.MPS
	case "none", "", "time-slicing":
	default:
		o.NoSharing = strategy
	}
	if n < 2 {
		// By how many it is shared decides what a share can count on.
		o.NoMemory = replicas
		return
	}
	o.Replicas = n
}

// memory is what a unit can count on, or why that is not known.
func (r *gpuReader) memory(o *gpus.Offer, base string) {
	if o.NoMemory != (gpus.Label{}) {
		return
	}
	// The labels describe one model of a node that may have several, whichever
	// was written last; and the plugin may share or divide already what feature
	// discovery has not looked at since.
	if covered, ok := r.number(base + labelCount); ok && covered > 0 && o.Units > covered*o.Replicas {
		o.Covers = covered * o.Replicas
	}
	memory := r.label(base + labelMemory)
	mib, ok := count(memory.Value)
	if !ok || mib == 0 {
		o.NoMemory = memory
		return
	}
	if o.MemoryMiB = mib / o.Replicas; o.MemoryMiB == 0 {
		o.NoMemory = r.label(base + labelReplicas) // more shares than MiB
	}
}

// nvidiaHardware is what labels tell of GPUs that no device plugin offers.
func (r *gpuReader) nvidiaHardware() []gpus.Hardware {
	n, ok := r.number(gpus.NvidiaGPU + labelCount)
	model, profile := splitProduct(r.labels[gpus.NvidiaGPU+labelProduct])
	if !ok || n == 0 || model == "" || profile != "" {
		// Slices are no GPUs, and none are counted of a layout that is invalid.
		return someGPU(model != "" || r.labels[labelPresent] == "true", model, gpus.NvidiaGPU)
	}
	memory, _ := r.number(gpus.NvidiaGPU + labelMemory)
	return []gpus.Hardware{{Model: model, MemoryMiB: memory, MilliGPUs: min(n, 1<<20) * gpus.MilliGPU}}
}

// someGPU is one GPU of which labels tell that it is there, and nothing else except
// perhaps its model.
func someGPU(there bool, model, resource string) []gpus.Hardware {
	if !there {
		return nil
	}
	return []gpus.Hardware{{Model: cmp.Or(model, resource), MilliGPUs: gpus.MilliGPU}}
}
