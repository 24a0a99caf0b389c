package devices

import (
	"cmp"
	"slices"
	"strings"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"

	"plimsoll.dev/scheduler/pkg/mig"
)

// Layout is a GPU as its driver publishes it, for pictures.
type Layout struct {
	Node string
	// Name is that of its counters, or of the device that is all of it.
	Name  string
	Model string
	// Cells is how many memory slices its grid has, 0 without a grid.
	Cells  int
	Pieces []Piece
}

// Piece is a device of a GPU.
type Piece struct {
	ID   structured.DeviceID
	Spec *resourceapi.Device
	// Profile is its MIG profile, "" if it has none.
	Profile string
	// Mask is its place on the grid, 0 without one.
	Mask mig.Mask
	// Part is its share of the GPU, above 0 to 1.
	Part float64
}

// Layouts lists the GPUs of ResourceSlices that are on one node, by node and name.
// Pools that are incomplete or not understood are left out, and devices that are
// no GPUs.
func Layouts(published []*resourceapi.ResourceSlice) []Layout {
	m := NewModel(structured.Features{PartitionableDevices: true, ConsumableCapacity: true}, cel.Features{EnableConsumableCapacity: true})
	m.Refresh(published)
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Layout
	for _, n := range m.all {
		for _, p := range n.pools {
			for i := range p.gpus {
				if g := &p.gpus[i]; p.isGPU(g) {
					out = append(out, p.layout(n.name, g))
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Layout) int { return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.Name, b.Name)) })
	return out
}

func (p *pool) layout(node string, g *gpu) Layout {
	out := Layout{Node: node, Model: cmp.Or(g.model, p.id.driver), Cells: g.cells}
	for _, at := range g.members {
		d := &p.devices[at]
		part := 1.0
		if g.whole > 0 && !d.multi {
			part = min(1, float64(g.weigh(d))/float64(g.whole))
		}
		out.Pieces = append(out.Pieces, Piece{ID: d.id, Spec: d.spec, Profile: stringAttribute(d, "profile"), Mask: d.mask, Part: part})
		name := d.spec.Name
		if len(d.spec.ConsumesCounters) > 0 {
			name = d.spec.ConsumesCounters[0].CounterSet
		} else if from := parent(d); from != "" {
			name = from
		}
		out.Name = cmp.Or(out.Name, name)
	}
	return out
}
