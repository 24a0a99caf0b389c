package snapshot

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// mostPods is how many pods the workloads of one addition may ask for together.
const mostPods = 500_000

// Add puts what-if objects on top of the cluster, as if a user created them now:
// Deployments, DaemonSets, CronJobs and all other workloads get the pods that their
// controllers would create, under names that are the same in every run. Admission
// of pods is followed where it matters to every scheduler (defaults, priority), not
// where a cluster configures it (LimitRanges, webhooks). Either all is added or
// nothing: an object that exists already is an error, and so is a pod on a node that
// does not. The other snapshot, which ReadWhatIf has read, stays as it is; of one
// that Read has read no pods are made.
func (s *Snapshot) Add(other *Snapshot) error {
	a := &addition{Snapshot: &Snapshot{Notes: slices.Clone(s.Notes), places: maps.Clone(other.places), assumed: maps.Clone(s.assumed)}, nodes: map[string]*v1.Node{}}
	a.Objects, a.Pods = slices.Clone(s.Objects), slices.Clone(s.Pods)
	a.survey()
	if err := a.take(other); err != nil {
		return fmt.Errorf("adding to the cluster: %w", err)
	}
	a.Notes = append(a.Notes, other.Notes...)
	first := len(s.Pods)
	// The cluster's own pods are through with what follows.
	added := &Snapshot{Objects: a.Objects, Pods: a.Pods[first:]}
	added.dropEnded()
	added.dropLeaving()
	a.Notes = append(a.Notes, added.Notes...)
	a.Pods = append(a.Pods[:first:first], added.Pods...)
	a.complete()
	s.Objects, s.Pods, s.Notes, s.assumed = a.Objects, a.Pods, a.Notes, a.assumed
	if other.Source != "" {
		s.Source += " with " + other.Source
	}
	if s.places != nil {
		s.places = maps.Clone(s.places)
		maps.Copy(s.places, other.places)
	}
	return nil
}

// addition is a cluster to which objects are being added.
type addition struct {
	*Snapshot
	// there tells what exists, and owners which object shows that its owner does.
	there  map[key]bool
	owners map[key]key
	nodes  map[string]*v1.Node
	// made counts the pods of workloads.
	made int
}

// survey looks at what there is before.
func (a *addition) survey() {
	a.there, a.owners = map[key]bool{}, map[key]key{}
	see := func(obj runtime.Object, m metav1.Object) {
		k := keyOf(obj)
		a.there[k] = true
		if owner := metav1.GetControllerOfNoCopy(m); owner != nil {
			gvk := schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind)
			a.owners[key{gvk.GroupKind(), k.namespace, owner.Name}] = k
		}
	}
	for _, obj := range a.Objects {
		if m, ok := obj.(metav1.Object); ok {
			see(obj, m)
		}
		if node, ok := obj.(*v1.Node); ok {
			a.nodes[node.Name] = node
		}
	}
	for _, pod := range a.Pods {
		see(pod, pod)
	}
}

// take adds all there is in the other snapshot: objects first, since DaemonSets look
// at nodes, then pods, then those of workloads.
func (a *addition) take(other *Snapshot) error {
	var errs []error
	var workloads []runtime.Object
	newNodes := 0
	for _, obj := range other.Objects {
		obj = obj.DeepCopyObject()
		k := keyOf(obj)
		if _, ok := obj.(*v1.Namespace); ok && a.assumed[k.name] {
			a.Objects = slices.DeleteFunc(a.Objects, func(o runtime.Object) bool { return keyOf(o) == k })
			delete(a.assumed, k.name)
			delete(a.there, k)
		}
		if err := a.isNew(k); err != nil {
			errs = append(errs, err)
			continue
		}
		if known().byKind[k.GroupKind].workload {
			workloads = append(workloads, obj)
			continue
		}
		a.there[k] = true
		a.Objects = append(a.Objects, obj)
		switch typed := obj.(type) {
		case *v1.Node:
			newNodes++
			a.nodes[typed.Name] = typed
		case *v1.ReplicationController:
			workloads = append(workloads, obj)
		default:
			if k.Group == "apps" || k.Group == "batch" {
				workloads = append(workloads, obj)
			}
		}
	}
	for _, pod := range other.Pods {
		errs = append(errs, a.addPod(pod.DeepCopy()))
	}
	if other.whatIf {
		for _, workload := range workloads {
			if err := a.expand(workload); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", a.at(keyOf(workload)), err))
			}
		}
	}
	a.note(newNodes, "node was added without the pods of DaemonSets that are there already", "nodes were added without the pods of DaemonSets that are there already")
	return errors.Join(errs...)
}

// isNew is an error for what exists, or is known to exist by what it owns.
func (a *addition) isNew(k key) error {
	if a.there[k] {
		return fmt.Errorf("%s is in the cluster already", a.at(k))
	}
	if owned, found := a.owners[k]; found {
		return fmt.Errorf("%s is in the cluster already: it owns %s", a.at(k), owned)
	}
	return nil
}

// addPod adds a pod, whose node must be there if it names one.
func (a *addition) addPod(pod *v1.Pod) error {
	k := keyOf(pod)
	if a.there[k] {
		return fmt.Errorf("%s is in the cluster already", a.at(k))
	}
	if pod.Spec.NodeName != "" && a.nodes[pod.Spec.NodeName] == nil {
		return fmt.Errorf("%s: spec.nodeName: there is no node %q", a.at(k), pod.Spec.NodeName)
	}
	a.there[k] = true
	a.Pods = append(a.Pods, pod)
	return a.ephemeralVolumes(pod)
}
