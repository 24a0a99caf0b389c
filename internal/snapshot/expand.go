package snapshot

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/component-helpers/storage/ephemeral"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/core/v1/helper/qos"
	"k8s.io/kubernetes/pkg/controller"
	"k8s.io/kubernetes/pkg/controller/daemon"
	daemonutil "k8s.io/kubernetes/pkg/controller/daemon/util"
	deploymentutil "k8s.io/kubernetes/pkg/controller/deployment/util"
	"k8s.io/utils/ptr"
)

// expand adds the pods of a workload.
func (a *addition) expand(workload runtime.Object) error {
	switch w := workload.(type) {
	case *appsv1.Deployment:
		return a.expandDeployment(w)
	case *appsv1.ReplicaSet:
		return a.expandReplicas(w, w.Spec.Replicas, &w.Spec.Template)
	case *v1.ReplicationController:
		return a.expandReplicas(w, w.Spec.Replicas, w.Spec.Template)
	case *appsv1.StatefulSet:
		return a.expandStatefulSet(w)
	case *appsv1.DaemonSet:
		return a.expandDaemonSet(w)
	case *batchv1.Job:
		return a.expandJob(w)
	case *batchv1.CronJob:
		return a.expandCronJob(w)
	}
	return nil
}

// owner is a workload as its pods' controller.
type owner interface {
	runtime.Object
	metav1.Object
}

// count is how many pods are wanted, unless that is too many.
func (a *addition) count(wanted int64) (int, error) {
	if wanted > int64(mostPods-a.made) {
		return 0, fmt.Errorf("wants %d pods; the workloads that are added may have %d in all", wanted, mostPods)
	}
	a.made += int(wanted)
	return int(wanted), nil
}

// pod makes a pod of a template.
func (a *addition) pod(o owner, template *v1.PodTemplateSpec, name string) (*v1.Pod, error) {
	pod, err := controller.GetPodFromTemplate(template, o, metav1.NewControllerRef(o, o.GetObjectKind().GroupVersionKind()))
	if err != nil {
		return nil, err
	}
	pod.SetGroupVersionKind(v1.SchemeGroupVersion.WithKind("Pod"))
	pod.Namespace, pod.Name = o.GetNamespace(), name
	pod.UID = stableUID(keyOf(pod))
	legacyscheme.Scheme.Default(pod)
	pod.Status = v1.PodStatus{Phase: v1.PodPending, QOSClass: qos.ComputePodQOS(pod)}
	return pod, nil
}

// expandReplicas makes pods that differ by their number only.
func (a *addition) expandReplicas(o owner, replicas *int32, template *v1.PodTemplateSpec) error {
	n, err := a.count(int64(ptr.Deref(replicas, 1)))
	if err != nil {
		return err
	}
	for i := range n {
		pod, err := a.pod(o, template, fmt.Sprintf("%s-%d", o.GetName(), i))
		if err != nil {
			return err
		}
		if err := a.addPod(pod); err != nil {
			return err
		}
	}
	return nil
}

// expandDeployment makes the ReplicaSet of a first rollout.
func (a *addition) expandDeployment(d *appsv1.Deployment) error {
	template := d.Spec.Template.DeepCopy()
	hash := controller.ComputeHash(template, d.Status.CollisionCount)
	template.Labels = with(template.Labels, appsv1.DefaultDeploymentUniqueLabelKey, hash)
	selector := d.Spec.Selector.DeepCopy()
	selector.MatchLabels = with(selector.MatchLabels, appsv1.DefaultDeploymentUniqueLabelKey, hash)
	set := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.Namespace, Name: d.Name + "-" + hash, Labels: template.Labels,
			Annotations:     with(d.Annotations, deploymentutil.RevisionAnnotation, "1"),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, d.GroupVersionKind())},
		},
		Spec: appsv1.ReplicaSetSpec{Replicas: d.Spec.Replicas, MinReadySeconds: d.Spec.MinReadySeconds, Selector: selector, Template: *template},
	}
	replicas := ptr.Deref(d.Spec.Replicas, 1)
	deploymentutil.SetReplicasAnnotations(set, replicas, replicas+deploymentutil.MaxSurge(*d))
	if err := a.make(set, appsv1.SchemeGroupVersion.WithKind("ReplicaSet")); err != nil {
		return err
	}
	return a.expandReplicas(set, set.Spec.Replicas, &set.Spec.Template)
}

// make adds an object that a controller creates.
func (a *addition) make(o owner, gvk schema.GroupVersionKind) error {
	o.GetObjectKind().SetGroupVersionKind(gvk)
	k := keyOf(o)
	o.SetUID(stableUID(k))
	if a.there[k] {
		return fmt.Errorf("%s is in the cluster already", k)
	}
	a.there[k] = true
	legacyscheme.Scheme.Default(o)
	a.Objects = append(a.Objects, o)
	return nil
}

// with is a copy of a map and one more entry.
func with(m map[string]string, name, value string) map[string]string {
	out := maps.Clone(m)
	if out == nil {
		out = map[string]string{}
	}
	out[name] = value
	return out
}

// expandStatefulSet makes pods with names, and their volume claims, unless those are
// left from an earlier set.
func (a *addition) expandStatefulSet(set *appsv1.StatefulSet) error {
	n, err := a.count(int64(ptr.Deref(set.Spec.Replicas, 1)))
	if err != nil {
		return err
	}
	start := 0
	if set.Spec.Ordinals != nil {
		start = int(set.Spec.Ordinals.Start)
	}
	revision := set.Name + "-" + controller.ComputeHash(&set.Spec.Template, nil)
	for i := start; i < start+n; i++ {
		pod, err := a.pod(set, &set.Spec.Template, fmt.Sprintf("%s-%d", set.Name, i))
		if err != nil {
			return err
		}
		pod.Spec.Hostname, pod.Spec.Subdomain = pod.Name, set.Spec.ServiceName
		for name, value := range map[string]string{
			appsv1.StatefulSetPodNameLabel: pod.Name, appsv1.PodIndexLabel: strconv.Itoa(i), appsv1.StatefulSetRevisionLabel: revision,
		} {
			pod.Labels = with(pod.Labels, name, value)
		}
		if err := a.volumes(set, pod); err != nil {
			return err
		}
		if err := a.addPod(pod); err != nil {
			return err
		}
	}
	return nil
}

// volumes makes the volume claims of a StatefulSet's pod, in the place of volumes of
// the same names.
func (a *addition) volumes(set *appsv1.StatefulSet, pod *v1.Pod) error {
	for i := range set.Spec.VolumeClaimTemplates {
		claim := set.Spec.VolumeClaimTemplates[i].DeepCopy()
		volume := v1.Volume{Name: claim.Name, VolumeSource: v1.VolumeSource{
			PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: claim.Name + "-" + pod.Name}}}
		pod.Spec.Volumes = append(slices.DeleteFunc(pod.Spec.Volumes, func(v v1.Volume) bool { return v.Name == volume.Name }), volume)
		claim.Namespace, claim.Name = set.Namespace, volume.PersistentVolumeClaim.ClaimName
		if set.Spec.Selector != nil {
			for _, name := range slices.Sorted(maps.Keys(set.Spec.Selector.MatchLabels)) {
				claim.Labels = with(claim.Labels, name, set.Spec.Selector.MatchLabels[name])
			}
		}
		gvk := v1.SchemeGroupVersion.WithKind(volumeClaimKind)
		if a.there[key{gvk.GroupKind(), claim.Namespace, claim.Name}] {
			continue
		}
		if err := a.make(claim, gvk); err != nil {
			return err
		}
	}
	return nil
}

// ephemeralVolumes makes the volume claims that a pod has templates of, as the
// controller of ephemeral volumes does. One that is there stays as it is: it is the
// pod's, or the pod waits in vain.
func (a *addition) ephemeralVolumes(pod *v1.Pod) error {
	gvk := v1.SchemeGroupVersion.WithKind(volumeClaimKind)
	for i := range pod.Spec.Volumes {
		volume := &pod.Spec.Volumes[i]
		if volume.Ephemeral == nil || volume.Ephemeral.VolumeClaimTemplate == nil {
			continue
		}
		template := volume.Ephemeral.VolumeClaimTemplate.DeepCopy()
		claim := &v1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: pod.Namespace, Name: ephemeral.VolumeClaimName(pod, volume), Labels: template.Labels, Annotations: template.Annotations,
				OwnerReferences: []metav1.OwnerReference{ownedByPod(pod)},
			},
			Spec: template.Spec,
		}
		if a.there[key{gvk.GroupKind(), claim.Namespace, claim.Name}] {
			continue
		}
		if err := a.make(claim, gvk); err != nil {
			return err
		}
	}
	return nil
}

// expandDaemonSet makes a pod for every node on which the controller wants one.
func (a *addition) expandDaemonSet(set *appsv1.DaemonSet) error {
	template := daemonutil.CreatePodTemplate(set.Spec.Template, ptr.To(max(1, set.Generation)), controller.ComputeHash(&set.Spec.Template, nil))
	for _, name := range slices.Sorted(maps.Keys(a.nodes)) {
		if wanted, _ := daemon.NodeShouldRunDaemonPod(klog.Background(), a.nodes[name], set); !wanted {
			continue
		}
		if _, err := a.count(1); err != nil {
			return err
		}
		pod, err := a.pod(set, &template, set.Name+"-"+name)
		if err != nil {
			return err
		}
		pod.Spec.Affinity = daemonutil.ReplaceDaemonSetPodNodeNameNodeAffinity(pod.Spec.Affinity, name)
		if err := a.addPod(pod); err != nil {
			return err
		}
	}
	return nil
}

// expandJob makes the pods with which a Job begins.
func (a *addition) expandJob(job *batchv1.Job) error {
	wanted := int64(ptr.Deref(job.Spec.Parallelism, 1))
	if job.Spec.Completions != nil {
		wanted = min(wanted, int64(*job.Spec.Completions))
	}
	if ptr.Deref(job.Spec.Suspend, false) {
		a.Notes = append(a.Notes, fmt.Sprintf("%s is suspended: it has no pods", keyOf(job)))
		return nil
	}
	n, err := a.count(wanted)
	if err != nil {
		return err
	}
	indexed := ptr.Deref(job.Spec.CompletionMode, batchv1.NonIndexedCompletion) == batchv1.IndexedCompletion
	for i := range n {
		template := job.Spec.Template.DeepCopy()
		for _, name := range []string{batchv1.JobNameLabel, "job-name"} {
			template.Labels = with(template.Labels, name, job.Name)
		}
		for _, name := range []string{batchv1.ControllerUidLabel, "controller-uid"} {
			template.Labels = with(template.Labels, name, string(job.UID))
		}
		name := fmt.Sprintf("%s-%d", job.Name, i)
		if indexed {
			template.Labels = with(template.Labels, batchv1.JobCompletionIndexAnnotation, strconv.Itoa(i))
			template.Annotations = with(template.Annotations, batchv1.JobCompletionIndexAnnotation, strconv.Itoa(i))
			template.Spec.Hostname = name
		}
		pod, err := a.pod(job, template, name)
		if err != nil {
			return err
		}
		if err := a.addPod(pod); err != nil {
			return err
		}
	}
	return nil
}

// expandCronJob makes the Job of one run.
func (a *addition) expandCronJob(c *batchv1.CronJob) error {
	template := c.Spec.JobTemplate.DeepCopy()
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: c.Name + "-0", Labels: template.Labels, Annotations: template.Annotations,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(c, c.GroupVersionKind())}},
		Spec: template.Spec,
	}
	if err := a.make(job, batchv1.SchemeGroupVersion.WithKind("Job")); err != nil {
		return err
	}
	a.Notes = append(a.Notes, fmt.Sprintf("%s stands for one run of it", keyOf(c)))
	return a.expandJob(job)
}
