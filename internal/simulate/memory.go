package simulate

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"

	"plimsoll.dev/scheduler/internal/journal"
	"plimsoll.dev/scheduler/internal/offline"
	"plimsoll.dev/scheduler/pkg/plugins"
	"plimsoll.dev/scheduler/pkg/plugins/archaware"
	"plimsoll.dev/scheduler/pkg/plugins/claimgate"
	"plimsoll.dev/scheduler/pkg/plugins/gpuslice"
	"plimsoll.dev/scheduler/pkg/plugins/topology"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// Memory is an engine without an API server: the framework of the real scheduler,
// asked pod by pod.
type Memory struct {
	cluster *offline.Cluster
	journal *journal.Journal
	// choose decides among nodes that score alike.
	choose func(pod *v1.Pod, best []string) string
	// pending are the pods that were tried and have no place, in that order.
	pending []*v1.Pod
	// gone are the pods that had to make room since the last attempt.
	gone []types.NamespacedName
}

// NewMemory returns an engine over a cluster in memory.
func NewMemory(ctx context.Context, c *Cluster, s *Scheduler) (*Memory, error) {
	return newMemory(ctx, c, s, s.Journal)
}

func newMemory(ctx context.Context, c *Cluster, s *Scheduler, recorder verdict.Recorder) (*Memory, error) {
	objects := slices.Clone(c.Objects)
	for _, pod := range c.Bound {
		objects = append(objects, pod)
	}
	registry := plugins.Registry(plugins.Shared{Recorder: recorder,
		Groups: &topology.Shared{PodGroups: c.PodGroups}, Devices: &gpuslice.Shared{EveryNode: s.EveryNode}, Images: &archaware.Shared{Registries: s.Images}})
	cluster, err := offline.New(ctx, s.Config, registry, objects...)
	if err != nil {
		return nil, err
	}
	cluster.WriteClaims()
	cluster.AskOnce(topology.Name, claimgate.Name, gpuslice.Name, names.DynamicResources, names.SchedulingGates)
	rnd := rand.New(rand.NewPCG(s.Seed, 1))
	return &Memory{cluster: cluster, journal: s.Journal,
		choose: func(_ *v1.Pod, best []string) string { return best[rnd.IntN(len(best))] }}, nil
}

// Submit implements Engine.
func (m *Memory) Submit(ctx context.Context, pod *v1.Pod) (*Attempt, error) {
	if err := m.cluster.Apply(ctx, pod); err != nil {
		return nil, err
	}
	a, err := m.try(ctx, pod)
	if err != nil {
		return nil, err
	}
	a.Evicted, m.gone = m.gone, nil
	return a, nil
}

// try makes one attempt, and a second one if others made room for the pod.
func (m *Memory) try(ctx context.Context, pod *v1.Pod) (*Attempt, error) {
	e, err := m.cluster.Evaluate(ctx, pod)
	if err != nil {
		return nil, err
	}
	if len(e.Best()) > 0 {
		return m.place(ctx, pod, e)
	}
	m.journal.Note(pod.UID, whyNowhere(e)...)
	m.wait(pod)
	if e.Held {
		return &Attempt{Fate: Held}, nil
	}
	if e.Failed { // upstream does not ask whom to preempt, either
		return &Attempt{Fate: Refused, Nodes: e.Nodes}, nil
	}
	status, outcomes, err := m.cluster.Fail(ctx, e)
	if err != nil {
		return nil, err
	}
	m.follow(outcomes)
	evicted, err := m.evicted(ctx, pod, status)
	if err != nil || !evicted {
		return &Attempt{Fate: Refused, Nodes: e.Nodes}, err
	}
	again, err := m.cluster.Evaluate(ctx, pod)
	if err != nil || len(again.Best()) == 0 {
		return &Attempt{Fate: Refused, Nodes: e.Nodes}, err
	}
	return m.place(ctx, pod, again)
}

// evicted waits until those are gone that had to make room for the pod, and tells
// whether there were any.
func (m *Memory) evicted(ctx context.Context, pod *v1.Pod, status *fwk.Status) (bool, error) {
	if !status.IsSuccess() {
		return false, nil
	}
	// Preemption goes on in the background, and holds its pod until it is done.
	if _, err := m.cluster.Evaluate(ctx, pod); err != nil {
		return false, err
	}
	gone, err := m.cluster.Evicted(ctx)
	for _, pod := range gone {
		m.gone = append(m.gone, nameOf(pod))
		m.forget(pod.UID)
	}
	return len(gone) > 0, err
}

func (m *Memory) place(ctx context.Context, pod *v1.Pod, e *offline.Evaluation) (*Attempt, error) {
	node := m.choose(pod, e.Best())
	outcomes, err := m.cluster.Put(ctx, e, node)
	if err != nil {
		return nil, err
	}
	m.follow(outcomes)
	a := &Attempt{Fate: Placed, Node: node, Nodes: e.Nodes}
	switch status := outcomes[0].Status; {
	case status.IsWait():
		a.Fate = Waits
	case !status.IsSuccess():
		a.Fate, a.Node = Refused, ""
	}
	return a, nil
}

// follow notes what became of pods.
func (m *Memory) follow(outcomes []offline.Outcome) {
	for _, o := range outcomes {
		if o.Status.IsSuccess() {
			m.journal.Bound(o.Pod.UID)
			m.forget(o.Pod.UID)
			continue
		}
		m.journal.Note(o.Pod.UID, journal.Whole(o.Status)...)
		if o.Status.IsWait() {
			m.forget(o.Pod.UID)
			continue
		}
		back := o.Pod.DeepCopy()
		back.Spec.NodeName = ""
		m.wait(back)
	}
}

func (m *Memory) wait(pod *v1.Pod) {
	if !slices.ContainsFunc(m.pending, func(p *v1.Pod) bool { return p.UID == pod.UID }) {
		m.pending = append(m.pending, pod)
	}
}

func (m *Memory) forget(uid types.UID) {
	m.pending = slices.DeleteFunc(m.pending, func(p *v1.Pod) bool { return p.UID == uid })
}

// Settle tries the pods that wait again, until a round places none and no group only
// backs off.
func (m *Memory) Settle(ctx context.Context) error {
	began := time.Now()
	for {
		before := len(m.pending)
		for _, pod := range slices.Clone(m.pending) {
			if !slices.Contains(m.pending, pod) {
				continue // another one has taken it along
			}
			if _, err := m.try(ctx, pod); err != nil {
				return err
			}
		}
		if len(m.pending) < before {
			continue
		}
		backOff := slices.ContainsFunc(m.pending, func(p *v1.Pod) bool { return backsOff(m.journal.Reasons(string(p.UID))) })
		if !backOff || time.Since(began) > backOffPatience {
			return nil
		}
		select {
		case <-time.After(backOffLook):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// State implements Engine.
func (m *Memory) State(ctx context.Context) (*State, error) {
	pods, err := m.cluster.Pods(ctx)
	if err != nil {
		return nil, err
	}
	claims, err := m.cluster.Claims(ctx)
	return &State{pods, claims}, err
}

// Notes implements Engine. It takes everything.
func (m *Memory) Notes() []string { return nil }

// Close implements Engine.
func (m *Memory) Close() error {
	m.cluster.Close()
	return nil
}

var _ Engine = (*Memory)(nil)

// whyNowhere is why no node takes a pod.
func whyNowhere(e *offline.Evaluation) []verdict.Reason {
	if e.Failed { // upstream keeps the error only, which names the plugin
		return journal.Whole(fwk.AsStatus(e.Refused.AsError()))
	}
	if e.Refused != nil {
		return journal.Whole(e.Refused)
	}
	return journal.Count(func(yield func(*fwk.Status) bool) {
		for _, a := range e.Nodes {
			if a.Status != nil && !yield(a.Status) {
				return
			}
		}
	})
}
