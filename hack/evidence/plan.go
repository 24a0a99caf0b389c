package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"plimsoll.dev/scheduler/internal/openb"
	"plimsoll.dev/scheduler/internal/replay"
	"plimsoll.dev/scheduler/internal/replay/evidence"
	"plimsoll.dev/scheduler/pkg/share"
)

// The seeds are those of the paper.
const firstSeed, lastSeed = 42, 51

// fillLoad is up to which multiple of the GPUs the cluster is filled.
const fillLoad = 1.3

// shipped is where the trace is, from the root of the repository.
const shipped = "internal/openb/data"

// trace is a list of pods, with the nodes that are the same for all of them.
type trace struct {
	nodes                  []openb.Node
	pods                   []openb.Pod
	nodesDigest, podDigest string
}

// experiment is one run to make.
type experiment struct {
	key    evidence.Key
	policy replay.Policy
	trace  *trace
}

func (x *experiment) inputs() evidence.Inputs {
	in := evidence.Inputs{Config: evidence.ConfigOf(x.policy), Nodes: x.trace.nodesDigest, Pods: x.trace.podDigest}
	if !x.policy.Quick && x.key.Experiment != evidence.Compact {
		in.Model = share.Fingerprint()
	}
	return in
}

// plan lists all experiments, what tells most of the least time first. The folder
// with other lists may be empty.
func plan(root, lists string) ([]experiment, error) {
	byDefault, err := readTrace(root, filepath.Join(root, shipped, listFile(evidence.DefaultList)))
	if err != nil {
		return nil, err
	}
	ours, others := replay.Plimsoll(), []replay.Policy{replay.Default(), replay.MostAllocated()}
	var out []experiment
	add := func(name, list string, policy replay.Policy, known bool, seed uint64, tr *trace) {
		out = append(out, experiment{evidence.Key{Experiment: name, List: list, Policy: policy.Name, Known: known, Seed: seed}, policy, tr})
	}
	addDefault := func(name string, policy replay.Policy, known bool, seed uint64) {
		add(name, evidence.DefaultList, policy, known, seed, byDefault)
	}
	addDefault(evidence.Fill, ours, true, firstSeed)
	addDefault(evidence.Fill, ours, false, firstSeed)
	for _, other := range others {
		addDefault(evidence.Fill, other, false, firstSeed)
	}
	full, err := replay.PlimsollTo(100)
	if err != nil {
		return nil, err
	}
	for _, policy := range append([]replay.Policy{full, ours}, others...) {
		addDefault(evidence.Compact, policy, false, firstSeed)
	}
	for seed := uint64(firstSeed + 1); seed <= lastSeed; seed++ {
		addDefault(evidence.Fill, ours, true, seed)
		addDefault(evidence.Fill, ours, false, seed)
	}
	for _, other := range others {
		addDefault(evidence.Churn, other, false, firstSeed)
	}
	for seed := uint64(firstSeed); seed <= lastSeed; seed++ {
		addDefault(evidence.Churn, ours, false, seed)
	}
	if lists == "" {
		return out, nil
	}
	more, err := otherLists(lists)
	if err != nil {
		return nil, err
	}
	for _, list := range more {
		tr, err := readTrace(root, filepath.Join(lists, listFile(list)))
		if err != nil {
			return nil, err
		}
		add(evidence.Fill, list, ours, true, firstSeed, tr)
	}
	return out, nil
}

const listPrefix, listSuffix = "openb_pod_list_", ".csv"

func listFile(name string) string { return listPrefix + name + listSuffix }

// otherLists are the names of the lists in a folder but that which is shipped.
func otherLists(folder string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(folder, listFile("*")))
	if err != nil {
		return nil, fmt.Errorf("-lists: %w", err)
	}
	var out []string
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), listPrefix), listSuffix)
		if name != evidence.DefaultList {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("-lists %s: there is no list of pods; want files named %s", folder, listFile("NAME"))
	}
	slices.Sort(out)
	return out, nil
}

// readTrace reads the nodes that are shipped and a list of pods.
func readTrace(root, list string) (*trace, error) {
	nodeFile := filepath.Join(root, shipped, "openb_node_list_gpu_node.csv")
	data, err := os.ReadFile(nodeFile)
	if err != nil {
		return nil, fmt.Errorf("reading the trace, from the root of the repository: %w", err)
	}
	out := &trace{nodesDigest: evidence.Digest(data)}
	if out.nodes, err = openb.ReadNodes(nodeFile, bytes.NewReader(data)); err != nil {
		return nil, err
	}
	if data, err = os.ReadFile(list); err != nil {
		return nil, fmt.Errorf("reading the trace: %w", err)
	}
	out.podDigest = evidence.Digest(data)
	out.pods, err = openb.ReadPods(list, bytes.NewReader(data))
	return out, err
}

// run makes the run, on every n-th node and pod.
func (x *experiment) run(ctx context.Context, every int, progress func(done, all int)) (*evidence.Result, error) {
	out := &evidence.Result{Key: x.key, Inputs: x.inputs()}
	machine(out)
	nodes, pods := openb.Scaled(x.trace.nodes, x.trace.pods, every)
	switch x.key.Experiment {
	case evidence.Fill:
		f, err := (&replay.Fill{Nodes: nodes, Pods: pods, Load: fillLoad, Seed: x.key.Seed, Policy: x.policy, Known: x.key.Known, Progress: progress}).Run(ctx)
		if err != nil {
			return nil, err
		}
		out.Fill, out.Seconds = evidence.FilledOf(f), f.Seconds
	case evidence.Churn:
		c, err := (&replay.Churn{Nodes: nodes, Pods: pods, Seed: x.key.Seed, Policy: x.policy, Known: x.key.Known, Progress: progress}).Run(ctx)
		if err != nil {
			return nil, err
		}
		out.Churn, out.Seconds = evidence.ChurnedOf(c), c.Seconds
	case evidence.Compact:
		c, err := (&replay.Compact{Nodes: nodes, Pods: pods, Seed: x.key.Seed, Policy: x.policy}).Run(ctx)
		if err != nil {
			return nil, err
		}
		out.Compact, out.Seconds = evidence.CompactedOf(c), c.Seconds
	default:
		return nil, fmt.Errorf("experiment %q is none of fill, churn, compact", x.key.Experiment)
	}
	return out, nil
}
