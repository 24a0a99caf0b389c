package offline

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// Evaluation is what the framework says of one pod.
type Evaluation struct {
	pod   *v1.Pod
	fw    framework.Framework
	state fwk.CycleState
	// Refused is why the pod as a whole was refused before any node was looked
	// at, or the error if it Failed; nil if neither. Held: a plugin held it back in
	// the queue, and it was not tried at all.
	Refused *fwk.Status
	Held    bool
	// Failed: a plugin returned an error, of one node perhaps. Upstream ends the
	// attempt then: no node is chosen, whatever is said of others, nor is any pod
	// preempted.
	Failed bool
	// Nodes holds one answer per node, in the cluster's order; none if the pod was
	// refused before.
	Nodes []Answer
}

// Answer is what the framework says of one node.
type Answer struct {
	Node string
	// Status is why the node was refused; nil if it can take the pod.
	Status *fwk.Status
	// Scores holds the weighted score of every plugin that scored.
	Scores []fwk.PluginScore
	Total  int64
}

// Evaluate runs the pod's profile over all nodes, up to and including scores.
func (c *Cluster) Evaluate(ctx context.Context, pod *v1.Pod) (*Evaluation, error) {
	fw, found := c.sched.Profiles[pod.Spec.SchedulerName]
	if !found {
		return nil, fmt.Errorf("pod %s: spec.schedulerName %q is not a profile of this configuration", klog.KObj(pod), pod.Spec.SchedulerName)
	}
	snapshot, err := c.snapshot(ctx, fw)
	if err != nil {
		return nil, err
	}
	e := &Evaluation{pod: pod, fw: fw, state: framework.NewCycleState()}
	if e.Refused, err = c.enqueue(ctx, fw, pod); err != nil || e.Refused != nil {
		e.Held = true
		return e, err
	}
	narrowed, status, by := fw.RunPreFilterPlugins(ctx, e.state, pod)
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if !status.IsSuccess() {
		e.Refused, e.Failed = status, !status.IsRejected()
		return e, nil
	}
	nodes := make([]fwk.NodeInfo, len(c.nodes))
	for i, name := range c.nodes {
		if nodes[i], err = snapshot.NodeInfos().Get(name); err != nil {
			return nil, err
		}
	}
	feasible := e.filter(ctx, narrowed, by, nodes)
	if !e.Failed {
		e.score(ctx, feasible)
	}
	// Plugins that were interrupted have said nothing of the pod.
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return e, nil
}

// filter asks about the nodes, several at a time as upstream does, and returns
// those that can take the pod. Of several errors, that of the first node counts;
// upstream has the one that comes first.
func (e *Evaluation) filter(ctx context.Context, narrowed *fwk.PreFilterResult, by sets.Set[string], nodes []fwk.NodeInfo) []fwk.NodeInfo {
	e.Nodes = make([]Answer, len(nodes))
	elsewhere := fwk.NewStatus(fwk.UnschedulableAndUnresolvable, fmt.Sprintf("node(s) didn't satisfy plugin(s) %v", sets.List(by)))
	e.fw.Parallelizer().Until(ctx, len(nodes), func(i int) {
		a := &e.Nodes[i]
		a.Node = nodes[i].Node().Name
		if !narrowed.AllNodes() && !narrowed.NodeNames.Has(a.Node) {
			a.Status = elsewhere.Clone()
		} else if status := e.fw.RunFilterPluginsWithNominatedPods(ctx, e.state, e.pod, nodes[i]); !status.IsSuccess() {
			a.Status = status
		}
	}, "offline")
	var feasible []fwk.NodeInfo
	for i := range e.Nodes {
		switch status := e.Nodes[i].Status; {
		case status == nil:
			feasible = append(feasible, nodes[i])
		case status.Code() == fwk.Error && !e.Failed:
			e.Refused, e.Failed = status, true
		}
	}
	return feasible
}

// AskOnce names plugins whose PreEnqueue knows nothing but what informers have
// told it. Others may wait for something else, such as a registry's answer, and
// are asked again until they let a pod go or ten seconds have passed.
func (c *Cluster) AskOnce(plugins ...string) {
	for _, name := range plugins {
		c.askOnce[name] = true
	}
}

// enqueue does what the queue does before a pod is tried: it asks the plugins
// whether to hold it back.
func (c *Cluster) enqueue(ctx context.Context, fw framework.Framework, pod *v1.Pod) (*fwk.Status, error) {
	for _, plugin := range fw.PreEnqueuePlugins() {
		held := plugin.PreEnqueue(ctx, pod)
		if !held.IsSuccess() && !c.askOnce[plugin.Name()] {
			err := wait.PollUntilContextTimeout(ctx, look, patience, true, func(context.Context) (bool, error) {
				held = plugin.PreEnqueue(ctx, pod)
				return held.IsSuccess(), nil
			})
			if err != nil && (ctx.Err() != nil || !wait.Interrupted(err)) {
				return nil, err
			}
		}
		if !held.IsSuccess() {
			return held.WithPlugin(plugin.Name()), nil
		}
	}
	return nil, nil
}

// score has the feasible nodes scored. Upstream chooses the only one without that, so
// its error would be nobody's.
func (e *Evaluation) score(ctx context.Context, feasible []fwk.NodeInfo) {
	if len(feasible) == 0 {
		return
	}
	var scores []fwk.NodePluginScores
	status := e.fw.RunPreScorePlugins(ctx, e.state, e.pod, feasible)
	if status.IsSuccess() {
		scores, status = e.fw.RunScorePlugins(ctx, e.state, e.pod, feasible)
	}
	if !status.IsSuccess() && len(feasible) > 1 {
		e.Refused, e.Failed = status, true
		return
	}
	// Scores come in the order of the nodes.
	for i, at := 0, 0; i < len(e.Nodes) && at < len(scores); i++ {
		if e.Nodes[i].Node == scores[at].Name {
			e.Nodes[i].Scores, e.Nodes[i].Total = scores[at].Scores, scores[at].TotalScore
			at++
		}
	}
}

// Best lists the nodes with the highest total, in the cluster's order; the
// scheduler would choose one of them at random. It is empty if no node fits, or if
// the attempt failed.
func (e *Evaluation) Best() []string {
	var best []string
	if e.Failed {
		return nil
	}
	top := int64(-1)
	for _, a := range e.Nodes {
		switch {
		case a.Status != nil || a.Total < top:
		case a.Total > top:
			best, top = []string{a.Node}, a.Total
		default:
			best = append(best, a.Node)
		}
	}
	return best
}
