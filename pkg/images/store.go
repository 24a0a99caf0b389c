package images

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"plimsoll.dev/scheduler/pkg/registry"
)

// Resolver asks a registry; registry.Client is one.
type Resolver interface {
	// Resolve says what the reference names now, to whom holds the credential;
	// nil is anybody. What known returns needs no download.
	Resolve(ctx context.Context, ref registry.Reference, cred *registry.Credential, known func(digest string) (registry.Manifest, bool)) (registry.Manifest, error)
}

// Options say how a store works. The zero value asks no registry.
type Options struct {
	// Resolver asks registries. Nil: they are not asked, and what was not
	// observed is Unknown at once.
	Resolver Resolver
	// Secrets reads a pull secret. Nil: pull secrets are not used.
	Secrets func(ctx context.Context, namespace, name string) (*v1.Secret, error)
	// TagTTL is how long the digest of a tag, and a pull secret, is believed.
	// Default 10 minutes.
	TagTTL time.Duration
	// Deadline is how long an image may be Waiting. Default 20 seconds.
	Deadline time.Duration
	// PerRegistry is how many questions one registry is asked at a time, once it
	// has answered. Default 4.
	PerRegistry int
	// Workers is how many questions are asked at a time; they do little but wait.
	// One registry keeps half of them busy at most. Default 64, or twice
	// PerRegistry if that is more.
	Workers int
	// MaxBytes bounds the memory of all that is remembered, by estimate. At
	// least 1 MiB; default 32 MiB.
	MaxBytes int64
	// Clock is the time; default the real one.
	Clock clock.WithTicker
	// OnInspect is told of every inspection: its result is "ok", or a
	// registry.Problem. Called by several goroutines.
	OnInspect func(registry, result string, took time.Duration)
}

// Store remembers what is known of images. Make it with NewStore.
type Store struct {
	resolver       Resolver
	secrets        func(ctx context.Context, namespace, name string) (*v1.Secret, error)
	tagTTL         time.Duration
	deadline       time.Duration
	overdueMessage string
	flightLimit    time.Duration
	workers        int
	clock          clock.WithTicker
	onInspect      func(registry, result string, took time.Duration)
	parse          func(string) (registry.Reference, error)
	random         func() float64 // in [0,1)
	hmacKey        sealed[[]byte]
	// reading lets several workers who need one secret wait for one reading.
	reading singleflight.Group

	// mu guards all below. It is held for microseconds, never during I/O, and
	// not while listeners are called.
	mu           sync.Mutex
	lru          *lru
	names        map[string]*name
	images       map[registry.Reference]*image
	lastID       uint64
	privates     map[privateKey]*privateInquiry
	views        map[string]*ownView
	manifests    map[manifestKey]*manifest
	pullSecrets  map[secretKey]*pullSecret
	observations map[place]*observation
	sightings    map[place]*sighting

	alarms     alarms
	alarmMoved chan struct{}
	queue      *queue
	work       *sync.Cond // on mu: the queue may have a task
	listeners  []func(image string)
	// changed are the images to tell listeners of, once each.
	changed map[string]struct{}
	tellNow chan struct{}
	// telling is how many changes listeners are being told of.
	telling int
}

// Estimates of what one of each takes with its share of maps and of the heap of
// alarms, less the texts it holds; TestTheEstimateOfMemoryIsHonest checks them.
const (
	nameBytes        = 250
	imageBytes       = 1250
	inquiryBytes     = 680
	viewBytes        = 650
	manifestBytes    = 250
	platformBytes    = 120
	secretBytes      = 900
	observationBytes = 500
	claimBytes       = 300
	sightingBytes    = 250
	changeBytes      = 100
)

// NewStore returns a store that knows nothing yet. It answers at once, and asks
// registries when Run is called.
func NewStore(o Options) *Store {
	s := &Store{
		resolver: o.Resolver, secrets: o.Secrets, onInspect: o.OnInspect, clock: o.Clock,
		tagTTL:       orDefault(o.TagTTL, 10*time.Minute),
		deadline:     orDefault(o.Deadline, 20*time.Second),
		lru:          newLRU(max(orDefault(o.MaxBytes, 32<<20), 1<<20)),
		parse:        registry.Parse,
		flightLimit:  flightLimit,
		random:       mathrand.Float64,
		names:        map[string]*name{},
		images:       map[registry.Reference]*image{},
		privates:     map[privateKey]*privateInquiry{},
		views:        map[string]*ownView{},
		manifests:    map[manifestKey]*manifest{},
		pullSecrets:  map[secretKey]*pullSecret{},
		observations: map[place]*observation{},
		sightings:    map[place]*sighting{},
		changed:      map[string]struct{}{},
		alarmMoved:   make(chan struct{}, 1),
		tellNow:      make(chan struct{}, 1),
	}
	if s.clock == nil {
		s.clock = clock.RealClock{}
	}
	s.overdueMessage = fmt.Sprintf("no answer from the registry within %v", s.deadline)
	perRegistry := orDefault(o.PerRegistry, fewestPerHost)
	s.workers = orDefault(o.Workers, max(64, 2*perRegistry))
	s.queue = newQueue(s, s.workers, perRegistry)
	s.work = sync.NewCond(&s.mu)
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails: it ends the process instead
	s.hmacKey = seal(key)
	return s
}

func orDefault[T int | int64 | time.Duration](value, otherwise T) T {
	if value > 0 {
		return value
	}
	return otherwise
}

// Format prints nothing of what is remembered, whatever the verb.
func (s *Store) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("images.Store")) }

// Run inspects images, watches deadlines and tells listeners, until the context
// ends; then nothing of it is left running. It is called once.
func (s *Store) Run(ctx context.Context) {
	wake := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.work.Broadcast()
	})
	defer wake()
	var running sync.WaitGroup
	for range s.workers {
		running.Go(func() { s.labour(ctx) })
	}
	running.Go(func() { s.watch(ctx) })
	running.Go(func() { s.announce(ctx) })
	running.Wait()
}

// labour does one task after the other.
func (s *Store) labour(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		t := s.queue.pop()
		for t == nil && ctx.Err() == nil {
			s.work.Wait()
			t = s.queue.pop()
		}
		if ctx.Err() != nil {
			return
		}
		if s.queue.hasMore() {
			s.work.Signal() // a line that moves may offer one task after the other
		}
		s.mu.Unlock()
		answered := t.run(ctx, s)
		s.mu.Lock()
		s.queue.done(t, answered, s.clock.Now())
	}
}

// OnChange adds a listener. It is called, from the store's own goroutines and
// with no lock held, after the answer for the image string changed for
// somebody. It should be quick, as all changes wait for it.
func (s *Store) OnChange(listener func(image string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners[:len(s.listeners):len(s.listeners)], listener)
}

// tell notes that the answer for an image changed. The lock is held.
func (s *Store) tell(img *image) {
	for _, n := range img.names {
		s.tellName(n.text)
	}
}

func (s *Store) tellName(text string) {
	if _, found := s.changed[text]; found {
		return
	}
	s.changed[text] = struct{}{}
	s.lru.hold(changeBytes + int64(len(text)))
	select {
	case s.tellNow <- struct{}{}:
	default: // announce is told already
	}
}

// announce tells the listeners what changed.
func (s *Store) announce(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.tellNow:
		}
		s.mu.Lock()
		changed, listeners := s.changed, s.listeners
		s.changed, s.telling = map[string]struct{}{}, len(changed)
		s.mu.Unlock()
		var bytes int64
		for text := range changed {
			if ctx.Err() != nil {
				return
			}
			for _, listener := range listeners {
				listener(text)
			}
			bytes += changeBytes + int64(len(text))
		}
		s.mu.Lock()
		s.lru.hold(-bytes)
		s.telling = 0
		s.mu.Unlock()
	}
}

// shrink forgets what was not used for longest until the rest fits. The lock is
// held, and nothing that is not remembered yet is in the caller's hands.
func (s *Store) shrink() {
	for s.lru.total > s.lru.max {
		sl := s.lru.oldest()
		if sl == nil {
			return
		}
		s.lru.remove(sl)
		sl.owner.forget(s)
	}
}

// showsCredentials reports whether there is anything to show for the asker.
func (s *Store) showsCredentials(who Asker) bool {
	return s.secrets != nil && len(who.PullSecrets) > 0
}
