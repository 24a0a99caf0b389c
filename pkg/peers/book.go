package peers

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// Names of our indexes: EndpointSlices by namespace/service, and Services by
// whether they ask for hints, of which only those that do have a value.
const (
	byService = "plimsoll-service"
	byHints   = "plimsoll-hints"
	asks      = "asks"
)

// Book is safe for concurrent use.
type Book struct {
	services corelisters.ServiceLister
	hinting  cache.Indexer // of Services
	slices   cache.Indexer

	mu sync.Mutex
	// counted are the answers of Ready by namespace/service, until one of the
	// Service's EndpointSlices changes. The maps are shared and never written.
	counted map[string]map[string]int64
}

// New registers informers (EndpointSlices, Services); call it before they are
// started. Those of EndpointSlices keep only what is needed here.
func New(factory informers.SharedInformerFactory) (*Book, error) {
	services, endpoints := factory.Core().V1().Services(), factory.Discovery().V1().EndpointSlices().Informer()
	b := &Book{
		services: services.Lister(), hinting: services.Informer().GetIndexer(), slices: endpoints.GetIndexer(),
		counted: map[string]map[string]int64{},
	}
	if err := endpoints.SetTransform(trimSlice); err != nil {
		return nil, fmt.Errorf("watching EndpointSlices: %w", err)
	}
	if err := addIndex(endpoints, byService, serviceOf); err != nil {
		return nil, fmt.Errorf("watching EndpointSlices: %w", err)
	}
	if err := addIndex(services.Informer(), byHints, hintsIn); err != nil {
		return nil, fmt.Errorf("watching Services: %w", err)
	}
	_, err := endpoints.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    b.forget,
		UpdateFunc: func(before, after any) { b.forget(before); b.forget(after) },
		DeleteFunc: b.forget,
	})
	if err != nil {
		return nil, fmt.Errorf("watching EndpointSlices: %w", err)
	}
	return b, nil
}

// addIndex adds an index unless another Book of these informers has.
func addIndex(informer cache.SharedIndexInformer, name string, index cache.IndexFunc) error {
	if _, found := informer.GetIndexer().GetIndexers()[name]; found {
		return nil
	}
	return informer.AddIndexers(cache.Indexers{name: index})
}

// Ready counts a Service's ready endpoints by zone; those without a zone count
// under "". An endpoint that several slices list counts once, and one of two
// address families too: the family with more endpoints is counted. False if there
// is no such Service. The map is shared, read only.
func (b *Book) Ready(namespace, service string) (byZone map[string]int64, exists bool) {
	if _, err := b.services.Services(namespace).Get(service); err != nil {
		return nil, false // from memory: it is not there
	}
	key := namespace + "/" + service
	b.mu.Lock()
	defer b.mu.Unlock()
	byZone, found := b.counted[key]
	if !found {
		// A slice that changes after it was read here is forgotten after it was
		// counted: forget waits for the lock.
		byZone = b.count(key)
		b.counted[key] = byZone
	}
	return byZone, true
}

func (b *Book) count(key string) map[string]int64 {
	found, err := b.slices.ByIndex(byService, key)
	if err != nil {
		return nil // there is such an index
	}
	endpoints := 0
	for _, obj := range found {
		if slice, ok := obj.(*discovery.EndpointSlice); ok {
			endpoints += len(slice.Endpoints)
		}
	}
	seen := make(map[string]struct{}, endpoints) // no address is of two families
	families, total := map[discovery.AddressType]map[string]int64{}, map[discovery.AddressType]int64{}
	for _, obj := range found {
		slice, ok := obj.(*discovery.EndpointSlice)
		if !ok {
			continue
		}
		byZone := families[slice.AddressType]
		if byZone == nil {
			byZone = map[string]int64{}
			families[slice.AddressType] = byZone
		}
		for i := range slice.Endpoints {
			e := &slice.Endpoints[i]
			if len(e.Addresses) > 0 {
				if _, twice := seen[e.Addresses[0]]; twice {
					continue
				}
				seen[e.Addresses[0]] = struct{}{}
			}
			byZone[zoneOf(e)]++
			total[slice.AddressType]++
		}
	}
	var best discovery.AddressType // of equal ones, the first by name
	for family, n := range total {
		if n > total[best] || n == total[best] && family < best {
			best = family
		}
	}
	return families[best]
}

// forget drops the answer that the slice is part of.
func (b *Book) forget(obj any) {
	if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = gone.Obj
	}
	slice, ok := obj.(*discovery.EndpointSlice)
	if !ok {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.counted, slice.Namespace+"/"+slice.Labels[discovery.LabelServiceName])
}

// Hinting lists the Services of all namespaces that ask for topology hints
// (service.kubernetes.io/topology-mode: Auto), in the order of namespace and name.
// Those without a selector are not among them: the control plane does not write
// their EndpointSlices. The Services are shared, read only.
func (b *Book) Hinting() []*v1.Service {
	found, err := b.hinting.ByIndex(byHints, asks)
	if err != nil {
		return nil // there is such an index
	}
	out := make([]*v1.Service, 0, len(found))
	for _, obj := range found {
		if service, ok := obj.(*v1.Service); ok {
			out = append(out, service)
		}
	}
	slices.SortFunc(out, func(a, b *v1.Service) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return out
}

func hintsIn(obj any) ([]string, error) {
	service, ok := obj.(*v1.Service)
	if !ok || len(service.Spec.Selector) == 0 || !asksForHints(service) {
		return nil, nil
	}
	return []string{asks}, nil
}

// asksForHints reads the annotation and the one it had before, which wins, as the
// control plane does (hintsEnabled of k8s.io/endpointslice).
func asksForHints(service *v1.Service) bool {
	mode, found := service.Annotations[v1.DeprecatedAnnotationTopologyAwareHints]
	if !found {
		mode = service.Annotations[v1.AnnotationTopologyMode]
	}
	return mode == "Auto" || mode == "auto"
}
