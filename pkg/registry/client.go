package registry

import (
	"context"
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
	c := &Client{options: o, guards: map[string]*guard{}}
	c.paces = paces{clock: o.Clock, limit: rate.Limit(o.RequestsPerSecond), burst: o.Burst, byHost: map[string]*pace{}}
	for _, h := range append([]Host{{}}, o.Hosts...) {
		if ca := string(h.CA); c.guards[ca] == nil {
			c.guards[ca] = &guard{next: newTransport(&c.options, h.CA, n), options: &c.options}
		}
	}
	return c, nil
}

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

// Resolve asks what the reference names now. The credential, nil for none, is
// shown to the reference's own registry only. If known knows the digest, its
// answer is returned, and the registry was only asked whether the asker may
// read it; known may be nil. The error is an *Error.
func (c *Client) Resolve(ctx context.Context, ref Reference, credential *Credential,
	known func(digest string) (Manifest, bool)) (Manifest, error) {
	if parsed, err := Parse(ref.String()); err != nil || parsed != ref {
		return Manifest{}, malformedReference(ref.String(), "no reference as Parse returns them")
	}
	if !c.options.allows(ref.Registry) {
		return Manifest{}, errorOf(ref, fail(Forbidden, "registry %s is not among those that may be asked", ref.Registry))
	}
	if known == nil {
		known = func(string) (Manifest, bool) { return Manifest{}, false }
	}
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	endpoints := c.endpoints(ref.Registry)
	var worst *failure
	for i, e := range endpoints {
		m, f := c.askWithin(ctx, len(endpoints)-i, e, ref, credential, known)
		if f == nil {
			return m, nil
		}
		// The registry itself knows best, and hope is better than none.
		if worst == nil || e.own || !worst.temporary() {
			worst = f
		}
		if ctx.Err() != nil {
			break
		}
	}
	return Manifest{}, errorOf(ref, worst)
}

// askWithin asks an endpoint within its share of the time that is left.
func (c *Client) askWithin(ctx context.Context, shares int, e endpoint, ref Reference, credential *Credential,
	known func(string) (Manifest, bool)) (Manifest, *failure) {
	if deadline, ok := ctx.Deadline(); ok && shares > 1 {
		limited, cancel := context.WithTimeout(ctx, time.Until(deadline)/time.Duration(shares))
		defer cancel()
		ctx = limited
	}
	if !e.own {
		credential = nil
	}
	pace := c.paces.of(e.name)
	if wait := pace.admit(c.options.Clock.Now()); wait > 0 {
		f := fail(RateLimited, "asked often enough for now, next in %v", wait.Round(time.Millisecond))
		f.retryAfter = wait
		return Manifest{}, f.at(e, credential != nil)
	}
	v := &visit{pace: pace}
	v.prepaid.Store(true)
	m, err := c.ask(context.WithValue(ctx, visitKey{}, v), v, e, ref, credential, known)
	if err == nil {
		return m, nil
	}
	f := explain(err, Unreachable)
	if ctx.Err() != nil && (f.problem == Malformed || f.problem == Unreachable) {
		// Time ran out: an answer that was cut short can look like a whole one.
		f = explainContext(ctx.Err())
	}
	f.retryAfter = time.Duration(v.wait.Load())
	if f.problem == RateLimited && f.retryAfter == 0 { // said so by code alone
		f.retryAfter = defaultPause
		pace.pause(c.options.Clock.Now().Add(defaultPause))
	}
	return Manifest{}, f.at(e, credential != nil)
}

// ask asks an endpoint.
func (c *Client) ask(ctx context.Context, v *visit, e endpoint, ref Reference, credential *Credential,
	known func(string) (Manifest, bool)) (Manifest, error) {
	settings := c.options.host(e.name)
	var options []name.Option
	if settings.PlainHTTP {
		options = append(options, name.Insecure)
	}
	registry, err := name.NewRegistry(e.name, options...)
	if err != nil {
		return Manifest{}, fail(Malformed, "%q is no host to ask", clean(e.name, 100))
	}
	v.host = registry.RegistryStr()
	s, err := login(ctx, registry, ref.Repository, credential, c.guards[string(settings.CA)])
	if err != nil {
		return Manifest{}, err
	}
	if !e.own {
		// Mirrors of several registries tell them apart by this, as container
		// runtimes do.
		s.base.RawQuery = "ns=" + ref.Registry
	}
	return s.inspect(ctx, ref, settings.Sparse, known)
}
