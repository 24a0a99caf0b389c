package podgroups

import (
	"context"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1alpha2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/informers"
	schedulinglisters "k8s.io/client-go/listers/scheduling/v1alpha2"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/scheduler-plugins/apis/scheduling/v1alpha1"

	"plimsoll.dev/scheduler/pkg/intent"
)

// Size is how many pods a group has.
type Size struct {
	// Gang is how many must exist before any is placed, and be placed together;
	// 1 if its pods come one by one, 0 if nothing is known.
	Gang int64
	// Whole is how many must fit into one domain for any of them to be placed
	// there, at least Gang. It is more than Gang where pods come one by one and
	// yet should not begin where they cannot all be; 0 if nothing is known.
	Whole int64
	// Total is how many there will be, at least Whole; 0 if nothing is known.
	Total int64
	// Explicit: the group's author wrote the size for scheduling (annotation,
	// PodGroup); false if it is what its owner happens to ask for.
	Explicit bool
	// Source says where it comes from, for reasons: ReplicaSet default/web; with
	// what stands in the way of a better one, if anything does.
	Source string
	// Timeout is how long its pods may wait for each other; 0 for the default.
	Timeout time.Duration
	// Missing says why nothing is known, as the end of a sentence: a PodGroup
	// that does not exist, PodGroups that cannot be read, or an owner that was
	// not seen yet; "" if all is known. The rest is zero then.
	Missing string
}

// Options are what Sizes is made of.
type Options struct {
	// Informers are the scheduler's. Those of Jobs keep no templates.
	Informers informers.SharedInformerFactory
	// Config reaches the API server; nil: no PodGroups of scheduler-plugins.
	Config *rest.Config
	// Given are all PodGroups of scheduler-plugins that there are, for simulations: no
	// API server is asked for any; nil to ask.
	Given []*v1alpha1.PodGroup
	// Native: the API server serves native PodGroups, and the gates are on.
	Native bool
	// DiscoverEvery is how often it is looked whether PodGroups are served; 10 s
	// if zero.
	DiscoverEvery time.Duration
	// OnChange is told that a group's size may have changed: it has either the
	// owner's UID as its ID, or the name of a PodGroup. If namespace and id are
	// empty, it may be any group. Called from informers' goroutines; nil if
	// nobody cares.
	OnChange func(namespace, id string)
	// Clock is the real one if nil.
	Clock clock.Clock
}

// Sizes is safe for concurrent use.
type Sizes struct {
	owners owners
	unseen *unseen
	native schedulinglisters.PodGroupLister // nil if the API server has none
	crd    *crd                             // nil if no PodGroups are given or asked for
}

// New registers informers; call it before they are started.
func New(options Options) (*Sizes, error) {
	if options.OnChange == nil {
		options.OnChange = func(string, string) {}
	}
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	if options.DiscoverEvery <= 0 {
		options.DiscoverEvery = 10 * time.Second
	}
	s := &Sizes{unseen: newUnseen(options.Clock, options.OnChange)}
	var err error
	if s.owners, err = watchOwners(options.Informers, s.unseen.came); err != nil {
		return nil, err
	}
	if options.Native {
		groups := options.Informers.Scheduling().V1alpha2().PodGroups()
		if err := follow(groups.Informer(), "native PodGroups", nativeMember, byName[*schedulingapi.PodGroup](options.OnChange)); err != nil {
			return nil, err
		}
		s.native = groups.Lister()
	}
	switch {
	case options.Given != nil:
		if s.crd, err = newGiven(&options); err != nil {
			return nil, err
		}
	case options.Config != nil:
		if s.crd, err = newCRD(&options); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Run watches for the CRD, and for owners that do not come, until the context ends
// and all it began has ended.
func (s *Sizes) Run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	if s.crd != nil && s.crd.client != nil {
		all.Go(func() { s.crd.run(ctx) })
	}
	s.unseen.run(ctx)
}

// Of says how many pods the pod's group has. It only looks into memory.
//
// The annotation group-size comes first, then the PodGroup that makes the group.
// In all other cases the pod's owner says it, as far as it can: a group may have
// pods of several owners, and then this is the part of one. An owner that was not
// seen yet is waited for, but not for ever.
//
// Pods of a Job that have succeeded, or failed for good, do not count any more,
// whoever says the size; but for native PodGroups, for which upstream's own gang
// scheduling waits.
func (s *Sizes) Of(pod *v1.Pod, asked *intent.Topology, group *intent.Group) Size {
	byOwner := s.owners.of(pod.Namespace, group.Owner)
	switch {
	case asked != nil && asked.GroupSize > 0:
		ofOwner := group.Key.Kind == intent.GroupByOwner
		size := byOwner.written(byOwner.still(asked.GroupSize, ofOwner), "annotation "+intent.GroupSize)
		if ofOwner {
			size.Total = max(size.Total, byOwner.total)
		}
		return size
	case group.Key.Kind == intent.GroupNative && s.native != nil:
		return s.ofNative(group, &byOwner)
	case group.Key.Kind == intent.GroupByPodGroup && s.crd != nil:
		return s.ofPodGroup(group, &byOwner)
	}
	return s.ofOwner(group, &byOwner)
}

// written is a size that the group's author wrote. Pods that their owner creates
// one by one cannot wait for each other all the same.
func (p *part) written(members int64, source string) Size {
	size := Size{Gang: members, Whole: members, Total: members, Explicit: true, Source: source}
	if p.gang < p.whole {
		size.Gang = 1
	}
	return size
}

func (s *Sizes) ofOwner(group *intent.Group, byOwner *part) Size {
	if byOwner.unseen && s.unseen.waits(group.Key.Namespace, group.Owner.UID) {
		return Size{Missing: group.Owner.Kind + " " + group.Key.Namespace + "/" + group.Owner.Name + " is not known yet"}
	}
	return Size{Gang: byOwner.gang, Whole: byOwner.whole, Total: byOwner.total, Source: byOwner.source}
}

func (s *Sizes) ofNative(group *intent.Group, byOwner *part) Size {
	found, err := s.native.PodGroups(group.Key.Namespace).Get(group.Key.ID)
	if err != nil { // from memory: it is not there
		return missing(group)
	}
	size := byOwner.written(nativeMember(found), "PodGroup "+found.Namespace+"/"+found.Name)
	size.Total = max(size.Total, byOwner.total)
	return size
}

// nativeMember is how many pods the group is scheduled with at once: 1 under the
// basic policy.
func nativeMember(group *schedulingapi.PodGroup) int64 {
	if gang := group.Spec.SchedulingPolicy.Gang; gang != nil {
		return max(1, int64(gang.MinCount))
	}
	return 1
}

func (s *Sizes) ofPodGroup(group *intent.Group, byOwner *part) Size {
	lister, why, wait := s.crd.known()
	switch {
	case wait:
		return Size{Missing: why}
	case lister == nil:
		size := s.ofOwner(group, byOwner)
		switch {
		case why == "" || size.Missing != "": // not served: the label is but a name
		case size.Source == "":
			size.Source = why
		default:
			size.Source += " (" + why + ")"
		}
		return size
	}
	found, err := lister.PodGroups(group.Key.Namespace).Get(group.Key.ID)
	switch {
	case apierrors.IsNotFound(err):
		return missing(group)
	case err != nil:
		return Size{Missing: err.Error()}
	}
	asks := memberOf(found)
	size := byOwner.written(byOwner.still(asks.members, false), "PodGroup "+found.Namespace+"/"+found.Name)
	size.Total, size.Timeout = max(size.Total, byOwner.total), asks.timeout
	return size
}

// member is what matters here of a PodGroup of scheduler-plugins.
type member struct {
	members int64
	timeout time.Duration
}

func memberOf(group *v1alpha1.PodGroup) member {
	asks := member{members: max(1, int64(group.Spec.MinMember))}
	if seconds := group.Spec.ScheduleTimeoutSeconds; seconds != nil && *seconds > 0 {
		asks.timeout = time.Duration(*seconds) * time.Second
	}
	return asks
}

func missing(group *intent.Group) Size {
	return Size{Missing: "PodGroup " + group.Key.Namespace + "/" + group.Key.ID + " does not exist"}
}
