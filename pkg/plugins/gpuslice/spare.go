package gpuslice

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/client-go/tools/cache"

	"plimsoll.dev/scheduler/pkg/devices"
	"plimsoll.dev/scheduler/pkg/gpus"
)

// published is what drivers publish of each node's GPUs. It is kept from an
// informer, so that pods without claims, for which nothing is planned, are kept
// off these nodes too. Readers take no lock.
type published struct {
	byNode sync.Map // node name -> []gpus.Hardware
	nodes  atomic.Int64

	mu     sync.Mutex
	slices map[string]map[string][]gpus.Hardware // node -> slice -> GPUs
}

func (p *published) of(node string) []gpus.Hardware {
	found, _ := p.byNode.Load(node)
	hardware, _ := found.([]gpus.Hardware)
	return hardware
}

// set notes that a slice is there, or gone, and returns what its node now has.
func (p *published) set(s *resourceapi.ResourceSlice, there bool) (node string, all []gpus.Hardware) {
	if s.Spec.NodeName == nil {
		return "", nil
	}
	node = *s.Spec.NodeName
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slices == nil {
		p.slices = map[string]map[string][]gpus.Hardware{}
	}
	if p.slices[node] == nil {
		p.slices[node] = map[string][]gpus.Hardware{}
	}
	delete(p.slices[node], s.Name)
	if found := devices.Hardware(s); there && len(found) > 0 {
		p.slices[node][s.Name] = found
	}
	for _, name := range slices.Sorted(maps.Keys(p.slices[node])) {
		all = append(all, p.slices[node][name]...)
	}
	_, before := p.byNode.Load(node)
	switch {
	case len(all) > 0:
		p.byNode.Store(node, all)
		if !before {
			p.nodes.Add(1)
		}
	default:
		delete(p.slices, node)
		if p.byNode.Delete(node); before {
			p.nodes.Add(-1)
		}
	}
	return node, all
}

// worthOf is how scarce the scarcest GPU of a node is, 0 for a node without.
func (p *GPUSlice) worthOf(node *v1.Node) int64 {
	worth := p.gpus.Worth() // counts what is published, too
	facts := p.gpus.Facts(node)
	hardware := p.published.of(node.Name)
	switch published := worth.Of(&gpus.Facts{Hardware: hardware}); {
	case len(hardware) == 0:
		return worth.Of(facts)
	case len(facts.Offers) == 0:
		return published // labels tell of the same GPUs, and less
	default:
		return max(worth.Of(facts), published)
	}
}

// watch keeps the inventory of nodes and of what drivers publish.
func (p *GPUSlice) watch(dra bool) error {
	nodes := p.handle.SharedInformerFactory().Core().V1().Nodes().Informer()
	if _, err := nodes.AddEventHandler(onChange(
		func(node *v1.Node) { p.gpus.Observe(node); p.platforms.Observe(node) },
		func(node *v1.Node) { p.gpus.Forget(node.Name); p.platforms.Forget(node.Name) })); err != nil {
		return fmt.Errorf("watching nodes for their GPUs: %w", err)
	}
	if !dra {
		return nil
	}
	all := p.handle.SharedInformerFactory().Resource().V1().ResourceSlices().Informer()
	if _, err := all.AddEventHandler(onChange(
		func(s *resourceapi.ResourceSlice) { p.gpus.Publish(p.published.set(s, true)) },
		func(s *resourceapi.ResourceSlice) { p.gpus.Publish(p.published.set(s, false)) })); err != nil {
		return fmt.Errorf("watching resource slices for GPUs: %w", err)
	}
	return nil
}

// onChange calls seen for objects that are there and gone for those that are not
// any more.
func onChange[T any](seen, gone func(T)) cache.ResourceEventHandler {
	call := func(f func(T), object any) {
		if late, missed := object.(cache.DeletedFinalStateUnknown); missed {
			object = late.Obj
		}
		if typed, ok := object.(T); ok {
			f(typed)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { call(seen, object) },
		UpdateFunc: func(_, object any) { call(seen, object) },
		DeleteFunc: func(object any) { call(gone, object) },
	}
}
