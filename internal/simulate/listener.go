package simulate

import (
	"context"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"plimsoll.dev/scheduler/internal/journal"
	"plimsoll.dev/scheduler/internal/offline"
)

// listener tells an engine what the framework of a profile answers.
type listener struct {
	framework.Framework
	engine *ControlPlane
}

// SignPod signs none: upstream would take over what it found for a pod like this
// one, and nothing would be heard.
func (*listener) SignPod(context.Context, *v1.Pod) fwk.PodSignature { return nil }

// RunPreFilterPlugins begins an attempt.
func (l *listener) RunPreFilterPlugins(ctx context.Context, state fwk.CycleState, pod *v1.Pod) (*fwk.PreFilterResult, *fwk.Status, sets.Set[string]) {
	l.engine.mu.Lock()
	l.engine.cycles[pod.UID] = &Attempt{}
	l.engine.retries.begin(pod.UID)
	delete(l.engine.making, pod.UID)
	l.engine.mu.Unlock()
	return l.Framework.RunPreFilterPlugins(ctx, state, pod)
}

// RunFilterPluginsWithNominatedPods hears of one node.
func (l *listener) RunFilterPluginsWithNominatedPods(ctx context.Context, state fwk.CycleState, pod *v1.Pod, node fwk.NodeInfo) *fwk.Status {
	status := l.Framework.RunFilterPluginsWithNominatedPods(ctx, state, pod, node)
	answer := offline.Answer{Node: node.Node().Name}
	if !status.IsSuccess() {
		answer.Status = status
	}
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	a := l.engine.cycle(pod.UID)
	a.Nodes = append(a.Nodes, answer)
	return status
}

// RunScorePlugins hears of the scores of all nodes.
func (l *listener) RunScorePlugins(ctx context.Context, state fwk.CycleState, pod *v1.Pod, nodes []fwk.NodeInfo) ([]fwk.NodePluginScores, *fwk.Status) {
	scores, status := l.Framework.RunScorePlugins(ctx, state, pod, nodes)
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	a := l.engine.cycle(pod.UID)
	for i := range scores {
		for j := range a.Nodes {
			if a.Nodes[j].Node == scores[i].Name {
				a.Nodes[j].Scores, a.Nodes[j].Total = scores[i].Scores, scores[i].TotalScore
			}
		}
	}
	return scores, status
}

// RunReservePluginsReserve hears which node was chosen.
func (l *listener) RunReservePluginsReserve(ctx context.Context, state fwk.CycleState, pod *v1.Pod, node string) *fwk.Status {
	l.engine.mu.Lock()
	l.engine.busy[pod.UID] = true
	l.engine.cycle(pod.UID).Node = node
	l.engine.mu.Unlock()
	return l.Framework.RunReservePluginsReserve(ctx, state, pod, node)
}

// RunPermitPlugins hears of pods that have to wait.
func (l *listener) RunPermitPlugins(ctx context.Context, state fwk.CycleState, pod *v1.Pod, node string) (map[string]time.Duration, *fwk.Status) {
	timeouts, status := l.Framework.RunPermitPlugins(ctx, state, pod, node)
	if status.IsWait() {
		l.engine.journal.Note(pod.UID, journal.Whole(status)...)
		l.engine.ended(pod, node, Waits)
		// A simulation's clock does not run: nobody's time is up.
		for plugin := range timeouts {
			timeouts[plugin] = time.Hour
		}
	}
	return timeouts, status
}

// WaitOnPermit hears of pods that are let go: from then on they are being bound.
func (l *listener) WaitOnPermit(ctx context.Context, pod *v1.Pod) *fwk.Status {
	status := l.Framework.WaitOnPermit(ctx, pod)
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	if l.engine.waiting[pod.UID] {
		delete(l.engine.waiting, pod.UID)
		l.engine.busy[pod.UID] = true
	}
	return status
}

// RunPostFilterPlugins hears of pods for which others have to make room.
func (l *listener) RunPostFilterPlugins(ctx context.Context, state fwk.CycleState, pod *v1.Pod, statuses fwk.NodeToStatusReader) (*fwk.PostFilterResult, *fwk.Status) {
	result, status := l.Framework.RunPostFilterPlugins(ctx, state, pod, statuses)
	if status.IsSuccess() && result != nil && result.NominatingInfo != nil && result.NominatedNodeName != "" {
		l.engine.mu.Lock()
		l.engine.nominated[pod.UID] = true
		l.engine.mu.Unlock()
	}
	return result, status
}

// RunPostBindPlugins hears of pods that are bound.
func (l *listener) RunPostBindPlugins(ctx context.Context, state fwk.CycleState, pod *v1.Pod, node string) {
	l.Framework.RunPostBindPlugins(ctx, state, pod, node)
	l.engine.journal.Bound(pod.UID)
	l.engine.ended(pod, node, Placed)
}

// ended notes an attempt that found a node.
func (e *ControlPlane) ended(pod *v1.Pod, node string, fate Fate) {
	e.mu.Lock()
	a := e.cycle(pod.UID)
	found := &Attempt{Fate: fate, Node: node, Nodes: a.Nodes}
	e.fates[pod.UID] = found
	delete(e.busy, pod.UID)
	delete(e.waiting, pod.UID)
	delete(e.nominated, pod.UID)
	e.attempts++
	e.retries.found(pod.UID)
	if fate == Waits {
		e.waiting[pod.UID] = true
	} else {
		delete(e.cycles, pod.UID)
	}
	e.mu.Unlock()
	e.tell()
}
