package simulate

import (
	"slices"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/pkg/intent"
)

// history is what happened to the pods, in order.
type history struct {
	// before are the pods that ran from the start.
	before []*v1.Pod
	// arrived is what happened while pods were submitted, one by one.
	arrived []arrival
	// late are the pods that found a node only after all had arrived, and gone those
	// that lost theirs then.
	late []*v1.Pod
	gone []types.NamespacedName
	// given are the claims as they were at the start, claims as they are at the end.
	given, claims []resourceapi.ResourceClaim
}

// arrival is what happened when a pod was submitted.
type arrival struct {
	// pod is the pod with its node, nil if it found none then.
	pod *v1.Pod
	// gone are the pods that had to make room.
	gone []types.NamespacedName
}

// mostPoints bounds how many points a series has.
const mostPoints = 100

// series is how the cluster filled.
func (f *machines) series(h *history) []placement.Point {
	m := newMeter(f, h)
	out := []placement.Point{m.point(0)}
	step := max(1, (len(h.arrived)+mostPoints-1)/mostPoints)
	for i, a := range h.arrived {
		for _, name := range a.gone {
			m.remove(name)
		}
		if a.pod != nil {
			m.place(a.pod, 1)
		}
		if (i+1)%step == 0 || i == len(h.arrived)-1 {
			out = append(out, m.point(i+1))
		}
	}
	for _, name := range h.gone {
		m.remove(name)
	}
	for _, pod := range h.late {
		m.place(pod, 1)
	}
	if len(h.late)+len(h.gone) > 0 {
		out[len(out)-1] = m.point(len(h.arrived))
	}
	return out
}

// meter adds up what placed pods use.
type meter struct {
	hardware    *hardware
	cpu, memory placement.Amount
	// used are thousandths of each GPU that a driver publishes, by layout.
	used []int64
	// units are what device plugins offer, by node.
	units map[string][]units
	// byPod are what each pod's claims hold; several pods may share a holding.
	byPod map[types.NamespacedName][]*holding
	on    map[types.NamespacedName]guest
	inUse map[string]int // pods by node
	// placed counts the pods that arrived and are placed.
	placed int
}

// guest is a pod on its node, and for how many it counts as placed: those that ran
// from the start count for none.
type guest struct {
	pod    *v1.Pod
	counts int
}

// holding is what a claim holds, and how many of its users are placed.
type holding struct {
	devices []held
	users   int
}

func newMeter(f *machines, h *history) *meter {
	m := &meter{hardware: f.hardware, used: make([]int64, len(f.hardware.layouts)), units: map[string][]units{},
		byPod: map[types.NamespacedName][]*holding{}, on: map[types.NamespacedName]guest{}, inUse: map[string]int{}}
	for _, info := range f.infos(nil) {
		m.cpu.Allocatable += info.GetAllocatable().GetMilliCPU()
		m.memory.Allocatable += info.GetAllocatable().GetMemory()
		m.units[info.Node().Name] = f.hardware.unitsOf(info)
	}
	m.hold(h)
	for _, pod := range h.before {
		m.place(pod, 0)
	}
	return m
}

// hold sorts what claims hold by the pods that use it. An allocation without a user
// that is known is there from the start. What a pod that arrived and was preempted
// again had of devices is not known at the end, and left out.
func (m *meter) hold(h *history) {
	known := map[types.NamespacedName]bool{}
	for _, pod := range slices.Concat(h.before, h.late) {
		known[nameOf(pod)] = true
	}
	for _, a := range h.arrived {
		if a.pod != nil {
			known[nameOf(a.pod)] = true
		}
	}
	start := map[types.NamespacedName]*resourceapi.ResourceClaim{}
	held := map[types.NamespacedName]*holding{}
	for i := range h.given {
		if claim := &h.given[i]; claim.Status.Allocation != nil {
			name := types.NamespacedName{Namespace: claim.Namespace, Name: claim.Name}
			start[name], held[name] = claim, m.join(nil, claim, known)
		}
	}
	for i := range h.claims {
		claim := &h.claims[i]
		if claim.Status.Allocation == nil {
			continue
		}
		// A claim that was given back may have got other devices since.
		name := types.NamespacedName{Namespace: claim.Namespace, Name: claim.Name}
		if was := start[name]; was != nil && equality.Semantic.DeepEqual(was.Status.Allocation.Devices.Results, claim.Status.Allocation.Devices.Results) {
			m.join(held[name], claim, known)
			continue
		}
		m.join(nil, claim, known)
	}
}

// join has the known users of a claim share a holding, a new one if it is nil.
func (m *meter) join(h *holding, claim *resourceapi.ResourceClaim, known map[types.NamespacedName]bool) *holding {
	fresh := h == nil
	if fresh {
		h = &holding{devices: heldBy([]resourceapi.ResourceClaim{*claim})}
	}
	for _, user := range claim.Status.ReservedFor {
		name := types.NamespacedName{Namespace: claim.Namespace, Name: user.Name}
		if user.Resource != "pods" || !known[name] {
			continue
		}
		fresh = false
		if !slices.Contains(m.byPod[name], h) {
			m.byPod[name] = append(m.byPod[name], h)
		}
	}
	if fresh {
		m.use(h, 1)
	}
	return h
}

// use counts a user of a holding more, or with -1 less.
func (m *meter) use(h *holding, sign int) {
	before := h.users
	h.users += sign
	if (before > 0) == (h.users > 0) {
		return
	}
	for _, one := range h.devices {
		at, known := m.hardware.pieces[one.id]
		if !known {
			continue
		}
		l := &m.hardware.layouts[at.layout]
		m.used[at.layout] += int64(sign) * int64(10*part(l, &l.Pieces[at.piece], one).Percent)
	}
}

// place counts a pod that has a node. As placed it counts for so many.
func (m *meter) place(pod *v1.Pod, counts int) {
	name := nameOf(pod)
	if _, there := m.on[name]; there {
		return
	}
	m.on[name] = guest{pod, counts}
	m.add(m.on[name], 1)
}

// remove takes away a pod that was counted.
func (m *meter) remove(name types.NamespacedName) {
	if g, there := m.on[name]; there {
		delete(m.on, name)
		m.add(g, -1)
	}
}

func (m *meter) add(g guest, sign int) {
	requests := (&framework.PodInfo{Pod: g.pod}).CalculateResource()
	m.cpu.Used += int64(sign) * requests.Resource.GetMilliCPU()
	m.memory.Used += int64(sign) * requests.Resource.GetMemory()
	for _, want := range countedGPUs(g.pod) {
		for i, u := range m.units[g.pod.Spec.NodeName] {
			if u.resource == want.Resource {
				m.units[g.pod.Spec.NodeName][i].used += int64(sign) * want.Count
			}
		}
	}
	for _, h := range m.byPod[nameOf(g.pod)] {
		m.use(h, sign)
	}
	if !intent.IsNodeAgent(g.pod) {
		m.inUse[g.pod.Spec.NodeName] += sign
	}
	m.placed += sign * g.counts
}

func (m *meter) point(arrived int) placement.Point {
	p := placement.Point{Arrived: arrived, Placed: m.placed, CPUPercent: percent(m.cpu), MemoryPercent: percent(m.memory)}
	gpus := placement.Amount{Allocatable: 1000 * int64(len(m.used))} // thousandths
	broken := int64(0)
	for _, used := range m.used {
		gpus.Used += min(used, 1000)
		if used > 0 && used < 1000 {
			broken += 1000 - used
		}
	}
	for _, node := range m.units {
		for _, u := range node {
			gpus.Allocatable += u.milli(u.has)
			gpus.Used += u.milli(min(u.used, u.has)) // units that are broken now may still be asked for
		}
	}
	p.GPUPercent, p.FragmentedGPUPercent = percent(gpus), percent(placement.Amount{Used: broken, Allocatable: gpus.Allocatable})
	for _, pods := range m.inUse {
		if pods > 0 {
			p.NodesInUse++
		}
	}
	return p
}
