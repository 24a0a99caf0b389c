package podgroups

import (
	"context"
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
	// Total is how many there will be, at least Gang; 0 if nothing is known.
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
	// that does not exist, or PodGroups that cannot be read; "" if all is known.
	// The rest is zero then.
	Missing string
}

// Options are what Sizes is made of.
type Options struct {
	// Informers are the scheduler's. Those of Jobs keep no templates.
	Informers informers.SharedInformerFactory
	// Config reaches the API server; nil: no PodGroups of scheduler-plugins.
	Config *rest.Config
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
	native schedulinglisters.PodGroupLister // nil if the API server has none
	crd    *crd                             // nil without a Config
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
	s := &Sizes{}
	var err error
	if s.owners, err = watchOwners(options.Informers, options.OnChange); err != nil {
		return nil, err
	}
	if options.Native {
		groups := options.Informers.Scheduling().V1alpha2().PodGroups()
		if err := follow(groups.Informer(), "native PodGroups", nativeMember, byName[*schedulingapi.PodGroup](options.OnChange)); err != nil {
			return nil, err
		}
		s.native = groups.Lister()
	}
	if options.Config != nil {
		if s.crd, err = newCRD(&options); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Run watches for the CRD until the context ends, and until all it began has
// ended.
func (s *Sizes) Run(ctx context.Context) {
	if s.crd != nil {
		s.crd.run(ctx)
	}
}

// Of says how many pods the pod's group has. It only looks into memory.
//
// The annotation group-size comes first, then the PodGroup that makes the group.
// In all other cases the pod's owner says it, as far as it can: a group may have
// pods of several owners, and then this is the part of one.
func (s *Sizes) Of(pod *v1.Pod, asked *intent.Topology, group *intent.Group) Size {
	byOwner := s.owners.of(pod.Namespace, group.Owner)
	if asked != nil && asked.GroupSize > 0 {
		size := Size{Gang: asked.GroupSize, Total: asked.GroupSize, Explicit: true, Source: "annotation " + intent.GroupSize}
		if group.Key.Kind == intent.GroupByOwner {
			size.Total = max(size.Total, byOwner.Total)
		}
		return size
	}
	switch {
	case group.Key.Kind == intent.GroupNative && s.native != nil:
		return s.ofNative(group, byOwner)
	case group.Key.Kind == intent.GroupByPodGroup && s.crd != nil:
		return s.ofPodGroup(group, byOwner)
	}
	return byOwner
}

func (s *Sizes) ofNative(group *intent.Group, byOwner Size) Size {
	found, err := s.native.PodGroups(group.Key.Namespace).Get(group.Key.ID)
	if err != nil { // from memory: it is not there
		return missing(group)
	}
	gang := nativeMember(found)
	return Size{Gang: gang, Total: max(gang, byOwner.Total), Explicit: true, Source: "PodGroup " + found.Namespace + "/" + found.Name}
}

// nativeMember is how many pods the group is scheduled with at once: 1 under the
// basic policy.
func nativeMember(group *schedulingapi.PodGroup) int64 {
	if gang := group.Spec.SchedulingPolicy.Gang; gang != nil {
		return max(1, int64(gang.MinCount))
	}
	return 1
}

func (s *Sizes) ofPodGroup(group *intent.Group, byOwner Size) Size {
	lister, why, wait := s.crd.known()
	switch {
	case wait:
		return Size{Missing: why}
	case lister == nil && why == "": // not served: the label is but a name
		return byOwner
	case lister == nil:
		if byOwner.Source != "" {
			why = byOwner.Source + " (" + why + ")"
		}
		byOwner.Source = why
		return byOwner
	}
	found, err := lister.PodGroups(group.Key.Namespace).Get(group.Key.ID)
	switch {
	case apierrors.IsNotFound(err):
		return missing(group)
	case err != nil:
		return Size{Missing: err.Error()}
	}
	asks := memberOf(found)
	return Size{
		Gang: asks.members, Total: max(asks.members, byOwner.Total), Explicit: true,
		Source: "PodGroup " + found.Namespace + "/" + found.Name, Timeout: asks.timeout,
	}
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
