package podgroups

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	appslisters "k8s.io/client-go/listers/apps/v1"
	batchlisters "k8s.io/client-go/listers/batch/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// desiredReplicas is where a Deployment notes on its ReplicaSets how many pods
// it wants in all.
const desiredReplicas = "deployment.kubernetes.io/desired-replicas"

// deploymentRevision is where a Deployment numbers its ReplicaSets; the current one
// has the highest number, after a rollback, too.
const deploymentRevision = "deployment.kubernetes.io/revision"

// byController indexes ReplicaSets by the UID of what controls them.
const byController = "plimsoll.dev/controller"

// owners reads sizes from the kinds of owners that Kubernetes has.
type owners struct {
	replicaSets  appslisters.ReplicaSetLister
	siblings     cache.Indexer // the same, by controller
	statefulSets appslisters.StatefulSetLister
	controllers  corelisters.ReplicationControllerLister
	jobs         batchlisters.JobLister
}

// asks is what matters here of an owner.
type asks struct {
	gang, whole, total int64 // Size's fields of these names
	// done is how many of a Job's completions need no pod any more; both are 0
	// if the Job does not count them, and for all other owners.
	done, completions int64
}

// part is what an owner says of the size of its pods' group.
type part struct {
	asks          // zero if nothing is known of the owner
	source string // "" if so
	// unseen: the owner is of a kind that is watched, but was not seen.
	unseen bool
}

// still is how many of the members that a group is said to have are still to come.
// Pods of a Job that have succeeded do not come again. If the Job's pods alone are
// the group, there are no more than those of the Job; if not, and they are too few
// to be it alone, the others are of other owners.
func (p *part) still(members int64, alone bool) int64 {
	if p.completions == 0 {
		return members
	}
	all := p.completions
	if !alone {
		all = max(all, members)
	}
	return max(1, min(members, all-p.done))
}

// watchOwners registers the informers of owners.
func watchOwners(factory informers.SharedInformerFactory, onChange func(namespace, id string)) (owners, error) {
	replicaSets, statefulSets := factory.Apps().V1().ReplicaSets(), factory.Apps().V1().StatefulSets()
	controllers, jobs := factory.Core().V1().ReplicationControllers(), factory.Batch().V1().Jobs()
	// A cluster may keep many finished Jobs, and most of a Job is its template.
	if err := jobs.Informer().SetTransform(trimJob); err != nil {
		return owners{}, fmt.Errorf("watching Jobs: %w", err)
	}
	sets := replicaSets.Informer()
	for _, err := range []error{
		index(sets),
		follow(sets, "ReplicaSets", ofReplicaSet, byUID[*appsv1.ReplicaSet](onChange)),
		follow(statefulSets.Informer(), "StatefulSets", ofStatefulSet, byUID[*appsv1.StatefulSet](onChange)),
		follow(controllers.Informer(), "ReplicationControllers", ofController, byUID[*v1.ReplicationController](onChange)),
		follow(jobs.Informer(), "Jobs", ofJob, byUID[*batchv1.Job](onChange)),
	} {
		if err != nil {
			return owners{}, err
		}
	}
	return owners{replicaSets.Lister(), sets.GetIndexer(), statefulSets.Lister(), controllers.Lister(), jobs.Lister()}, nil
}

// of is what the owner says; zero if there is none, or it is of a kind that is not
// known here.
func (o *owners) of(namespace string, owner *metav1.OwnerReference) part {
	if owner == nil {
		return part{}
	}
	switch owner.Kind {
	case "ReplicaSet":
		found, err := o.replicaSets.ReplicaSets(namespace).Get(owner.Name)
		p := partOf(found, err, owner, appsv1.GroupName, ofReplicaSet)
		if p.total > p.whole && o.superseded(found) {
			p.total = p.whole
		}
		return p
	case "StatefulSet":
		found, err := o.statefulSets.StatefulSets(namespace).Get(owner.Name)
		return partOf(found, err, owner, appsv1.GroupName, ofStatefulSet)
	case "ReplicationController":
		found, err := o.controllers.ReplicationControllers(namespace).Get(owner.Name)
		return partOf(found, err, owner, v1.GroupName, ofController)
	case "Job":
		found, err := o.jobs.Jobs(namespace).Get(owner.Name)
		return partOf(found, err, owner, batchv1.GroupName, ofJob)
	}
	return part{}
}

// partOf reads what a lister of the API group found. A UID tells the owner from
// another one of its name: a predecessor, a successor, or an object of another API
// group with a kind of the same name, which will never be found here.
func partOf[T metav1.Object](found T, err error, owner *metav1.OwnerReference, group string, read func(T) asks) part {
	if err != nil || found.GetUID() != owner.UID {
		asked, err := schema.ParseGroupVersion(owner.APIVersion)
		return part{unseen: err == nil && asked.Group == group}
	}
	return part{asks: read(found), source: owner.Kind + " " + found.GetNamespace() + "/" + found.GetName()}
}

// superseded tells whether the ReplicaSet's Deployment has a later one: then this one
// shrinks, and what the Deployment wants in all is not for it.
func (o *owners) superseded(set *appsv1.ReplicaSet) bool {
	controller := metav1.GetControllerOfNoCopy(set)
	if controller == nil {
		return false
	}
	siblings, err := o.siblings.ByIndex(byController, string(controller.UID))
	return err == nil && slices.ContainsFunc(siblings, func(obj any) bool {
		sibling, ok := obj.(*appsv1.ReplicaSet)
		return ok && revisionOf(sibling) > revisionOf(set)
	})
}

// revisionOf is the number that a Deployment gave to its ReplicaSet; 0 if none.
func revisionOf(set *appsv1.ReplicaSet) int64 {
	revision, err := strconv.ParseInt(set.Annotations[deploymentRevision], 10, 64)
	if err != nil {
		return 0
	}
	return revision
}

// index has the informer index by controller, if it does not yet: others may share it.
func index(informer cache.SharedIndexInformer) error {
	if _, found := informer.GetIndexer().GetIndexers()[byController]; found {
		return nil
	}
	if err := informer.AddIndexers(cache.Indexers{byController: controllerOf}); err != nil {
		return fmt.Errorf("indexing ReplicaSets by their controllers: %w", err)
	}
	return nil
}

func controllerOf(obj any) ([]string, error) {
	if set, ok := obj.(*appsv1.ReplicaSet); ok {
		if controller := metav1.GetControllerOfNoCopy(set); controller != nil {
			return []string{string(controller.UID)}, nil
		}
	}
	return nil, nil
}

// ofReplicaSet: a rollout grows a new ReplicaSet step by step, and only its
// Deployment knows up to where.
func ofReplicaSet(set *appsv1.ReplicaSet) asks {
	now := count(set.Spec.Replicas)
	desired, err := strconv.ParseInt(set.Annotations[desiredReplicas], 10, 32)
	if err != nil {
		desired = now
	}
	return asks{gang: now, whole: now, total: max(now, desired)}
}

// ofStatefulSet: unless its policy is Parallel, each pod is created once the one
// before is ready, and would wait for the others for ever. Even so the set should
// begin where all of them fit.
func ofStatefulSet(set *appsv1.StatefulSet) asks {
	replicas := count(set.Spec.Replicas)
	if set.Spec.PodManagementPolicy == appsv1.ParallelPodManagement {
		return all(replicas)
	}
	return asks{gang: 1, whole: replicas, total: replicas}
}

func ofController(controller *v1.ReplicationController) asks {
	return all(count(controller.Spec.Replicas))
}

// ofJob: as many as run at a time, as long as so many are still to succeed.
func ofJob(job *batchv1.Job) asks {
	pods := count(job.Spec.Parallelism)
	if job.Spec.Completions == nil {
		return all(pods)
	}
	completions, done := int64(*job.Spec.Completions), int64(job.Status.Succeeded)
	if job.Status.FailedIndexes != nil {
		done += countIndexes(*job.Status.FailedIndexes, completions)
	}
	a := all(max(1, min(pods, completions-done)))
	a.done, a.completions = done, completions
	return a
}

// countIndexes counts the indexes below completions in a list such as 1,3-5, as the
// API writes it: in ascending order. What is not an index, or out of order, does
// not count, so no index counts twice.
func countIndexes(list string, completions int64) int64 {
	var counted, next int64
	for item := range strings.SplitSeq(list, ",") {
		first, last, ranged := strings.Cut(item, "-")
		if !ranged {
			last = first
		}
		from, errFrom := strconv.ParseInt(first, 10, 32)
		to, errTo := strconv.ParseInt(last, 10, 32)
		if errFrom != nil || errTo != nil {
			continue
		}
		from, to = max(from, next), min(to, completions-1)
		if from <= to {
			counted += to - from + 1
			next = to + 1
		}
	}
	return counted
}

// all is what pods that come at once ask for.
func all(pods int64) asks { return asks{gang: pods, whole: pods, total: pods} }

// count is a number of replicas: 1 unless it is said, and at least that, since a
// pod asks.
func count(replicas *int32) int64 {
	if replicas == nil {
		return 1
	}
	return max(1, int64(*replicas))
}

// trimJob drops what is large and nobody here reads. It leaves the object itself
// as it is.
func trimJob(obj any) (any, error) {
	job, ok := obj.(*batchv1.Job)
	if !ok {
		return obj, nil // the key of an object that is gone
	}
	return &batchv1.Job{
		TypeMeta: job.TypeMeta,
		ObjectMeta: metav1.ObjectMeta{
			Namespace: job.Namespace, Name: job.Name, UID: job.UID, ResourceVersion: job.ResourceVersion, Generation: job.Generation,
			CreationTimestamp: job.CreationTimestamp, DeletionTimestamp: job.DeletionTimestamp, Labels: job.Labels, OwnerReferences: job.OwnerReferences,
		},
		Spec:   batchv1.JobSpec{Parallelism: job.Spec.Parallelism, Completions: job.Spec.Completions, CompletionMode: job.Spec.CompletionMode, Suspend: job.Spec.Suspend},
		Status: batchv1.JobStatus{Active: job.Status.Active, Succeeded: job.Status.Succeeded, Failed: job.Status.Failed, FailedIndexes: job.Status.FailedIndexes},
	}, nil
}

// byUID tells of objects by their UID, byName by their name.
func byUID[T metav1.Object](tell func(namespace, id string)) func(T) {
	return func(obj T) { tell(obj.GetNamespace(), string(obj.GetUID())) }
}

func byName[T metav1.Object](tell func(namespace, id string)) func(T) {
	return func(obj T) { tell(obj.GetNamespace(), obj.GetName()) }
}

// follow tells of objects that come, go, or change in what read returns of them.
// One that takes another's place under its name is both.
func follow[T metav1.Object, R comparable](informer cache.SharedIndexInformer, what string, read func(T) R, tell func(T)) error {
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { each(obj, tell) },
		UpdateFunc: func(before, after any) {
			old, isOld := before.(T)
			now, isNow := after.(T)
			switch {
			case !isOld || !isNow:
			case old.GetUID() != now.GetUID():
				tell(old)
				tell(now)
			case read(old) != read(now):
				tell(now)
			}
		},
		DeleteFunc: func(obj any) {
			if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj
			}
			each(obj, tell)
		},
	})
	if err != nil {
		return fmt.Errorf("watching %s: %w", what, err)
	}
	return nil
}

func each[T any](obj any, tell func(T)) {
	if typed, ok := obj.(T); ok {
		tell(typed)
	}
}
