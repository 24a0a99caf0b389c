package fleet

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/dynamic-resource-allocation/structured"

	"plimsoll.dev/scheduler/pkg/load"
	"plimsoll.dev/scheduler/pkg/mig"
)

// Draw pictures the GPUs that the slices publish and what of them is allocated,
// one line each, by node and GPU: a grid for those that can be partitioned, a
// gauge of memory for those that are shared.
//
//	gpu-a-01 gpu-0  [4g.40gb═══|·|·|1g.10gb| ]
//	gpu-b-01 gpu-0  ████████████░░░░░░░░│  60 of 79Gi
func Draw(published []*resourceapi.ResourceSlice, allocated *structured.AllocatedState) ([]string, error) {
	grids := map[string]*mig.GPU{}
	var out []string
	for _, s := range published {
		for i := range s.Spec.Devices {
			d := &s.Spec.Devices[i]
			id := structured.MakeDeviceID(s.Spec.Driver, s.Spec.Pool.Name, d.Name)
			if d.AllowMultipleAllocations != nil && *d.AllowMultipleAllocations {
				out = append(out, fmt.Sprintf("%s %s  %s", s.Spec.Pool.Name, d.Name, memoryGauge(d, allocated.AggregatedCapacity[id])))
				continue
			}
			name := s.Spec.Pool.Name + " " + GPUOf(d.Name)
			g, found := grids[name]
			if !found {
				geometry, known := mig.Table(*d.Attributes[attributeProduct].StringValue)
				if !known {
					return nil, fmt.Errorf("device %s: no grid is known of its product", d.Name)
				}
				g = mig.NewGPU(geometry)
				grids[name] = g
			}
			if allocated.AllocatedDevices.Has(id) {
				if err := place(g, d); err != nil {
					return nil, fmt.Errorf("device %s of %s: %w", d.Name, s.Spec.Pool.Name, err)
				}
			}
		}
	}
	for name, g := range grids {
		out = append(out, name+"  "+strings.TrimPrefix(g.String(), "gpu "))
	}
	slices.Sort(out)
	return out, nil
}

// GPUOf names the GPU of a device of NVIDIA's driver: gpu-0 for gpu-0-mig-1g10gb-19-3.
func GPUOf(device string) string {
	gpu, _, _ := strings.Cut(device, "-mig-")
	return gpu
}

func place(g *mig.GPU, d *resourceapi.Device) error {
	profile, known := g.Geometry().Find(*d.Attributes[attributeProfile].StringValue)
	if !known {
		return fmt.Errorf("profile %s: not on this GPU's grid", *d.Attributes[attributeProfile].StringValue)
	}
	var mask mig.Mask
	for name := range d.ConsumesCounters[0].Counters {
		if cell, ok := strings.CutPrefix(name, counterCell); ok {
			at, err := strconv.Atoi(cell)
			if err != nil {
				return err
			}
			mask |= mig.Run(at, 1)
		}
	}
	return g.Place(profile, mask)
}

func memoryGauge(d *resourceapi.Device, used structured.ConsumedCapacity) string {
	capacity := d.Capacity[capacityMemory]
	total, taken := capacity.Value.Value(), int64(0)
	if q := used[capacityMemory]; q != nil {
		taken = q.Value()
	}
	return fmt.Sprintf("%s  %d of %dGi", load.Gauge(load.BasisPoints(taken*int64(load.Full)/total), load.Full), taken>>30, total>>30)
}
