package archaware

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/pkg/arch"
	"plimsoll.dev/scheduler/pkg/images"
	"plimsoll.dev/scheduler/pkg/inventory"
	"plimsoll.dev/scheduler/pkg/metrics"
	"plimsoll.dev/scheduler/pkg/registry"
)

// Images is what the plugin asks about images; images.Store is one. None of its
// methods waits for anything.
type Images interface {
	Lookup(who images.Asker, image string) images.Answer
	Want(who images.Asker, image string) images.Answer
	OnChange(func(image string))
	Prove(namespace, image, digest string, on arch.Platform)
	Disprove(namespace, image, digest string, on arch.Platform)
}

// Shared is what the plugins of all profiles of one process know of images. The
// zero value is ready for use.
type Shared struct {
	// Registries, if set, is asked in place of real registries.
	Registries images.Resolver

	mu     sync.Mutex
	stores map[string]*images.Store
}

// store returns the store of all profiles with the same settings. It runs until
// the context of the first of them ends.
func (s *Shared) store(ctx context.Context, args *Args, handle fwk.Handle) (*images.Store, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := args.key()
	if store, found := s.stores[key]; found {
		return store, nil
	}
	options := images.Options{
		TagTTL: time.Duration(args.TagTTLSeconds) * time.Second, Deadline: args.deadline(),
		PerRegistry: args.atOnce(), MaxBytes: args.CacheMiB << 20, OnInspect: newInspections().count,
	}
	switch {
	case !*args.Inspect:
	case s.Registries != nil:
		options.Resolver = s.Registries
	default:
		settings, _ := args.registries(nil) // validated with the arguments
		client, err := registry.NewClient(settings)
		if err != nil {
			return nil, err
		}
		options.Resolver = client
	}
	if args.UsePullSecrets {
		options.Secrets = readSecret(handle.ClientSet())
	}
	store := images.NewStore(options)
	go store.Run(ctx)
	if s.stores == nil {
		s.stores = map[string]*images.Store{}
	}
	s.stores[key] = store
	return store, nil
}

// readSecret reads single secrets, and watches none: the scheduler should not
// hold those it does not need.
func readSecret(client kubernetes.Interface) func(context.Context, string, string) (*v1.Secret, error) {
	return func(ctx context.Context, namespace, name string) (*v1.Secret, error) {
		return client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	}
}

// mostRegistries bounds the label values of metrics: images name registries, and
// users name images.
const mostRegistries = 32

type inspections struct {
	mu   sync.Mutex
	seen map[string]bool
}

func newInspections() *inspections { return &inspections{seen: map[string]bool{}} }

func (i *inspections) count(registry, result string, took time.Duration) {
	i.mu.Lock()
	if !i.seen[registry] && len(i.seen) >= mostRegistries {
		registry = "other"
	}
	i.seen[registry] = true
	i.mu.Unlock()
	metrics.Inspections.WithLabelValues(registry, result).Inc()
	metrics.InspectionSeconds.WithLabelValues(registry).Observe(took.Seconds())
}

// countLookup counts what was known of an image when a pod came.
func countLookup(profile string, answer *images.Answer) {
	state := "unknown"
	switch {
	case answer.State == images.Waiting:
		state = "waiting"
	case answer.State == images.Known && answer.Stale:
		state = "stale"
	case answer.State == images.Known:
		state = "known"
	}
	metrics.ImageLookups.WithLabelValues(profile, state).Inc()
}

// hosts holds a matcher for every kind of platform. It is safe for concurrent
// use.
type hosts struct {
	platforms  *inventory.Platforms
	fallback32 bool
	known      atomic.Pointer[[]*arch.Host]
}

// all returns the matchers of all kinds there are, by kind.
func (h *hosts) all() []*arch.Host {
	var known []*arch.Host
	if kept := h.known.Load(); kept != nil {
		known = *kept
	}
	kinds := h.platforms.Kinds()
	if len(known) >= len(kinds) {
		return known
	}
	more := slices.Clone(known)
	for _, platform := range kinds[len(known):] {
		more = append(more, arch.NewHost(platform, h.fallback32))
	}
	h.known.Store(&more) // two at a time store the same
	return more
}

// of returns the matcher of the node's kind.
func (h *hosts) of(node *v1.Node) *arch.Host {
	kind := h.platforms.Kind(node)
	return h.all()[kind]
}
