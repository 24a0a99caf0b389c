package registry

import (
	"context"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

const (
	// wayTTL is how long the way to log in at an endpoint is remembered. What
	// has changed before shows, for then logging in fails.
	wayTTL = 10 * time.Minute
	// maxWays and maxWaySize, in bytes, bound memory.
	maxWays    = 1024
	maxWaySize = 2048
)

// way is how an endpoint wants to be logged in at, as GET /v2/ tells. It is
// shared, and not written to.
type way struct {
	*transport.Challenge
	// page says that a web page came instead, as from no registry: that there
	// is no such image is not for it to say. Such a way is not remembered.
	page bool
}

func (w way) equal(other way) bool {
	return w.page == other.page && w.Scheme == other.Scheme && w.Insecure == other.Insecure &&
		maps.Equal(w.Parameters, other.Parameters)
}

func (w way) size() int {
	n := len(w.Scheme)
	for key, value := range w.Parameters {
		n += len(key) + len(value)
	}
	return n
}

// findWay asks the endpoint how to log in, and remembers it for the others.
func (c *Client) findWay(ctx context.Context, registry name.Registry, g *guard) (way, error) {
	endpoint := canonical(registry.RegistryStr())
	c.ways.forget(endpoint)
	watched := &pageWatch{next: g}
	challenge, err := transport.Ping(ctx, registry, watched)
	if err != nil {
		return way{}, explain(err, Unreachable).notOfTheImage()
	}
	w := way{Challenge: challenge, page: watched.seen.Load()}
	if !w.page && w.size() <= maxWaySize {
		now := c.options.Clock.Now()
		c.ways.put(endpoint, w, now.Add(wayTTL), now)
	}
	return w, nil
}

// pageWatch notes whether a web page is what is found. A registry that wants a
// login may send one along with that.
type pageWatch struct {
	next http.RoundTripper
	seen atomic.Bool
}

// RoundTrip implements http.RoundTripper.
func (p *pageWatch) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := p.next.RoundTrip(req)
	if err == nil && resp.StatusCode == http.StatusOK {
		if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind == "text/html" {
			p.seen.Store(true)
		}
	}
	return resp, err
}

// login shows the endpoint what it wants to be shown.
func login(ctx context.Context, registry name.Registry, repository string, credential *Credential, w way, g *guard) (*session, error) {
	auth := authn.Anonymous
	if credential != nil {
		auth = authn.FromConfig(credential.config())
	}
	token := &transport.Token{}
	if strings.EqualFold(w.Scheme, "bearer") {
		var err error
		if token, err = fetchToken(ctx, registry, repository, credential, auth, w.Challenge, g); err != nil {
			return nil, err
		}
	}
	authenticated, err := transport.FromToken(registry, auth, g, w.Challenge, token)
	if err != nil {
		return nil, explain(err, Malformed)
	}
	s := &session{client: &http.Client{
		Transport: authenticated,
		// The guard counts redirects.
		CheckRedirect: func(*http.Request, []*http.Request) error { return nil },
	}}
	s.base = url.URL{Scheme: "https", Host: registry.RegistryStr(), Path: "/v2/" + repository}
	if w.Insecure {
		s.base.Scheme = "http"
	}
	return s, nil
}

// fetchToken asks the token server that the registry names.
func fetchToken(ctx context.Context, registry name.Registry, repository string, credential *Credential,
	auth authn.Authenticator, challenge *transport.Challenge, g *guard) (*transport.Token, error) {
	realm, err := url.Parse(challenge.Parameters["realm"])
	if err != nil || realm.Host == "" {
		return nil, fail(Malformed, "it names no token server to log in at")
	}
	if err := g.checkURL(realm); err != nil {
		f := explain(err, Forbidden)
		f.text = "token server: " + f.text
		return nil, f
	}
	if credential != nil && credential.RegistryToken != "" {
		// It is a token already, and no business of the token server.
		return &transport.Token{Token: credential.RegistryToken}, nil
	}
	scope := registry.Repo(repository).Scope(transport.PullScope)
	token, err := transport.Exchange(ctx, registry, auth, g, []string{scope}, challenge)
	if err != nil {
		f := explain(err, Malformed).notOfTheImage()
		f.text = "token server " + realm.Host + ": " + f.text
		return nil, f
	}
	if token.AccessToken != "" {
		token.Token = token.AccessToken
	}
	return token, nil
}

func (c *Credential) config() authn.AuthConfig {
	return authn.AuthConfig{
		Username: c.Username, Password: c.Password, IdentityToken: c.IdentityToken, RegistryToken: c.RegistryToken,
	}
}
