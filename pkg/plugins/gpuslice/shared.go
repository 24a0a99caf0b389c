package gpuslice

import (
	"context"
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
	// EveryNode has the other plugins look at all nodes, even at those of which
	// GPUSlice knows that none will be chosen: to see what they say of them.
	EveryNode bool

	mu sync.Mutex
	// source is the scheduler's own manager: one that is started again in the same
	// process has another, and begins with a model that knows nothing of the last.
	source fwk.SharedDRAManager
	model  *devices.Model
	feed   *feed
	claims *claims
}

// of returns the manager of one more of a scheduler's profiles. The model follows
// the claims if DRA is on.
func (s *Shared) of(ctx context.Context, fh fwk.Handle, features *feature.Features) (*manager, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	source := fh.SharedDRAManager()
	if s.model == nil || s.source != source {
		if err := s.begin(ctx, fh, source, features); err != nil {
			return nil, err
		}
	}
	s.claims.join(fh.ProfileName())
	return &manager{SharedDRAManager: source, model: s.model, feed: s.feed, claims: s.claims}, nil
}

// begin makes the model of a scheduler.
func (s *Shared) begin(ctx context.Context, fh fwk.Handle, source fwk.SharedDRAManager, features *feature.Features) error {
	logger := klog.FromContext(ctx)
	model := devices.NewModel(dynamicresources.AllocatorFeatures(*features), cel.Features{
		EnableConsumableCapacity: features.EnableDRAConsumableCapacity, EnableListTypeAttributes: features.EnableDRAListTypeAttributes})
	var followed *claims
	var published *feed
	if features.EnableDynamicResourceAllocation {
		var err error
		if followed, err = watchClaims(logger, fh, model); err != nil {
			return err
		}
		published = &feed{lister: source.ResourceSlices(), model: model, changes: watchSlices(logger, fh)}
		go published.prepare(ctx, fh.SharedInformerFactory().Resource().V1().ResourceSlices().Informer().HasSynced)
	}
	s.source, s.model, s.claims, s.feed = source, model, followed, published
	return nil
}
