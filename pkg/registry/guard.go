package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"syscall"
	"time"
)

// network is how connections are made; tests route names to their own servers.
type network struct {
	proxy func(*http.Request) (*url.URL, error)
	// route, if not nil, replaces an address before it is resolved and judged.
	route func(address string) string
}

// guard is a RoundTripper that sends nothing where nothing should go and reads
// no more than is wanted. Every request passes it: logins, tokens, redirects.
type guard struct {
	next    http.RoundTripper
	options *Options
}

var errPlainHTTP = errors.New("plain http is not wanted")

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	visit, _ := req.Context().Value(visitKey{}).(*visit)
	if err := g.check(req, visit); err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	out := req.Clone(req.Context())
	out.Header.Set("User-Agent", g.options.UserAgent)
	resp, err := g.next.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	if visit != nil {
		visit.hears(resp, g.options.Clock.Now())
	}
	if resp.StatusCode >= 300 {
		// What is left of it is not worth an error of its own.
		resp.Body = reads{io.LimitReader(resp.Body, maxErrorBody), resp.Body}
		return resp, nil
	}
	if req.Method != http.MethodHead && resp.ContentLength > g.options.MaxBytes {
		_ = resp.Body.Close()
		return nil, tooLarge(g.options.MaxBytes)
	}
	resp.Body = &boundedBody{body: resp.Body, left: g.options.MaxBytes, most: g.options.MaxBytes}
	return resp, nil
}

// check judges a request before anything of it is sent.
func (g *guard) check(req *http.Request, visit *visit) error {
	redirects := redirectsOf(req)
	switch {
	case redirects > g.options.MaxRedirects:
		return fail(Malformed, "more than %d redirects", g.options.MaxRedirects)
	case redirects > 0 && req.Method != http.MethodGet && req.Method != http.MethodHead:
		return fail(Forbidden, "a redirect to %s of a request that carries a secret", req.URL.Host)
	}
	if err := g.checkURL(req.URL); err != nil {
		if redirects == 0 && visit != nil && req.URL.Host == visit.host && errors.Is(err, errPlainHTTP) {
			// The library tries http where it deems a host local, or finds
			// https wanting: what matters is how https fared.
			return errPlainHTTP
		}
		return err
	}
	return nil
}

// checkURL judges what can be known of a URL before its host is resolved.
func (g *guard) checkURL(u *url.URL) error {
	switch {
	case refusesHost(u.Hostname(), g.options.AllowedNetworks):
		return refused(u.Hostname())
	case u.Scheme == "http" && !g.options.host(u.Host).PlainHTTP:
		f := fail(Forbidden, "plain http to %s: plainHTTP of that host would allow for it", u.Host)
		f.told, f.cause = toldPlainHTTP, errPlainHTTP
		return f
	case u.Scheme != "https" && u.Scheme != "http":
		return fail(Forbidden, "scheme %q: want https", u.Scheme)
	}
	return nil
}

// redirectsOf counts the answers that led to this request.
func redirectsOf(req *http.Request) (n int) {
	for req.Response != nil {
		n++
		if req = req.Response.Request; req == nil {
			break
		}
	}
	return n
}

func refused(address string) *failure {
	return fail(Forbidden, "address %s is one that no registry is at: allowedNetworks would make an exception", address)
}

func tooLarge(most int64) *failure {
	return fail(TooLarge, "an answer of more than %d bytes", most)
}

// reads joins a reader with what closes it.
type reads struct {
	io.Reader
	io.Closer
}

// boundedBody fails when there is more to read than is wanted.
type boundedBody struct {
	body io.ReadCloser
	// left is how many bytes may still come, out of most.
	left, most int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.body.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, tooLarge(b.most)
	}
	return n, err
}

func (b *boundedBody) Close() error { return b.body.Close() }

// visitKey finds the *visit in the context of a request.
type visitKey struct{}

// newTransport returns what makes connections, and keeps them for the next
// time, trusting the system's roots and those in ca.
func newTransport(o *Options, ca []byte, n network) *http.Transport {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a system without roots trusts ca alone
	}
	roots.AppendCertsFromPEM(ca)
	dialer := &net.Dialer{Timeout: o.Timeout, ControlContext: checkDial(o.AllowedNetworks)}
	return &http.Transport{
		Proxy: n.proxy,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if n.route != nil {
				address = n.route(address)
			}
			return dialer.DialContext(ctx, network, address)
		},
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    o.Timeout,
		ResponseHeaderTimeout:  o.Timeout,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // what is small on the wire may not be so in memory
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// checkDial refuses addresses when they are resolved and about to be dialled:
// a name that was looked up earlier may have changed since.
func checkDial(allowed []netip.Prefix) func(context.Context, string, string, syscall.RawConn) error {
	allowed = slices.Clone(allowed)
	return func(_ context.Context, _, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return fail(Forbidden, "address %q: want an IP address with a port", address)
		}
		if refuses(at.Addr(), allowed) {
			return refused(at.Addr().String())
		}
		return nil
	}
}
