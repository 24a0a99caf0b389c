package topology

import (
	"slices"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/types"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/informers"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/features"
	"sigs.k8s.io/scheduler-plugins/apis/scheduling/v1alpha1"

	"plimsoll.dev/scheduler/pkg/gang"
	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/peers"
	"plimsoll.dev/scheduler/pkg/podgroups"
)

// book is what is known of groups.
type book = gang.Book[intent.GroupKey]

// Shared is what the plugins of all profiles of one process know of groups: each
// must leave the room that another holds for a group. The zero value is ready for
// use.
type Shared struct {
	// PodGroups are all that scheduler-plugins has, for simulations; nil to ask the API
	// server. It is set before the first plugin is made.
	PodGroups []*v1alpha1.PodGroup

	// leads: this process schedules; before, it only stands by, and is silent.
	leads atomic.Bool
	// mu is of what joining changes. Who tells the profiles something, or asks them, may
	// hold the locks of one of them, and so never takes it.
	mu    sync.Mutex
	book  *book
	edges map[informers.SharedInformerFactory]*edges
	// profiles are all that joined so far; the slice is never written again.
	profiles atomic.Pointer[[]*Topology]
}

// edges tell what pods themselves do not say; those of one scheduler share them.
type edges struct {
	sizes *podgroups.Sizes
	peers *peers.Book
}

// join makes the plugin one of those that share, and gives it what they do. The
// watch for PodGroups runs until the context of the first of them ends.
func (s *Shared) join(p *Topology, args *Args, handle fwk.Handle) (start func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.book == nil {
		s.book = gang.NewBook[intent.GroupKey](func() { s.each((*Topology).roomFreed) })
		s.edges = map[informers.SharedInformerFactory]*edges{}
	}
	start = func() {}
	factory := handle.SharedInformerFactory()
	e := s.edges[factory]
	if e == nil {
		e = &edges{}
		if e.peers, err = peers.New(factory); err != nil {
			return nil, err
		}
		e.sizes, err = podgroups.New(podgroups.Options{
			Informers: factory, Config: handle.KubeConfig(), Given: s.PodGroups, DiscoverEvery: args.podGroupPoll(),
			Native:   utilfeature.DefaultFeatureGate.Enabled(features.GenericWorkload),
			OnChange: func(namespace, id string) { s.each(func(p *Topology) { p.sizeChanged(namespace, id) }) },
		})
		if err != nil {
			return nil, err
		}
		s.edges[factory] = e
		start = func() { go e.sizes.Run(p.ctx) }
	}
	p.groups, p.sizes, p.peers = s.book, e.sizes, e.peers
	p.members = newMembers(s.book)
	joined := append(slices.Clone(s.all()), p)
	s.profiles.Store(&joined)
	return start, nil
}

// all are the profiles that joined so far.
func (s *Shared) all() []*Topology {
	if profiles := s.profiles.Load(); profiles != nil {
		return *profiles
	}
	return nil
}

// keyOf returns the group of a pod, whichever profile's it is.
func (s *Shared) keyOf(uid types.UID) (intent.GroupKey, bool) {
	for _, p := range s.all() {
		if key, found := p.members.keyOf(uid); found {
			return key, true
		}
	}
	return intent.GroupKey{}, false
}

// each tells all plugins something. They only note it down.
func (s *Shared) each(tell func(*Topology)) {
	for _, p := range s.all() {
		tell(p)
	}
}
