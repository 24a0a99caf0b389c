package stack

import (
	"context"
	"fmt"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/restmapper"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/clusterroleaggregation"
	"k8s.io/kubernetes/pkg/controller/deployment"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/job"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/replicaset"
	"k8s.io/kubernetes/pkg/controller/resourceclaim"
	"k8s.io/kubernetes/pkg/features"
)

const (
	// controllerWorkers is per controller; more would only queue up in one process on a few cores.
	controllerWorkers = 4
	// collectorSyncPeriod is how soon the garbage collector learns of new kinds.
	collectorSyncPeriod = 5 * time.Second
)

// controllers are the parts of kube-controller-manager that a scheduler's users notice when missing:
// claims made from templates and released again, pods of Deployments, ReplicaSets and Jobs, the deletion
// of namespaces (5 to 10 seconds, by upstream's constants) and of what a deleted owner leaves behind, and
// the rules of the view, edit and admin roles.
type controllers struct {
	client   kubernetes.Interface
	metadata metadata.Interface
	mapper   *restmapper.DeferredDiscoveryRESTMapper

	informers         informers.SharedInformerFactory
	metadataInformers metadatainformer.SharedInformerFactory
	// informersStarted is closed once informers run: the garbage collector waits for it.
	informersStarted chan struct{}
	collector        *garbagecollector.GarbageCollector
}

// startControllers starts them all and waits until they know what there is.
func (s *Stack) startControllers(ctx context.Context, o Options) error {
	if o.NoControllers {
		return nil
	}
	c, err := s.newControllers()
	if err != nil {
		return err
	}
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	loops, err := c.loops(runCtx)
	if err != nil {
		cancel() // also ends the event broadcasters the constructors have begun
		return err
	}
	c.informers.Start(runCtx.Done())
	close(c.informersStarted)

	var wg sync.WaitGroup
	for _, loop := range loops {
		wg.Go(func() { loop(runCtx) })
	}
	s.onStop("controllers", func(ctx context.Context) error {
		cancel()
		return await(ctx, inBackground(func() {
			wg.Wait()
			c.informers.Shutdown()
			c.metadataInformers.Shutdown()
		}))
	})
	return c.waitForSync(ctx)
}

// waitForSync waits for the first lists of all controllers. They could do without, but a stack stopped
// amid these lists has the API server's etcd client complain to standard error, which nothing can quiet:
// its logger is made when the process starts.
func (c *controllers) waitForSync(ctx context.Context) error {
	for kind, synced := range c.informers.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("waiting for the first list of %v: %w", kind, context.Cause(ctx))
		}
	}
	err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(ctx context.Context) (bool, error) {
		return c.collector.IsSynced(klog.FromContext(ctx)), nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the garbage collector: %w", context.Cause(ctx))
	}
	return nil
}

func (s *Stack) newControllers() (*controllers, error) {
	config := s.componentConfig("controllers")
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	meta, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &controllers{
		client:            client,
		metadata:          meta,
		mapper:            restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery())),
		informers:         informers.NewSharedInformerFactory(client, 0),
		metadataInformers: metadatainformer.NewSharedInformerFactory(meta, 0),
		informersStarted:  make(chan struct{}),
	}, nil
}

// loops builds every controller and returns what runs them.
func (c *controllers) loops(ctx context.Context) ([]func(context.Context), error) {
	core, apps := c.informers.Core().V1(), c.informers.Apps().V1()
	gates := utilfeature.DefaultFeatureGate

	claims, err := resourceclaim.NewController(klog.FromContext(ctx),
		resourceclaim.Features{
			AdminAccess:            gates.Enabled(features.DRAAdminAccess),
			PrioritizedList:        gates.Enabled(features.DRAPrioritizedList),
			WorkloadResourceClaims: gates.Enabled(features.DRAWorkloadResourceClaims),
		},
		c.client, core.Pods(), c.informers.Scheduling().V1alpha2().PodGroups(),
		c.informers.Resource().V1().ResourceClaims(), c.informers.Resource().V1().ResourceClaimTemplates())
	if err != nil {
		return nil, fmt.Errorf("building resource claim controller: %w", err)
	}
	c.collector, err = garbagecollector.NewGarbageCollector(ctx, c.client, c.metadata, c.mapper,
		garbagecollector.DefaultIgnoredResources(),
		informerfactory.NewInformerFactory(c.informers, c.metadataInformers), c.informersStarted)
	if err != nil {
		return nil, fmt.Errorf("building garbage collector: %w", err)
	}
	deployments, err := deployment.NewDeploymentController(ctx, apps.Deployments(), apps.ReplicaSets(), core.Pods(), c.client)
	if err != nil {
		return nil, fmt.Errorf("building deployment controller: %w", err)
	}
	jobs, err := job.NewController(ctx, c.client, core.Pods(), c.informers.Batch().V1().Jobs(),
		c.informers.Scheduling().V1alpha2().Workloads(), c.informers.Scheduling().V1alpha2().PodGroups())
	if err != nil {
		return nil, fmt.Errorf("building job controller: %w", err)
	}
	replicaSets := replicaset.NewReplicaSetController(ctx, apps.ReplicaSets(), core.Pods(), c.client, replicaset.BurstReplicas)
	roles := clusterroleaggregation.NewClusterRoleAggregation(c.informers.Rbac().V1().ClusterRoles(), c.client.RbacV1())
	namespaces := namespace.NewNamespaceController(ctx, c.client, c.metadata,
		c.client.Discovery().ServerPreferredNamespacedResources, core.Namespaces(), 0, v1.FinalizerKubernetes)

	return []func(context.Context){
		func(ctx context.Context) { claims.Run(ctx, controllerWorkers) },
		func(ctx context.Context) { deployments.Run(ctx, controllerWorkers) },
		func(ctx context.Context) { replicaSets.Run(ctx, controllerWorkers) },
		func(ctx context.Context) { jobs.Run(ctx, controllerWorkers) },
		func(ctx context.Context) { namespaces.Run(ctx, controllerWorkers) },
		func(ctx context.Context) { roles.Run(ctx, controllerWorkers) },
		func(ctx context.Context) { c.collector.Run(ctx, controllerWorkers, collectorSyncPeriod) },
		func(ctx context.Context) { c.collector.Sync(ctx, c.client.Discovery(), collectorSyncPeriod) },
	}, nil
}
