package topology

import (
	"maps"
	"slices"
	"sync"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/pkg/gang"
	"plimsoll.dev/scheduler/pkg/intent"
)

// members keeps the book of groups true to the pods there are.
type members struct {
	groups *book

	// mu is held while the book changes, which may tell every profile that room became
	// free: the book's lock and those of wakes come after it, and no others do.
	mu sync.Mutex
	// pods are those that are in the book.
	pods map[types.UID]membership
	// byOwner counts the pods of each owner by the groups they are in.
	byOwner map[types.UID]map[intent.GroupKey]int
}

// membership is a pod's group, and its owner if it has one.
type membership struct {
	group intent.GroupKey
	owner types.UID
}

func newMembers(groups *book) *members {
	return &members{groups: groups, pods: map[types.UID]membership{}, byOwner: map[types.UID]map[intent.GroupKey]int{}}
}

// watch has the plugin told of all pods.
func (p *Topology) watch() error {
	var err error
	p.podsSeen, err = p.handle.SharedInformerFactory().Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { p.podSeen(obj) },
		UpdateFunc: func(_, obj any) { p.podSeen(obj) },
		DeleteFunc: func(obj any) {
			if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj
			}
			if pod, ok := obj.(*v1.Pod); ok {
				p.leaves(pod.UID)
			}
		},
	})
	return err
}

func (p *Topology) podSeen(obj any) {
	pod, ok := obj.(*v1.Pod)
	if !ok {
		return
	}
	r := p.memberOf(pod)
	if r == nil || !counts(pod) {
		if p.leaves(pod.UID) {
			// One that is about to go should wait for nobody any more.
			p.reject(pod.UID, "the pod is being deleted")
		}
		return
	}
	p.members.note(pod, r)
	// The last of a group may have been held back before we saw all of it.
	if view := p.groups.View(r.group.Key); pod.Spec.NodeName == "" && view.Parked > 0 && view.All() >= r.gang {
		p.wakes.group(r.group.Key)
	}
}

// memberOf reads a pod that is a member of a group; nil if it is none. Most pods
// are of none, which two lookups tell.
func (p *Topology) memberOf(pod *v1.Pod) *request {
	if pod.Spec.SchedulerName != p.handle.ProfileName() || intent.Given(pod) == nil && intent.PodGroup(pod) == "" {
		return nil
	}
	asked, err := intent.Parse(pod)
	if err != nil {
		return nil
	}
	if r := p.read(pod, &asked.Topology); r.member {
		return r
	}
	return nil
}

// leaves takes a pod out of the book, and tells whether it was in it. Where all of a
// group found no room, the rest of it may.
func (p *Topology) leaves(uid types.UID) bool {
	key, known := p.members.drop(uid)
	if !known {
		return false
	}
	if view := p.groups.View(key); !view.Started && view.Pending > 0 {
		p.wakes.shrunk(key)
	}
	return true
}

// note brings the book up to date with a member.
func (m *members) note(pod *v1.Pod, r *request) {
	m.mu.Lock()
	defer m.mu.Unlock() // a drop between the two would leave it in the book
	before, known := m.pods[pod.UID]
	now := membership{group: r.group.Key}
	if r.group.Owner != nil {
		now.owner = r.group.Owner.UID
	}
	if known && before.group != now.group {
		m.groups.Remove(before.group, string(pod.UID))
	}
	if before != now {
		m.count(before, -1)
		m.count(now, 1)
		m.pods[pod.UID] = now
	}
	m.groups.Observe(r.group.Key, gang.Member{
		UID: string(pod.UID), Name: klog.KObj(pod).String(), Node: pod.Spec.NodeName,
		Revision: intent.Revision(pod), Group: r.group.Name,
		// Of pods that no owner makes alike, one may wait for nobody: a launcher.
		Alone: r.gang <= 1 && r.size.Missing == "" && r.group.Key.Kind != intent.GroupByOwner,
	})
}

// count keeps byOwner true; the caller holds the lock.
func (m *members) count(of membership, by int) {
	if of.owner == "" {
		return
	}
	groups := m.byOwner[of.owner]
	if groups == nil {
		groups = map[intent.GroupKey]int{}
		m.byOwner[of.owner] = groups
	}
	if groups[of.group] += by; groups[of.group] == 0 {
		delete(groups, of.group)
	}
	if len(groups) == 0 {
		delete(m.byOwner, of.owner)
	}
}

// drop takes a pod out of the book, and returns the group it was in if it was.
func (m *members) drop(uid types.UID) (intent.GroupKey, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	was, known := m.pods[uid]
	if known {
		delete(m.pods, uid)
		m.count(was, -1)
		m.groups.Remove(was.group, string(uid))
	}
	return was.group, known
}

func (m *members) keyOf(uid types.UID) (intent.GroupKey, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	of, found := m.pods[uid]
	return of.group, found
}

// ownedBy lists the groups that have pods of the owner, in no particular order.
func (m *members) ownedBy(owner types.UID) []intent.GroupKey {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Keys(m.byOwner[owner]))
}

// counts tells whether a pod is, or is to be, where its group is.
func counts(pod *v1.Pod) bool { return pod.DeletionTimestamp == nil && !intent.IsFinished(pod) }

// exists tells whether the informer knows a pod of that name and UID that counts.
func (p *Topology) exists(name string, uid types.UID) bool {
	pod := p.podOf(name)
	return pod != nil && pod.UID == uid && counts(pod)
}

// podOf looks a pod up by namespace/name; nil if it is gone.
func (p *Topology) podOf(name string) *v1.Pod {
	obj, found, err := p.handle.SharedInformerFactory().Core().V1().Pods().Informer().GetIndexer().GetByKey(name)
	if err != nil || !found {
		return nil
	}
	pod, _ := obj.(*v1.Pod)
	return pod
}

// restore holds room again, once, for what is still to come of groups that a
// restart interrupted: their members find their domain again in any case, but
// others must not take the room before the first of them is tried.
func (p *Topology) restore(nodes []fwk.NodeInfo) {
	if p.restored || !p.podsSeen.HasSynced() {
		return
	}
	p.restored = true
	for _, key := range p.groups.Split() {
		pending := p.groups.Pending(key)
		if !p.mine(key) || len(pending) == 0 {
			continue
		}
		pod := p.podOf(pending[0].Name)
		if pod == nil {
			continue
		}
		r := p.memberOf(pod)
		if r == nil || !r.strict || native(pod) {
			continue
		}
		r.tree, r.need = p.zones.Tree(nodes), p.needFor(r)
		if refused := p.refs(r); refused == nil {
			_ = p.seat(r, nodes) // a refusal is told when the pod itself is tried
		}
	}
}
