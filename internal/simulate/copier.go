package simulate

import (
	"context"
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
)

// copier writes objects of one cluster into another. The other gives them UIDs of
// its own, so those by which objects refer to each other are translated.
type copier struct {
	client dynamic.Interface
	// uids translates those of what was copied.
	uids map[types.UID]types.UID
	// later are the claims, and volumes of such, that were made for pods that are not
	// there yet, by the pod's old UID and in order.
	later map[types.UID][]runtime.Object
	// seen waits until the scheduler has seen one of them; nil if there is none yet.
	seen func(context.Context, runtime.Object) error
	// without counts what the other does not take, by what it is.
	without map[string]*missing
}

func newCopier(config *rest.Config) (*copier, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &copier{client: client, uids: map[types.UID]types.UID{}, later: map[types.UID][]runtime.Object{}, without: map[string]*missing{}}, nil
}

// order is that in which kinds are written: what others refer to first, by UID.
// Kinds that are not listed come first of all.
var order = []string{"Namespace", "PriorityClass", "StorageClass", "CSIDriver", "DeviceClass", "Node", "CSINode",
	"Deployment", "ReplicationController", "ReplicaSet", "StatefulSet", "DaemonSet", "CronJob", "Job", "Service", "EndpointSlice",
	"VolumeAttachment", "ResourceSlice", "ResourceClaimTemplate", "Pod", "PersistentVolumeClaim", "PersistentVolume", "ResourceClaim", "PodDisruptionBudget"}

// copy writes a cluster.
func (c *copier) copy(ctx context.Context, cluster *Cluster) error {
	type ranked struct {
		rank   int
		object runtime.Object
	}
	var all []ranked
	spaces := map[string]bool{}
	for _, pod := range cluster.Bound {
		all = append(all, ranked{slices.Index(order, "Pod"), pod})
	}
	for _, object := range cluster.Objects {
		_, kind, err := resourceOf(object)
		if err != nil {
			return err
		}
		all = append(all, ranked{slices.Index(order, kind), object})
	}
	slices.SortStableFunc(all, func(a, b ranked) int { return a.rank - b.rank })
	awaits := awaiting(cluster)
	for _, one := range all {
		if pod := awaits(one.object); pod != "" {
			c.later[pod] = append(c.later[pod], one.object)
			continue
		}
		if err := c.makeNamespace(ctx, one.object, spaces); err != nil {
			return err
		}
		if _, err := c.create(ctx, one.object); err != nil {
			return err
		}
	}
	return nil
}

// makeNamespace creates the namespace of an object, once.
func (c *copier) makeNamespace(ctx context.Context, object runtime.Object, made map[string]bool) error {
	m, err := meta.Accessor(object)
	if err != nil {
		return err
	}
	name := m.GetNamespace()
	if name == "" || made[name] {
		return nil
	}
	made[name] = true
	_, err = c.create(ctx, &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	return err
}

// standing are kinds of which a new cluster has some of its own, which will do.
var standing = []string{"Namespace", "PriorityClass", "Service", "EndpointSlice"}

// relabel gives a namespace that is there already the labels of the one copied.
func (c *copier) relabel(ctx context.Context, client dynamic.ResourceInterface, kind string, u *unstructured.Unstructured) error {
	if kind != "Namespace" || len(u.GetLabels()) == 0 {
		return nil
	}
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		standing, err := client.Get(ctx, u.GetName(), metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("reading namespace %s: %w", u.GetName(), err)
		}
		standing.SetLabels(u.GetLabels())
		if _, err = client.Update(ctx, standing, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("labelling namespace %s: %w", u.GetName(), err)
		}
		return nil
	})
}

// create writes an object and its status.
func (c *copier) create(ctx context.Context, object runtime.Object) (*unstructured.Unstructured, error) {
	resource, kind, err := resourceOf(object)
	if err != nil {
		return nil, err
	}
	u, err := c.translated(object)
	if err != nil {
		return nil, err
	}
	old, err := meta.Accessor(object)
	if err != nil {
		return nil, err
	}
	client := c.client.Resource(resource).Namespace(u.GetNamespace())
	created, err := client.Create(ctx, u, metav1.CreateOptions{})
	switch {
	case apierrors.IsAlreadyExists(err) && slices.Contains(standing, kind):
		return u, c.relabel(ctx, client, kind, u)
	case c.doesWithout(kind, old, err):
		return u, nil
	case err != nil:
		return nil, fmt.Errorf("copying %s %s: %w", kind, name(old), err)
	}
	if old.GetUID() != "" {
		c.uids[old.GetUID()] = created.GetUID()
	}
	if status, _ := u.Object["status"].(map[string]any); len(status) > 0 && kind != "Namespace" {
		if created, err = c.writeStatus(ctx, created, object); err != nil {
			return nil, err
		}
	}
	if len(u.GetFinalizers()) > 0 && old.GetDeletionTimestamp() != nil {
		err = client.Delete(ctx, u.GetName(), metav1.DeleteOptions{})
	}
	return created, err
}

// leaving is the finalizer of pods that were being deleted, which keeps them so.
const leaving = "plimsoll.dev/leaving"

// writeStatus gives a copy the status of what it was copied from.
func (c *copier) writeStatus(ctx context.Context, created *unstructured.Unstructured, object runtime.Object) (*unstructured.Unstructured, error) {
	resource, kind, err := resourceOf(object)
	if err != nil {
		return nil, err
	}
	u, err := c.translated(object)
	if err != nil {
		return nil, err
	}
	client := c.client.Resource(resource).Namespace(created.GetNamespace())
	written := created.DeepCopy()
	// The scheduler may have written a condition meanwhile.
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		written.Object["status"] = u.Object["status"]
		out, err := client.UpdateStatus(ctx, written, metav1.UpdateOptions{})
		if apierrors.IsConflict(err) {
			if fresh, wrong := client.Get(ctx, created.GetName(), metav1.GetOptions{}); wrong == nil {
				written = fresh
			}
			return err
		}
		if err == nil {
			written = out
		}
		return err
	})
	switch {
	case apierrors.IsNotFound(err), // a kind without a status of its own
		c.doesWithout(statusOf+kind, created, err):
		return created, nil
	case err != nil:
		return nil, fmt.Errorf("copying the status of %s %s: %w", kind, name(created), err)
	}
	return written, nil
}
