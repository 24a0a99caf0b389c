package offline

import (
	"context"
	"fmt"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/informers/core"
	corev1 "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// observedFactory remembers the handlers that plugins add to the pod informer,
// so that a cluster is only handed out when all of them have seen all of it.
// Upstream waits for its own handlers only.
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

func (f *observedFactory) Core() core.Interface {
	return observedGroup{f.SharedInformerFactory.Core(), f}
}

type observedGroup struct {
	core.Interface
	factory *observedFactory
}

func (g observedGroup) V1() corev1.Interface { return observedVersion{g.Interface.V1(), g.factory} }

type observedVersion struct {
	corev1.Interface
	factory *observedFactory
}

func (v observedVersion) Pods() corev1.PodInformer {
	return observedPods{v.Interface.Pods(), v.factory}
}

type observedPods struct {
	corev1.PodInformer
	factory *observedFactory
}

func (p observedPods) Informer() cache.SharedIndexInformer {
	return observedInformer{p.PodInformer.Informer(), p.factory}
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
