package simulate

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"

	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/component-helpers/storage/volume"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"
)

// bindImmediate gives volumes to claims that wait for none of a pod's choices: by
// then the volume controller of a real cluster would have found them one, or its
// provisioner made it. It returns what takes the place of the objects.
func bindImmediate(objects []runtime.Object) ([]runtime.Object, error) {
	classes := map[string]*storagev1.StorageClass{}
	s := &shelf{taken: map[string]*v1.PersistentVolume{}}
	for _, object := range objects {
		switch o := object.(type) {
		case *storagev1.StorageClass:
			classes[o.Name] = o
		case *v1.PersistentVolume:
			s.volumes = append(s.volumes, available(o))
		}
	}
	out := make([]runtime.Object, 0, len(objects))
	for _, object := range objects {
		claim, is := object.(*v1.PersistentVolumeClaim)
		if !is || claim.Spec.VolumeName != "" && metav1.HasAnnotation(claim.ObjectMeta, volume.AnnBindCompleted) {
			out = append(out, object)
			continue
		}
		class := classes[volume.GetPersistentVolumeClaimClass(claim)]
		pv, err := s.take(claim, class != nil && !immediate(class))
		switch {
		case err != nil:
			return nil, err
		case pv != nil:
			out = append(out, bound(claim, pv))
		case claim.Spec.VolumeName == "" && class != nil && class.Provisioner != noProvisioner && immediate(class):
			pv = provisioned(claim, class.Provisioner)
			out = append(out, bound(claim, pv), pv)
		default:
			out = append(out, object)
		}
	}
	for i, object := range out {
		if pv, is := object.(*v1.PersistentVolume); is {
			out[i] = cmp.Or(s.taken[pv.Name], available(pv))
		}
	}
	return out, nil
}

// noProvisioner is the provisioner of classes whose volumes are made by hand.
const noProvisioner = "kubernetes.io/no-provisioner"

func immediate(class *storagev1.StorageClass) bool {
	return ptr.Deref(class.VolumeBindingMode, storagev1.VolumeBindingImmediate) == storagev1.VolumeBindingImmediate
}

// available is a volume as the volume controller leaves it where nobody claims it.
func available(pv *v1.PersistentVolume) *v1.PersistentVolume {
	if pv.Spec.ClaimRef != nil || pv.Status.Phase != "" && pv.Status.Phase != v1.VolumePending {
		return pv
	}
	pv = pv.DeepCopy()
	pv.Status.Phase = v1.VolumeAvailable
	return pv
}

// shelf holds the volumes that are there, and those that claims took.
type shelf struct {
	volumes []*v1.PersistentVolume
	taken   map[string]*v1.PersistentVolume
}

// take returns the volume that the volume controller would bind a claim to, nil if
// there is none. One that waits for a pod gets no other than that which names it, or
// which it names.
func (s *shelf) take(claim *v1.PersistentVolumeClaim, waits bool) (*v1.PersistentVolume, error) {
	asked := claim.DeepCopy()
	if claim.Spec.VolumeName != "" {
		asked.Spec.Selector, waits = nil, false
	}
	var fit []*v1.PersistentVolume
	for _, pv := range s.volumes {
		if (claim.Spec.VolumeName == "" || claim.Spec.VolumeName == pv.Name) && volume.CheckAccessModes(claim, pv) {
			fit = append(fit, pv)
		}
	}
	pv, err := volume.FindMatchingVolume(asked, fit, nil, s.taken, waits, true)
	if err == nil && pv != nil {
		pv, _, err = volume.GetBindVolumeToClaim(pv, claim)
	}
	if err != nil {
		return nil, fmt.Errorf("finding a volume for claim %s: %w", klog.KObj(claim), err)
	}
	if pv != nil {
		pv.Status.Phase = v1.VolumeBound
		s.taken[pv.Name] = pv
	}
	return pv, nil
}

// provisioned is a volume for a claim, to be had from every node. Its driver is that
// of the class, whose volumes a node may have a limit for.
func provisioned(claim *v1.PersistentVolumeClaim, driver string) *v1.PersistentVolume {
	if len(validation.IsDNS1123Subdomain(driver)) > 0 {
		driver = "simulated.plimsoll.dev" // of a provisioner that is no CSI driver
	}
	handle := fmt.Sprintf("simulated-%x", sha256.Sum256([]byte(claim.Namespace+"/"+claim.Name)))[:40]
	return &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: handle, UID: types.UID(handle)},
		Spec: v1.PersistentVolumeSpec{
			Capacity:         v1.ResourceList{v1.ResourceStorage: claim.Spec.Resources.Requests[v1.ResourceStorage]},
			AccessModes:      claim.Spec.AccessModes,
			StorageClassName: ptr.Deref(claim.Spec.StorageClassName, ""),
			VolumeMode:       claim.Spec.VolumeMode,
			ClaimRef:         &v1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID},
			PersistentVolumeSource: v1.PersistentVolumeSource{CSI: &v1.CSIPersistentVolumeSource{
				Driver: driver, VolumeHandle: handle}},
			PersistentVolumeReclaimPolicy: v1.PersistentVolumeReclaimDelete,
		},
		Status: v1.PersistentVolumeStatus{Phase: v1.VolumeBound},
	}
}

// bound is the claim as the volume controller would leave it.
func bound(claim *v1.PersistentVolumeClaim, pv *v1.PersistentVolume) *v1.PersistentVolumeClaim {
	claim = claim.DeepCopy()
	claim.Spec.VolumeName = pv.Name
	metav1.SetMetaDataAnnotation(&claim.ObjectMeta, volume.AnnBindCompleted, "yes")
	metav1.SetMetaDataAnnotation(&claim.ObjectMeta, volume.AnnBoundByController, "yes")
	claim.Status.Phase, claim.Status.Capacity, claim.Status.AccessModes = v1.ClaimBound, pv.Spec.Capacity, pv.Spec.AccessModes
	return claim
}

// playProvisioner provides the volumes for which the scheduler has chosen a node, and
// binds those that it has chosen.
func (e *ControlPlane) playProvisioner(ctx context.Context, factory informers.SharedInformerFactory) error {
	claims, classes := factory.Core().V1().PersistentVolumeClaims(), factory.Storage().V1().StorageClasses().Lister()
	provide := func(obj any) {
		claim, ok := obj.(*v1.PersistentVolumeClaim)
		if !ok || claim.Spec.VolumeName != "" || claim.Annotations[volume.AnnSelectedNode] == "" {
			return
		}
		class, err := classes.Get(ptr.Deref(claim.Spec.StorageClassName, ""))
		if err != nil {
			return // the scheduler waits for the class, too
		}
		pv := provisioned(claim, class.Provisioner)
		_, err = e.client.CoreV1().PersistentVolumes().Create(ctx, pv, metav1.CreateOptions{})
		if err == nil || apierrors.IsAlreadyExists(err) {
			err = e.bindVolume(ctx, claim, pv)
		}
		if err != nil && ctx.Err() == nil {
			e.fail(err)
		}
	}
	_, err := claims.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: provide, UpdateFunc: func(_, obj any) { provide(obj) }})
	if err != nil {
		return fmt.Errorf("watching volume claims: %w", err)
	}
	_, err = factory.Core().V1().PersistentVolumes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{UpdateFunc: func(_, obj any) {
		pv, ok := obj.(*v1.PersistentVolume)
		if !ok || pv.Spec.ClaimRef == nil {
			return
		}
		claim, err := claims.Lister().PersistentVolumeClaims(pv.Spec.ClaimRef.Namespace).Get(pv.Spec.ClaimRef.Name)
		if err != nil || claim.UID != pv.Spec.ClaimRef.UID || claim.Spec.VolumeName != "" {
			return
		}
		if err := e.bindVolume(ctx, claim, pv); err != nil && ctx.Err() == nil {
			e.fail(err)
		}
	}})
	if err != nil {
		return fmt.Errorf("watching volumes: %w", err)
	}
	return nil
}

func (e *ControlPlane) bindVolume(ctx context.Context, claim *v1.PersistentVolumeClaim, pv *v1.PersistentVolume) error {
	client := e.client.CoreV1().PersistentVolumeClaims(claim.Namespace)
	is := bound(claim, pv)
	written, err := client.Update(ctx, is, metav1.UpdateOptions{})
	if err == nil {
		written.Status = is.Status
		_, err = client.UpdateStatus(ctx, written, metav1.UpdateOptions{})
	}
	e.moved()
	if apierrors.IsConflict(err) {
		return nil // the next version of the claim comes by, too
	}
	if err != nil {
		return fmt.Errorf("binding volume claim %s: %w", klog.KObj(claim), err)
	}
	return nil
}
