package snapshot

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Snapshot is what was read of a cluster.
type Snapshot struct {
	// Objects are all that a scheduler reads, pods excluded: by kind, then by
	// namespace and name. They have the types of k8s.io/api in the versions of Kinds;
	// PodGroups of scheduler-plugins are unstructured. What-if files may hold
	// Deployments, DaemonSets and CronJobs as well, until they are added.
	Objects []runtime.Object
	// Pods hold a place or want one, oldest first, then by namespace and name.
	// Those that were added come last, in the order of their files.
	Pods []*v1.Pod
	// Notes say, one line each, what was left out or stands for something else.
	Notes []string
	// Source says in words where all this is from: "4 files of dump/".
	Source string

	// places says where an object was read, for messages; what is missing there
	// was made, or comes from a live cluster.
	places map[key]string
	// assumed are the namespaces that only follow from what is in them.
	assumed map[string]bool
	// whatIf: its workloads are to become pods.
	whatIf bool
}

// key names an object.
type key struct {
	schema.GroupKind
	namespace, name string
}

// String is how a user would say it: Pod shop/web-0.
func (k key) String() string {
	if k.namespace == "" {
		return k.Kind + " " + k.name
	}
	return k.Kind + " " + k.namespace + "/" + k.name
}

// less orders by kind as the catalogue does, then by namespace and name.
func (k key) compare(other key) int {
	order := func(k key) int {
		return slices.IndexFunc(known().kinds, func(c *kind) bool { return c.GroupKind() == k.GroupKind })
	}
	return cmp.Or(cmp.Compare(order(k), order(other)), strings.Compare(k.namespace, other.namespace), strings.Compare(k.name, other.name))
}

// keyOf names an object that was read: all of them carry their kind.
func keyOf(obj runtime.Object) key {
	k := key{GroupKind: obj.GetObjectKind().GroupVersionKind().GroupKind()}
	if m, err := meta.Accessor(obj); err == nil {
		k.namespace, k.name = m.GetNamespace(), m.GetName()
	}
	return k
}

// stableUID is the UID of an object that has none: the same in every run, and in the
// form of all UIDs, since some become labels.
func stableUID(k key) types.UID {
	sum := sha256.Sum256([]byte(strings.Join([]string{k.Group, k.Kind, k.namespace, k.name}, "/")))
	return types.UID(fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16]))
}

// sort puts objects and pods in their order.
func (s *Snapshot) sort() {
	s.sortObjects()
	slices.SortStableFunc(s.Pods, comparePods)
}

func (s *Snapshot) sortObjects() {
	slices.SortStableFunc(s.Objects, func(a, b runtime.Object) int { return keyOf(a).compare(keyOf(b)) })
}

// comparePods orders by age; what was never created is the youngest.
func comparePods(a, b *v1.Pod) int {
	created := func(p *v1.Pod) metav1.Time { return p.CreationTimestamp }
	ta, tb := created(a), created(b)
	if ta.IsZero() != tb.IsZero() {
		if ta.IsZero() {
			return 1
		}
		return -1
	}
	return cmp.Or(ta.Compare(tb.Time), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}

// place says where an object was read, "" if nobody knows.
func (s *Snapshot) place(k key) string { return s.places[k] }

// at opens a message on an object.
func (s *Snapshot) at(k key) string {
	if place := s.place(k); place != "" {
		return fmt.Sprintf("%s: %s", place, k)
	}
	return k.String()
}

// note adds a line if there is something to count: "3 pods that have ended are left out".
func (s *Snapshot) note(count int, one, many string) {
	switch {
	case count == 1:
		s.Notes = append(s.Notes, "1 "+one)
	case count > 1:
		s.Notes = append(s.Notes, fmt.Sprintf("%d %s", count, many))
	}
}

// objectsOf lists the objects of one type, in order.
func objectsOf[T runtime.Object](s *Snapshot) []T {
	var out []T
	for _, obj := range s.Objects {
		if typed, ok := obj.(T); ok {
			out = append(out, typed)
		}
	}
	return out
}
