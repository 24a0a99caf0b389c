package scenarios

import (
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"

	v1 "k8s.io/api/core/v1"

	"plimsoll.dev/scheduler/internal/fleet"
	"plimsoll.dev/scheduler/pkg/gpus"
	"plimsoll.dev/scheduler/pkg/inventory"
	"plimsoll.dev/scheduler/pkg/load"
)

// draw pictures how loaded the nodes are before anything is placed, and what
// their device plugins offer of GPUs.
func (s *story) draw(t *testing.T) (string, error) {
	if err := s.open(t); err != nil {
		return "", err
	}
	scale, err := load.NewScale([]load.Resource{{Name: "cpu", Weight: 1}, {Name: "memory", Weight: 1}})
	if err != nil {
		return "", err
	}
	meter, known := inventory.NewMeter([]v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory}), inventory.NewGPUs()
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 2, 1, 2, ' ', 0)
	for _, name := range sorted(s.cluster.Nodes()) {
		node, err := s.cluster.NodeInfo(t.Context(), name)
		if err != nil {
			return "", err
		}
		var allocatable, used load.Vector
		meter.Allocatable(node, &allocatable)
		meter.Assumed(node, &used)
		u, dominant := scale.Utilization(&allocatable, &used)
		fmt.Fprintf(w, "%s\t%s\t%s of %s\n", name, load.Gauge(u, load.Full), u, scale.Resource(dominant).Name)
		var offers gpus.Node
		known.Read(node, &offers)
		if picture := offers.String(); picture != "" {
			fmt.Fprintf(w, "  %s\n", strings.ReplaceAll(picture, "\n", "\n  "))
		}
	}
	w.Flush()
	return b.String(), nil
}

// drawDevices pictures the GPUs that drivers publish, and what of them is taken.
func (s *story) drawDevices(b *strings.Builder) error {
	if len(s.slices) == 0 {
		return nil
	}
	allocated, err := s.cluster.Allocated()
	if err != nil {
		return err
	}
	lines, err := fleet.Draw(s.slices, allocated)
	for _, line := range lines {
		fmt.Fprintf(b, "%s\n", line)
	}
	return err
}
