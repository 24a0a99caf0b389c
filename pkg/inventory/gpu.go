package inventory

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"plimsoll.dev/scheduler/pkg/gpus"
)

// GPUs reads what nodes offer of GPUs through device plugins. It keeps the facts
// of each node object, so that a scheduling cycle parses no label, and counts
// the GPUs of the cluster. It is safe for concurrent use.
//
// Whoever makes one calls Observe for every node that is added or changed and
// Forget for every one that is deleted, from an informer. A node that was not
// observed is read all the same, at the price of parsing it once; only the
// census does not know it.
type GPUs struct {
	known sync.Map // node name -> *knownGPUs

	mu     sync.Mutex // of what follows
	census gpus.Census
	// counted is what each node has in the census. It is apart from known so
	// that a cycle that still sees a deleted node does not count it again.
	counted map[string][]gpus.Hardware

	worth atomic.Pointer[gpus.Worth]
}

// knownGPUs are the facts of one state of a node.
type knownGPUs struct {
	uid     types.UID
	version string
	// node is set only for objects without a version, which come from files.
	node  *v1.Node
	facts *gpus.Facts
}

func (k *knownGPUs) of(node *v1.Node) bool {
	if k.version == "" {
		return k.node == node
	}
	return k.version == node.ResourceVersion && k.uid == node.UID
}

// NewGPUs returns an inventory that knows no node.
func NewGPUs() *GPUs {
	return &GPUs{counted: map[string][]gpus.Hardware{}}
}

// Facts returns what the node offers. Objects are taken never to change in
// place, as those of informers do not.
func (g *GPUs) Facts(node *v1.Node) *gpus.Facts {
	if kept, found := g.known.Load(node.Name); found {
		if k := kept.(*knownGPUs); k.of(node) {
			return k.facts
		}
	}
	k := &knownGPUs{uid: node.UID, version: node.ResourceVersion, facts: GPUFacts(node)}
	if k.version == "" {
		k.node = node
	}
	g.known.Store(node.Name, k)
	return k.facts
}

// Read reads the node's offers and how much of each is in use. It allocates
// nothing once the node is known.
func (g *GPUs) Read(info fwk.NodeInfo, into *gpus.Node) {
	into.Facts = g.Facts(info.Node())
	allocatable, requested := info.GetAllocatable().GetScalarResources(), info.GetRequested().GetScalarResources()
	for i := range into.Offers {
		name := v1.ResourceName(into.Offers[i].Resource)
		into.Counts[i] = gpus.Count{Allocatable: allocatable[name], Requested: requested[name]}
	}
}

// Observe keeps the facts of a node that was added or changed, and counts its
// GPUs.
func (g *GPUs) Observe(node *v1.Node) {
	g.count(node.Name, g.Facts(node).Hardware)
}

// Forget drops a node that was deleted.
func (g *GPUs) Forget(name string) {
	g.known.Delete(name)
	g.count(name, nil)
}

func (g *GPUs) count(name string, hardware []gpus.Hardware) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.counted[name]
	if slices.Equal(before, hardware) {
		return // a heartbeat
	}
	g.census.Remove(before)
	g.census.Add(hardware)
	if g.counted[name] = hardware; len(hardware) == 0 {
		delete(g.counted, name)
	}
	g.worth.Store(g.census.Worth())
}

// Worth says how scarce each model of the observed nodes is; nil, which is
// valid, before the first was observed.
func (g *GPUs) Worth() *gpus.Worth { return g.worth.Load() }

// PodGPUs returns the GPU resources that the pod asks for, sorted by name, with
// the framework's accounting of init containers, sidecars and pod-level
// resources. It is nil for a pod that asks for none.
func PodGPUs(pod *v1.Pod) []gpus.Want {
	// Not NewPodInfo, which also parses affinity terms.
	amounts := (&framework.PodInfo{Pod: pod}).CalculateResource()
	var out []gpus.Want
	for name, count := range amounts.Resource.GetScalarResources() {
		if count > 0 && gpus.VendorOf(string(name)) != "" {
			out = append(out, gpus.Want{Resource: string(name), Count: count, PerContainer: mostInOne(pod, name)})
		}
	}
	slices.SortFunc(out, func(a, b gpus.Want) int { return strings.Compare(a.Resource, b.Resource) })
	return out
}

// mostInOne is the most of a resource that one of the pod's containers asks for.
func mostInOne(pod *v1.Pod, name v1.ResourceName) (most int64) {
	for _, containers := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			amount := containers[i].Resources.Requests[name]
			most = max(most, amount.Value())
		}
	}
	return most
}

// noGPUs are the facts of every node without GPUs.
var noGPUs = &gpus.Facts{}

// GPUFacts reads a node's labels and status. Any label may be missing, empty or
// nonsense: what it would have told is then unknown.
func GPUFacts(node *v1.Node) *gpus.Facts {
	r := &gpuReader{labels: node.Labels, units: map[string]int64{}}
	for _, list := range []v1.ResourceList{node.Status.Allocatable, node.Status.Capacity} {
		for name, amount := range list {
			if gpus.VendorOf(string(name)) != "" {
				r.units[string(name)] = max(r.units[string(name)], amount.Value())
			}
		}
	}
	facts := &gpus.Facts{}
	facts.Changing, facts.Paused = r.changing()
	resources := slices.Sorted(maps.Keys(r.units))
	for _, resource := range resources[:min(len(resources), gpus.MaxOffers)] {
		var o gpus.Offer
		switch gpus.VendorOf(resource) {
		case gpus.Nvidia:
			o = r.nvidia(resource)
		case gpus.AMD:
			o = r.amd(resource)
		case gpus.Intel:
			o = r.intel(resource)
		}
		facts.Offers = append(facts.Offers, o)
	}
	facts.Hardware = r.hardware(facts.Offers)
	if len(facts.Offers) == 0 && len(facts.Hardware) == 0 && facts.Changing == (gpus.Label{}) && facts.Paused == (gpus.Label{}) {
		return noGPUs
	}
	return facts
}

// gpuReader reads one node.
type gpuReader struct {
	labels map[string]string
	// units is how many units of each GPU resource the node has, whether or not
	// all are healthy: the larger of capacity and allocatable.
	units map[string]int64
}

// hardware sums up the offers by model. A node whose GPUs no device plugin
// offers (claims allocate them, or the plugin is paused) has those its labels
// count, and of a vendor whose labels do not count them, one.
func (r *gpuReader) hardware(offers []gpus.Offer) []gpus.Hardware {
	var out []gpus.Hardware
	for i := range offers {
		o := &offers[i]
		h := gpus.Hardware{Model: o.Model, MilliGPUs: min(max(r.units[o.Resource], 0), 1<<20) * o.MilliGPUs()}
		if h.Model == "" {
			h.Model = o.Resource
		}
		if h.MemoryMiB = r.wholeMemory(o); h.MilliGPUs > 0 {
			out = append(out, h)
		}
	}
	if len(out) == 0 {
		out = slices.Concat(r.nvidiaHardware(), r.amdHardware(), r.intelHardware())
	}
	slices.SortFunc(out, func(a, b gpus.Hardware) int { return strings.Compare(a.Model, b.Model) })
	merged := out[:0]
	for _, h := range out {
		if last := len(merged) - 1; last >= 0 && merged[last].Model == h.Model {
			merged[last].MilliGPUs += h.MilliGPUs
			merged[last].MemoryMiB = max(merged[last].MemoryMiB, h.MemoryMiB)
			continue
		}
		merged = append(merged, h)
	}
	return merged
}

// wholeMemory is about what the whole GPU has of which o is a part.
func (r *gpuReader) wholeMemory(o *gpus.Offer) int64 {
	if o.Covers > 0 {
		return 0
	}
	return min(o.MemoryMiB, 1<<30) * max(o.Replicas, 1) * gpus.SlicesPerGPU / max(o.Slices, 1)
}
