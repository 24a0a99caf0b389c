package devices

import (
	"cmp"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/dynamic-resource-allocation/structured"

	"plimsoll.dev/scheduler/pkg/gpus"
)

// Hardware counts the GPUs that a slice publishes, by model: devices that share
// a counter set or a parent are one, devices without memory are none.
func Hardware(s *resourceapi.ResourceSlice) []gpus.Hardware {
	seen := map[string]int{}
	var out []gpus.Hardware
	for i := range s.Spec.Devices {
		d := device{spec: &s.Spec.Devices[i], id: structured.MakeDeviceID(s.Spec.Driver, s.Spec.Pool.Name, s.Spec.Devices[i].Name)}
		if d.readCapacities() != nil || d.memory == 0 {
			continue
		}
		key := d.spec.Name
		if len(d.spec.ConsumesCounters) > 0 {
			key = d.spec.ConsumesCounters[0].CounterSet
		} else if p := parent(&d); p != "" {
			key = p
		}
		at, known := seen[key]
		if !known {
			at = len(out)
			seen[key] = at
			out = append(out, gpus.Hardware{Model: cmp.Or(modelOf(&d), s.Spec.Driver), MilliGPUs: gpus.MilliGPU})
		}
		out[at].MemoryMiB = max(out[at].MemoryMiB, d.memory>>20)
	}
	return out
}
