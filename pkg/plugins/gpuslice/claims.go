package gpuslice

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/pkg/devices"
)

// byExtendedOwner indexes the claims that schedulers make for pods with extended
// resources, by the pod's UID.
const byExtendedOwner = "plimsoll.dev/extended-resource-pod"

// claims is the informer's view of ResourceClaims.
type claims struct {
	indexer cache.Indexer
	pods    corelisters.PodLister
	tracker fwk.ResourceClaimTracker
	model   *devices.Model
	// synced: the model has seen all that there were at the start.
	synced cache.InformerSynced
	// follow has the model see what the informer has of a claim now.
	follow func(*resourceapi.ResourceClaim)
	// profiles are those that tell the model what they allocate, and wakers wake
	// their pods.
	profiles, wakers sync.Map
	// last is the last event that hints were asked about.
	last atomic.Pointer[event]
	// strangers: another profile of this process allocates without telling.
	strangers atomic.Bool
	// looked is up to which generation nodes were looked at for such pods. Only
	// scheduling cycles use it, of which there is one at a time.
	looked int64
}

// join notes a profile that tells the model what it allocates.
func (c *claims) join(profile string) {
	if c != nil {
		c.profiles.Store(profile, true)
	}
}

// watchClaims has the model follow the claims.
func watchClaims(logger klog.Logger, fh fwk.Handle, model *devices.Model) (*claims, error) {
	informer := fh.SharedInformerFactory().Resource().V1().ResourceClaims().Informer()
	out := newClaims(logger, informer.GetIndexer(), fh.SharedInformerFactory().Core().V1().Pods().Lister(), fh.SharedDRAManager().ResourceClaims(), model)
	if _, known := out.indexer.GetIndexers()[byExtendedOwner]; !known {
		if err := informer.AddIndexers(cache.Indexers{byExtendedOwner: extendedOwner}); err != nil {
			return nil, fmt.Errorf("indexing resource claims by pod: %w", err)
		}
	}
	registration, err := informer.AddEventHandler(onChange(out.heard, out.heard))
	if err != nil {
		return nil, fmt.Errorf("watching resource claims: %w", err)
	}
	out.synced = registration.HasSynced
	return out, nil
}

// heard follows a claim that the model's own handler hears of, and wakes pods that
// were refused because it had not.
func (c *claims) heard(claim *resourceapi.ResourceClaim) {
	before := c.model.Freed()
	if c.follow(claim); c.model.Freed() == before {
		return
	}
	c.wakers.Range(func(_, wake any) bool {
		wake.(func())()
		return true
	})
}

// event is what happened to a claim: nil before it was there, and after it is gone.
type event struct{ was, is *resourceapi.ResourceClaim }

// changed has the model follow the claim of an event, once for all pods that are
// asked about.
func (c *claims) changed(e event) {
	claim := cmp.Or(e.is, e.was)
	if c == nil || claim == nil {
		return
	}
	if last := c.last.Load(); last == nil || *last != e {
		c.follow(claim)
		c.last.Store(&e)
	}
}

// met notes that a profile allocates a claim without telling the model. Its claims
// in flight are then unknown, and a device could be given away twice.
func (c *claims) met(logger klog.Logger, who klog.KMetadata) {
	if !c.strangers.Swap(true) {
		logger.Error(nil, "A profile of this scheduler allocates devices with DynamicResources, of which GPUSlice only learns afterwards. "+
			"Pods with claims are scheduled without the device model from now on, which is slow. Enable GPUSlice in all profiles instead.",
			"object", klog.KObj(who))
	}
}

// strangerOn finds a pod on a node that another profile of this process has put
// there, with devices of which the model may not know: the tracker knows of an
// allocation that the model does not, or the pod is on its way to the node with
// extended resources, for which there is no claim yet.
func (c *claims) strangerOn(node fwk.NodeInfo, classes fwk.DeviceClassResolver) *v1.Pod {
	for _, info := range node.GetPods() {
		pod := info.GetPod()
		if _, ours := c.profiles.Load(pod.Spec.SchedulerName); ours {
			continue
		}
		if c.unheard(pod) || extends(pod, node, classes) && c.assumed(pod) {
			return pod
		}
	}
	return nil
}

// strangerAnywhere finds such a pod on any node: its devices may be of a pool that nodes
// share. Nodes that have not changed since they were looked at are passed over.
func (c *claims) strangerAnywhere(nodes []fwk.NodeInfo, classes fwk.DeviceClassResolver) *v1.Pod {
	latest := c.looked
	for _, node := range nodes {
		generation := node.GetGeneration()
		if generation <= c.looked {
			continue
		}
		if pod := c.strangerOn(node, classes); pod != nil {
			return pod
		}
		latest = max(latest, generation)
	}
	c.looked = latest
	return nil
}

// extends tells whether a pod has extended resources that claims serve on a node.
func extends(pod *v1.Pod, node fwk.NodeInfo, classes fwk.DeviceClassResolver) bool {
	return slices.ContainsFunc(extendedResources(pod), func(name v1.ResourceName) bool {
		return node.GetAllocatable().GetScalarResources()[name] == 0 && classes.GetDeviceClass(name) != nil
	})
}

// extendedResources are the names of those that a pod asks for.
func extendedResources(pod *v1.Pod) []v1.ResourceName {
	return append(resourceNames(pod.Spec.InitContainers), resourceNames(pod.Spec.Containers)...)
}

// assumed tells whether a pod that counts on a node is not bound for all that the
// informers know. They may be late: then it was bound a moment ago.
func (c *claims) assumed(pod *v1.Pod) bool {
	stored, err := c.pods.Pods(pod.Namespace).Get(pod.Name)
	return err == nil && stored.UID == pod.UID && stored.Spec.NodeName == ""
}

// unheard tells whether a claim of a pod is allocated without the model having
// seen it.
func (c *claims) unheard(pod *v1.Pod) bool {
	var names []string
	for i := range pod.Spec.ResourceClaims {
		if name, _, err := resourceclaim.Name(pod, &pod.Spec.ResourceClaims[i]); err == nil && name != nil {
			names = append(names, *name)
		}
	}
	if extended := pod.Status.ExtendedResourceClaimStatus; extended != nil {
		names = append(names, extended.ResourceClaimName)
	}
	for _, name := range names {
		claim, err := c.tracker.Get(pod.Namespace, name)
		if err != nil {
			continue
		}
		pending := c.tracker.GetPendingAllocation(claim.UID) != nil
		if !pending { // it may have been written since the claim was read
			if claim, err = c.tracker.Get(pod.Namespace, name); err != nil {
				continue
			}
		}
		if claim.Status.Allocation == nil && !pending || c.model.Knows(claim.UID) {
			continue
		}
		// Our own handler may only be late, or that of upstream's cache.
		if c.follow(claim); !c.model.Knows(claim.UID) && (pending || !c.givenBack(pod, claim)) {
			return true
		}
	}
	return false
}

// givenBack tells whether the informers know that a claim, which is allocated as far as
// upstream's cache has heard, no longer is, or that the pod for which it was made is gone.
func (c *claims) givenBack(pod *v1.Pod, claim *resourceapi.ResourceClaim) bool {
	stored := c.stored(claim)
	if stored == nil || stored.UID != claim.UID {
		known, err := c.pods.Pods(pod.Namespace).Get(pod.Name)
		return err != nil || known.UID != pod.UID
	}
	order, err := resourceversion.CompareResourceVersion(stored.ResourceVersion, claim.ResourceVersion)
	return err == nil && order > 0 && stored.Status.Allocation == nil
}

func newClaims(logger klog.Logger, indexer cache.Indexer, pods corelisters.PodLister, tracker fwk.ResourceClaimTracker, model *devices.Model) *claims {
	c := &claims{indexer: indexer, pods: pods, tracker: tracker, model: model}
	c.follow = func(claim *resourceapi.ResourceClaim) {
		news := model.Observe(claim.Namespace, claim.Name, func() *resourceapi.ResourceClaim { return c.stored(claim) })
		if news && tracker.GetPendingAllocation(claim.UID) != nil {
			c.met(logger, claim)
		}
	}
	return c
}

func extendedOwner(object any) ([]string, error) {
	claim, ok := object.(*resourceapi.ResourceClaim)
	if !ok || claim.Annotations[resourceapi.ExtendedResourceClaimAnnotation] != "true" {
		return nil, nil
	}
	if owner := metav1.GetControllerOf(claim); owner != nil {
		return []string{string(owner.UID)}, nil
	}
	return nil, nil
}

// stored is what the informer has of a claim now, nil if nothing.
func (c *claims) stored(claim *resourceapi.ResourceClaim) *resourceapi.ResourceClaim {
	object, _, err := c.indexer.GetByKey(claim.Namespace + "/" + claim.Name)
	if err != nil {
		return nil
	}
	stored, _ := object.(*resourceapi.ResourceClaim)
	return stored
}

// extendedOf lists the claims that were made for a pod's extended resources.
func (c *claims) extendedOf(pod *v1.Pod) []*resourceapi.ResourceClaim {
	objects, err := c.indexer.ByIndex(byExtendedOwner, string(pod.UID))
	if err != nil {
		return nil
	}
	var out []*resourceapi.ResourceClaim
	for _, object := range objects {
		if claim, ok := object.(*resourceapi.ResourceClaim); ok {
			out = append(out, claim)
		}
	}
	return out
}
