// Package demo runs the shipped examples under the shipped profile on a control
// plane in this process, and reports where each pod went and why.
package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"plimsoll.dev/scheduler/internal/fleet"
	"plimsoll.dev/scheduler/internal/journal"
	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/internal/stack"
	"plimsoll.dev/scheduler/manifests"
	"plimsoll.dev/scheduler/pkg/plugins"
)

// Options configures a run.
type Options struct {
	// Nodes is the size of the cluster, at least fleet.MinNodes.
	Nodes int
	// Dir is where the temporary folder is made; empty for the system's.
	Dir string
	// Progress is told, a line at a time, what is going on.
	Progress func(string)
	// Settle is how long an example's pods may take to end as expected.
	Settle time.Duration
	// AfterStart, if set, is called once everything has settled, before the
	// control plane is stopped, with the control plane still running.
	AfterStart func(ctx context.Context, s *stack.Stack, result *placement.Result) error
}

// Run brings up the control plane, applies the examples one file after the other
// and returns what became of their pods. It leaves nothing behind.
func Run(ctx context.Context, o Options) (result *placement.Result, err error) {
	cluster, err := fleet.Mixed(o.Nodes)
	if err != nil {
		return nil, err
	}
	s, err := stack.Start(ctx, stack.Options{Dir: o.Dir, Progress: func(step string) { o.Progress("started " + step) }})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	if err := cluster.Create(ctx, s.Client()); err != nil {
		return nil, err
	}
	o.Progress(fmt.Sprintf("created %d nodes in 3 zones", len(cluster.Nodes)))
	r, config, err := startRegistry(ctx, s.Dir())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	o.Progress("started registry with the examples' images")
	d := &demo{Options: o, stack: s, client: s.Client(), journal: journal.New(), pools: map[string]string{}, racks: map[string]string{}}
	_, err = s.StartScheduler(ctx, stack.SchedulerOptions{
		Config:    config,
		Plugins:   plugins.Options(plugins.Shared{Recorder: d.journal}),
		OnFailure: d.journal.Failed,
	})
	if err != nil {
		return nil, err
	}
	o.Progress("started scheduler, profile plimsoll")
	result, err = d.runExamples(ctx)
	if err == nil && o.AfterStart != nil {
		err = o.AfterStart(ctx, s, result)
	}
	return result, err
}

type demo struct {
	Options
	stack   *stack.Stack
	client  kubernetes.Interface
	journal *journal.Journal
	pools   map[string]string // node -> pool
	racks   map[string]string // node -> rack
	zones   map[string][2]string
	// expected is how many groups of pods the examples applied so far have.
	expected int
}

func (d *demo) runExamples(ctx context.Context) (*placement.Result, error) {
	if err := d.readNodes(ctx); err != nil {
		return nil, err
	}
	examples, err := manifests.Examples()
	if err != nil {
		return nil, err
	}
	for _, e := range examples {
		if _, err := d.stack.Apply(ctx, e.YAML); err != nil {
			return nil, fmt.Errorf("applying example %s: %w", e.Name, err)
		}
		d.expected += strings.Count(string(e.YAML), ExpectAnnotation)
		groups, err := d.settle(ctx)
		if err != nil {
			return nil, fmt.Errorf("example %s: %w", e.Name, err)
		}
		o := "as expected"
		if n := len(d.unmet(groups)); n > 0 {
			o = fmt.Sprintf("%d things not as expected", n)
		}
		d.Progress(fmt.Sprintf("applied %s: %s", e.Name, o))
	}
	groups, err := d.groups(ctx)
	if err != nil {
		return nil, err
	}
	var pods []placement.Pod
	for _, g := range groups {
		pods = append(pods, g.pods...)
	}
	result := placement.New("plimsoll", pods, len(d.pools), d.unmet(groups))
	result.Pictures, err = d.drawGPUs(ctx)
	return result, err
}

func (d *demo) readNodes(ctx context.Context) error {
	nodes, err := d.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("listing nodes: %w", err)
	}
	d.zones = map[string][2]string{}
	for _, n := range nodes.Items {
		d.pools[n.Name] = n.Labels[fleet.PoolLabel]
		d.racks[n.Name] = n.Labels[fleet.RackLabel]
		d.zones[n.Name] = [2]string{n.Labels[v1.LabelTopologyZone], n.Labels[v1.LabelArchStable]}
	}
	return nil
}

// settle waits until all pods are as expected, or until time is up.
func (d *demo) settle(ctx context.Context) ([]*group, error) {
	ctx, cancel := context.WithTimeout(ctx, d.Settle)
	defer cancel()
	// The journal tells when the scheduler said something; phases change
	// without it, so the pods are looked at now and then as well.
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		groups, err := d.groups(context.WithoutCancel(ctx))
		if err != nil {
			return nil, err
		}
		if len(d.unmet(groups)) == 0 {
			return groups, nil
		}
		select {
		case <-ctx.Done():
			return groups, nil // reported as unmet
		case <-d.journal.Change():
		case <-tick.C:
		}
	}
}

// groups collects the pods that carry an expectation, by owner.
func (d *demo) groups(ctx context.Context) ([]*group, error) {
	pods, err := d.client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing pods: %w", err)
	}
	byName := map[string]*group{}
	for i := range pods.Items {
		pod := &pods.Items[i]
		text, found := pod.Annotations[ExpectAnnotation]
		if !found {
			continue
		}
		name := pod.Name
		if owner := metav1.GetControllerOf(pod); owner != nil {
			name = owner.Name
		}
		g := byName[name]
		if g == nil {
			want, err := parseExpectation(text)
			if err != nil {
				return nil, fmt.Errorf("pod %s/%s: %w", pod.Namespace, pod.Name, err)
			}
			g = &group{name: name, want: want}
			byName[name] = g
		}
		p, err := d.describe(ctx, pod)
		if err != nil {
			return nil, err
		}
		g.pods = append(g.pods, p)
		g.pools = append(g.pools, d.pools[pod.Spec.NodeName])
		g.racks = append(g.racks, d.racks[pod.Spec.NodeName])
	}
	out := make([]*group, 0, len(byName))
	for _, g := range byName {
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b *group) int { return strings.Compare(a.name, b.name) })
	return out, nil
}

func (d *demo) describe(ctx context.Context, pod *v1.Pod) (placement.Pod, error) {
	where := d.zones[pod.Spec.NodeName]
	p := placement.Pod{
		Namespace: pod.Namespace, Name: pod.Name, Phase: string(pod.Status.Phase),
		Node: pod.Spec.NodeName, Zone: where[0], Arch: where[1],
		Reasons: d.journal.Reasons(string(pod.UID)),
	}
	for _, status := range pod.Status.ResourceClaimStatuses {
		if status.ResourceClaimName == nil {
			continue
		}
		claim, err := d.client.ResourceV1().ResourceClaims(pod.Namespace).Get(ctx, *status.ResourceClaimName, metav1.GetOptions{})
		if err != nil {
			return p, fmt.Errorf("reading the claim of pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
		if claim.Status.Allocation == nil {
			continue
		}
		for _, r := range claim.Status.Allocation.Devices.Results {
			p.Devices = append(p.Devices, fmt.Sprintf("%s/%s/%s", r.Driver, r.Pool, r.Device))
		}
	}
	return p, nil
}

// unmet says what is not as the examples applied so far expect.
func (d *demo) unmet(groups []*group) []string {
	var out []string
	if n := d.expected - len(groups); n != 0 {
		out = append(out, fmt.Sprintf("%d of %d examples have no pods", n, d.expected))
	}
	for _, g := range groups {
		out = append(out, g.unmet(groups)...)
	}
	return out
}
