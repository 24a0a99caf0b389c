package stack

import (
	"context"
	"fmt"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	nodefast "sigs.k8s.io/kwok/kustomize/stage/node/fast"
	podfast "sigs.k8s.io/kwok/kustomize/stage/pod/fast"
	"sigs.k8s.io/kwok/pkg/apis/internalversion"
	"sigs.k8s.io/kwok/pkg/apis/v1alpha1"
	"sigs.k8s.io/kwok/pkg/config/resources"
	kwok "sigs.k8s.io/kwok/pkg/kwok/controllers"
	kwoklog "sigs.k8s.io/kwok/pkg/log"
	"sigs.k8s.io/kwok/pkg/utils/informer"
	"sigs.k8s.io/kwok/pkg/utils/lifecycle"
	"sigs.k8s.io/yaml"
)

const (
	// fakeNodeIP is the address of every fake node that brings none; nothing listens there.
	fakeNodeIP = "10.0.0.1"
	// fakePodCIDR is where pods of nodes without a pod CIDR get their addresses.
	fakePodCIDR = "10.244.0.0/16"
	// stageParallelism is how many status writes kwok keeps in flight, per kind.
	stageParallelism = 4
	// byNode indexes pods by the node they are bound to.
	byNode = "spec.nodeName"
)

// fakeNodes plays kubelet for every node: nodes become Ready, bound pods Running, pods of Jobs
// Succeeded, and deleted pods disappear.
//
// It drives kwok's node and pod controllers itself rather than kwok's Controller, which starts an event
// broadcaster and informers it never stops. The price is the feed below.
type fakeNodes struct {
	factory informers.SharedInformerFactory
	nodes   cache.Store
	pods    cache.Indexer

	nodeEvents chan informer.Event[*v1.Node]
	podEvents  chan informer.Event[*v1.Pod]
	// unfed is closed when no event may be sent any more.
	unfed chan struct{}
	clock *mortalClock
}

// startFakeNodes starts kwok's controllers and feeds them every node and every bound pod.
func (s *Stack) startFakeNodes(ctx context.Context, o Options) error {
	if o.NoFakeNodes {
		return nil
	}
	client, err := kubernetes.NewForConfig(s.componentConfig("fake-nodes"))
	if err != nil {
		return err
	}
	f := newFakeNodes(client)
	runCtx, cancel := context.WithCancel(kwoklog.NewContext(context.WithoutCancel(ctx), kwoklog.NewLogger(nil, 0)))
	if err := f.startKwok(runCtx, client); err != nil {
		cancel()
		f.clock.die()
		return err
	}
	s.onStop("fake nodes", func(ctx context.Context) error { return f.stop(ctx, cancel) })
	if err := f.addHandlers(); err != nil {
		return err
	}
	f.factory.Start(f.unfed)
	for kind, synced := range f.factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("waiting for the first list of %v: %w", kind, context.Cause(ctx))
		}
	}
	return nil
}

func newFakeNodes(client kubernetes.Interface) *fakeNodes {
	f := &fakeNodes{
		factory: informers.NewSharedInformerFactory(client, 0),
		// Unbuffered: that a send returns means that the event before it has been dealt with.
		nodeEvents: make(chan informer.Event[*v1.Node]),
		podEvents:  make(chan informer.Event[*v1.Pod]),
		unfed:      make(chan struct{}),
		clock:      newMortalClock(),
	}
	f.nodes = f.factory.Core().V1().Nodes().Informer().GetStore()
	f.pods = f.factory.InformerFor(&v1.Pod{}, newBoundPodInformer).GetIndexer()
	return f
}

// newBoundPodInformer watches bound pods only: unbound ones are none of a kubelet's business.
func newBoundPodInformer(client kubernetes.Interface, resync time.Duration) cache.SharedIndexInformer {
	index := cache.Indexers{byNode: func(obj any) ([]string, error) {
		return []string{obj.(*v1.Pod).Spec.NodeName}, nil
	}}
	return coreinformers.NewFilteredPodInformer(client, metav1.NamespaceAll, resync, index, func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermNotEqualSelector("spec.nodeName", "").String()
	})
}

// startKwok builds and starts the two controllers.
func (f *fakeNodes) startKwok(ctx context.Context, client kubernetes.Interface) error {
	nodeLife, err := decodeLifecycle(ctx, &v1.Node{}, nodefast.DefaultNodeInit)
	if err != nil {
		return err
	}
	podLife, err := decodeLifecycle(ctx, &v1.Pod{}, podfast.DefaultPodReady, podfast.DefaultPodComplete, podfast.DefaultPodDelete)
	if err != nil {
		return err
	}
	nodes, err := kwok.NewNodeController(kwok.NodeControllerConfig{
		Clock:                f.clock,
		TypedClient:          client,
		NodeIP:               fakeNodeIP,
		Lifecycle:            resources.NewStaticGetter(nodeLife),
		PlayStageParallelism: stageParallelism,
	})
	if err != nil {
		return fmt.Errorf("building node controller: %w", err)
	}
	pods, err := kwok.NewPodController(kwok.PodControllerConfig{
		Clock:           f.clock,
		TypedClient:     client,
		NodeIP:          fakeNodeIP,
		CIDR:            fakePodCIDR,
		NodeCacheGetter: nodeGetter{f.nodes},
		// Which pods are managed is decided before they are sent, see sendPod.
		NodeGetFunc:          func(string) (*kwok.NodeInfo, bool) { return &kwok.NodeInfo{}, true },
		Lifecycle:            resources.NewStaticGetter(podLife),
		PlayStageParallelism: stageParallelism,
	})
	if err != nil {
		return fmt.Errorf("building pod controller: %w", err)
	}
	if err := nodes.Start(ctx, f.nodeEvents); err != nil {
		return fmt.Errorf("starting node controller: %w", err)
	}
	if err := pods.Start(ctx, f.podEvents); err != nil {
		return fmt.Errorf("starting pod controller: %w", err)
	}
	return nil
}

// kwokInit is held while kwok prepares the expressions of a lifecycle: it keeps the types in a map that
// all lifecycles of the process share, without a lock.
var kwokInit sync.Mutex

// decodeLifecycle turns kwok's stage documents into what its controllers play to objects of the kind.
func decodeLifecycle(ctx context.Context, kind any, documents ...string) (lifecycle.Lifecycle, error) {
	var stages []*internalversion.Stage
	for _, document := range documents {
		var stage v1alpha1.Stage
		if err := yaml.UnmarshalStrict([]byte(document), &stage); err != nil {
			return nil, fmt.Errorf("decoding kwok stage: %w", err)
		}
		v1alpha1.SetObjectDefaults_Stage(&stage)
		internal, err := internalversion.ConvertToInternalStage(&stage)
		if err != nil {
			return nil, fmt.Errorf("converting kwok stage %s: %w", stage.Name, err)
		}
		stages = append(stages, internal)
	}
	life, err := lifecycle.NewLifecycle(stages)
	if err != nil {
		return nil, err
	}
	// Left to itself, kwok prepares when the first object comes, in any goroutine.
	kwokInit.Lock()
	defer kwokInit.Unlock()
	_, err = life.Match(ctx, &lifecycle.Event{Data: kind})
	return life, err
}

// addHandlers connects the informers with kwok's controllers.
func (f *fakeNodes) addHandlers() error {
	_, err := f.factory.Core().V1().Nodes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			node := obj.(*v1.Node)
			f.sendNode(informer.Added, node)
			// Pods bound before the node was there have been held back until now.
			bound, _ := f.pods.ByIndex(byNode, node.Name) // fails for an unknown index only
			for _, pod := range bound {
				f.sendPod(informer.Sync, pod.(*v1.Pod))
			}
		},
		UpdateFunc: func(_, obj any) { f.sendNode(informer.Modified, obj.(*v1.Node)) },
		DeleteFunc: func(obj any) {
			if node, ok := lastKnown[*v1.Node](obj); ok {
				f.sendNode(informer.Deleted, node)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watching nodes: %w", err)
	}
	_, err = f.factory.InformerFor(&v1.Pod{}, newBoundPodInformer).AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { f.sendPod(informer.Added, obj.(*v1.Pod)) },
		UpdateFunc: func(_, obj any) { f.sendPod(informer.Modified, obj.(*v1.Pod)) },
		DeleteFunc: func(obj any) {
			if pod, ok := lastKnown[*v1.Pod](obj); ok {
				f.sendPod(informer.Deleted, pod)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watching pods: %w", err)
	}
	return nil
}

func (f *fakeNodes) sendNode(kind informer.EventType, node *v1.Node) {
	select {
	case f.nodeEvents <- informer.Event[*v1.Node]{Type: kind, Object: node}:
	case <-f.unfed:
	}
}

// sendPod passes on what happens to a pod whose node exists. A pod being deleted is passed on in any
// case: with its node gone nobody else would remove it.
func (f *fakeNodes) sendPod(kind informer.EventType, pod *v1.Pod) {
	_, nodeExists, _ := f.nodes.GetByKey(pod.Spec.NodeName) // fails never
	if !nodeExists && pod.DeletionTimestamp == nil && kind != informer.Deleted {
		return
	}
	select {
	case f.podEvents <- informer.Event[*v1.Pod]{Type: kind, Object: pod}:
	case <-f.unfed:
	}
}

// lastKnown unwraps what a delete handler gets when the watch has missed the deletion itself.
func lastKnown[T any](obj any) (T, bool) {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	t, ok := obj.(T)
	return t, ok
}

// stop ends the feed first and kwok's goroutines second. The other way round, one that is handing on an
// event would wait forever for a colleague that has already left: kwok's channels ignore the context.
func (f *fakeNodes) stop(ctx context.Context, cancel context.CancelFunc) error {
	defer f.clock.die()
	defer cancel()
	close(f.unfed)
	err := await(ctx, inBackground(f.factory.Shutdown))
	// An event of no known type is ignored; that it is taken means that the last real one is done with.
	select {
	case f.nodeEvents <- informer.Event[*v1.Node]{}:
	case <-ctx.Done():
	}
	select {
	case f.podEvents <- informer.Event[*v1.Pod]{}:
	case <-ctx.Done():
	}
	return err
}

// nodeGetter is kwok's view of the node cache.
type nodeGetter struct{ store cache.Store }

// Get is informer.Getter's.
func (g nodeGetter) Get(name string) (*v1.Node, bool) {
	obj, ok, err := g.store.GetByKey(name)
	if err != nil || !ok {
		return nil, false
	}
	return obj.(*v1.Node), true
}

// GetWithNamespace is informer.Getter's; nodes have no namespace.
func (g nodeGetter) GetWithNamespace(name, _ string) (*v1.Node, bool) { return g.Get(name) }

// List is informer.Getter's.
func (g nodeGetter) List() []*v1.Node {
	var nodes []*v1.Node
	for _, obj := range g.store.List() {
		nodes = append(nodes, obj.(*v1.Node))
	}
	return nodes
}
