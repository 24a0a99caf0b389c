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

// choose finds the tightest domain that holds all pods that are wanted or, if
// none does, the roomiest that holds the least that must be: leaving alone what others plan with if it
// can, and else what they only plan with; and if nothing is free, with the room of
// pods that preemption may evict.
//
// All members count as if each took what the largest does of every resource. If
// no domain holds that, the hardest to place of them decide alone: the others may
// fit beside them, and if not, Permit lets none of them go.
func (p *Topology) choose(r *request, nodes []fwk.NodeInfo, want, least int64, evict bool) (*zone.Room, zone.Choice) {
	largest, hardest := p.shapes(r)
	r.shape = largest
	room := p.room(r, nodes, hardest.pod, &largest, look{soft: true})
	if choice := r.chooseIn(room, want, least); choice.Fits {
		return room, choice
	}
	if p.plansOfOthers(r) {
		room = p.room(r, nodes, hardest.pod, &largest, look{})
	}
	refusal := r.chooseIn(room, want, least) // told in terms of what is free
	if refusal.Fits {
		return room, refusal
	}
	if hardest.pods < hardest.of {
		few := p.room(r, nodes, hardest.pod, &hardest.amounts, look{})
		if choice := few.Choose(r.ask((least*hardest.pods + hardest.of - 1) / hardest.of)); choice.Fits {
			r.shape = hardest.amounts
			return few, choice
		}
	}
	if evict {
		if evicted, choice := p.chooseVictims(r, nodes, room, hardest.pod, &largest, least); choice.Fits {
			return evicted, choice
		}
	}
	return room, refusal
}

// chooseIn finds the domain for all that are wanted or else for the least: then where
// there is room for most of the others, that come later and must go there as well.
func (r *request) chooseIn(room *zone.Room, want, least int64) zone.Choice {
	choice := room.Choose(r.ask(want))
	if !choice.Fits && least < want {
		ask := r.ask(least)
		ask.Roomy = true
		choice = room.Choose(ask)
	}
	return choice
}

// ask is the question for the domain of so many pods.
func (r *request) ask(pods int64) zone.Ask {
	return zone.Ask{Pods: pods, Required: r.required, Preferred: r.preferred, Except: r.except}
}

// chooseVictims finds, of the required domains that would hold the pods if those
// of lower priority were gone, the one where fewest have to go.
func (p *Topology) chooseVictims(r *request, nodes []fwk.NodeInfo, free *zone.Room, pod *v1.Pod, shape *load.Vector, pods int64) (*zone.Room, zone.Choice) {
	room := p.room(r, nodes, pod, shape, look{evict: true})
	if r.required == 0 {
		return room, room.Choose(r.ask(pods))
	}
	best := zone.None
	for _, d := range r.tree.At(r.required) {
		if room.In(d) >= pods && (best == zone.None || free.In(d) > free.In(best)) {
			best = d
		}
	}
	return room, zone.Choice{Fits: best != zone.None, Domain: best, Bound: best, Room: max(room.In(best), 0)}
}

// mayEvict tells whether the pod can make room by preemption.
func (p *Topology) mayEvict(r *request) bool {
	return r.strict && (r.pod.Spec.PreemptionPolicy == nil || *r.pod.Spec.PreemptionPolicy != v1.PreemptNever)
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
	// pod is one of them.
	pod      *v1.Pod
	amounts  load.Vector
	pods, of int64
}

// shapes are the largest amount of each resource that a member takes, and what
// those take that are hardest to place: the sum of their shares of the largest
// amounts is greatest. The pods of one owner are alike.
func (p *Topology) shapes(r *request) (load.Vector, hard) {
	largest := r.need.amounts
	if r.group.Key.Kind == intent.GroupByOwner {
		return largest, hard{r.pod, largest, 1, 1}
	}
	counts, likes := map[load.Vector]int64{}, map[load.Vector]*v1.Pod{}
	all := int64(0)
	for _, m := range p.groups.Pending(r.group.Key) {
		pod := p.podOf(m.Name)
		if pod == nil {
			continue
		}
		amounts := r.need.meter.Pod(pod).Requested
		counts[amounts]++
		if likes[amounts] == nil || pod.UID == r.pod.UID {
			likes[amounts] = pod
		}
		all++
		for i := range amounts {
			largest[i] = max(largest[i], amounts[i])
		}
	}
	if all == 0 {
		return largest, hard{r.pod, largest, 1, 1}
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
			hardest.pod, hardest.amounts, hardest.pods = likes[amounts], amounts, pods
		}
	}
	return largest, hardest
}

// room counts how many pods of the shape fit on each node that the given one of
// the group's pods may go to.
func (p *Topology) room(r *request, nodes []fwk.NodeInfo, pod *v1.Pod, shape *load.Vector, l look) *zone.Room {
	charges := p.groups.Charges()
	door := p.doorOf(pod)
	taken := map[string]bool{}
	if door.most == 1 {
		p.groups.EachPlace(r.group.Key, func(node, _ string) { taken[node] = true })
	}
	return zone.NewRoom(r.tree, func(n zone.NodeID) int64 {
		if slices.ContainsFunc(r.except, func(d zone.DomainID) bool { return r.tree.Contains(d, n) }) {
			return 0
		}
		info := nodes[n]
		node := info.Node()
		if node == nil || !door.admits(node) || taken[node.Name] {
			return 0
		}
		var free load.Vector
		r.need.free(info, &free)
		if l.evict {
			r.addEvictable(info, &free)
		}
		if charged := charges[node.Name]; charged != nil {
			r.subtract(charged, l, &free)
		}
		return zone.Fits((*zone.Amounts)(&free), (*zone.Amounts)(shape), door.most)
	})
}

// free is what the node has left.
func (n *need) free(info fwk.NodeInfo, into *load.Vector) {
	var used load.Vector
	n.meter.Allocatable(info, into)
	n.meter.Requested(info, &used)
	for i := range n.names {
		into[i] -= used[i]
	}
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

// door is what a node that is to take a pod must be like, apart from its room.
type door struct {
	p        *Topology
	pod      *v1.Pod
	affinity *nodeaffinity.RequiredNodeAffinity
	// most is how many pods like this one a node takes.
	most int64
}

func (p *Topology) doorOf(pod *v1.Pod) *door {
	d := &door{p: p, pod: pod, most: mostPods}
	if len(pod.Spec.NodeSelector) > 0 || pod.Spec.Affinity != nil && pod.Spec.Affinity.NodeAffinity != nil {
		affinity := nodeaffinity.GetRequiredNodeAffinity(pod)
		d.affinity = &affinity
	}
	if intent.OneToANode(pod) {
		d.most = 1
	}
	return d
}

// admits tells whether the node takes new pods that tolerate and select what this
// one does.
func (d *door) admits(node *v1.Node) bool {
	if d.affinity != nil {
		if match, err := d.affinity.Match(node); err != nil || !match {
			return false
		}
	}
	if len(node.Spec.Taints) == 0 && !node.Spec.Unschedulable {
		return true
	}
	tolerations := d.pod.Spec.Tolerations
	unschedulable := v1.Taint{Key: v1.TaintNodeUnschedulable, Effect: v1.TaintEffectNoSchedule}
	if node.Spec.Unschedulable && !corev1helpers.TolerationsTolerateTaint(klog.Background(), tolerations, &unschedulable, d.p.operators) {
		return false
	}
	_, untolerated := corev1helpers.FindMatchingUntoleratedTaint(klog.Background(), node.Spec.Taints, tolerations, func(t *v1.Taint) bool {
		return t.Effect == v1.TaintEffectNoSchedule || t.Effect == v1.TaintEffectNoExecute
	}, d.p.operators)
	return !untolerated
}
