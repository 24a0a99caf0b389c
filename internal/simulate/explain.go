package simulate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/internal/explain"
	"plimsoll.dev/scheduler/internal/journal"
	"plimsoll.dev/scheduler/internal/offline"
	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/internal/snapshot"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// ExplainOptions say what is explained.
type ExplainOptions struct {
	// Snapshot is the cluster. It is not changed, unless the pod has a node: then it
	// loses it.
	Snapshot *snapshot.Snapshot
	// Pod is NAMESPACE/NAME, or NAME where only one namespace has such a pod.
	Pod string
	// Scheduler is Plimsoll or Default, and Config a KubeSchedulerConfiguration for
	// the former, empty for the shipped one.
	Scheduler string
	Config    []byte
	// Top is how many of the best nodes are listed.
	Top int
	// InTurn has those pods placed first that would be tried before it.
	InTurn bool
	// Seed decides where they go among nodes that score alike.
	Seed uint64
	// Progress is told how many of them have been tried. It may be nil.
	Progress func(done, all int)
}

// Explain says why a pod would be placed where it would be, or not at all.
func Explain(ctx context.Context, o ExplainOptions) (*placement.Explanation, error) {
	if o.Scheduler == Both {
		return nil, fmt.Errorf("scheduler %q: want %s or %s", o.Scheduler, Plimsoll, Default)
	}
	if o.Top < 1 {
		return nil, fmt.Errorf("%d of the best nodes: want at least 1", o.Top)
	}
	pod, err := find(o.Snapshot.Pods, o.Pod)
	if err != nil {
		return nil, err
	}
	snapshot.Unbind(o.Snapshot, func(p *v1.Pod) bool { return p.UID != pod.UID })
	ours, err := contestants(Plimsoll, o.Config)
	if err != nil {
		return nil, err
	}
	chosen, err := contestants(o.Scheduler, o.Config)
	if err != nil {
		return nil, err
	}
	in, err := prepare(o.Snapshot, ours[0].cfg)
	if err != nil {
		return nil, err
	}
	return o.explain(ctx, in, &chosen[0], pod)
}

// explain asks about every node. If that ends in an error, of one node perhaps, it asks
// about those only that the scheduler would look at.
func (o *ExplainOptions) explain(ctx context.Context, in *input, c *contestant, pod *v1.Pod) (*placement.Explanation, error) {
	out, err := o.explainOn(ctx, in, c, pod, true)
	if err != nil || out.Refused == nil || out.Refused.Code != verdict.Code(fwk.Error.String()) {
		return out, err
	}
	return o.explainOn(ctx, in, c, pod, false)
}

func (o *ExplainOptions) explainOn(ctx context.Context, in *input, c *contestant, pod *v1.Pod, everyNode bool) (*placement.Explanation, error) {
	queue := c.addressed(in.queue)
	at := slices.IndexFunc(queue, func(p *v1.Pod) bool { return p.UID == pod.UID })
	if at < 0 {
		return nil, fmt.Errorf("pod %s: spec.schedulerName %q: want that of a scheduler that is simulated", klog.KObj(pod), pod.Spec.SchedulerName)
	}
	recorder := &explain.Recorder{}
	// again makes the cluster anew, with these objects and pods.
	again := func(ctx context.Context, objects []runtime.Object, bound, ahead, waiting []*v1.Pod) (*offline.Cluster, error) {
		scheduler := &Scheduler{Config: c.cfg, YAML: c.yaml, Images: NewEverywhere(in.nodes), Journal: journal.New(), Seed: o.Seed, EveryNode: everyNode}
		return clusterOf(ctx, &Cluster{Objects: objects, Bound: bound, PodGroups: in.podGroups}, scheduler, recorder, ahead, waiting, o.Progress)
	}
	ahead, waiting := []*v1.Pod(nil), queue
	if o.InTurn {
		ahead, waiting = queue[:at], queue[at:]
	}
	cluster, err := again(ctx, in.objects, in.bound, ahead, waiting)
	if err != nil {
		return nil, err
	}
	defer cluster.Close()
	return explain.Explain(ctx, cluster, queue[at], explain.Options{Top: o.Top, Recorder: recorder,
		Again: func(ctx context.Context) (*offline.Cluster, error) {
			return again(ctx, in.objects, in.bound, ahead, waiting)
		},
		Empty: func(ctx context.Context) (*offline.Cluster, error) {
			return again(ctx, snapshot.Idle(in.objects), nil, nil, queue[at:at+1])
		},
	})
}

// clusterOf is a cluster in memory in which some pods have been placed and others
// wait.
func clusterOf(ctx context.Context, c *Cluster, s *Scheduler, recorder verdict.Recorder, ahead, waiting []*v1.Pod, progress func(int, int)) (_ *offline.Cluster, err error) {
	m, err := newMemory(ctx, c, s, recorder)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.Close())
		}
	}()
	for i, pod := range ahead {
		if _, err := m.Submit(ctx, pod); err != nil {
			return nil, err
		}
		if progress != nil {
			progress(i+1, len(ahead))
		}
	}
	for _, pod := range waiting {
		if err := m.cluster.Apply(ctx, pod); err != nil {
			return nil, err
		}
	}
	return m.cluster, nil
}

// find finds a pod by name.
func find(pods []*v1.Pod, name string) (*v1.Pod, error) {
	namespace, short, qualified := strings.Cut(name, "/")
	if !qualified {
		short = name
	}
	var found []*v1.Pod
	for _, pod := range pods {
		if pod.Name == short && (!qualified || pod.Namespace == namespace) {
			found = append(found, pod)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("there is no pod %q among the %d that were read and have not ended", name, len(pods))
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("pod %q: %d namespaces have one, %s and %s among them: want NAMESPACE/NAME", name, len(found), found[0].Namespace, found[1].Namespace)
}
