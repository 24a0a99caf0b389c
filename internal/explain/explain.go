package explain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"

	"plimsoll.dev/scheduler/internal/journal"
	"plimsoll.dev/scheduler/internal/offline"
	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/pkg/verdict"
)

const (
	// defaultTop is how many of the best nodes are listed.
	defaultTop = 5
	// examples is how many nodes are named where they are counted.
	examples = 3
)

// Options says what is explained, and with what.
type Options struct {
	// Top is how many of the best nodes are listed, 5 if it is 0.
	Top int
	// Recorder is the one that the plugins of the cluster, and of those made by
	// Again, were given; nil if what they say of the choice is not known.
	Recorder *Recorder
	// Again makes the cluster anew, as it is: preemption is tried there, since it
	// deletes pods, and so is a member of a group, for what plugins decide for it would
	// bind its group. Without it, no pod preempts others, nothing is changed about a
	// member of a group, and whether it would wait for its group is not known.
	Again func(context.Context) (*offline.Cluster, error)
	// Empty makes the cluster anew without any pod, and without what they hold of
	// devices and volumes, to tell a pod that is too large for every node from one that
	// there is no room for. Optional.
	Empty func(context.Context) (*offline.Cluster, error)
}

// Explain says what the cluster's scheduler would do with a pod that is there and
// names no node, and what would have to change if it fits nowhere. The cluster is
// left as it was found. The pod is looked up by namespace and name.
func Explain(ctx context.Context, c *offline.Cluster, pod *v1.Pod, o Options) (*placement.Explanation, error) {
	stored, err := c.Pod(pod.Namespace, pod.Name)
	if err != nil {
		return nil, fmt.Errorf("explaining pod %s: it is not in the cluster: %w", klog.KObj(pod), err)
	}
	if stored.Spec.NodeName != "" {
		return nil, fmt.Errorf("explaining pod %s: it is on node %s, want a pod that waits for one", klog.KObj(pod), stored.Spec.NodeName)
	}
	out := &placement.Explanation{
		SchemaVersion: placement.SchemaVersion, Scheduler: stored.Spec.SchedulerName, Namespace: stored.Namespace, Name: stored.Name,
		Nodes: len(c.Nodes()), Lost: []placement.Loss{}, Top: []placement.Score{}, Devices: []string{},
		Reasons: []verdict.Reason{}, Changes: []placement.Change{},
	}
	t := &trials{cluster: c, pod: stored.DeepCopy(), options: o, grouped: grouped(stored)}
	if t.grouped && o.Again != nil {
		if c, err = o.Again(ctx); err != nil {
			return nil, fmt.Errorf("explaining pod %s: making the cluster anew: %w", klog.KObj(pod), err)
		}
		defer c.Close()
	}
	err = t.cluster.KeepAskOnce(func() error { return t.explain(ctx, c, out) })
	if err != nil {
		return nil, fmt.Errorf("explaining pod %s: %w", klog.KObj(pod), err)
	}
	return out, nil
}

// explain asks about the pod as it is on the given cluster, and then goes on to
// what is left to say.
func (t *trials) explain(ctx context.Context, c *offline.Cluster, out *placement.Explanation) error {
	c.AskOnce(names.SchedulingGates) // nothing opens them meanwhile
	e, err := t.evaluate(ctx, c, t.pod)
	if err != nil {
		return err
	}
	out.Held = e.Held
	if e.Refused != nil {
		reason := reasonOf(e.Refused, e.Refused.Message())
		out.Refused = &reason
	}
	fits := feasible(e)
	out.Feasible, out.Lost = len(fits), losses(e)
	if len(fits) > 0 {
		return t.choose(ctx, c, e, out)
	}
	if done, err := t.preempts(ctx, out); done || err != nil {
		return err
	}
	t.was = refusals(e)
	if err := t.changes(ctx, out); err != nil {
		return err
	}
	return t.ifEmpty(ctx, out)
}

// choose says which node is chosen, and why.
func (t *trials) choose(ctx context.Context, c *offline.Cluster, e *offline.Evaluation, out *placement.Explanation) error {
	best := e.Best()
	out.Ties, out.Top = len(best), top(e, cmp.Or(t.options.Top, defaultTop))
	for _, node := range best {
		var status *fwk.Status
		said, err := t.options.Recorder.hear(func() (err error) {
			ids, refused, err := c.TryOn(ctx, e, node)
			status = refused
			for _, id := range ids {
				out.Devices = append(out.Devices, id.String())
			}
			return err
		})
		if err != nil {
			return err
		}
		if status.IsSuccess() {
			out.Node, out.Reasons = node, append(out.Reasons, said...)
			break
		}
		// The plugins changed their mind: the next of its equals may do.
		reason := reasonOf(status, status.Message())
		out.Refused = &reason
		if e, err = c.Evaluate(ctx, t.pod); err != nil {
			return err
		}
	}
	if out.Node == "" {
		return nil
	}
	out.Refused = nil
	if err := t.held(out); err != nil || !t.grouped || t.options.Again == nil {
		return err
	}
	return t.waits(ctx, c, out)
}

// held adds the devices that the pod's claims had before.
func (t *trials) held(out *placement.Explanation) error {
	for i := range t.pod.Spec.ResourceClaims {
		claim, err := t.claimOf(t.pod, &t.pod.Spec.ResourceClaims[i])
		if err != nil {
			return err
		}
		if claim == nil || claim.Status.Allocation == nil {
			continue
		}
		for _, r := range claim.Status.Allocation.Devices.Results {
			out.Devices = append(out.Devices, fmt.Sprintf("%s/%s/%s", r.Driver, r.Pool, r.Device))
		}
	}
	slices.Sort(out.Devices)
	out.Devices = slices.Compact(out.Devices)
	return nil
}

// waits asks Permit, which binds the pod's group, so only on a cluster made for it.
func (t *trials) waits(ctx context.Context, c *offline.Cluster, out *placement.Explanation) error {
	e, err := c.Evaluate(ctx, t.pod)
	if err != nil {
		return err
	}
	var outcomes []offline.Outcome
	if _, err := t.options.Recorder.hear(func() (err error) {
		outcomes, err = c.Put(ctx, e, out.Node)
		return err
	}); err != nil {
		return err
	}
	if status := outcomes[0].Status; !status.IsSuccess() {
		if by := c.AskedToWait(t.pod.Namespace, t.pod.Name); len(by) > 0 {
			status.SetPlugin(by[0])
		}
		reason := reasonOf(status, status.Reasons()[0]) // what follows is the framework's
		out.Waits = &reason
	}
	return nil
}

// ifEmpty tells whether the pod would fit if it were alone.
func (t *trials) ifEmpty(ctx context.Context, out *placement.Explanation) error {
	if t.options.Empty == nil || out.Held {
		return nil
	}
	c, err := t.options.Empty(ctx)
	if err != nil {
		return fmt.Errorf("making the empty cluster: %w", err)
	}
	defer c.Close()
	e, err := t.alone(ctx, c)
	if err != nil {
		return fmt.Errorf("trying it on the empty cluster: %w", err)
	}
	if e.Refused != nil && out.Refused != nil && e.Refused.Message() == out.Refused.Message {
		return nil // not for want of room
	}
	fits := len(feasible(e))
	out.IfEmpty = &fits
	return nil
}

func feasible(e *offline.Evaluation) []string {
	var out []string
	if e.Failed {
		return nil
	}
	for i := range e.Nodes {
		if e.Nodes[i].Status == nil {
			out = append(out, e.Nodes[i].Node)
		}
	}
	return out
}

// top lists the best nodes; those with equal totals stay in the cluster's order.
func top(e *offline.Evaluation, most int) []placement.Score {
	weights := e.Weights()
	out := []placement.Score{}
	for i := range e.Nodes {
		a := &e.Nodes[i]
		if a.Status != nil {
			continue
		}
		s := placement.Score{Node: a.Node, Total: a.Total, Plugins: []placement.PluginScore{}}
		for _, p := range a.Scores {
			s.Plugins = append(s.Plugins, placement.PluginScore{Plugin: p.Name, Raw: p.Score / max(weights[p.Name], 1), Weighted: p.Score})
		}
		out = append(out, s)
	}
	slices.SortStableFunc(out, func(a, b placement.Score) int { return cmp.Compare(b.Total, a.Total) })
	return out[:min(most, len(out))]
}

// losses counts why nodes were refused: a node that lacks two things counts for
// both.
func losses(e *offline.Evaluation) []placement.Loss {
	at := map[verdict.Reason]int{}
	out := []placement.Loss{}
	for i := range e.Nodes {
		a := &e.Nodes[i]
		if a.Status == nil {
			continue
		}
		for _, message := range a.Status.Reasons() {
			reason := reasonOf(a.Status, message)
			j, known := at[reason]
			if !known {
				j = len(out)
				at[reason] = j
				out = append(out, placement.Loss{Reason: reason, Examples: []string{}})
			}
			out[j].Nodes++
			if len(out[j].Examples) < examples {
				out[j].Examples = append(out[j].Examples, a.Node)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b placement.Loss) int {
		return cmp.Or(cmp.Compare(b.Nodes, a.Nodes), cmp.Compare(a.Plugin, b.Plugin), cmp.Compare(a.Message, b.Message))
	})
	return out
}

func reasonOf(status *fwk.Status, message string) verdict.Reason {
	plugin := status.Plugin()
	if _, by, found := strings.Cut(message, "node(s) didn't satisfy plugin"); found && plugin == "" {
		// The framework names those that narrowed the nodes down only here: "(s) [A B]
		// simultaneously", or one "A".
		by = strings.TrimSuffix(strings.TrimPrefix(by, "(s)"), " simultaneously")
		if by = strings.Trim(by, " []"); by != "in PreFilter" {
			plugin = by
		}
	}
	return verdict.Reason{Plugin: plugin, Code: journal.CodeOf(status, message), Message: message}
}

// errSpent ends the search: no more questions may be asked.
var errSpent = errors.New("all questions are asked")
