package registry

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"golang.org/x/time/rate"
)

// Client asks registries. It is safe for concurrent use; how much is asked at
// once is the caller's choice.
type Client struct {
	options Options
	// guards are by CA, so that hosts with the same roots share connections.
	guards map[string]*guard
	paces  paces
	pauses pauses
	// ways are by endpoint.
	ways *lapsing[string, way]
	// silent are endpoints that let their share of the time pass without an answer.
	silent *lapsing[string, struct{}]
}

// NewClient returns a client with the options, or says which are wrong.
func NewClient(o Options) (*Client, error) {
	return newClient(o, network{proxy: http.ProxyFromEnvironment})
}

func newClient(o Options, n network) (*Client, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	o.Hosts, o.Allowed = slices.Clone(o.Hosts), slices.Clone(o.Allowed)
	o.AllowedNetworks = unmapped(o.AllowedNetworks)
	c := &Client{options: o, guards: map[string]*guard{}, pauses: newPauses(), ways: newLapsing[string, way](maxWays),
		silent: newLapsing[string, struct{}](maxWays)}
	c.paces = paces{clock: o.Clock, limit: rate.Limit(o.InspectionsPerSecond), burst: o.Burst, byHost: map[string]*pace{}}
	for _, h := range append([]Host{{}}, o.Hosts...) {
		if ca := string(h.CA); c.guards[ca] == nil {
			c.guards[ca] = &guard{next: newTransport(&c.options, h.CA, n), options: &c.options}
		}
	}
	return c, nil
}

// silentFor is how long a mirror that did not answer in time is passed over: each
// inspection would wait for it, and hold a worker meanwhile.
const silentFor = time.Minute

// endpoint is one host that may have an image.
type endpoint struct {
	// name is as configured, or as in the reference.
	name string
	// own says that this is the reference's registry, to which its credential
	// belongs, rather than a mirror.
	own bool
}

func (c *Client) endpoints(registry string) (all []endpoint) {
	h := c.options.host(registry)
	for _, mirror := range h.Mirrors {
		if canonical(mirror) != canonical(registry) { // a mirror for * is a registry, too
			all = append(all, endpoint{name: mirror})
		}
	}
	if !h.MirrorsOnly || len(all) == 0 {
		all = append(all, endpoint{name: registry, own: true})
	}
	return all
}

// question is what one Resolve asks.
type question struct {
	ref Reference
	// credential is for the reference's own registry; nil for none.
	credential *Credential
	known      func(digest string) (Manifest, bool)
}

// Resolve asks what the reference names now. The credential, nil for none, is
// shown to the reference's own registry only. If known knows the digest, its
// answer is returned, and the registry was only asked whether the asker may
// read it; known may be nil. Resolve waits for its turn at an endpoint for as
// long as the context allows. The error is an *Error.
func (c *Client) Resolve(ctx context.Context, ref Reference, credential *Credential,
	known func(digest string) (Manifest, bool)) (Manifest, error) {
	if parsed, err := Parse(ref.String()); err != nil || parsed != ref {
		return Manifest{}, malformedReference(ref.String(), "no reference as Parse returns them")
	}
	if !c.options.allows(ref.Registry) {
		f := fail(Forbidden, "registry %s is not among those that may be asked", ref.Registry)
		f.told = toldNotAllowed
		return Manifest{}, errorOf(ref, f)
	}
	if known == nil {
		known = func(string) (Manifest, bool) { return Manifest{}, false }
	}
	left := c.options.Timeout
	endpoints := c.endpoints(ref.Registry)
	var worst *failure
	for i, e := range endpoints {
		if i < len(endpoints)-1 && c.isSilent(e) {
			continue
		}
		q := question{ref: ref, known: known}
		if e.own {
			q.credential = credential
		}
		m, took, f := c.visit(ctx, left, len(endpoints)-i, e, q)
		if f == nil {
			return m, nil
		}
		// The registry itself knows best, and hope is better than none.
		if worst == nil || e.own || !worst.temporary() {
			worst = f.at(e, q.credential != nil)
		}
		if left -= took; left <= 0 || ctx.Err() != nil {
			break
		}
	}
	return Manifest{}, errorOf(ref, worst)
}

// visit asks an endpoint when its turn has come, within its share of the time
// that is left from then on. It returns how much of that it took.
func (c *Client) visit(ctx context.Context, left time.Duration, shares int, e endpoint, q question) (Manifest, time.Duration, *failure) {
	v := &visit{who: c.pauses.asker(e.name, q.credential), pauses: &c.pauses}
	paused := func() time.Duration { return c.pauses.left(v.who, c.options.Clock.Now()) }
	switch pause, err := c.paces.of(e.name).turn(ctx, paused); {
	case err != nil:
		f := explainContext(err)
		f.text = "its turn to be asked did not come: " + f.text
		return Manifest{}, 0, f
	case pause > 0:
		f := fail(RateLimited, "asked often enough for now, next in %v", pause.Round(time.Millisecond))
		f.retryAfter = pause
		return Manifest{}, 0, f
	}
	begun := time.Now()
	whole := true // its share is not cut by the time that the asker has
	if deadline, ok := ctx.Deadline(); ok {
		whole = left <= time.Until(deadline)
		left = min(left, time.Until(deadline))
	}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, visitKey{}, v), left/time.Duration(shares))
	defer cancel()
	m, err := c.ask(ctx, v, e, q)
	if err == nil {
		return m, 0, nil
	}
	f := explain(err, Unreachable)
	if ctx.Err() != nil && (f.problem == Malformed || f.problem == Unreachable) {
		// Time ran out: an answer that was cut short can look like a whole one.
		f = explainContext(ctx.Err())
	}
	if now := c.options.Clock.Now(); whole && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		c.silent.put(canonical(e.name), struct{}{}, now.Add(silentFor), now)
	}
	f.retryAfter = time.Duration(v.wait.Load())
	if f.problem == RateLimited && f.retryAfter == 0 { // said so by code alone
		f.retryAfter = defaultPause
		now := c.options.Clock.Now()
		c.pauses.pause(v.who, now.Add(defaultPause), now)
	}
	return Manifest{}, time.Since(begun), f
}

// isSilent tells whether the endpoint did not answer a short while ago.
func (c *Client) isSilent(e endpoint) bool {
	_, left := c.silent.get(canonical(e.name), c.options.Clock.Now())
	return left > 0
}

// ask asks an endpoint. What lasts is not concluded from a way to log in that
// is only remembered: something else may have taken the registry's place.
func (c *Client) ask(ctx context.Context, v *visit, e endpoint, q question) (Manifest, error) {
	var options []name.Option
	if c.options.host(e.name).PlainHTTP {
		options = append(options, name.Insecure)
	}
	registry, err := name.NewRegistry(e.name, options...)
	if err != nil {
		f := fail(Malformed, "%q is no host to ask", clean(e.name, 100))
		f.told = "the registry's name is no host: want host[:port]"
		return Manifest{}, f
	}
	v.host = registry.RegistryStr()
	g := c.guards[string(c.options.host(e.name).CA)]
	w, left := c.ways.get(canonical(v.host), c.options.Clock.Now())
	if left > 0 {
		m, err := c.askBy(ctx, w, registry, e, q, g)
		if err == nil || explain(err, Unreachable).temporary() {
			return m, err
		}
		now, pingErr := c.findWay(ctx, registry, g)
		if pingErr != nil {
			return Manifest{}, pingErr
		}
		if now.equal(w) {
			return Manifest{}, err
		}
		w = now
	} else if w, err = c.findWay(ctx, registry, g); err != nil {
		return Manifest{}, err
	}
	return c.askBy(ctx, w, registry, e, q, g)
}

// askBy asks an endpoint that wants to be logged in at in this way.
func (c *Client) askBy(ctx context.Context, w way, registry name.Registry, e endpoint, q question, g *guard) (Manifest, error) {
	s, err := login(ctx, registry, q.ref.Repository, q.credential, w, g)
	if err != nil {
		c.ways.forget(canonical(registry.RegistryStr()))
		return Manifest{}, err
	}
	if !e.own {
		// Mirrors of several registries tell them apart by this, as container
		// runtimes do.
		s.base.RawQuery = "ns=" + q.ref.Registry
	}
	m, err := s.inspect(ctx, q.ref, c.options.host(e.name).Sparse, q.known)
	if err == nil {
		return m, nil
	}
	f := explain(err, Unreachable)
	if f.problem != NotFound {
		c.ways.forget(canonical(registry.RegistryStr()))
	} else if w.page {
		f = f.notOfTheImage()
	}
	return Manifest{}, f
}
