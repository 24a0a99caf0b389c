package simulate

import (
	"context"
	"fmt"

	"plimsoll.dev/scheduler/internal/openb"
	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/internal/replay"
)

// ReplayOptions say which trace is replayed.
type ReplayOptions struct {
	Nodes []openb.Node
	Pods  []openb.Pod
	// Load is how often over the pods ask for all GPUs.
	Load float64
	// Known lets Plimsoll see a sample of the pods first.
	Known bool
	// The others are as in Options.
	Scheduler string
	Config    []byte
	Seed      uint64
	Step      func(string)
	Progress  func(done, all int)
}

// Replay replays a trace, in memory.
func Replay(ctx context.Context, o ReplayOptions) (*placement.Simulation, error) {
	chosen, err := contestants(o.Scheduler, o.Config)
	if err != nil {
		return nil, err
	}
	gpus := openb.Capacity(o.Nodes) / openb.Whole
	out := &placement.Simulation{SchemaVersion: placement.SchemaVersion, Engine: InMemory, Seed: o.Seed,
		Source: fmt.Sprintf("trace openb: %d nodes with %d GPUs, pods drawn from a list of %d until they ask for %.0f%% of the GPUs", len(o.Nodes), gpus, len(o.Pods), 100*o.Load),
		Notes:  []string{"a GPU is a device that claims share by thousandths; pods come one by one, none leaves, and none is tried twice"}}
	for i := range chosen {
		unmeasured, err := chosen[i].unmeasured()
		if err != nil {
			return nil, err
		}
		out.Notes = append(out.Notes, unmeasured...)
		policy := replay.Policy{Name: chosen[i].name, Config: chosen[i].yaml}
		if chosen[i].name == Default {
			policy = replay.Default()
			out.Notes = append(out.Notes, "the default scheduler runs with GPUSlice in the place of DynamicResources, which takes the same devices, only faster",
				"the default scheduler looks at every node, as Plimsoll does (percentageOfNodesToScore: 100)")
		}
		o.Step(fmt.Sprintf("%s: replaying the trace", policy.Name))
		fill := replay.Fill{Nodes: o.Nodes, Pods: o.Pods, Load: o.Load, Seed: o.Seed, Policy: policy, Known: o.Known && chosen[i].name == Plimsoll, Progress: o.Progress}
		filled, err := fill.Run(ctx)
		if err != nil {
			return nil, fmt.Errorf("replaying with %s: %w", policy.Name, err)
		}
		result := resultOf(filled, len(o.Nodes))
		if err := drawLines(result.Nodes, o.Nodes, &chosen[i]); err != nil {
			return nil, err
		}
		out.Results = append(out.Results, *result)
	}
	return out, nil
}

func resultOf(f *replay.Filled, nodes int) *placement.SchedulerResult {
	r := &placement.SchedulerResult{Result: *placement.New(f.Policy, f.Pods, nodes, nil), Series: f.Series, Nodes: f.Nodes,
		Trace: &placement.Trace{GPUs: f.GPUs, UnallocatedPercent: f.UnallocatedPercent, NodesTouched: f.NodesTouched,
			MultiGPURejectedBefore90: f.MultiGPURejectedBefore90, Seconds: f.Seconds}}
	return r
}

// drawLines notes to which line a scheduler fills each node of a trace.
func drawLines(drawn []placement.Node, nodes []openb.Node, c *contestant) error {
	targets, err := c.targets()
	if err != nil || targets == nil {
		return err
	}
	lines := make(map[string]float64, len(nodes))
	for i := range nodes {
		node, _ := nodes[i].Objects()
		lines[node.Name] = targets(node)
	}
	for i := range drawn {
		drawn[i].TargetPercent = lines[drawn[i].Name]
	}
	return nil
}
