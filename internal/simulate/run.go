package simulate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"plimsoll.dev/scheduler/internal/journal"
	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/internal/snapshot"
	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// The engines, by name.
const (
	// Auto is the control plane for clusters that it can copy in about a minute,
	// and memory for larger ones.
	Auto             = "auto"
	InControlPlane   = "control-plane"
	InMemory         = "memory"
	largestCopyNodes = 300
	largestCopyPods  = 3000
)

// Options say what is simulated.
type Options struct {
	// Snapshot is the cluster. It is not changed.
	Snapshot *snapshot.Snapshot
	// Scheduler is Plimsoll, Default or Both.
	Scheduler string
	// Config is a KubeSchedulerConfiguration for Plimsoll, empty for the shipped one.
	Config []byte
	// Engine is Auto, InControlPlane or InMemory.
	Engine string
	// Seed decides among nodes that score alike, in memory. A control plane chooses
	// at random, as upstream does.
	Seed uint64
	// Dir is where temporary folders are made, empty for the system's.
	Dir string
	// Step is told, a line at a time, what is going on, and Progress how many pods
	// of how many have been tried. Both may be nil.
	Step     func(string)
	Progress func(done, all int)
}

// Run simulates.
func Run(ctx context.Context, o Options) (*placement.Simulation, error) {
	if o.Step == nil {
		o.Step = func(string) {}
	}
	if o.Progress == nil {
		o.Progress = func(int, int) {}
	}
	all, err := contestants(Both, o.Config)
	if err != nil {
		return nil, err
	}
	in, err := prepare(o.Snapshot, all[0].cfg)
	if err != nil {
		return nil, err
	}
	if o.Engine, err = engineFor(o.Engine, in); err != nil {
		return nil, err
	}
	chosen, err := contestants(o.Scheduler, o.Config)
	if err != nil {
		return nil, err
	}
	out := &placement.Simulation{SchemaVersion: placement.SchemaVersion, Source: o.Snapshot.Source, Engine: o.Engine, Seed: o.Seed}
	for i := range chosen {
		unmeasured, err := chosen[i].unmeasured()
		if err != nil {
			return nil, err
		}
		in.notes = append(in.notes, unmeasured...)
		result, err := o.simulate(ctx, in, &chosen[i])
		if err != nil {
			return nil, fmt.Errorf("simulating %s: %w", chosen[i].name, err)
		}
		out.Results = append(out.Results, *result)
	}
	out.Notes = append([]string{}, in.notes...)
	return out, nil
}

// engineFor resolves Auto.
func engineFor(name string, in *input) (string, error) {
	switch name {
	case InMemory, InControlPlane:
		return name, nil
	case Auto:
		if len(in.nodes) > largestCopyNodes || len(in.bound)+len(in.queue) > largestCopyPods {
			return InMemory, nil
		}
		return InControlPlane, nil
	}
	return "", fmt.Errorf("engine %q: want one of %s, %s, %s", name, Auto, InControlPlane, InMemory)
}

// start starts an engine.
func (o *Options) start(ctx context.Context, in *input, c *contestant, j *journal.Journal) (Engine, error) {
	cluster := in.cluster()
	scheduler := &Scheduler{Config: c.cfg, YAML: c.yaml, Images: NewEverywhere(in.nodes), Journal: j, Seed: o.Seed}
	if o.Engine == InMemory {
		return NewMemory(ctx, cluster, scheduler)
	}
	return NewControlPlane(ctx, cluster, scheduler, o.Dir, func(step string) { o.Step("started " + step) })
}

// simulate runs one scheduler.
func (o *Options) simulate(ctx context.Context, in *input, c *contestant) (_ *placement.SchedulerResult, err error) {
	o.Step(fmt.Sprintf("%s: %d pods for %d nodes, on which %d run (engine: %s)", c.name, len(in.queue), len(in.nodes), len(in.bound), o.Engine))
	began := time.Now()
	j := journal.New()
	engine, err := o.start(ctx, in, c, j)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	queue := c.addressed(in.queue)
	attempts := make([]*Attempt, len(queue))
	for i, pod := range queue {
		if attempts[i], err = engine.Submit(ctx, pod); err != nil {
			return nil, fmt.Errorf("pod %s: %w", klog.KObj(pod), err)
		}
		o.Progress(i+1, len(queue))
	}
	if err := engine.Settle(ctx); err != nil {
		return nil, err
	}
	for _, note := range engine.Notes() {
		if !slices.Contains(in.notes, note) { // the other scheduler's engine lacks the same
			in.notes = append(in.notes, note)
		}
	}
	state, err := engine.State(ctx)
	if err != nil {
		return nil, err
	}
	o.Step(fmt.Sprintf("%s: done after %.1f s", c.name, time.Since(began).Seconds()))
	targets, err := c.targets()
	if err != nil {
		return nil, err
	}
	r := &reader{in: in, queue: queue, attempts: attempts, state: state, journal: j,
		fleet: machines{nodes: in.nodes, hardware: readHardware(in.objects), targets: targets}}
	return r.result(c.name), nil
}

func nameOf(pod *v1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
}

// reader makes a result of what there is at the end.
type reader struct {
	in    *input
	queue []*v1.Pod
	// attempts are what came of trying each of them first.
	attempts []*Attempt
	state    *State
	journal  *journal.Journal
	fleet    machines
	nodes    map[string]*v1.Node
	devices  map[types.UID][]string
}

func (r *reader) result(scheduler string) *placement.SchedulerResult {
	r.nodes, r.devices = map[string]*v1.Node{}, devicesByUser(r.state.Claims)
	for _, node := range r.in.nodes {
		r.nodes[node.Name] = node
	}
	byName := map[types.NamespacedName]*v1.Pod{}
	var placed []*v1.Pod
	for i := range r.state.Pods {
		pod := &r.state.Pods[i]
		byName[nameOf(pod)] = pod
		if pod.Spec.NodeName != "" {
			placed = append(placed, pod)
		}
	}
	var pods []placement.Pod
	for _, was := range r.in.bound {
		if byName[nameOf(was)] == nil {
			pods = append(pods, preempted(was))
		}
	}
	for _, was := range r.queue {
		if is := byName[nameOf(was)]; is != nil {
			pods = append(pods, r.describe(is))
		} else {
			pods = append(pods, preempted(was))
		}
	}
	h := r.history(byName)
	out := &placement.SchedulerResult{Result: *placement.New(scheduler, pods, len(r.in.nodes), nil), Series: r.fleet.series(h), Nodes: r.fleet.draw(placed, r.state.Claims)}
	out.Summary.NodesInUse = inUse(placed)
	return out
}

// history is what happened to the pods, as far as attempts and the end tell.
func (r *reader) history(byName map[types.NamespacedName]*v1.Pod) *history {
	h := &history{before: r.in.bound, claims: r.state.Claims}
	for _, object := range r.in.objects {
		if claim, is := object.(*resourceapi.ResourceClaim); is {
			h.given = append(h.given, *claim)
		}
	}
	for _, was := range r.in.bound {
		if byName[nameOf(was)] == nil {
			h.gone = append(h.gone, nameOf(was))
		}
	}
	for i, was := range r.queue {
		is, a := byName[nameOf(was)], r.attempts[i]
		now := arrival{gone: a.Evicted}
		switch {
		case is == nil && a.Node != "":
			// It had a place until it was preempted.
			now.pod = was.DeepCopy()
			now.pod.Spec.NodeName = a.Node
			h.gone = append(h.gone, nameOf(was))
		case is == nil || is.Spec.NodeName == "":
		case is.Spec.NodeName == a.Node || len(a.Evicted) > 0:
			// Others had to go, and it takes their place.
			now.pod = is
		default:
			h.late = append(h.late, is)
		}
		h.arrived = append(h.arrived, now)
	}
	return h
}

// inUse counts the nodes with a pod that is not a DaemonSet's.
func inUse(pods []*v1.Pod) int {
	nodes := map[string]bool{}
	for _, pod := range pods {
		if !intent.IsNodeAgent(pod) {
			nodes[pod.Spec.NodeName] = true
		}
	}
	return len(nodes)
}

func preempted(pod *v1.Pod) placement.Pod {
	return placement.Pod{Namespace: pod.Namespace, Name: pod.Name, Phase: placement.Preempted, Reasons: []verdict.Reason{{
		Plugin: "DefaultPreemption", Code: placement.Preempted, Message: "had to make room for a pod of higher priority"}}}
}

// describe says where a pod is and why. One that has a node would run there.
func (r *reader) describe(pod *v1.Pod) placement.Pod {
	p := placement.Pod{Namespace: pod.Namespace, Name: pod.Name, Phase: string(v1.PodPending), Node: pod.Spec.NodeName,
		Reasons: r.journal.Reasons(string(pod.UID)), Devices: r.devices[pod.UID]}
	if p.Node == "" {
		return p
	}
	p.Phase = string(v1.PodRunning)
	if node := r.nodes[p.Node]; node != nil {
		p.Zone, p.Arch = node.Labels[v1.LabelTopologyZone], node.Labels[v1.LabelArchStable]
	}
	return p
}

// devicesByUser lists what is allocated to each pod, as driver/pool/device.
func devicesByUser(claims []resourceapi.ResourceClaim) map[types.UID][]string {
	out := map[types.UID][]string{}
	for i := range claims {
		if claims[i].Status.Allocation == nil {
			continue
		}
		for _, user := range claims[i].Status.ReservedFor {
			for _, d := range claims[i].Status.Allocation.Devices.Results {
				out[user.UID] = append(out[user.UID], fmt.Sprintf("%s/%s/%s", d.Driver, d.Pool, d.Device))
			}
		}
	}
	return out
}
