package gpuslice

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	kubefeatures "k8s.io/kubernetes/pkg/features"

	"plimsoll.dev/scheduler/pkg/devices"
)

// byChange is an index that the informer of slices keeps. Its function is called for
// all that is stored, changed or deleted, under the store's lock: that is how
// changes are counted. All slices have one value, so that the index tells whether
// there are any.
const byChange = "plimsoll.dev/changes"

// feed brings the model up to date with what is published. A list of a thousand
// nodes' slices costs a millisecond, and they hardly ever change: it is only asked
// for if they did. An event handler could not tell, for the queue may have woken a
// pod before it is called.
type feed struct {
	lister fwk.ResourceSliceLister
	model  *devices.Model
	// changes is nil where it is not known: device taint rules, which are off by
	// default, keep slices of their own.
	changes *changes

	// mu makes lists reach the model in the order in which they were made.
	mu sync.Mutex
	// at is the state of the store that the model has seen; zero is none.
	at storeState
}

// changes counts those of a store.
type changes struct {
	count atomic.Uint64
	store cache.Indexer
}

// storeState is what a store held at some moment.
type storeState struct {
	count uint64
	// some: it was not empty. A store that is emptied at once asks no index.
	some, known bool
}

// watchSlices counts the changes of slices from now on. It returns nil if they
// cannot be counted.
func watchSlices(logger klog.Logger, fh fwk.Handle) *changes {
	if utilfeature.DefaultFeatureGate.Enabled(kubefeatures.DRADeviceTaintRules) {
		return nil
	}
	informer := fh.SharedInformerFactory().Resource().V1().ResourceSlices().Informer()
	c := &changes{store: informer.GetIndexer()}
	if err := informer.AddIndexers(cache.Indexers{byChange: c.index}); err != nil {
		// Another model of this process counts there, which does no harm.
		logger.V(2).Info("Changes of resource slices are not counted: they are listed for every pod with claims", "why", err)
		return nil
	}
	return c
}

// index says the same of all slices, so that the index has a value unless it is
// empty.
func (c *changes) index(any) ([]string, error) {
	c.count.Add(1)
	return []string{"all"}, nil
}

func (c *changes) now() storeState {
	if c == nil {
		return storeState{}
	}
	// The number first: what is stored later is seen to be a change.
	count := c.count.Load()
	return storeState{count: count, some: len(c.store.ListIndexFuncValues(byChange)) > 0, known: true}
}

// prepare reads all slices once they are there, so that the first pod need not wait
// until the model of a large cluster is built.
func (f *feed) prepare(ctx context.Context, synced cache.InformerSynced) {
	if !cache.WaitForCacheSync(ctx.Done(), synced) {
		return
	}
	if err := f.refresh(); err != nil {
		klog.FromContext(ctx).V(2).Info("The device model is built when the first pod with claims comes", "why", err.Error())
	}
}

// refresh has the model see what is published now.
func (f *feed) refresh() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.changes.now()
	if now.known && now == f.at {
		return nil
	}
	published, err := f.lister.ListWithDeviceTaintRules()
	if err != nil {
		return fmt.Errorf("listing resource slices: %w", err)
	}
	f.model.Refresh(published)
	f.at = now
	return nil
}
