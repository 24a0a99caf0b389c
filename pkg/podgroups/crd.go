package podgroups

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"sigs.k8s.io/scheduler-plugins/apis/scheduling/v1alpha1"
	"sigs.k8s.io/scheduler-plugins/pkg/generated/clientset/versioned"
	listers "sigs.k8s.io/scheduler-plugins/pkg/generated/listers/scheduling/v1alpha1"
)

const (
	// patience is how long groups wait for PodGroups to be read for the first
	// time before their owners decide.
	patience = 30 * time.Second
	// longestDiscovery is how long discovery may take.
	longestDiscovery = 10 * time.Second
	// jitter spreads the questions of schedulers that were started together.
	jitter = 0.2
)

// The words of groups that wait, and of those that no longer do.
const (
	beingRead = "PodGroups (being read)"
	unread    = "PodGroups cannot be read: "
)

// crd follows the PodGroups of scheduler-plugins.
type crd struct {
	client   versioned.Interface // nil if all there are were given
	every    time.Duration
	clock    clock.Clock
	onChange func(namespace, id string)

	mu    sync.Mutex // of what follows
	state state
	// since is when the state began, for states in which groups wait.
	since time.Time
	// trouble is why reading fails, "" if it does not.
	trouble string
	lister  listers.PodGroupLister
}

type state string

const (
	unknown state = "unknown" // discovery has not answered yet
	absent  state = "not served"
	reading state = "served, being read"
	read    state = "served, read"
)

func newCRD(options *Options) (*crd, error) {
	// The CRD has no protobuf, whatever the scheduler speaks otherwise.
	config := rest.CopyConfig(options.Config)
	config.ContentType, config.AcceptContentTypes = "application/json", "application/json"
	client, err := versioned.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client for PodGroups: %w", err)
	}
	return &crd{client: client, every: options.DiscoverEvery, clock: options.Clock, onChange: options.OnChange, state: unknown, since: options.Clock.Now()}, nil
}

// newGiven is one that has read all there is.
func newGiven(options *Options) (*crd, error) {
	all := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	for _, group := range options.Given {
		if err := all.Add(group); err != nil {
			return nil, fmt.Errorf("noting PodGroup %s: %w", klog.KObj(group), err)
		}
	}
	return &crd{clock: options.Clock, onChange: options.OnChange, state: read, lister: listers.NewPodGroupLister(all)}, nil
}

// known returns what lists PodGroups; nil if they are not served, or not known,
// which why then says. A group should wait for them as long as wait is true.
func (c *crd) known() (lister listers.PodGroupLister, why string, wait bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.state {
	case absent:
		return nil, "", false
	case read:
		return c.lister, "", false
	}
	why = beingRead
	if c.trouble != "" {
		why = unread + c.trouble
	}
	return nil, why, c.clock.Since(c.since) < patience
}

// become enters a state and tells everybody; not if it is in it already.
func (c *crd) become(ctx context.Context, next state, lister listers.PodGroupLister) {
	c.mu.Lock()
	same := c.state == next
	if !same {
		c.state, c.since, c.trouble, c.lister = next, c.clock.Now(), "", lister
	}
	c.mu.Unlock()
	if same {
		return
	}
	klog.FromContext(ctx).Info("PodGroups of scheduler-plugins", "groupVersion", v1alpha1.SchemeGroupVersion, "state", next)
	c.onChange("", "")
}

// fails notes why reading does.
func (c *crd) fails(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trouble = why
}

// run asks discovery at intervals and reads PodGroups while they are served.
func (c *crd) run(ctx context.Context) {
	var current *reader
	defer func() { current.stop() }()
	giveUp := c.clock.NewTimer(patience)
	defer giveUp.Stop()
	next := c.clock.NewTimer(wait.Jitter(c.every, jitter))
	defer next.Stop()
	trouble := ""
	for {
		served, err := c.discover(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil: // whatever was known stays so
			if err.Error() != trouble {
				trouble = err.Error()
				klog.FromContext(ctx).Error(err, "Cannot tell whether PodGroups are served", "groupVersion", v1alpha1.SchemeGroupVersion)
			}
			c.fails(trouble)
		case !served:
			c.become(ctx, absent, nil)
			current.stop()
			current, trouble = nil, ""
		case current == nil:
			c.become(ctx, reading, nil)
			giveUp.Reset(patience)
			current = c.read(ctx)
			trouble = ""
		}
		if !c.pause(ctx, current, next, giveUp) {
			return
		}
	}
}

// pause waits until it is time to ask discovery again, and false if the context
// ends before.
func (c *crd) pause(ctx context.Context, current *reader, next, giveUp clock.Timer) bool {
	defer next.Reset(wait.Jitter(c.every, jitter))
	synced := current.synced()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-next.C():
			return true
		case <-giveUp.C():
			if _, why, _ := c.known(); why != "" { // those who waited look again
				c.onChange("", "")
			}
		case <-synced:
			synced = nil
			c.become(ctx, read, current.lister)
		}
	}
}

// discover reports whether the API server has PodGroups.
func (c *crd) discover(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, longestDiscovery)
	defer cancel()
	var list metav1.APIResourceList
	err := c.client.Discovery().RESTClient().Get().AbsPath("/apis", v1alpha1.SchemeGroupVersion.Group, v1alpha1.SchemeGroupVersion.Version).Do(ctx).Into(&list)
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("discovering %s: %w", v1alpha1.SchemeGroupVersion, err)
	}
	return slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == "podgroups" }), nil
}
