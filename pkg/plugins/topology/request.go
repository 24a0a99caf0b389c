package topology

import (
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/internal/adapt"
	"plimsoll.dev/scheduler/pkg/gang"
	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/inventory"
	"plimsoll.dev/scheduler/pkg/load"
	"plimsoll.dev/scheduler/pkg/podgroups"
	"plimsoll.dev/scheduler/pkg/verdict"
	"plimsoll.dev/scheduler/pkg/zone"
)

// request is what one pod asks for, and what was decided for it in this cycle.
type request struct {
	pod      *v1.Pod
	asked    *intent.Topology
	group    intent.Group
	priority int32
	// member: the pod belongs to a group that is kept track of.
	member bool
	size   podgroups.Size
	// gang is how many members must be placed together, 1 if each goes by itself.
	gang int64
	// strict: the group is placed within its domain or not at all.
	strict bool

	need need

	tree                *zone.Tree
	required, preferred zone.Ref
	// bound is the domain the pod must be in, target the one it should be in;
	// climbed: it is broader than what was preferred.
	bound, target zone.DomainID
	climbed       bool
	// lone is the level that a pod without a group asks for: any domain of it is
	// right.
	lone zone.Ref
	// shape is what a pod took for which room was found.
	shape load.Vector
	// except are domains that turned out not to do.
	except []zone.DomainID
	// cells are the domains just above nodes that the group's pods are in or have
	// room held in.
	cells map[zone.DomainID]struct{}
	// zones is set by PreScore: the order of the zones.
	zones *zoneRanks
	// waited: the pod had to wait for others, in that attempt of its group.
	// Written before the binding cycle.
	waited  bool
	attempt int

	// freed is how often held room had become free when the charges were read.
	freed uint64

	// charges is what is held for others; nil if nothing is that binds the pod.
	charges gang.Charges[intent.GroupKey]
	// credits are pods that count on a node although room is held for them there.
	credits []credit
}

type credit struct {
	node  string
	group intent.GroupKey
	pods  int64
}

// Clone implements fwk.StateData: what preemption changes is copied.
func (r *request) Clone() fwk.StateData {
	c := *r
	c.credits = slices.Clone(r.credits)
	return &c
}

// need is what a pod takes, in the order of its own resources.
type need struct {
	meter   *inventory.Meter
	names   []v1.ResourceName
	amounts load.Vector
}

// read reads what the pod asks for.
func (p *Topology) read(pod *v1.Pod, asked *intent.Topology) *request {
	r := &request{pod: pod, asked: asked, gang: 1, priority: corev1helpers.PodPriority(pod)}
	group, found := intent.GroupOf(pod, asked)
	if !found {
		// By itself it is a group of one.
		group = intent.Group{Key: intent.GroupKey{Scheduler: pod.Spec.SchedulerName, Namespace: pod.Namespace, ID: string(pod.UID)}, Name: pod.Name}
	}
	r.group = group
	named := found && group.Key.Kind != intent.GroupByOwner
	r.member = found && (named || asked.Gathers() || asked.GroupSize > 0 || asked.MinPerZone > 0 || len(asked.Near) > 0)
	if !found {
		r.size = podgroups.Size{Gang: 1, Whole: 1, Total: 1}
	}
	if r.member {
		r.size = p.sizes.Of(pod, asked, &r.group)
	}
	r.strict = asked.Required != "" || r.size.Explicit && r.size.Gang > 1
	if r.strict {
		r.gang = max(1, r.size.Gang)
	}
	return r
}

// sizeOfNothing says that the pod gives the size of a group and is of none; nil if it
// does not. A group of one needs nothing to make it one.
func (r *request) sizeOfNothing() error {
	if r.asked.GroupSize <= 1 || r.group.Key.Kind != "" {
		return nil
	}
	return &intent.AnnotationError{Key: intent.GroupSize, Value: r.pod.Annotations[intent.GroupSize],
		Want: "want " + intent.GroupName + " as well: the pod has no owner or PodGroup that makes pods a group"}
}

// asks tells whether anything is to be decided for the pod.
func (r *request) asks() bool {
	return r.strict || r.asked.Gathers() || r.asked.MinPerZone > 0 || len(r.asked.Near) > 0
}

// gathers tells whether the pod's group goes to one domain.
func (r *request) gathers() bool { return r.strict || r.asked.Gathers() }

// native tells whether upstream itself places the pod's group together.
func native(pod *v1.Pod) bool { return pod.Spec.SchedulingGroup != nil }

// memberIn returns the request of a pod that is a member of a group; nil if it is
// none.
func (p *Topology) memberIn(state fwk.CycleState) *request {
	if state.IsPodGroupSchedulingCycle() {
		return nil // only tried out
	}
	r, err := adapt.State[*request](state, requestKey)
	if err != nil || !r.member {
		return nil
	}
	return r
}

// refs finds the levels that the pod names.
func (p *Topology) refs(r *request) *fwk.Status {
	for _, one := range []struct {
		key, word string
		ref       *zone.Ref
	}{{intent.TopologyRequired, r.asked.Required, &r.required}, {intent.TopologyPreferred, r.asked.Preferred, &r.preferred}} {
		if one.word == "" {
			continue
		}
		ref, found := r.tree.Ref(one.word)
		if !found {
			return adapt.Refuse(&intent.AnnotationError{Key: one.key, Value: one.word, Want: p.words})
		}
		*one.ref = ref
	}
	if r.required != 0 && r.preferred != 0 && p.rankOf(r.asked.Preferred) < p.rankOf(r.asked.Required) {
		return adapt.Refuse(&intent.AnnotationError{Key: intent.TopologyPreferred, Value: r.asked.Preferred,
			Want: "want a level that is narrower than the required one, " + r.asked.Required})
	}
	_, hasZones := r.tree.Ref(zoneAlias)
	if r.asked.MinPerZone > 0 && !hasZones {
		return adapt.Refuse(&intent.AnnotationError{Key: intent.MinPerZone, Value: r.pod.Annotations[intent.MinPerZone],
			Want: "want no such annotation where no level of the profile has the alias " + zoneAlias})
	}
	return nil
}

// rankOf is the place of a level among the others, 0 for the broadest.
func (p *Topology) rankOf(word string) int {
	for i, level := range p.levels {
		if level.Alias == word || level.Key == word {
			return i
		}
	}
	return len(p.levels)
}

// needOf reads what the pod takes, in the order of all that it or the others name.
func needOf(pod *v1.Pod, others ...*v1.Pod) need {
	seen := map[v1.ResourceName]bool{v1.ResourcePods: true, v1.ResourceCPU: true, v1.ResourceMemory: true}
	name(pod, seen)
	for _, other := range others {
		name(other, seen)
	}
	n := need{names: slices.Sorted(maps.Keys(seen))}
	n.names = n.names[:min(len(n.names), load.MaxResources)]
	n.meter = inventory.NewMeter(n.names)
	n.amounts = n.meter.Pod(pod).Requested
	return n
}

// needFor is needOf for a member of a group of which pods may differ.
func (p *Topology) needFor(r *request) need {
	if r.group.Key.Kind == intent.GroupByOwner {
		return needOf(r.pod)
	}
	var others []*v1.Pod
	for _, m := range p.groups.Pending(r.group.Key) {
		if pod := p.podOf(m.Name); pod != nil {
			others = append(others, pod)
		}
	}
	return needOf(r.pod, others...)
}

// name notes the resources that a pod requests.
func name(pod *v1.Pod, seen map[v1.ResourceName]bool) {
	for _, list := range [][]v1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			for name := range list[i].Resources.Requests {
				seen[name] = true
			}
		}
	}
	if pod.Spec.Resources != nil {
		for name := range pod.Spec.Resources.Requests {
			seen[name] = true
		}
	}
	for name := range pod.Spec.Overhead {
		seen[name] = true
	}
}

// held is a shape as the book keeps it.
func (n *need) held(shape *load.Vector) *gang.Need {
	out := &gang.Need{}
	for i, name := range n.names {
		if shape[i] > 0 {
			out.Names = append(out.Names, string(name))
			out.Amounts = append(out.Amounts, shape[i])
		}
	}
	return out
}

// chargesFor is what is held for other groups and binds the pod: room of groups
// of at least its own priority.
func (p *Topology) chargesFor(r *request) gang.Charges[intent.GroupKey] {
	all := p.groups.Charges()
	for _, charged := range all {
		for i := range charged {
			if r.bindsOn(&charged[i]) {
				r.need = needOf(r.pod)
				return all
			}
		}
	}
	return nil
}

func (r *request) bindsOn(c *gang.Charge[intent.GroupKey]) bool {
	return !c.Soft && c.Priority >= r.priority && c.Group != r.group.Key
}

// keptFor tells for which group the room is kept that the pod would take.
func (r *request) keptFor(charged []gang.Charge[intent.GroupKey], info fwk.NodeInfo) (verdict.Reason, bool) {
	var free load.Vector
	r.need.free(info, &free)
	var largest *gang.Charge[intent.GroupKey]
	var kept load.Vector
	for i := range charged {
		c := &charged[i]
		if !r.bindsOn(c) {
			continue
		}
		pods := c.Pods - r.credited(info.Node().Name, c.Group)
		if pods <= 0 {
			continue
		}
		for j, name := range r.need.names {
			kept[j] += pods * c.Need.Of(string(name))
		}
		if largest == nil || pods > largest.Pods {
			largest = c
		}
	}
	if largest == nil {
		return verdict.Reason{}, false
	}
	for j := range r.need.names {
		if r.need.amounts[j] > 0 && kept[j] > 0 && r.need.amounts[j] > free[j]-kept[j] {
			return verdict.Say(verdict.RoomKept, "group", largest.Name), true
		}
	}
	return verdict.Reason{}, false
}

func (r *request) credited(node string, group intent.GroupKey) int64 {
	for i := range r.credits {
		if c := &r.credits[i]; c.group == group && c.node == node {
			return c.pods
		}
	}
	return 0
}

// credit notes that a pod was added to a node, or taken away again, on which room
// is held for its group.
func (p *Topology) credit(state fwk.CycleState, pod *v1.Pod, node *v1.Node, pods int64) {
	r, err := adapt.State[*request](state, requestKey)
	if err != nil || r.charges == nil || node == nil {
		return
	}
	key, found := p.shared.keyOf(pod.UID)
	if !found || pod.Spec.NodeName != "" {
		return // one that is bound has used its slot up
	}
	for i := range r.credits {
		if c := &r.credits[i]; c.group == key && c.node == node.Name {
			c.pods += pods
			return
		}
	}
	r.credits = append(r.credits, credit{node.Name, key, pods})
}
