package topology

import (
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
	// of returns the group that a pod is a member of, if it is one.
	of func(*v1.Pod) (intent.GroupKey, bool)

	mu sync.Mutex
	// keys are the groups of the pods that are in the book.
	keys map[types.UID]intent.GroupKey
}

// watch has the plugin told of all pods.
func (p *Topology) watch() error {
	p.members = &members{groups: p.groups, of: p.memberOf, keys: map[types.UID]intent.GroupKey{}}
	var err error
	p.podsSeen, err = p.handle.SharedInformerFactory().Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { p.podSeen(obj) },
		UpdateFunc: func(_, obj any) { p.podSeen(obj) },
		DeleteFunc: func(obj any) {
			if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj
			}
			if pod, ok := obj.(*v1.Pod); ok {
				p.members.drop(pod.UID)
			}
		},
	})
	return err
}

func (p *Topology) podSeen(obj any) {
	pod, ok := obj.(*v1.Pod)
	if !ok || !p.members.note(pod) || pod.Spec.NodeName != "" {
		return
	}
	// The last of a group may have been held back before we saw all of it.
	if key, found := p.members.keyOf(pod.UID); found && p.groups.HasParked(key) {
		p.wakes.group(key)
	}
}

// memberOf returns the group that a pod is a member of. Most pods are of none,
// which two lookups tell.
func (p *Topology) memberOf(pod *v1.Pod) (intent.GroupKey, bool) {
	if pod.Spec.SchedulerName != p.handle.ProfileName() || intent.Given(pod) == nil && intent.PodGroup(pod) == "" {
		return intent.GroupKey{}, false
	}
	asked, err := intent.Parse(pod)
	if err != nil {
		return intent.GroupKey{}, false
	}
	r := p.read(pod, &asked.Topology)
	return r.group.Key, r.member
}

// note brings the book up to date with a pod, and tells whether it is a member of
// a group and alive.
func (m *members) note(pod *v1.Pod) bool {
	key, member := m.of(pod)
	if !member || pod.DeletionTimestamp != nil || intent.IsFinished(pod) {
		m.drop(pod.UID)
		return false
	}
	m.mu.Lock()
	before, known := m.keys[pod.UID]
	m.keys[pod.UID] = key
	m.mu.Unlock()
	if known && before != key {
		m.groups.Remove(before, string(pod.UID))
	}
	m.groups.Observe(key, gang.Member{UID: string(pod.UID), Name: klog.KObj(pod).String(), Node: pod.Spec.NodeName, Revision: intent.Revision(pod)})
	return true
}

func (m *members) drop(uid types.UID) {
	m.mu.Lock()
	key, known := m.keys[uid]
	delete(m.keys, uid)
	m.mu.Unlock()
	if known {
		m.groups.Remove(key, string(uid))
	}
}

func (m *members) keyOf(uid types.UID) (intent.GroupKey, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key, found := m.keys[uid]
	return key, found
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
		if key.Scheduler != p.handle.ProfileName() || key.Kind == intent.GroupNative || len(pending) == 0 {
			continue
		}
		pod := p.podOf(pending[0].Name)
		if pod == nil {
			continue
		}
		asked, err := intent.Parse(pod)
		if err != nil {
			continue
		}
		r := p.read(pod, &asked.Topology)
		if !r.strict {
			continue
		}
		r.tree, r.need = p.zones.Tree(nodes), needOf(pod)
		if refused := p.refs(r); refused == nil {
			_ = p.seat(r, nodes) // a refusal is told when the pod itself is tried
		}
	}
}
