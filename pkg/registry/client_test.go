package registry

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestWrongOptionsNameTheFieldAndTheValue(t *testing.T) {
	for says, o := range map[string]Options{
		`timeout: -1s`:                 {Timeout: -time.Second},
		`maxBytes: -1`:                 {MaxBytes: -1},
		`maxRedirects: 11`:             {MaxRedirects: 11},
		`inspectionsPerSecond: -1`:     {InspectionsPerSecond: -1},
		`inspectionsPerSecond: +Inf`:   {InspectionsPerSecond: math.Inf(1)},
		`burst: -1`:                    {Burst: -1},
		`userAgent: "a\nb"`:            {UserAgent: "a\nb"},
		`allowed[1]: "https://a"`:      {Allowed: []string{"*.example.com", "https://a"}},
		`allowed[0]: "*"`:              {Allowed: []string{"*"}},
		`allowed[0]: ""`:               {Allowed: []string{""}},
		`allowedNetworks[0]: invalid`:  {AllowedNetworks: []netip.Prefix{{}}},
		`hosts[0].name: ""`:            {Hosts: []Host{{}}},
		`hosts[0].name: "a/b"`:         {Hosts: []Host{{Name: "a/b"}}},
		`hosts[0].name: "a:0"`:         {Hosts: []Host{{Name: "a:0"}}},
		`hosts[0].name: "a:"`:          {Hosts: []Host{{Name: "a:"}}},
		`hosts[0].name: "u@a"`:         {Hosts: []Host{{Name: "u@a"}}},
		`hosts[0].name: "*.a"`:         {Hosts: []Host{{Name: "*.a"}}},
		`hosts[1].name: "A": has`:      {Hosts: []Host{{Name: "a"}, {Name: "A"}}},
		`"index.docker.io": has`:       {Hosts: []Host{{Name: "docker.io"}, {Name: "index.docker.io"}}},
		`hosts[1].ca: 3 bytes`:         {Hosts: []Host{{Name: "a"}, {Name: "b", CA: []byte("bad")}}},
		`hosts[0].mirrors[1]: "a:x"`:   {Hosts: []Host{{Name: "a", Mirrors: []string{"b", "a:x"}}}},
		`hosts[0].mirrors[0]: "a"`:     {Hosts: []Host{{Name: "a", Mirrors: []string{"a"}}}},
		`hosts[0].mirrors[1]: "b"`:     {Hosts: []Host{{Name: "a", Mirrors: []string{"b", "b"}}}},
		`hosts[0].mirrorsOnly: true`:   {Hosts: []Host{{Name: "a", MirrorsOnly: true}}},
		`hosts[0].plainHTTP: true`:     {Hosts: []Host{{Name: "*", PlainHTTP: true}}},
		"maxBytes: -1: want more than": {Timeout: -1, MaxBytes: -1}, // both are told
	} {
		if _, err := NewClient(o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %s", err, says)
		}
	}
}

func TestTheZeroOptionsAndFullOnesAreFine(t *testing.T) {
	for _, o := range []Options{
		{},
		{
			Allowed: []string{"docker.io", "*.example.com", "registry:5000", "[2001:db8::1]:5000"}, AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("169.254.20.0/24")},
			Hosts: []Host{{Name: "*", Mirrors: []string{"mirror:5000"}, MirrorsOnly: true}, {Name: "mirror:5000", PlainHTTP: true, Sparse: true}},
		},
	} {
		if _, err := NewClient(o); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestOnlyAllowedRegistriesAreAsked(t *testing.T) {
	o := Options{Allowed: []string{"Quay.io", "*.example.com", "registry:5000", "index.docker.io"}}
	for registry, want := range map[string]bool{
		"quay.io": true, "QUAY.IO": true, "quay.io:443": false, "quay.io.evil.com": false, "evilquay.io": false,
		"a.example.com": true, "a.b.example.com": true, "example.com": false, "badexample.com": false, "a.example.com:5000": false,
		"registry:5000": true, "registry": false, "docker.io": true,
	} {
		if got := o.allows(registry); got != want {
			t.Errorf("%s: allowed %v, want %v", registry, got, want)
		}
	}
	f := newFake(t)
	f.index(t, "app", "v1", "amd64")
	h := newHarness(t, func(o *Options) { o.Allowed = []string{"quay.io"} }, f)
	if e := h.problem(t, f.host()+"/app:v1", nil, Forbidden); !strings.Contains(e.Cause.Error(), "not among those") {
		t.Errorf("got %v, want that the registry is not allowed", e.Cause)
	}
	wantRequests(t, f)
}

func TestMirrorsAreAskedInOrderAndFirst(t *testing.T) {
	own, first, second := newFake(t), newFake(t), newFake(t)
	second.index(t, "app", "v1", "arm64")
	own.index(t, "app", "v1", "amd64")
	namespaces := map[string]bool{}
	first.on("/manifests/v1", func(w http.ResponseWriter, r *http.Request) {
		namespaces[r.URL.Query().Get("ns")] = true
		first.content.ServeHTTP(w, r)
	})
	h := newHarness(t, func(o *Options) { o.Hosts[0].Mirrors = []string{first.host(), second.host()} }, own, first, second)
	if got := h.platforms(t, own.host()+"/app:v1"); got != "index linux/arm64" {
		t.Errorf("got %s, want what the second mirror has", got)
	}
	wantRequests(t, first, "GET /v2/", "HEAD /v2/app/manifests/v1")
	wantRequests(t, own)
	if len(namespaces) != 1 || !namespaces[own.host()] {
		t.Errorf("the mirror was asked for %v, want the registry's name", namespaces)
	}
}

func TestAMirrorThatDoesNotHelpIsPassedOver(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"404":     http.NotFound,
		"401":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"429":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) },
		"502":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"nothing": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"garbage": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{") },
		"a forbidden redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://169.254.169.254/", http.StatusFound)
		},
		"no connection": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			own, mirror := newFake(t), newFake(t)
			own.index(t, "app", "v1", "amd64")
			mirror.on("/manifests/v1", answer)
			h := newHarness(t, func(o *Options) {
				o.Hosts[0].Mirrors = []string{mirror.host()}
				if name == "nothing" {
					o.Timeout = 2 * time.Second // of which the mirror has half
				}
			}, own, mirror)
			if got := h.platforms(t, own.host()+"/app:v1"); got != "index linux/amd64" {
				t.Errorf("got %s, want what the registry has", got)
			}
			if len(mirror.asked()) < 2 {
				t.Error("the mirror was not asked")
			}
		})
	}
}

func TestAMirrorThatHangsIsWaitedForOnce(t *testing.T) {
	own, mirror := newFake(t), newFake(t)
	own.index(t, "app", "v1", "amd64")
	own.index(t, "app", "v2", "arm64")
	mirror.index(t, "app", "v2", "s390x")
	mirror.on("/manifests/v1", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	h := newHarness(t, func(o *Options) {
		o.Hosts[0].Mirrors = []string{mirror.host()}
		o.Timeout = 2 * time.Second // of which the mirror has half
	}, own, mirror)
	for _, want := range []struct {
		tag, platforms string
		after          time.Duration
	}{
		{"v1", "index linux/amd64", 0},
		{"v2", "index linux/arm64", 0}, // from the registry: the mirror is passed over
		{"v2", "index linux/arm64", silentFor - time.Second},
		{"v2", "index linux/s390x", time.Second}, // from the mirror again
	} {
		h.clock.Step(want.after)
		if got := h.platforms(t, own.host()+"/app:"+want.tag); got != want.platforms {
			t.Errorf("%s, %v later: got %s, want %s", want.tag, want.after, got, want.platforms)
		}
	}
}

func TestWithMirrorsOnlyTheRegistryIsNotAsked(t *testing.T) {
	own, one, two := newFake(t), newFake(t), newFake(t)
	own.index(t, "app", "v1", "amd64")
	one.on("/manifests/v1", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	h := newHarness(t, func(o *Options) {
		o.Hosts[0].Mirrors, o.Hosts[0].MirrorsOnly = []string{one.host(), two.host()}, true
	}, own, one, two)
	// The first could have it: that the second has not is no last word.
	e := h.problem(t, own.host()+"/app:v1", nil, ServerError)
	if !strings.Contains(e.Cause.Error(), "mirror "+one.host()+": 502") {
		t.Errorf("got %v, want the mirror and its answer", e.Cause)
	}
	wantRequests(t, own)
}

func TestTheRegistryHasTheLastWordOverItsMirrors(t *testing.T) {
	own, mirror := newFake(t), newFake(t)
	mirror.on("/manifests/v1", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	h := newHarness(t, func(o *Options) { o.Hosts[0].Mirrors = []string{mirror.host()} }, own, mirror)
	if e := h.problem(t, own.host()+"/app:v1", nil, NotFound); e.Temporary() {
		t.Errorf("got %v, want a lasting problem", e.Cause)
	}
}

func TestAMirrorOfEverythingServesHostsWithoutAnEntry(t *testing.T) {
	own, mirror := newFake(t), newFake(t)
	own.index(t, "app", "v1", "amd64")
	mirror.index(t, "app", "v1", "arm64")
	h := newHarness(t, func(o *Options) {
		o.Hosts = append(o.Hosts, Host{Name: "*", Mirrors: []string{mirror.host()}, MirrorsOnly: true})
	}, own, mirror)
	for registry, want := range map[string]string{
		"docker.invalid": "index linux/arm64",
		own.host():       "index linux/amd64", // has an entry
		mirror.host():    "index linux/arm64",
	} {
		if got := h.platforms(t, registry+"/app:v1"); got != want {
			t.Errorf("%s: got %s, want %s", registry, got, want)
		}
	}
}

func TestDockerHubIsAskedByItsOwnName(t *testing.T) {
	f := newFake(t)
	f.index(t, "library/nginx", "1.27", "amd64", "arm64")
	// The certificate is for another name: only what is dialled matters here.
	dialled := ""
	h := newHarness(t, nil, f)
	client, err := newClient(h.options, network{route: func(address string) string { dialled = address; return f.host() }})
	if err != nil {
		t.Fatal(err)
	}
	ref, _ := Parse("nginx:1.27")
	_, err = client.Resolve(context.Background(), ref, nil, nil)
	if e, ok := errors.AsType[*Error](err); !ok || e.Problem != Unreachable || !strings.Contains(e.Cause.Error(), "docker.io: its certificate") {
		t.Errorf("got %v, want that the certificate is another's", err)
	}
	if dialled != "index.docker.io:443" {
		t.Errorf("dialled %s, want index.docker.io:443", dialled)
	}
}

func TestErrorsOfConnectionsAreTold(t *testing.T) {
	for says, err := range map[string]error{
		`host "quay.example": no such host`: &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "quay.example", IsNotFound: true}},
		"for another host":                  x509.HostnameError{Certificate: &x509.Certificate{}, Host: "a"},
		"dial tcp: broken":                  &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("broken")},
		"ended within the answer":           fmt.Errorf("reading: %w", io.ErrUnexpectedEOF),
		"plainHTTP":                         http.ErrSchemeMismatch,
		"no answer in HTTP":                 errors.New("net/http: https://a/?signature=x: bad"),
	} {
		if f := explain(err, Unreachable); f.problem != Unreachable || !strings.Contains(f.text, says) || strings.Contains(f.text, "signature") {
			t.Errorf("%v: got %s %q, want %s with %q", err, f.problem, f.text, Unreachable, says)
		}
	}
	timeout := &net.DNSError{Err: "i/o timeout", Name: "a", IsTimeout: true}
	if f := explain(timeout, Unreachable); f.problem != TimedOut {
		t.Errorf("got %s, want %s", f.problem, TimedOut)
	}
}
