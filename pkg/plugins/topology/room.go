package topology

import (
	"slices"

	v1 "k8s.io/api/core/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/pkg/gang"
	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/load"
	"plimsoll.dev/scheduler/pkg/zone"
)

// mostPods bounds how many pods of a group are counted on one node.
const mostPods = 1 << 20

// look says what counts as free.
type look struct {
	// soft: room that groups plan with, but do not insist on, is not free.
	soft bool
	// evict: what pods of lower priority take is free.
	evict bool
}

// choose finds the tightest domain that holds the group: leaving alone what
// others plan with if it can, and else what they only plan with; and if nothing
// is free, with the room of pods that preemption may evict.
//
// All members count as if each took what the largest does of every resource. If
// no domain holds that, the hardest to place of them decide alone: the others may
// fit beside them, and if not, Permit lets none of them go.
func (p *Topology) choose(r *request, nodes []fwk.NodeInfo, ask zone.Ask) (*zone.Room, zone.Choice) {
	largest, hardest := p.shapes(r)
	few := ask
	few.Pods = (ask.Pods*hardest.pods + hardest.of - 1) / hardest.of
	type attempt struct {
		shape *load.Vector
		ask   zone.Ask
		look  look
	}
	attempts := []attempt{{&largest, ask, look{soft: true}}}
	if p.plansOfOthers(r) {
		attempts = append(attempts, attempt{&largest, ask, look{}})
	}
	if hardest.pods < hardest.of {
		attempts = append(attempts, attempt{&hardest.amounts, few, look{}})
	}
	if p.mayEvict(r) {
		attempts = append(attempts, attempt{&largest, ask, look{evict: true}})
	}
	var first *zone.Room
	var told zone.Choice
	for _, a := range attempts {
		room := p.room(r, nodes, a.shape, a.look)
		choice := room.Choose(a.ask)
		if choice.Fits {
			return room, choice
		}
		if first == nil || a.look == (look{}) && a.shape == &largest {
			first, told = room, choice // the reason is in terms of what is free
		}
	}
	return first, told
}

// mayEvict tells whether the pod can make room by preemption.
func (p *Topology) mayEvict(r *request) bool {
	return r.required != 0 && r.priority > 0 && (r.pod.Spec.PreemptionPolicy == nil || *r.pod.Spec.PreemptionPolicy != v1.PreemptNever)
}

// plansOfOthers tells whether another group plans with room that it does not
// insist on.
func (p *Topology) plansOfOthers(r *request) bool {
	for _, charged := range p.groups.Charges() {
		for i := range charged {
			if charged[i].Soft && charged[i].Group != r.group.Key {
				return true
			}
		}
	}
	return false
}

// hard is what the members take that are hardest to place, and how many they are
// of how many.
type hard struct {
	amounts  load.Vector
	pods, of int64
}

// shapes are the largest amount of each resource that a member takes, and what
// those take that are hardest to place: the sum of their shares of the largest
// amounts is greatest. The pods of one owner are alike.
func (p *Topology) shapes(r *request) (load.Vector, hard) {
	largest := r.need.amounts
	if r.group.Key.Kind == intent.GroupByOwner {
		return largest, hard{largest, 1, 1}
	}
	counts := map[load.Vector]int64{}
	all := int64(0)
	for _, m := range p.groups.Pending(r.group.Key) {
		pod := p.podOf(m.Name)
		if pod == nil {
			continue
		}
		amounts := r.need.meter.Pod(pod).Requested
		counts[amounts]++
		all++
		for i := range amounts {
			largest[i] = max(largest[i], amounts[i])
		}
	}
	if all == 0 {
		return largest, hard{largest, 1, 1}
	}
	share := func(v *load.Vector) (sum float64) {
		for i := range v {
			sum += float64(v[i]) / float64(max(largest[i], 1))
		}
		return sum
	}
	hardest := hard{of: all}
	for amounts, pods := range counts {
		if now, best := share(&amounts), share(&hardest.amounts); now > best || now == best && pods > hardest.pods {
			hardest.amounts, hardest.pods = amounts, pods
		}
	}
	return largest, hardest
}

// room counts how many pods of the shape fit on each node that the pod may go to.
func (p *Topology) room(r *request, nodes []fwk.NodeInfo, shape *load.Vector, l look) *zone.Room {
	charges := p.groups.Charges()
	affinity := nodeaffinity.GetRequiredNodeAffinity(r.pod)
	picky := len(r.pod.Spec.NodeSelector) > 0 || r.pod.Spec.Affinity != nil && r.pod.Spec.Affinity.NodeAffinity != nil
	need := (*zone.Amounts)(shape)
	return zone.NewRoom(r.tree, func(n zone.NodeID) int64 {
		if slices.ContainsFunc(r.except, func(d zone.DomainID) bool { return r.tree.Contains(d, n) }) {
			return 0
		}
		info := nodes[n]
		node := info.Node()
		if node == nil || !p.admits(r.pod, node) {
			return 0
		}
		if picky {
			if match, err := affinity.Match(node); err != nil || !match {
				return 0
			}
		}
		var free, used load.Vector
		r.need.meter.Allocatable(info, &free)
		r.need.meter.Requested(info, &used)
		for i := range r.need.names {
			free[i] -= used[i]
		}
		if l.evict {
			r.addEvictable(info, &free)
		}
		if charged := charges[node.Name]; charged != nil {
			r.subtract(charged, l, &free)
		}
		return zone.Fits((*zone.Amounts)(&free), need, mostPods)
	})
}

// subtract takes away what is held for other groups.
func (r *request) subtract(charged []gang.Charge[intent.GroupKey], l look, free *load.Vector) {
	for i := range charged {
		c := &charged[i]
		if c.Group == r.group.Key || c.Soft && !l.soft || !c.Soft && c.Priority < r.priority {
			continue
		}
		for j, name := range r.need.names {
			free[j] -= c.Pods * c.Need.Of(string(name))
		}
	}
}

// addEvictable adds what pods of lower priority take.
func (r *request) addEvictable(info fwk.NodeInfo, free *load.Vector) {
	for _, on := range info.GetPods() {
		if pod := on.GetPod(); corev1helpers.PodPriority(pod) < r.priority {
			amounts := r.need.meter.Pod(pod).Requested
			for i := range r.need.names {
				free[i] += amounts[i]
			}
		}
	}
}

// admits tells whether the node takes new pods that tolerate what this one does.
func (p *Topology) admits(pod *v1.Pod, node *v1.Node) bool {
	if len(node.Spec.Taints) == 0 && !node.Spec.Unschedulable {
		return true
	}
	unschedulable := v1.Taint{Key: v1.TaintNodeUnschedulable, Effect: v1.TaintEffectNoSchedule}
	if node.Spec.Unschedulable && !corev1helpers.TolerationsTolerateTaint(klog.Background(), pod.Spec.Tolerations, &unschedulable, p.operators) {
		return false
	}
	_, untolerated := corev1helpers.FindMatchingUntoleratedTaint(klog.Background(), node.Spec.Taints, pod.Spec.Tolerations, func(t *v1.Taint) bool {
		return t.Effect == v1.TaintEffectNoSchedule || t.Effect == v1.TaintEffectNoExecute
	}, p.operators)
	return !untolerated
}
