package gpuslice

import (
	"fmt"
	"sync/atomic"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
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
	// synced: the model has seen all that there were at the start.
	synced cache.InformerSynced
	// strangers: something in this process allocates without telling the model.
	strangers atomic.Bool
}

// watchClaims has the model follow the claims.
func watchClaims(logger klog.Logger, fh fwk.Handle, model *devices.Model) (*claims, error) {
	informer := fh.SharedInformerFactory().Resource().V1().ResourceClaims().Informer()
	out := &claims{indexer: informer.GetIndexer()}
	if _, known := out.indexer.GetIndexers()[byExtendedOwner]; !known {
		if err := informer.AddIndexers(cache.Indexers{byExtendedOwner: extendedOwner}); err != nil {
			return nil, fmt.Errorf("indexing resource claims by pod: %w", err)
		}
	}
	tracker := fh.SharedDRAManager().ResourceClaims()
	handler := onChange(func(claim *resourceapi.ResourceClaim) {
		if model.Observe(claim) && tracker.GetPendingAllocation(claim.UID) != nil && !out.strangers.Swap(true) {
			logger.Error(nil, "A profile of this scheduler allocates devices with DynamicResources, of which GPUSlice only learns afterwards. "+
				"Pods with claims are scheduled without the device model from now on, which is slow. Enable GPUSlice in all profiles instead.",
				"claim", klog.KObj(claim))
		}
	}, model.Gone)
	registration, err := informer.AddEventHandler(handler)
	if err != nil {
		return nil, fmt.Errorf("watching resource claims: %w", err)
	}
	out.synced = registration.HasSynced
	return out, nil
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
