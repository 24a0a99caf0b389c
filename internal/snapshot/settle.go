package snapshot

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	systemclasses "k8s.io/kubernetes/pkg/apis/scheduling/v1"
	storageutil "k8s.io/kubernetes/pkg/apis/storage/util"
	"k8s.io/utils/ptr"

	"plimsoll.dev/scheduler/pkg/intent"
)

// settle leaves out the pods that no longer matter and does what admission and
// controllers do for the others.
func (s *Snapshot) settle() {
	s.dropEnded()
	s.dropLost()
	s.dropLeaving()
	s.complete()
}

// complete does what admission and controllers do. Done twice it changes nothing more.
func (s *Snapshot) complete() {
	s.makeNamespaces()
	s.setPriorities()
	s.setStorageClasses()
	s.makeClaims()
	s.sortObjects()
}

// dropEnded leaves out pods that no longer use anything.
func (s *Snapshot) dropEnded() {
	all := len(s.Pods)
	s.Pods = slices.DeleteFunc(s.Pods, intent.IsFinished)
	s.note(all-len(s.Pods), "pod that has ended was left out", "pods that have ended were left out")
}

// dropLost leaves out pods on nodes that are not there: a scheduler ignores them.
func (s *Snapshot) dropLost() {
	there := s.nodeNames()
	missing := sets.New[string]()
	all := len(s.Pods)
	s.Pods = slices.DeleteFunc(s.Pods, func(p *v1.Pod) bool {
		lost := p.Spec.NodeName != "" && !there.Has(p.Spec.NodeName)
		if lost {
			missing.Insert(p.Spec.NodeName)
		}
		return lost
	})
	if lost := all - len(s.Pods); lost > 0 {
		names := sets.List(missing)
		s.note(lost, "pod was left out: its node is not there", "pods were left out: their nodes are not there")
		s.Notes[len(s.Notes)-1] += fmt.Sprintf(" (%s)", some(names))
	}
}

// some lists a few of many names.
func some(names []string) string {
	const few = 3
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}

// dropLeaving leaves out pods that are being deleted before they had a place. Those
// that have one keep it for as long as they are there.
func (s *Snapshot) dropLeaving() {
	all, stay := len(s.Pods), 0
	s.Pods = slices.DeleteFunc(s.Pods, func(p *v1.Pod) bool {
		if p.DeletionTimestamp != nil && p.Spec.NodeName != "" {
			stay++
		}
		return p.DeletionTimestamp != nil && p.Spec.NodeName == ""
	})
	s.note(all-len(s.Pods), "pod without a place was left out: it is being deleted", "pods without a place were left out: they are being deleted")
	s.note(stay, "pod is being deleted and still holds its place", "pods are being deleted and still hold their places")
}

// nodeNames is the set of nodes that are there.
func (s *Snapshot) nodeNames() sets.Set[string] {
	out := sets.New[string]()
	for _, node := range objectsOf[*v1.Node](s) {
		out.Insert(node.Name)
	}
	return out
}

// makeNamespaces adds the namespaces that only follow from what is in them. An API
// server labels them with their names.
func (s *Snapshot) makeNamespaces() {
	there := map[string]bool{"": true}
	for _, ns := range objectsOf[*v1.Namespace](s) {
		there[ns.Name] = true
	}
	var made []string
	see := func(name string) {
		if !there[name] {
			there[name] = true
			made = append(made, name)
		}
	}
	for _, obj := range s.Objects {
		see(keyOf(obj).namespace)
	}
	for _, pod := range s.Pods {
		see(pod.Namespace)
	}
	slices.Sort(made)
	assumed := maps.Clone(s.assumed)
	if assumed == nil {
		assumed = map[string]bool{}
	}
	for _, name := range made {
		assumed[name] = true
		ns := &v1.Namespace{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1.LabelMetadataName: name}},
			Spec:       v1.NamespaceSpec{Finalizers: []v1.FinalizerName{v1.FinalizerKubernetes}},
			Status:     v1.NamespaceStatus{Phase: v1.NamespaceActive},
		}
		ns.UID = stableUID(keyOf(ns))
		s.Objects = append(s.Objects, ns)
	}
	s.assumed = assumed
	if len(made) > 0 {
		s.note(len(made), "namespace is not there and stands without labels", "namespaces are not there and stand without labels")
		s.Notes[len(s.Notes)-1] += fmt.Sprintf(" (%s)", some(made))
	}
}

// setPriorities gives pods without a priority that of their class, as admission does.
func (s *Snapshot) setPriorities() {
	classes := map[string]*schedulingv1.PriorityClass{}
	for _, class := range systemclasses.SystemPriorityClasses() {
		classes[class.Name] = class
	}
	var standard *schedulingv1.PriorityClass
	for _, class := range objectsOf[*schedulingv1.PriorityClass](s) {
		classes[class.Name] = class
		// Of several, the lowest counts.
		if class.GlobalDefault && (standard == nil || class.Value < standard.Value) {
			standard = class
		}
	}
	missing := map[string]int{}
	for _, pod := range s.Pods {
		if pod.Status.Phase == "" {
			pod.Status.Phase = v1.PodPending
		}
		if pod.Spec.Priority != nil {
			continue
		}
		class, named := standard, pod.Spec.PriorityClassName
		if named != "" {
			if class = classes[named]; class == nil {
				missing[named]++
			}
		}
		if class == nil {
			pod.Spec.Priority = ptr.To[int32](0)
			continue
		}
		pod.Spec.PriorityClassName, pod.Spec.Priority = class.Name, ptr.To(class.Value)
		if pod.Spec.PreemptionPolicy == nil {
			pod.Spec.PreemptionPolicy = class.PreemptionPolicy
		}
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		ending := fmt.Sprintf("PriorityClass %s, which is not there: priority 0", name)
		s.note(missing[name], "pod names "+ending, "pods name "+ending)
	}
}

// setStorageClasses gives volume claims that name no class the cluster's own, as
// admission does: the newest of those marked as such.
func (s *Snapshot) setStorageClasses() {
	var standard *storagev1.StorageClass
	for _, class := range objectsOf[*storagev1.StorageClass](s) {
		if class.Annotations[storageutil.IsDefaultStorageClassAnnotation] == "true" &&
			(standard == nil || standard.CreationTimestamp.Before(&class.CreationTimestamp)) {
			standard = class
		}
	}
	if standard == nil {
		return
	}
	for _, claim := range objectsOf[*v1.PersistentVolumeClaim](s) {
		_, old := claim.Annotations[v1.BetaStorageClassAnnotation]
		if claim.Spec.StorageClassName == nil && !old && claim.Spec.VolumeName == "" {
			claim.Spec.StorageClassName = ptr.To(standard.Name)
		}
	}
}
