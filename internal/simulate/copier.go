package simulate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
	"k8s.io/klog/v2"
)

// copier writes objects of one cluster into another. The other gives them UIDs of
// its own, so those by which objects refer to each other are translated.
type copier struct {
	client dynamic.Interface
	// uids translates those of what was copied.
	uids map[types.UID]types.UID
	// later are claims made for pods that are not there yet, by the pod's old UID.
	later map[types.UID][]*resourceapi.ResourceClaim
}

func newCopier(config *rest.Config) (*copier, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &copier{client: client, uids: map[types.UID]types.UID{}, later: map[types.UID][]*resourceapi.ResourceClaim{}}, nil
}

// order is that in which kinds are written: what others refer to first. Kinds that
// are not listed come first of all.
var order = []string{"Namespace", "PriorityClass", "StorageClass", "CSIDriver", "DeviceClass", "Node", "CSINode",
	"Deployment", "ReplicationController", "ReplicaSet", "StatefulSet", "DaemonSet", "CronJob", "Job", "Service", "EndpointSlice",
	"PersistentVolumeClaim", "PersistentVolume", "VolumeAttachment", "ResourceSlice", "ResourceClaimTemplate", "Pod", "ResourceClaim", "PodDisruptionBudget"}

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
		if claim, is := object.(*resourceapi.ResourceClaim); is {
			if owner := metav1.GetControllerOf(claim); owner != nil && owner.Kind == "Pod" && cluster.Expected.Has(owner.UID) {
				c.later[owner.UID] = append(c.later[owner.UID], claim)
				continue
			}
		}
		_, kind, err := resourceOf(object)
		if err != nil {
			return err
		}
		all = append(all, ranked{slices.Index(order, kind), object})
	}
	slices.SortStableFunc(all, func(a, b ranked) int { return a.rank - b.rank })
	for _, one := range all {
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

// copying is a gate that keeps a pod from being tried until its claims are there.
const copying = "plimsoll.dev/copying"

// pod creates a pod with the claims that were made for it.
func (c *copier) pod(ctx context.Context, pod *v1.Pod) (*v1.Pod, error) {
	if err := c.makeNamespace(ctx, pod, map[string]bool{}); err != nil {
		return nil, err
	}
	bare := pod.DeepCopy()
	bare.Status = v1.PodStatus{}
	claims := len(c.later[pod.UID]) > 0 || len(pod.Status.ResourceClaimStatuses) > 0
	if claims {
		bare.Spec.SchedulingGates = append(bare.Spec.SchedulingGates, v1.PodSchedulingGate{Name: copying})
	}
	created, err := c.create(ctx, bare)
	if err != nil {
		return nil, err
	}
	if claims {
		if created, err = c.addClaims(ctx, created, pod); err != nil {
			// Half of a pod must not stay for its group to count.
			return nil, errors.Join(err, c.remove(ctx, pod))
		}
	}
	out := &v1.Pod{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(created.Object, out); err != nil {
		return nil, fmt.Errorf("reading pod %s back: %w", klog.KObj(pod), err)
	}
	return out, nil
}

func (c *copier) remove(ctx context.Context, pod *v1.Pod) error {
	client := c.client.Resource(v1.SchemeGroupVersion.WithResource("pods")).Namespace(pod.Namespace)
	return client.Delete(ctx, pod.Name, *metav1.NewDeleteOptions(0))
}

// addClaims creates the claims of a pod that was copied, tells the pod of them, and
// lets it be tried.
func (c *copier) addClaims(ctx context.Context, created *unstructured.Unstructured, pod *v1.Pod) (*unstructured.Unstructured, error) {
	for _, claim := range c.later[pod.UID] {
		if _, err := c.create(ctx, claim); err != nil {
			return nil, err
		}
	}
	delete(c.later, pod.UID)
	told := pod.DeepCopy()
	told.Status = v1.PodStatus{ResourceClaimStatuses: pod.Status.ResourceClaimStatuses}
	if len(told.Status.ResourceClaimStatuses) > 0 {
		if _, err := c.writeStatus(ctx, created, told); err != nil {
			return nil, err
		}
	}
	gates := make([]any, len(pod.Spec.SchedulingGates))
	for i := range pod.Spec.SchedulingGates {
		gates[i] = map[string]any{"name": pod.Spec.SchedulingGates[i].Name}
	}
	client := c.client.Resource(v1.SchemeGroupVersion.WithResource("pods")).Namespace(pod.Namespace)
	var out *unstructured.Unstructured
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		fresh, err := client.Get(ctx, pod.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if err := unstructured.SetNestedSlice(fresh.Object, gates, "spec", "schedulingGates"); err != nil {
			return err
		}
		out, err = client.Update(ctx, fresh, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("letting pod %s be tried: %w", klog.KObj(pod), err)
	}
	return out, nil
}

// standing are kinds of which a new cluster has some of its own, which will do.
var standing = []string{"Namespace", "PriorityClass", "Service", "EndpointSlice"}

// notServed are kinds of alpha APIs, which a control plane serves only if it is told.
var notServed = []string{"PodGroup", "Workload", "DeviceTaintRule"}

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
	if apierrors.IsAlreadyExists(err) && slices.Contains(standing, kind) {
		return u, c.relabel(ctx, client, kind, u)
	}
	if apierrors.IsNotFound(err) && slices.Contains(notServed, kind) {
		return u, nil
	}
	if err != nil {
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
	case apierrors.IsNotFound(err): // a kind without a status of its own
		return created, nil
	case err != nil:
		return nil, fmt.Errorf("copying the status of %s %s: %w", kind, name(created), err)
	}
	return written, nil
}

// translated is an object as it is to be written.
func (c *copier) translated(object runtime.Object) (*unstructured.Unstructured, error) {
	object = object.DeepCopyObject()
	kinds, _, err := scheme.Scheme.ObjectKinds(object)
	if err != nil {
		return nil, err
	}
	switch o := object.(type) {
	case *v1.Pod:
		o.Spec.EphemeralContainers = nil
	case *v1.Service:
		if o.Spec.ClusterIP != v1.ClusterIPNone {
			o.Spec.ClusterIP, o.Spec.ClusterIPs = "", nil
		}
		o.Spec.HealthCheckNodePort = 0
		for i := range o.Spec.Ports {
			o.Spec.Ports[i].NodePort = 0
		}
	case *v1.PersistentVolume:
		if ref := o.Spec.ClaimRef; ref != nil {
			ref.UID, ref.ResourceVersion = c.uidOf(ref.UID), ""
		}
	case *resourceapi.ResourceClaim:
		for i := range o.Status.ReservedFor {
			o.Status.ReservedFor[i].UID = c.uidOf(o.Status.ReservedFor[i].UID)
		}
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{Object: fields}
	u.SetGroupVersionKind(kinds[0])
	owners := u.GetOwnerReferences()
	for i := range owners {
		owners[i].UID = c.uidOf(owners[i].UID)
	}
	meta := map[string]any{"name": u.GetName()}
	u.Object["metadata"] = withoutEmpty(meta, u)
	if pod, is := object.(*v1.Pod); is && pod.DeletionTimestamp != nil {
		u.SetFinalizers([]string{leaving})
	}
	if len(owners) > 0 {
		u.SetOwnerReferences(owners)
	}
	return u, nil
}

// withoutEmpty keeps of an object's metadata what another cluster can be given.
func withoutEmpty(out map[string]any, u *unstructured.Unstructured) map[string]any {
	old, _ := u.Object["metadata"].(map[string]any)
	keep := []string{"namespace", "labels", "annotations"}
	if u.GetKind() == "ResourceClaim" {
		keep = append(keep, "finalizers") // without it no allocation is accepted
	}
	for _, key := range keep {
		if value, has := old[key]; has {
			out[key] = value
		}
	}
	return out
}

// uidOf is what stands for an object in the copy; what is not there keeps its own.
func (c *copier) uidOf(old types.UID) types.UID {
	if uid, known := c.uids[old]; known {
		return uid
	}
	return old
}

func name(m metav1.Object) string {
	if m.GetNamespace() == "" {
		return m.GetName()
	}
	return m.GetNamespace() + "/" + m.GetName()
}

func resourceOf(object runtime.Object) (schema.GroupVersionResource, string, error) {
	if u, is := object.(*unstructured.Unstructured); is {
		resource, _ := meta.UnsafeGuessKindToResource(u.GroupVersionKind())
		return resource, u.GetKind(), nil
	}
	kinds, _, err := scheme.Scheme.ObjectKinds(object)
	if err != nil {
		return schema.GroupVersionResource{}, "", err
	}
	resource, _ := meta.UnsafeGuessKindToResource(kinds[0])
	return resource, kinds[0].Kind, nil
}

// releaseClaim gives back what a pod that is gone had of a claim.
func releaseClaim(ctx context.Context, client kubernetes.Interface, pod *v1.Pod, name string) error {
	// The scheduler may be giving it to another pod.
	return retry.RetryOnConflict(retry.DefaultRetry, func() error { return tryRelease(ctx, client, pod, name) })
}

func tryRelease(ctx context.Context, client kubernetes.Interface, pod *v1.Pod, name string) error {
	claims := client.ResourceV1().ResourceClaims(pod.Namespace)
	claim, err := claims.Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("reading claim %s/%s: %w", pod.Namespace, name, err)
	}
	claim.Status.ReservedFor = slices.DeleteFunc(claim.Status.ReservedFor, func(r resourceapi.ResourceClaimConsumerReference) bool { return r.UID == pod.UID })
	if len(claim.Status.ReservedFor) == 0 {
		claim.Status.Allocation = nil
	}
	claim, err = claims.UpdateStatus(ctx, claim, metav1.UpdateOptions{})
	if err == nil && claim.Status.Allocation == nil {
		claim.Finalizers = slices.DeleteFunc(claim.Finalizers, func(f string) bool { return f == resourceapi.Finalizer })
		claim, err = claims.Update(ctx, claim, metav1.UpdateOptions{})
	}
	if err == nil && metav1.IsControlledBy(claim, pod) {
		err = claims.Delete(ctx, name, metav1.DeleteOptions{})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("giving back claim %s/%s: %w", pod.Namespace, name, err)
	}
	return nil
}
