package explain

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"
	"sigs.k8s.io/scheduler-plugins/apis/scheduling/v1alpha1"

	"plimsoll.dev/scheduler/pkg/intent"
)

// mostTaints is how many taints are tried, and how many sets of several.
const mostTaints = 40

// candidates lists the changes to try, in the order in which they are.
func (t *trials) candidates(ctx context.Context) ([]*change, error) {
	var out []*change
	if gates := t.pod.Spec.SchedulingGates; len(gates) > 0 {
		var list []string
		for _, g := range gates {
			list = append(list, g.Name)
		}
		out = append(out, &change{family: "gates", words: always("remove the scheduling gates %s", strings.Join(list, ", ")),
			edit: func(v *variant, _ int64) { v.pod.Spec.SchedulingGates = nil }})
	}
	taints, err := t.taints(ctx)
	if err != nil {
		return nil, err
	}
	claims, err := t.ofClaims()
	return slices.Concat(out, taints, ofSelector(t.pod), ofNodeAffinity(t.pod), ofPodAffinity(t.pod), ofSpread(t.pod),
		ofAnnotations(t.pod), ofPorts(t.pod), ofVolumes(t.pod), ofRequests(t.pod), claims), err
}

// taints lists tolerations for taints that keep the pod off: each taint, each set of
// them that a node has, and all of them.
func (t *trials) taints(ctx context.Context) ([]*change, error) {
	count := map[string]int{} // by words
	sets := map[string][]v1.Taint{}
	for _, name := range t.cluster.Nodes() {
		info, err := t.cluster.NodeInfo(ctx, name)
		if err != nil {
			return nil, err
		}
		keeping := t.keeping(info.Node())
		for i := range keeping {
			one := keeping[i : i+1]
			sets[wordsOf(one)] = one
			count[wordsOf(one)]++
		}
		if len(keeping) > 1 {
			sets[wordsOf(keeping)] = keeping
			count[wordsOf(keeping)]++
		}
	}
	words := slices.SortedFunc(maps.Keys(sets), func(a, b string) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b))
	})
	var single, several []*change
	for _, w := range words {
		list := &several
		if len(sets[w]) == 1 {
			list = &single
		}
		if len(*list) < mostTaints {
			*list = append(*list, tolerate(w, sets[w]))
		}
	}
	out := slices.Concat(single, several)
	if len(words) > 1 {
		out = append(out, &change{family: "taints", broad: true, words: always("tolerate every taint"), edit: func(v *variant, _ int64) {
			v.pod.Spec.Tolerations = append(v.pod.Spec.Tolerations, v1.Toleration{Operator: v1.TolerationOpExists})
		}})
	}
	return out, nil
}

func tolerate(words string, taints []v1.Taint) *change {
	return &change{family: "taints", words: always("tolerate %s", words), edit: func(v *variant, _ int64) {
		for _, taint := range taints {
			v.pod.Spec.Tolerations = append(v.pod.Spec.Tolerations,
				v1.Toleration{Key: taint.Key, Operator: v1.TolerationOpEqual, Value: taint.Value, Effect: taint.Effect})
		}
	}}
}

// keeping lists the node's taints that keep the pod off, sorted. A cordoned node
// counts as one that is tainted for it.
func (t *trials) keeping(node *v1.Node) []v1.Taint {
	all := slices.Clone(node.Spec.Taints)
	cordon := v1.Taint{Key: v1.TaintNodeUnschedulable, Effect: v1.TaintEffectNoSchedule}
	if node.Spec.Unschedulable && !slices.ContainsFunc(all, func(t v1.Taint) bool { return t.MatchTaint(&cordon) }) {
		all = append(all, cordon)
	}
	var out []v1.Taint
	for i := range all {
		taint := v1.Taint{Key: all[i].Key, Value: all[i].Value, Effect: all[i].Effect}
		if taint.Effect != v1.TaintEffectPreferNoSchedule &&
			!corev1helpers.TolerationsTolerateTaint(klog.Background(), t.pod.Spec.Tolerations, &taint, true) {
			out = append(out, taint)
		}
	}
	slices.SortFunc(out, func(a, b v1.Taint) int { return strings.Compare(a.ToString(), b.ToString()) })
	return out
}

func wordsOf(taints []v1.Taint) string {
	var out []string
	for i := range taints {
		out = append(out, taints[i].ToString())
	}
	return strings.Join(out, " and ")
}

func ofSelector(pod *v1.Pod) []*change {
	var out []*change
	for _, key := range slices.Sorted(maps.Keys(pod.Spec.NodeSelector)) {
		out = append(out, &change{family: "nodeSelector", words: always("drop nodeSelector %s=%s", key, pod.Spec.NodeSelector[key]),
			edit: func(v *variant, _ int64) { delete(v.pod.Spec.NodeSelector, key) }})
	}
	if len(out) > 1 {
		out = append(out, &change{family: "nodeSelector", broad: true, words: always("drop the whole nodeSelector"),
			edit: func(v *variant, _ int64) { v.pod.Spec.NodeSelector = nil }})
	}
	return out
}

// ofNodeAffinity drops single requirements and the whole of a required affinity. A
// term without its only requirement would match no node; it stands for the whole.
func ofNodeAffinity(pod *v1.Pod) []*change {
	if requiredOf(pod) == nil {
		return nil
	}
	var out []*change
	seen := map[string]bool{}
	for _, term := range requiredOf(pod).NodeSelectorTerms {
		if len(term.MatchExpressions)+len(term.MatchFields) < 2 {
			continue
		}
		for _, r := range slices.Concat(term.MatchExpressions, term.MatchFields) {
			words := strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Key, r.Operator, strings.Join(r.Values, ",")))
			if seen[words] {
				continue
			}
			seen[words] = true
			out = append(out, &change{family: "nodeAffinity", words: always("drop required node affinity %s", words),
				edit: func(v *variant, _ int64) { dropRequirement(v.pod, r) }})
		}
	}
	return append(out, &change{family: "nodeAffinity", broad: len(out) > 0, words: always("drop the whole required node affinity"),
		edit: func(v *variant, _ int64) {
			if requiredOf(v.pod) != nil {
				v.pod.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = nil
			}
		}})
}

func requiredOf(pod *v1.Pod) *v1.NodeSelector {
	if a := pod.Spec.Affinity; a != nil && a.NodeAffinity != nil {
		return a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	}
	return nil
}

// dropRequirement drops it from every term that has another.
func dropRequirement(pod *v1.Pod, r v1.NodeSelectorRequirement) {
	if requiredOf(pod) == nil {
		return
	}
	same := func(other v1.NodeSelectorRequirement) bool { return reflect.DeepEqual(other, r) }
	terms := requiredOf(pod).NodeSelectorTerms
	for i := range terms {
		if len(terms[i].MatchExpressions)+len(terms[i].MatchFields) > 1 {
			terms[i].MatchExpressions = slices.DeleteFunc(terms[i].MatchExpressions, same)
			terms[i].MatchFields = slices.DeleteFunc(terms[i].MatchFields, same)
		}
	}
}

func ofPodAffinity(pod *v1.Pod) []*change {
	if pod.Spec.Affinity == nil {
		return nil
	}
	var out []*change
	add := func(kind string, terms []v1.PodAffinityTerm, of func(*v1.Affinity) *[]v1.PodAffinityTerm) {
		for _, term := range terms {
			words := fmt.Sprintf("drop required pod %s to %s over %s", kind, metav1.FormatLabelSelector(term.LabelSelector), term.TopologyKey)
			out = append(out, &change{family: "podAffinity", mixed: true, words: always("%s", words), edit: func(v *variant, _ int64) {
				if v.pod.Spec.Affinity == nil {
					return
				}
				if list := of(v.pod.Spec.Affinity); list != nil {
					*list = slices.DeleteFunc(*list, func(other v1.PodAffinityTerm) bool { return reflect.DeepEqual(other, term) })
				}
			}})
		}
	}
	if a := pod.Spec.Affinity.PodAffinity; a != nil {
		add("affinity", a.RequiredDuringSchedulingIgnoredDuringExecution, func(a *v1.Affinity) *[]v1.PodAffinityTerm {
			if a.PodAffinity == nil {
				return nil
			}
			return &a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution
		})
	}
	if a := pod.Spec.Affinity.PodAntiAffinity; a != nil {
		add("anti-affinity", a.RequiredDuringSchedulingIgnoredDuringExecution, func(a *v1.Affinity) *[]v1.PodAffinityTerm {
			if a.PodAntiAffinity == nil {
				return nil
			}
			return &a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution
		})
	}
	return out
}

func ofSpread(pod *v1.Pod) []*change {
	var out []*change
	for _, constraint := range pod.Spec.TopologySpreadConstraints {
		if constraint.WhenUnsatisfiable != v1.DoNotSchedule {
			continue
		}
		out = append(out, &change{family: "spread", mixed: true,
			words: always("drop the spread over %s with maxSkew %d", constraint.TopologyKey, constraint.MaxSkew),
			edit: func(v *variant, _ int64) {
				v.pod.Spec.TopologySpreadConstraints = slices.DeleteFunc(v.pod.Spec.TopologySpreadConstraints,
					func(other v1.TopologySpreadConstraint) bool { return reflect.DeepEqual(other, constraint) })
			}})
	}
	return out
}

// ofAnnotations drops each of our annotations, and the label of a PodGroup.
func ofAnnotations(pod *v1.Pod) []*change {
	var out []*change
	given := intent.Given(pod)
	for _, key := range slices.Sorted(maps.Keys(given)) {
		out = append(out, &change{family: "annotations", mixed: true, words: always("drop annotation %s=%s", key, given[key]),
			edit: func(v *variant, _ int64) { delete(v.pod.Annotations, key) }})
	}
	if group := pod.Labels[v1alpha1.PodGroupLabel]; group != "" {
		out = append(out, &change{family: "annotations", mixed: true, words: always("drop label %s=%s", v1alpha1.PodGroupLabel, group),
			edit: func(v *variant, _ int64) { delete(v.pod.Labels, v1alpha1.PodGroupLabel) }})
	}
	return out
}

func ofPorts(pod *v1.Pod) []*change {
	ports := map[int32]bool{}
	eachContainer(pod, func(c *v1.Container) {
		for _, p := range c.Ports {
			if p.HostPort > 0 {
				ports[p.HostPort] = true
			}
		}
	})
	drop := func(which func(int32) bool) func(*variant, int64) {
		return func(v *variant, _ int64) {
			eachContainer(v.pod, func(c *v1.Container) {
				for i := range c.Ports {
					if which(c.Ports[i].HostPort) {
						c.Ports[i].HostPort = 0
					}
				}
			})
		}
	}
	var out []*change
	for _, port := range slices.Sorted(maps.Keys(ports)) {
		out = append(out, &change{family: "ports", words: always("drop host port %d", port), edit: drop(func(p int32) bool { return p == port })})
	}
	if len(out) > 1 {
		out = append(out, &change{family: "ports", broad: true, words: always("drop all host ports"), edit: drop(func(int32) bool { return true })})
	}
	return out
}

// ofVolumes drops volumes that may bind the pod to a place: those with a claim.
func ofVolumes(pod *v1.Pod) []*change {
	var out []*change
	for i := range pod.Spec.Volumes {
		name := pod.Spec.Volumes[i].Name
		if pod.Spec.Volumes[i].PersistentVolumeClaim == nil && pod.Spec.Volumes[i].Ephemeral == nil {
			continue
		}
		out = append(out, &change{family: "volumes", mixed: true, words: always("drop volume %s", name), edit: func(v *variant, _ int64) {
			v.pod.Spec.Volumes = slices.DeleteFunc(v.pod.Spec.Volumes, func(volume v1.Volume) bool { return volume.Name == name })
		}})
	}
	return out
}

func eachContainer(pod *v1.Pod, do func(*v1.Container)) {
	for i := range pod.Spec.InitContainers {
		do(&pod.Spec.InitContainers[i])
	}
	for i := range pod.Spec.Containers {
		do(&pod.Spec.Containers[i])
	}
}
