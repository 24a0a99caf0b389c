package explain

import (
	"context"
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"

	"plimsoll.dev/scheduler/internal/offline"
	"plimsoll.dev/scheduler/internal/placement"
)

// preempts tries whether the pod, which no node can take, would get a node by
// preemption, and says which one and whom it costs. Others really are preempted, on a
// cluster made for that. It reports whether the pod gets a node.
func (t *trials) preempts(ctx context.Context, out *placement.Explanation) (bool, error) {
	if t.options.Again == nil || out.Held {
		return false, nil
	}
	if may, err := t.outranks(ctx); !may || err != nil {
		return false, err
	}
	c, err := t.options.Again(ctx)
	if err != nil {
		return false, fmt.Errorf("making the cluster anew: %w", err)
	}
	defer c.Close()
	e, gone, err := t.preempt(ctx, c)
	if err != nil {
		return false, fmt.Errorf("trying preemption: %w", err)
	}
	if e == nil {
		return false, nil
	}
	refused := out.Refused
	if err := t.choose(ctx, c, e, out); err != nil {
		return false, err
	}
	out.Refused = refused
	if out.Node == "" {
		out.Ties, out.Top = 0, []placement.Score{}
		return false, nil
	}
	for _, pod := range gone {
		out.Preempts = append(out.Preempts, pod.Namespace+"/"+pod.Name)
	}
	slices.Sort(out.Preempts)
	return true, nil
}

// outranks tells whether there is a pod that could be preempted at all, which spares
// most pods a cluster.
func (t *trials) outranks(ctx context.Context) (bool, error) {
	pods, err := t.cluster.Pods(ctx)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(pods, func(other v1.Pod) bool {
		return other.Spec.NodeName != "" && corev1helpers.PodPriority(&other) < corev1helpers.PodPriority(t.pod)
	}), nil
}

// preempt asks the plugins whom to preempt, has that happen, and returns what is said
// of the node where it did, nil if no node can take the pod even then.
func (t *trials) preempt(ctx context.Context, c *offline.Cluster) (*offline.Evaluation, []*v1.Pod, error) {
	e, err := t.askIn(ctx, c)
	if err != nil || e.Held || e.Failed || len(feasible(e)) > 0 {
		return nil, nil, err
	}
	status, _, err := c.Fail(ctx, e)
	if err != nil || !status.IsSuccess() {
		return nil, nil, err
	}
	// It goes on in the background, and holds the pod until it is done.
	if _, err := c.Evaluate(ctx, t.pod); err != nil {
		return nil, nil, err
	}
	gone, err := c.Evicted(ctx)
	if err != nil || len(gone) == 0 {
		return nil, nil, err
	}
	if e, err = c.Evaluate(ctx, t.pod); err != nil {
		return nil, nil, err
	}
	// The scheduler looks at that node first, and no further if it can take the pod.
	e.Nodes = slices.DeleteFunc(e.Nodes, func(a offline.Answer) bool { return a.Node != gone[0].Spec.NodeName })
	if len(feasible(e)) == 0 {
		return nil, nil, nil
	}
	return e, gone, nil
}
