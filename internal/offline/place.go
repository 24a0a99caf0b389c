package offline

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// Outcome is what became of a pod for which a node was chosen.
type Outcome struct {
	Pod  *v1.Pod
	Node string
	// Status is nil for a pod that was placed. Wait: it keeps its place while it
	// waits for others. Anything else: why it was sent back.
	Status *fwk.Status
}

// waiting is a pod that Permit holds.
type waiting struct {
	pod   *v1.Pod // with its node
	fw    framework.Framework
	state fwk.CycleState
}

// Place puts the evaluated pod on a node: plugins reserve it and are told it was
// bound, and from now on it counts there. A pod that would have to wait for
// others is an error; Put is for these.
func (c *Cluster) Place(ctx context.Context, e *Evaluation, node string) error {
	outcomes, err := c.Put(ctx, e, node)
	if err != nil {
		return err
	}
	if status := outcomes[0].Status; status.IsWait() {
		return fmt.Errorf("pod %s waits on node %s: %s", klog.KObj(e.pod), node, status.Message())
	} else if !status.IsSuccess() {
		return status.AsError()
	}
	return nil
}

// Put assumes the evaluated pod on a node and has plugins reserve and permit it.
// It returns what became of that pod and then, in the order in which they began
// to wait, of those whose waiting it ended.
func (c *Cluster) Put(ctx context.Context, e *Evaluation, node string) ([]Outcome, error) {
	w := waiting{e.pod.DeepCopy(), e.fw, e.state}
	w.pod.Spec.NodeName = node
	if err := c.sched.Cache.AssumePod(klog.FromContext(ctx), w.pod); err != nil {
		return nil, err
	}
	status := w.fw.RunReservePluginsReserve(ctx, w.state, w.pod, node)
	var timeouts map[string]time.Duration
	if status.IsSuccess() {
		timeouts, status = w.fw.RunPermitPlugins(ctx, w.state, w.pod, node)
	}
	var err error
	switch {
	case status.IsSuccess():
		err = c.bind(ctx, w)
	case status.IsWait():
		// Nothing times out by the clock, only by TimeOut.
		for plugin := range timeouts {
			timeouts[plugin] = time.Hour
		}
		w.fw.AddWaitingPod(w.pod, timeouts)
		c.waiting = append(c.waiting, w)
	default:
		err = c.giveBack(ctx, w)
	}
	if err != nil {
		return nil, err
	}
	others, err := c.settle(ctx)
	return append([]Outcome{{w.pod, node, status}}, others...), err
}

// Waits tells whether Permit holds a pod of that name.
func (c *Cluster) Waits(namespace, name string) bool {
	return slices.ContainsFunc(c.waiting, func(w waiting) bool { return w.pod.Namespace == namespace && w.pod.Name == name })
}

// TimeOut ends the time of the pod that Permit has held longest, and returns what
// became of all that wait no longer.
func (c *Cluster) TimeOut(ctx context.Context) ([]Outcome, error) {
	if len(c.waiting) == 0 {
		return nil, errors.New("no pod waits for others")
	}
	first := c.waiting[0]
	held := first.fw.GetWaitingPod(first.pod.UID)
	if held == nil {
		return nil, fmt.Errorf("the framework has forgotten pod %s, which waits", klog.KObj(first.pod))
	}
	for _, plugin := range held.GetPendingPlugins() {
		held.Reject(plugin, "rejected due to timeout at plugin "+plugin)
	}
	return c.settle(ctx)
}

// Fail does what upstream does for a pod that no node takes: it asks PostFilter
// plugins, which may preempt others or give up on the pod's behalf. It returns
// what they say and what became of pods that waited.
func (c *Cluster) Fail(ctx context.Context, e *Evaluation) (*fwk.Status, []Outcome, error) {
	statuses := framework.NewDefaultNodeToStatus()
	for _, a := range e.Nodes {
		statuses.Set(a.Node, a.Status)
	}
	if len(e.Nodes) == 0 {
		statuses.SetAbsentNodesStatus(e.Refused)
	}
	_, status := e.fw.RunPostFilterPlugins(ctx, e.state, e.pod, statuses)
	outcomes, err := c.settle(ctx)
	return status, outcomes, err
}

// settle ends the waiting of those about whom plugins have decided, and of those
// about whom they decide by that.
func (c *Cluster) settle(ctx context.Context) ([]Outcome, error) {
	var out []Outcome
	for i := 0; i < len(c.waiting); {
		w := c.waiting[i]
		is, err := decided(w.fw.GetWaitingPod(w.pod.UID))
		if err != nil {
			return nil, fmt.Errorf("pod %s: %w", klog.KObj(w.pod), err)
		}
		if !is {
			i++
			continue
		}
		c.waiting = slices.Delete(c.waiting, i, i+1)
		i = 0 // what follows may decide about those before
		status := w.fw.WaitOnPermit(ctx, w.pod)
		if status.IsSuccess() {
			err = c.bind(ctx, w)
		} else {
			err = c.giveBack(ctx, w)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, Outcome{w.pod, w.pod.Spec.NodeName, status})
	}
	return out, nil
}

// decided tells whether somebody has allowed or rejected a waiting pod, so that
// WaitOnPermit would return at once. The framework has no question for it: it
// puts the answer into a channel that nobody has read yet.
func decided(pod fwk.WaitingPod) (bool, error) {
	if pod == nil {
		return false, errors.New("the framework has forgotten that it waits")
	}
	answer := reflect.Indirect(reflect.ValueOf(pod)).FieldByName("s")
	if answer.Kind() != reflect.Chan {
		return false, fmt.Errorf("want a %T to keep its answer in a channel s, got %v", pod, answer.Kind())
	}
	return answer.Len() > 0, nil
}

// bind tells everybody that the pod is on its node.
func (c *Cluster) bind(ctx context.Context, w waiting) error {
	pod := w.pod
	if c.writes {
		var err error
		if pod, err = c.writeClaims(ctx, w); err != nil {
			return err
		}
	}
	if c.applied[w.pod.UID] {
		if err := c.Apply(ctx, pod); err != nil {
			return err
		}
	}
	w.fw.RunPostBindPlugins(ctx, w.state, w.pod, w.pod.Spec.NodeName)
	return nil
}

// giveBack undoes what was assumed and reserved for a pod.
func (c *Cluster) giveBack(ctx context.Context, w waiting) error {
	w.fw.RunReservePluginsUnreserve(ctx, w.state, w.pod, w.pod.Spec.NodeName)
	return c.sched.Cache.ForgetPod(klog.FromContext(ctx), w.pod)
}

// Remove takes a pod that was placed away again, with what it holds. Claims that
// were written are deleted, as those made from a template are with their pod.
func (c *Cluster) Remove(ctx context.Context, e *Evaluation, node string) error {
	w := waiting{e.pod.DeepCopy(), e.fw, e.state}
	w.pod.Spec.NodeName = node
	if c.writes {
		if err := c.eachClaim(c.withExtended(w.pod), func(claim runtime.Object) error { return c.Delete(ctx, claim) }); err != nil {
			return err
		}
	}
	if !c.applied[w.pod.UID] {
		return c.giveBack(ctx, w)
	}
	if !c.writes && mayHoldDevices(w.pod) {
		// What it holds of devices was never written to its claims.
		w.fw.RunReservePluginsUnreserve(ctx, w.state, w.pod, node)
	}
	return c.Delete(ctx, w.pod)
}

// mayHoldDevices tells whether a pod names claims, or asks for extended resources,
// for which a claim may have been made.
func mayHoldDevices(pod *v1.Pod) bool {
	return len(pod.Spec.ResourceClaims) > 0 || slices.ContainsFunc(slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers), func(container v1.Container) bool {
		for name := range container.Resources.Requests {
			if strings.Contains(string(name), "/") {
				return true
			}
		}
		return false
	})
}
