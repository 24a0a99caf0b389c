package intent

import (
	"slices"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"plimsoll.dev/scheduler/pkg/arch"
)

// archLabels are the node labels that name an architecture; the second is the
// first's deprecated name.
var archLabels = []string{v1.LabelArchStable, "beta.kubernetes.io/arch"}

// Selection is what a pod's own nodeSelector and node affinity say of
// architectures. The zero value says nothing.
type Selection struct {
	// Stated: the pod speaks of architectures.
	Stated bool
	// Allowed are the architectures that it leaves, of those that
	// arch.Architectures lists, if Stated.
	Allowed []string
	// Prefers: among its preferred node affinity is a word on architectures.
	Prefers bool
}

// Allows reports whether the pod's own words allow the architecture.
func (s *Selection) Allows(architecture string) bool {
	return !s.Stated || slices.Contains(s.Allowed, architecture)
}

// Pinned reports whether they leave just one.
func (s *Selection) Pinned() bool { return s.Stated && len(s.Allowed) == 1 }

// SelectArchitectures reads what the pod itself says of architectures. What it
// says beside that, of zones for example, does not matter here: a term of its
// affinity that does not speak of architectures allows all of them. An affinity
// that cannot be read says nothing: NodeAffinity refuses the pod.
func SelectArchitectures(pod *v1.Pod) Selection {
	selector := map[string]string{}
	for _, key := range archLabels {
		if value, found := pod.Spec.NodeSelector[key]; found {
			selector[key] = value
		}
	}
	terms, stated := archTerms(pod)
	out := Selection{Prefers: prefersArchitecture(pod)}
	if len(selector) == 0 && !stated {
		return out
	}
	only := &v1.Pod{Spec: v1.PodSpec{NodeSelector: selector}}
	if stated {
		only.Spec.Affinity = &v1.Affinity{NodeAffinity: &v1.NodeAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: &v1.NodeSelector{NodeSelectorTerms: terms}}}
	}
	required := nodeaffinity.GetRequiredNodeAffinity(only)
	out.Stated = true
	for _, architecture := range arch.Architectures() {
		labels := map[string]string{}
		for _, key := range archLabels {
			labels[key] = architecture
		}
		match, err := required.Match(&v1.Node{ObjectMeta: metav1.ObjectMeta{Labels: labels}})
		if err != nil {
			return Selection{Prefers: out.Prefers}
		}
		if match {
			out.Allowed = append(out.Allowed, architecture)
		}
	}
	return out
}

// archTerms reduces the required node affinity to what it says of architectures.
// It is not stated if some term says nothing of them.
func archTerms(pod *v1.Pod) (terms []v1.NodeSelectorTerm, stated bool) {
	for _, term := range requiredTerms(pod) {
		var about []v1.NodeSelectorRequirement
		for _, e := range term.MatchExpressions {
			if slices.Contains(archLabels, e.Key) {
				about = append(about, e)
			}
		}
		if len(about) == 0 {
			if len(term.MatchExpressions) == 0 && len(term.MatchFields) == 0 {
				continue // an empty term matches no node
			}
			return nil, false
		}
		terms = append(terms, v1.NodeSelectorTerm{MatchExpressions: about})
	}
	return terms, len(terms) > 0
}

func prefersArchitecture(pod *v1.Pod) bool {
	if pod.Spec.Affinity == nil || pod.Spec.Affinity.NodeAffinity == nil {
		return false
	}
	for _, term := range pod.Spec.Affinity.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
		if slices.ContainsFunc(term.Preference.MatchExpressions, func(e v1.NodeSelectorRequirement) bool { return slices.Contains(archLabels, e.Key) }) {
			return true
		}
	}
	return false
}

func requiredTerms(pod *v1.Pod) []v1.NodeSelectorTerm {
	affinity := pod.Spec.Affinity
	if affinity == nil || affinity.NodeAffinity == nil || affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return nil
	}
	return affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
}

// NamesNode reports whether the pod can go to the nodes that it names only: by
// spec.nodeName, by the label that holds a node's name, or as the DaemonSet
// controller does it.
func NamesNode(pod *v1.Pod) bool {
	if pod.Spec.NodeName != "" {
		return true
	}
	if _, found := pod.Spec.NodeSelector[v1.LabelHostname]; found {
		return true
	}
	terms := requiredTerms(pod)
	for _, term := range terms {
		if !slices.ContainsFunc(term.MatchFields, isNodeName) {
			return false
		}
	}
	return len(terms) > 0
}

func isNodeName(r v1.NodeSelectorRequirement) bool {
	return r.Key == metav1.ObjectNameField && r.Operator == v1.NodeSelectorOpIn
}

// OneToANode tells whether no two pods like this one can be on one node: they
// would want the same port of it, or keep each other off by the label that holds
// a node's name.
func OneToANode(pod *v1.Pod) bool {
	for i := range pod.Spec.Containers {
		for j := range pod.Spec.Containers[i].Ports {
			if pod.Spec.Containers[i].Ports[j].HostPort != 0 {
				return true
			}
		}
	}
	if pod.Spec.Affinity == nil || pod.Spec.Affinity.PodAntiAffinity == nil {
		return false
	}
	for _, term := range pod.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
		if term.TopologyKey != v1.LabelHostname || len(term.Namespaces) > 0 || term.NamespaceSelector != nil {
			continue
		}
		if selector, err := metav1.LabelSelectorAsSelector(term.LabelSelector); err == nil && selector.Matches(labels.Set(pod.Labels)) {
			return true
		}
	}
	return false
}
