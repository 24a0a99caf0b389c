package gpuslice

import (
	"slices"
	"sync"
	"sync/atomic"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"plimsoll.dev/scheduler/pkg/devices"
	"plimsoll.dev/scheduler/pkg/gpus"
	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/inventory"
	"plimsoll.dev/scheduler/pkg/share"
)

// request is what a cycle knows of its pod. Only PreFilter and PreScore, which
// run before and apart from what reads it, write to it.
type request struct {
	uid types.UID
	// cpu asked for, in thousandths of a core, and memory in bytes.
	cpu, memory int64
	gpu         intent.GPU

	// claims: there is something to allocate or to check.
	claims bool
	// fresh: all of the pod's claims are there and wait to be allocated; listed:
	// some request lists alternatives.
	fresh, listed bool
	// onModel: the model answers for the pod, and the wrapped plugin is only asked
	// about one node at a time; distrusted: what the model says is not relied on.
	onModel, distrusted bool
	// shortlisted: the other plugins see the best nodes only.
	shortlisted bool
	// natural: devices stay in the order in which they are published.
	natural bool
	// asked is what the wrapped plugin answered, by node, and alike the same by what
	// nodes have in common.
	asked, alike sync.Map
	// askedAny: asked holds something.
	askedAny atomic.Bool
	// plan is what the pod is expected to take of the node it was given.
	plan   *devices.Plan
	limits devices.Limits
	// asks are the claims to allocate, and shape is what they ask for.
	asks  []devices.Ask
	shape *devices.Shape
	view  *devices.View
	// extended are the resources that a device class serves on nodes without a
	// device plugin for them; the shape asks for them.
	extended []v1.ResourceName
	// held are what the pod's claims were allocated before.
	held []*resourceapi.AllocationResult

	// units is what is wanted of device plugins, nil if nothing.
	units *gpus.Request
	wants []gpus.Want
	// nvidia: the layout of the node's GPUs must stand still.
	nvidia bool

	// texts are reasons already put into words: many nodes share one.
	texts sync.Map

	// outlook is by which nodes are compared.
	outlook *share.Outlook
	// places is each node's place in the order of preference, 0 the best.
	places map[*v1.Node]int64
}

// Clone implements fwk.StateData.
func (r *request) Clone() fwk.StateData { return r }

// checksLabels tells whether Filter has to look at node labels.
func (r *request) checksLabels() bool {
	return r.units != nil && (r.units.Demanding() || r.nvidia)
}

// read makes the request of a pod.
func (p *GPUSlice) read(pod *v1.Pod, asked *intent.Intent) *request {
	r := &request{uid: pod.UID, gpu: asked.GPU, natural: p.firstFit}
	resources := (&framework.PodInfo{Pod: pod}).CalculateResource()
	r.cpu, r.memory = resources.Resource.GetMilliCPU(), resources.Resource.GetMemory()
	r.wants = inventory.PodGPUs(pod)
	r.limits = devices.Limits{Memory: asked.GPU.MemoryBytes, Isolation: asked.GPU.Isolation}
	if r.asks = p.asks(pod, r); len(r.asks) > 0 {
		if shape, err := p.manager.model.Shape(r.asks, r.limits, p.manager.DeviceClasses()); err == nil {
			// An error is that of a class, which the wrapped plugin reports.
			r.shape = shape
		}
	}
	if len(r.wants) > 0 {
		r.units = gpus.NewRequest(r.wants, asked.GPU.MemoryBytes, asked.GPU.Isolation)
		r.nvidia = slices.ContainsFunc(r.wants, func(w gpus.Want) bool { return gpus.VendorOf(w.Resource) == gpus.Nvidia })
	}
	return r
}

// extendedClaim is what reasons call the claim that the scheduler makes for
// extended resources.
const extendedClaim = "extended resources"

// asks lists what the wrapped plugin will have to allocate. If something is amiss
// with a claim, it lists nothing: the wrapped plugin then says what.
func (p *GPUSlice) asks(pod *v1.Pod, r *request) []devices.Ask {
	var out []devices.Ask
	tracker := p.manager.SharedDRAManager.ResourceClaims()
	r.fresh = true
	for i := range pod.Spec.ResourceClaims {
		ref := &pod.Spec.ResourceClaims[i]
		name, owned, err := resourceclaim.Name(pod, ref)
		if err != nil {
			return nil
		}
		if name == nil {
			continue
		}
		claim, err := tracker.Get(pod.Namespace, *name)
		if err != nil {
			return nil
		}
		pending := claim.Status.Allocation == nil && tracker.GetPendingAllocation(claim.UID) != nil
		if claim.DeletionTimestamp != nil || claim.Status.Allocation != nil || pending ||
			owned && resourceclaim.IsForPod(pod, claim, false) != nil {
			r.fresh = false
		}
		if claim.Status.Allocation != nil {
			r.held = append(r.held, claim.Status.Allocation)
		} else if !pending {
			r.listed = r.listed || listsAlternatives(&claim.Spec)
			out = append(out, devices.Ask{Name: ref.Name, Spec: &claim.Spec})
		}
	}
	if spec, names := extended(pod, p.manager.DeviceClassResolver()); spec != nil {
		r.extended = names
		out = append(out, devices.Ask{Name: extendedClaim, Spec: spec})
	}
	return out
}

func listsAlternatives(spec *resourceapi.ResourceClaimSpec) bool {
	return slices.ContainsFunc(spec.Devices.Requests, func(r resourceapi.DeviceRequest) bool { return r.Exactly == nil })
}

// byClaims tells whether a node serves the pod's extended resources by claims:
// then the claims are judged, not the labels that a device plugin left behind.
func (r *request) byClaims(node fwk.NodeInfo) bool {
	return len(r.extended) > 0 && r.planned(node)
}

// planned tells whether the view speaks of what the pod takes of a node: on one
// whose device plugin serves an extended resource, the claim is another.
func (r *request) planned(node fwk.NodeInfo) bool {
	if r.view == nil {
		return false
	}
	for _, name := range r.extended {
		if node.GetAllocatable().GetScalarResources()[name] > 0 {
			return false
		}
	}
	return true
}

// servedByPlugins tells whether device plugins of the node serve all that the pod
// asks for, so that there is nothing to allocate there.
func (r *request) servedByPlugins(pod *v1.Pod, node fwk.NodeInfo) bool {
	if len(pod.Spec.ResourceClaims) > 0 {
		return false
	}
	for _, name := range r.extended {
		if node.GetAllocatable().GetScalarResources()[name] == 0 {
			return false
		}
	}
	return true
}

// settle lets go of what only choosing the node needed: pods may wait long to be
// bound.
func (r *request) settle() {
	r.view, r.outlook, r.places, r.asks = nil, nil, nil, nil
	r.asked.Clear()
	r.askedAny.Store(false)
	r.alike.Clear()
	r.texts.Clear()
}
