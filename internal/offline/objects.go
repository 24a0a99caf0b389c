package offline

import (
	"context"
	"fmt"
	"reflect"
	"strconv"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/cache"
)

// Apply creates objects, or replaces those of the same kind and name, and returns
// once the scheduler and every plugin that watches them have seen them. A pod
// that names no node waits in the scheduler's queue; placing it binds it, which
// is seen as well. Pods that were never applied are known to nobody before they
// are placed, and then to the scheduler's cache only.
func (c *Cluster) Apply(ctx context.Context, objects ...runtime.Object) error {
	for _, object := range objects {
		object = object.DeepCopyObject()
		known, err := c.write(object)
		if err != nil {
			return fmt.Errorf("applying: %w", err)
		}
		if err := c.waitSeen(ctx, object, versionOf(object)); err != nil {
			return err
		}
		switch o := object.(type) {
		case *v1.Pod:
			c.applied[o.UID] = true
		case *v1.Node:
			if !known {
				c.nodes = append(c.nodes, o.Name)
			}
		}
	}
	return nil
}

// Delete deletes objects that were applied, and returns once that is seen.
func (c *Cluster) Delete(ctx context.Context, objects ...runtime.Object) error {
	for _, object := range objects {
		resource, m, err := resourceOf(object)
		if err != nil {
			return err
		}
		if err := c.client.Tracker().Delete(resource, m.GetNamespace(), m.GetName()); err != nil {
			return err
		}
		delete(c.applied, m.GetUID())
		if err := c.waitSeen(ctx, object, ""); err != nil {
			return err
		}
	}
	return nil
}

// write stores the object under a version that no other has.
func (c *Cluster) write(object runtime.Object) (known bool, err error) {
	resource, m, err := c.stamp(object)
	if err != nil {
		return false, err
	}
	tracker := c.client.Tracker()
	_, err = tracker.Get(resource, m.GetNamespace(), m.GetName())
	switch {
	case apierrors.IsNotFound(err):
		return false, tracker.Create(resource, object, m.GetNamespace())
	case err != nil:
		return false, err
	}
	return true, tracker.Update(resource, object, m.GetNamespace())
}

// restamped are copies of objects with versions of this cluster. Upstream takes no
// object for newer than another without them, and those of another cluster may be
// larger than any that is given here.
func (c *Cluster) restamped(objects []runtime.Object) ([]runtime.Object, error) {
	out := make([]runtime.Object, len(objects))
	for i, object := range objects {
		out[i] = object.DeepCopyObject()
		if _, _, err := c.stamp(out[i]); err != nil {
			return nil, fmt.Errorf("taking over an object: %w", err)
		}
	}
	return out, nil
}

// stamp gives the object a version that no other has, and a UID if it has none.
func (c *Cluster) stamp(object runtime.Object) (schema.GroupVersionResource, metav1.Object, error) {
	resource, m, err := resourceOf(object)
	if err != nil {
		return resource, nil, err
	}
	c.version++
	m.SetResourceVersion(strconv.FormatInt(c.version, 10))
	if m.GetUID() == "" {
		m.SetUID(types.UID(fmt.Sprintf("%s/%s/%s", resource.Resource, m.GetNamespace(), m.GetName())))
	}
	return resource, m, nil
}

func (c *Cluster) waitSeen(ctx context.Context, object runtime.Object, version string) error {
	key, err := cache.MetaNamespaceKeyFunc(object)
	if err != nil {
		return err
	}
	kind := reflect.TypeOf(object)
	if err := c.informers.waitUntil(ctx, func() (bool, error) { return c.informers.seen(kind, key, version) }); err != nil {
		return fmt.Errorf("waiting until %v %s is seen: %w", kind, key, err)
	}
	return nil
}

func resourceOf(object runtime.Object) (schema.GroupVersionResource, metav1.Object, error) {
	kinds, _, err := scheme.Scheme.ObjectKinds(object)
	if err != nil {
		return schema.GroupVersionResource{}, nil, err
	}
	resource, _ := meta.UnsafeGuessKindToResource(kinds[0])
	m, err := meta.Accessor(object)
	return resource, m, err
}
