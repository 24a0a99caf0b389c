package podgroups

import (
	"context"
	"errors"
	"io"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"sigs.k8s.io/scheduler-plugins/apis/scheduling/v1alpha1"
	informers "sigs.k8s.io/scheduler-plugins/pkg/generated/informers/externalversions/scheduling/v1alpha1"
	listers "sigs.k8s.io/scheduler-plugins/pkg/generated/listers/scheduling/v1alpha1"
)

// reader is an informer that can be stopped. A nil one has nothing to read.
type reader struct {
	lister listers.PodGroupLister
	ready  <-chan struct{}
	cancel context.CancelFunc
	ended  chan struct{}
}

// read begins to read PodGroups.
func (c *crd) read(ctx context.Context) *reader {
	informer := informers.NewPodGroupInformer(c.client, metav1.NamespaceAll, 0, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	// None of the three fails before the informer is started.
	_ = informer.SetTransform(trimPodGroup)
	_ = informer.SetWatchErrorHandlerWithContext(c.watchErrors())
	_ = follow(informer, "PodGroups", memberOf, byName[*v1alpha1.PodGroup](c.onChange))
	ctx, cancel := context.WithCancel(ctx)
	r := &reader{
		lister: listers.NewPodGroupLister(informer.GetIndexer()),
		ready:  informer.HasSyncedChecker().Done(), cancel: cancel, ended: make(chan struct{}),
	}
	go func() {
		defer close(r.ended)
		informer.RunWithContext(ctx)
	}()
	return r
}

// synced is closed once all is read for the first time.
func (r *reader) synced() <-chan struct{} {
	if r == nil {
		return nil
	}
	return r.ready
}

// stop ends the informer and waits for it.
func (r *reader) stop() {
	if r == nil {
		return
	}
	r.cancel()
	<-r.ended
}

// watchErrors logs what reading fails with when that is news: the informer tries
// again and again, for as long as RBAC is missing. One goroutine calls it.
func (c *crd) watchErrors() cache.WatchErrorHandlerWithContext {
	last := ""
	return func(ctx context.Context, _ *cache.Reflector, err error) {
		if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || errors.Is(err, io.EOF) {
			return // it is read again from the start
		}
		why := err.Error()
		if apierrors.IsForbidden(err) {
			why = "forbidden"
		}
		if why != last {
			klog.FromContext(ctx).Error(err, "Cannot read PodGroups")
		}
		last = why
		c.fails(why)
	}
}

// trimPodGroup drops what is large and nobody here reads. It leaves the object
// itself as it is.
func trimPodGroup(obj any) (any, error) {
	group, ok := obj.(*v1alpha1.PodGroup)
	if !ok {
		return obj, nil // the key of an object that is gone
	}
	return &v1alpha1.PodGroup{
		ObjectMeta: metav1.ObjectMeta{Namespace: group.Namespace, Name: group.Name, UID: group.UID, ResourceVersion: group.ResourceVersion},
		Spec:       v1alpha1.PodGroupSpec{MinMember: group.Spec.MinMember, ScheduleTimeoutSeconds: group.Spec.ScheduleTimeoutSeconds},
	}, nil
}
