package offline

import (
	"context"
	"errors"
	"fmt"
	"sync"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
)

// Cluster is a cluster in memory and the scheduler that looks at it. It is not
// safe for concurrent use.
type Cluster struct {
	sched     *scheduler.Scheduler
	client    *fake.Clientset
	informers *observedFactory
	nodes     []string
	cancel    context.CancelFunc

	// version is that of the last object that was applied.
	version int64
	// applied are the pods that the API knows, so that binding one changes it
	// there.
	applied map[types.UID]bool
	// waiting are the pods that Permit holds, longest first.
	waiting []waiting
	askOnce map[string]bool
	// writes: binding writes claims, see WriteClaims.
	writes bool
	// evicted are pods that plugins deleted, guarded by evictedMu: they do so in
	// the background.
	evicted   []*v1.Pod
	evictedMu sync.Mutex
}

// New returns a cluster of the given objects. Pods that name a node run on it;
// others are only seen by informers. The order of the nodes is the order in
// which the scheduler looks at them.
func New(ctx context.Context, cfg *config.KubeSchedulerConfiguration, registry frameworkruntime.Registry, objects ...runtime.Object) (*Cluster, error) {
	c := &Cluster{applied: map[types.UID]bool{}, askOnce: map[string]bool{}}
	objects, err := c.restamped(objects)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	// Not NewClientset, which keeps managed fields, and for that lists every type
	// there is on every write.
	client := fake.NewSimpleClientset(objects...)
	informers := newObservedFactory(scheduler.NewInformerFactory(client, 0))
	c.client, c.informers, c.cancel = client, informers, cancel
	c.noteEvictions()
	// Events would be recorded by a goroutine; nobody reads them here.
	recorder := func(string) events.EventRecorderLogger { return &events.FakeRecorder{} }
	sched, err := scheduler.New(ctx, client, informers, nil, recorder,
		scheduler.WithProfiles(cfg.Profiles...),
		scheduler.WithPercentageOfNodesToScore(cfg.PercentageOfNodesToScore),
		scheduler.WithParallelism(cfg.Parallelism),
		scheduler.WithFrameworkOutOfTreeRegistry(registry))
	if err != nil {
		cancel()
		return nil, err
	}
	c.sched = sched
	informers.Start(ctx.Done())
	informers.WaitForCacheSync(ctx.Done())
	err = errors.Join(sched.WaitForHandlersSync(ctx), informers.waitForHandlers(ctx), c.waitForSlices(ctx, objects))
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("reading the cluster: %w", err)
	}
	if err := c.order(ctx, objects); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// order puts the scheduler's nodes in that of the objects, since the informers'
// store has none. The nodes are those that plugins were told of, so that what they
// keep of them is found again.
func (c *Cluster) order(ctx context.Context, objects []runtime.Object) error {
	logger := klog.FromContext(ctx)
	stored := c.informers.Core().V1().Nodes().Lister()
	for _, obj := range objects {
		given, ok := obj.(*v1.Node)
		if !ok {
			continue
		}
		node, err := stored.Get(given.Name)
		if err != nil {
			return fmt.Errorf("reading node %s: %w", given.Name, err)
		}
		if err := c.sched.Cache.RemoveNode(logger, node); err != nil {
			return fmt.Errorf("putting node %s in its place: %w", given.Name, err)
		}
		c.sched.Cache.AddNode(logger, node)
		c.nodes = append(c.nodes, node.Name)
	}
	return nil
}

// Close stops the cluster's informers.
func (c *Cluster) Close() { c.cancel() }

// Nodes lists the nodes' names in the cluster's order.
func (c *Cluster) Nodes() []string { return c.nodes }

// NodeInfo returns what the scheduler knows of a node now.
func (c *Cluster) NodeInfo(ctx context.Context, name string) (fwk.NodeInfo, error) {
	for _, fw := range c.sched.Profiles {
		snapshot, err := c.snapshot(ctx, fw)
		if err != nil {
			return nil, err
		}
		return snapshot.NodeInfos().Get(name)
	}
	return nil, errors.New("the cluster has no profile")
}

func (c *Cluster) snapshot(ctx context.Context, fw framework.Framework) (*internalcache.Snapshot, error) {
	snapshot, ok := fw.SnapshotSharedLister().(*internalcache.Snapshot)
	if !ok {
		return nil, fmt.Errorf("want the scheduler's own snapshot, got a %T", fw.SnapshotSharedLister())
	}
	return snapshot, c.sched.Cache.UpdateSnapshot(klog.FromContext(ctx), snapshot)
}
