package offline

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/informers/apps"
	"k8s.io/client-go/informers/batch"
	"k8s.io/client-go/informers/core"
	"k8s.io/client-go/informers/discovery"
	"k8s.io/client-go/informers/internalinterfaces"
	"k8s.io/client-go/informers/policy"
	"k8s.io/client-go/informers/resource"
	"k8s.io/client-go/informers/scheduling"
	"k8s.io/client-go/informers/storage"
	"k8s.io/client-go/tools/cache"
)

// observedFactory remembers the handlers that upstream and plugins add to
// informers, so that a cluster is only handed out, and a change only done, when
// all of them have seen all of it. Upstream waits for its own handlers only, and
// only at the start.
type observedFactory struct {
	informers.SharedInformerFactory

	mu       sync.Mutex
	handlers []*observedHandler
	// stores are those of the informers that anybody asked for, by type of object.
	stores map[reflect.Type]cache.Store
	// more is closed, and replaced, when a handler is through with an object.
	more chan struct{}
}

// patience is how long the scheduler may take to see an object or a plugin to make
// up its mind, and look how often it is asked at least.
const (
	patience = 10 * time.Second
	look     = time.Millisecond
)

func newObservedFactory(inner informers.SharedInformerFactory) *observedFactory {
	return &observedFactory{SharedInformerFactory: inner, stores: map[reflect.Type]cache.Store{}, more: make(chan struct{})}
}

// waitForHandlers returns once all handlers have seen the cluster.
func (f *observedFactory) waitForHandlers(ctx context.Context) error {
	for _, h := range f.observing(nil) {
		if !cache.WaitForCacheSync(ctx.Done(), h.registration.HasSynced) {
			return fmt.Errorf("waiting for plugins to see the cluster: %w", context.Cause(ctx))
		}
	}
	return nil
}

// observing lists the handlers of a type of object; of all if it is nil.
func (f *observedFactory) observing(kind reflect.Type) []*observedHandler {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*observedHandler
	for _, h := range f.handlers {
		if kind == nil || h.kind == kind {
			out = append(out, h)
		}
	}
	return out
}

// seen tells whether an informer of the type, if there is one, and all of its
// handlers are through with this version of an object; "" if it is gone.
func (f *observedFactory) seen(kind reflect.Type, key, version string) (bool, error) {
	f.mu.Lock()
	store := f.stores[kind]
	f.mu.Unlock()
	if store == nil {
		return true, nil
	}
	object, exists, err := store.GetByKey(key)
	if err != nil {
		return false, err
	}
	if exists != (version != "") || exists && versionOf(object) != version {
		return false, nil
	}
	for _, h := range f.observing(kind) {
		if h.versionOf(key) != version {
			return false, nil
		}
	}
	return true, nil
}

// waitUntil returns once it is so. It looks again whenever a handler is through with
// an object, and now and then, since an informer without handlers tells nobody.
func (f *observedFactory) waitUntil(ctx context.Context, is func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		f.mu.Lock()
		more := f.more
		f.mu.Unlock()
		if so, err := is(); so || err != nil {
			return err
		}
		select {
		case <-more:
		case <-time.After(look):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (f *observedFactory) tellMore() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.more)
	f.more = make(chan struct{})
}

// The groups' informers come from this factory.

// Apps returns the group of ReplicaSets, Deployments and their like.
func (f *observedFactory) Apps() apps.Interface { return apps.New(f, metav1.NamespaceAll, nil) }

// Batch returns the group of Jobs.
func (f *observedFactory) Batch() batch.Interface { return batch.New(f, metav1.NamespaceAll, nil) }

// Core returns the group of pods, nodes and Services.
func (f *observedFactory) Core() core.Interface { return core.New(f, metav1.NamespaceAll, nil) }

// Discovery returns the group of EndpointSlices.
func (f *observedFactory) Discovery() discovery.Interface {
	return discovery.New(f, metav1.NamespaceAll, nil)
}

// Policy returns the group of PodDisruptionBudgets.
func (f *observedFactory) Policy() policy.Interface { return policy.New(f, metav1.NamespaceAll, nil) }

// Resource returns the group of ResourceSlices and claims.
func (f *observedFactory) Resource() resource.Interface {
	return resource.New(f, metav1.NamespaceAll, nil)
}

// Scheduling returns the group of native PodGroups.
func (f *observedFactory) Scheduling() scheduling.Interface {
	return scheduling.New(f, metav1.NamespaceAll, nil)
}

// Storage returns the group of StorageClasses and CSINodes.
func (f *observedFactory) Storage() storage.Interface {
	return storage.New(f, metav1.NamespaceAll, nil)
}

// InformerFor is what groups ask their factory for.
func (f *observedFactory) InformerFor(obj runtime.Object, newFunc internalinterfaces.NewInformerFunc) cache.SharedIndexInformer {
	inner := f.SharedInformerFactory.InformerFor(obj, newFunc)
	kind := reflect.TypeOf(obj)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stores[kind] = inner.GetStore()
	return observedInformer{inner, f, kind}
}

type observedInformer struct {
	cache.SharedIndexInformer
	factory *observedFactory
	kind    reflect.Type
}

func (i observedInformer) AddEventHandler(handler cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	return i.AddEventHandlerWithOptions(handler, cache.HandlerOptions{})
}

func (i observedInformer) AddEventHandlerWithResyncPeriod(handler cache.ResourceEventHandler, period time.Duration) (cache.ResourceEventHandlerRegistration, error) {
	return i.AddEventHandlerWithOptions(handler, cache.HandlerOptions{ResyncPeriod: &period})
}

func (i observedInformer) AddEventHandlerWithOptions(handler cache.ResourceEventHandler, options cache.HandlerOptions) (cache.ResourceEventHandlerRegistration, error) {
	h := &observedHandler{inner: handler, factory: i.factory, kind: i.kind, versions: map[string]string{}}
	var err error
	h.registration, err = i.SharedIndexInformer.AddEventHandlerWithOptions(h, options)
	if err == nil {
		i.factory.mu.Lock()
		defer i.factory.mu.Unlock()
		i.factory.handlers = append(i.factory.handlers, h)
	}
	return h.registration, err
}

// observedHandler notes which version of every object its inner handler is
// through with.
type observedHandler struct {
	inner        cache.ResourceEventHandler
	factory      *observedFactory
	kind         reflect.Type
	registration cache.ResourceEventHandlerRegistration

	mu       sync.Mutex
	versions map[string]string
}

func (h *observedHandler) OnAdd(obj any, initial bool) {
	h.inner.OnAdd(obj, initial)
	h.note(obj, versionOf(obj))
}

func (h *observedHandler) OnUpdate(old, obj any) {
	h.inner.OnUpdate(old, obj)
	h.note(obj, versionOf(obj))
}

func (h *observedHandler) OnDelete(obj any) {
	h.inner.OnDelete(obj)
	h.note(obj, "")
}

// note leaves objects without a version out: they came with the cluster, and
// nobody waits for them.
func (h *observedHandler) note(obj any, version string) {
	key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj)
	if err != nil {
		return
	}
	h.mu.Lock()
	if version == "" {
		delete(h.versions, key)
	} else {
		h.versions[key] = version
	}
	h.mu.Unlock()
	h.factory.tellMore()
}

func (h *observedHandler) versionOf(key string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.versions[key]
}

func versionOf(obj any) string {
	if m, err := meta.Accessor(obj); err == nil {
		return m.GetResourceVersion()
	}
	return ""
}
