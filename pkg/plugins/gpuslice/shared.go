package gpuslice

import (
	"sync"

	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/dynamicresources"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/feature"

	"plimsoll.dev/scheduler/pkg/devices"
)

// Shared is what the profiles of a scheduler have in common: the device model, so
// that each sees at once what the others allocate. The zero value is ready for
// use.
type Shared struct {
	// FirstFit leaves devices in the order in which they are published, so that the
	// allocator takes what it would take without GPUSlice: for comparing with it
	// where it would be too slow by itself.
	FirstFit bool

	mu sync.Mutex
	// source is the scheduler's own manager: one that is started again in the same
	// process has another, and begins with a model that knows nothing of the last.
	source fwk.SharedDRAManager
	model  *devices.Model
	claims *claims
}

// of returns the model of a scheduler for one more of its profiles. The model
// follows the claims if DRA is on.
func (s *Shared) of(logger klog.Logger, fh fwk.Handle, features *feature.Features) (*devices.Model, *claims, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	source := fh.SharedDRAManager()
	if s.model != nil && s.source == source {
		s.claims.join(fh.ProfileName())
		return s.model, s.claims, nil
	}
	s.source, s.claims = source, nil
	s.model = devices.NewModel(dynamicresources.AllocatorFeatures(*features), cel.Features{
		EnableConsumableCapacity: features.EnableDRAConsumableCapacity, EnableListTypeAttributes: features.EnableDRAListTypeAttributes})
	if !features.EnableDynamicResourceAllocation {
		return s.model, nil, nil
	}
	var err error
	s.claims, err = watchClaims(logger, fh, s.model)
	s.claims.join(fh.ProfileName())
	return s.model, s.claims, err
}
