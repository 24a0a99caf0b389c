package offline

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/informers/core"
	"k8s.io/client-go/informers/internalinterfaces"
	"k8s.io/client-go/informers/resource"
	"k8s.io/client-go/tools/cache"
)

// observedFactory remembers the handlers that plugins add to the informers of the
// core and resource groups, so that a cluster is only handed out when all of them
// have seen all of it. Upstream waits for its own handlers only.
type observedFactory struct {
	informers.SharedInformerFactory
	handlers []cache.ResourceEventHandlerRegistration
}

func (f *observedFactory) waitForHandlers(ctx context.Context) error {
	for _, h := range f.handlers {
		if !cache.WaitForCacheSync(ctx.Done(), h.HasSynced) {
			return fmt.Errorf("waiting for plugins to see the cluster: %w", context.Cause(ctx))
		}
	}
	return nil
}

// Core returns the group with informers that come from this factory.
func (f *observedFactory) Core() core.Interface { return core.New(f, metav1.NamespaceAll, nil) }

// Resource returns the group with informers that come from this factory.
func (f *observedFactory) Resource() resource.Interface {
	return resource.New(f, metav1.NamespaceAll, nil)
}

// InformerFor is what groups ask their factory for.
func (f *observedFactory) InformerFor(obj runtime.Object, newFunc internalinterfaces.NewInformerFunc) cache.SharedIndexInformer {
	return observedInformer{f.SharedInformerFactory.InformerFor(obj, newFunc), f}
}

type observedInformer struct {
	cache.SharedIndexInformer
	factory *observedFactory
}

func (i observedInformer) AddEventHandler(handler cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	registration, err := i.SharedIndexInformer.AddEventHandler(handler)
	if err == nil {
		i.factory.handlers = append(i.factory.handlers, registration)
	}
	return registration, err
}
