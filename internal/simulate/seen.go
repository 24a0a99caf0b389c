package simulate

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	"k8s.io/klog/v2"
)

// seenBy returns what waits until a scheduler's informers know of a volume, or of a claim
// for one. It hears of pods on its own: one that was made for a pod must be known before
// the pod is tried. Of claims for devices the queue makes sure itself.
func seenBy(factory informers.SharedInformerFactory) func(context.Context, runtime.Object) error {
	claims, volumes := factory.Core().V1().PersistentVolumeClaims(), factory.Core().V1().PersistentVolumes()
	synced := claims.Informer().HasSynced() && volumes.Informer().HasSynced() // else no plugin looks at volumes
	return func(ctx context.Context, object runtime.Object) error {
		var known func() bool
		switch o := object.(type) {
		case *v1.PersistentVolumeClaim:
			known = func() bool {
				_, err := claims.Lister().PersistentVolumeClaims(o.Namespace).Get(o.Name)
				return err == nil
			}
		case *v1.PersistentVolume:
			known = func() bool { _, err := volumes.Lister().Get(o.Name); return err == nil }
		default:
			return nil
		}
		if !synced {
			return nil
		}
		err := wait.PollUntilContextTimeout(ctx, time.Millisecond, patience, true, func(context.Context) (bool, error) { return known(), nil })
		if err != nil {
			return fmt.Errorf("waiting for the scheduler to see %T %s: %w", object, klog.KObj(object.(klog.KMetadata)), err)
		}
		return nil
	}
}
