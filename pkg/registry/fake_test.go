package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	upstream "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
)

// fake is a registry on loopback that writes down what it is asked.
type fake struct {
	*httptest.Server
	content http.Handler

	mu sync.Mutex
	// intercept answers before the content does, if it returns true.
	intercept func(http.ResponseWriter, *http.Request) bool
	requests  []string
	// secrets are the Authorization headers and the forms that were sent.
	secrets []string
}

func newFake(t testing.TB) *fake {
	f := unstarted(t)
	f.StartTLS()
	return f
}

func newPlainFake(t testing.TB) *fake {
	f := unstarted(t)
	f.Start()
	return f
}

func unstarted(t testing.TB) *fake {
	f := &fake{content: upstream.New(upstream.Logger(log.New(io.Discard, "", 0)))}
	f.Server = httptest.NewUnstartedServer(f)
	f.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(f.Close)
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests = append(f.requests, r.Method+" "+r.URL.Path)
	if a := r.Header.Get("Authorization"); a != "" {
		f.secrets = append(f.secrets, a)
	}
	if r.Method == http.MethodPost {
		form, _ := io.ReadAll(r.Body)
		f.secrets = append(f.secrets, string(form))
	}
	intercept := f.intercept
	f.mu.Unlock()
	if intercept == nil || !intercept(w, r) {
		f.content.ServeHTTP(w, r)
	}
}

// on answers paths with the suffix by the handler.
func (f *fake) on(suffix string, h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.intercept
	f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, suffix) {
			h(w, r)
			return true
		}
		return before != nil && before(w, r)
	}
}

func (f *fake) host() string { return f.Listener.Addr().String() }

func (f *fake) port() string { _, port, _ := strings.Cut(f.host(), ":"); return port }

// asked lists the requests so far, and forgets them.
func (f *fake) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.requests
	f.requests = nil
	return all
}

func (f *fake) shown() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.secrets)
}

// ca is the certificate of every fake; it is good for *.example.com, too.
func (f *fake) ca() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw})
}

// put stores a manifest without asking whether it makes sense.
func (f *fake) put(t testing.TB, repository, tag string, mediaType types.MediaType, body string) string {
	t.Helper()
	digest := digestOf([]byte(body))
	answer := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", string(mediaType))
		w.Header().Set("Docker-Content-Digest", digest)
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, body)
		}
	}
	f.on("/v2/"+repository+"/manifests/"+tag, answer)
	f.on("/v2/"+repository+"/manifests/"+digest, answer)
	return digest
}

// push sends a request to the content behind the fake's back.
func (f *fake) push(t testing.TB, method, path, mediaType string, body []byte) {
	t.Helper()
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", mediaType)
	w := httptest.NewRecorder()
	f.content.ServeHTTP(w, r)
	if w.Code != http.StatusCreated {
		t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
}

func (f *fake) blob(t testing.TB, repository string, body []byte) string {
	t.Helper()
	digest := digestOf(body)
	f.push(t, http.MethodPost, "/v2/"+repository+"/blobs/uploads/?digest="+url.QueryEscape(digest), "", body)
	return digest
}

// image pushes an image whose config is that and returns its digest.
func (f *fake) image(t testing.TB, repository, tag, config string) string {
	t.Helper()
	body := imageManifest(types.OCIConfigJSON, f.blob(t, repository, []byte(config)))
	digest := digestOf([]byte(body))
	for _, name := range []string{tag, digest} {
		f.push(t, http.MethodPut, "/v2/"+repository+"/manifests/"+name, string(types.OCIManifestSchema1), []byte(body))
	}
	return digest
}

// index pushes an index of images for linux on the architectures.
func (f *fake) index(t testing.TB, repository, tag string, architectures ...string) string {
	t.Helper()
	var entries []string
	for _, a := range architectures {
		child := f.image(t, repository, a, config("linux", a, ""))
		entries = append(entries, listed(child, "linux", a, ""))
	}
	body := indexOf(entries...)
	digest := digestOf([]byte(body))
	for _, name := range []string{tag, digest} {
		f.push(t, http.MethodPut, "/v2/"+repository+"/manifests/"+name, string(types.OCIImageIndex), []byte(body))
	}
	return digest
}

func config(os, architecture, variant string) string {
	text, _ := json.Marshal(platformed{OS: os, Architecture: architecture, Variant: variant})
	return string(text)
}

func imageManifest(configType types.MediaType, configDigest string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":1},"layers":[]}`,
		types.OCIManifestSchema1, configType, configDigest)
}

func indexOf(entries ...string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, types.OCIImageIndex, strings.Join(entries, ","))
}

// listed is an index entry.
func listed(digest, os, architecture, variant string) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":1,"platform":%s}`,
		types.OCIManifestSchema1, digest, config(os, architecture, variant))
}

// someDigest is of nothing that there is.
var someDigest = "sha256:" + strings.Repeat("ab", 32)

// harness is a client with the fakes' certificates and a clock that stands.
type harness struct {
	*Client
	clock *clocktesting.FakeClock
}

// newHarness allows for loopback and for the fakes' hosts; adapt may change that.
func newHarness(t testing.TB, adapt func(*Options), fakes ...*fake) *harness {
	t.Helper()
	return routed(t, adapt, nil, fakes...)
}

// routed also leads host:port addresses elsewhere.
func routed(t testing.TB, adapt func(*Options), routes map[string]string, fakes ...*fake) *harness {
	t.Helper()
	h := &harness{clock: clocktesting.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))}
	o := Options{AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Clock: h.clock, Timeout: 30 * time.Second}
	for _, f := range fakes {
		host := Host{Name: f.host()}
		if f.TLS != nil {
			host.CA = f.ca()
		} else {
			host.PlainHTTP = true
		}
		o.Hosts = append(o.Hosts, host)
	}
	if adapt != nil {
		adapt(&o)
	}
	client, err := newClient(o, network{route: func(address string) string {
		if to, found := routes[address]; found {
			return to
		}
		return address
	}})
	if err != nil {
		t.Fatal(err)
	}
	h.Client = client
	for _, g := range client.guards {
		t.Cleanup(g.next.(*http.Transport).CloseIdleConnections)
	}
	return h
}

// roundTrip is a RoundTripper in place of a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (r roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return r(req) }

// instead answers requests in place of the network.
func (h *harness) instead(answer roundTrip) {
	for _, g := range h.guards {
		g.next = answer
	}
}

// hasty is a clock that passes whenever somebody waits.
type hasty struct{ *clocktesting.FakeClock }

func (c hasty) NewTimer(d time.Duration) clock.Timer {
	timer := c.FakeClock.NewTimer(d)
	c.Step(d)
	return timer
}

// resolve asks for image without anything known.
func (h *harness) resolve(t testing.TB, image string, credential *Credential) (Manifest, error) {
	t.Helper()
	ref, err := Parse(image)
	if err != nil {
		t.Fatal(err)
	}
	return h.Resolve(context.Background(), ref, credential, nil)
}

// platforms asks for image and prints its platforms.
func (h *harness) platforms(t testing.TB, image string) string {
	t.Helper()
	m, err := h.resolve(t, image, nil)
	if err != nil {
		t.Fatal(err)
	}
	return drawn(m)
}

// drawn is a manifest as text: index linux/amd64 linux/arm64.
func drawn(m Manifest) string {
	words := []string{string(m.Kind)}
	for _, p := range m.Platforms.Platforms() {
		words = append(words, p.String())
	}
	return strings.Join(words, " ")
}

// wantProblem asks for image and expects the problem.
func (h *harness) wantProblem(t testing.TB, image string, credential *Credential, want Problem) {
	t.Helper()
	_ = h.problem(t, image, credential, want)
}

// problem asks for image, expects the problem, and returns the error.
func (h *harness) problem(t testing.TB, image string, credential *Credential, want Problem) *Error {
	t.Helper()
	m, err := h.resolve(t, image, credential)
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Problem != want {
		t.Fatalf("%s: got %v, %v, want an error that is %s", image, drawn(m), err, want)
	}
	if n := len([]rune(e.Cause.Error())); n > maxMessage+3 {
		t.Errorf("cause of %d characters, want at most %d: %v", n, maxMessage, e.Cause)
	}
	wantPlain(t, e)
	return e
}

// plain matches all that is ever told of a registry.
var plain = regexp.MustCompile(`^the registry( has no such image| refuses access \(4\d\d\)(: no such repository, or a private one)?` +
	`| asks for fewer requests| does not answer in time| cannot be reached| fails \(5\d\d\)| is not among those allowed` +
	`| is at an address that is never asked| wants plain http|'s answer is too large|'s answer is no manifest)$`)

// wantPlain fails if the error tells more, other than of the reference.
func wantPlain(t testing.TB, e *Error) {
	t.Helper()
	if !plain.MatchString(e.Err.Error()) || e.Error() != "inspecting "+e.Image+": "+e.Err.Error() {
		t.Errorf("%q tells %q, want one of the messages that tell nothing of the network", e, e.Err)
	}
}

func wantRequests(t testing.TB, f *fake, want ...string) {
	t.Helper()
	if got := f.asked(); !slices.Equal(got, want) {
		t.Errorf("requests:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
