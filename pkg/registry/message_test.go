package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"
)

func TestWhatIsToldOfAnAnswer(t *testing.T) {
	f := newFake(t)
	h := newHarness(t, nil, f)
	for name, tc := range map[string]struct {
		answer     http.HandlerFunc
		credential *Credential
		problem    Problem
		want       string
	}{
		"404":            {status(404), nil, NotFound, "the registry has no such image"},
		"401":            {status(401), nil, Unauthorized, "the registry refuses access (401): no such repository, or a private one"},
		"401 with login": {status(401), ann, Unauthorized, "the registry refuses access (401)"},
		"403":            {status(403), nil, Unauthorized, "the registry refuses access (403)"},
		"500":            {status(500), nil, ServerError, "the registry fails (500)"},
		"503":            {status(503), nil, ServerError, "the registry fails (503)"},
		"418":            {status(418), nil, Malformed, "the registry's answer is no manifest"},
		"garbage":        {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, nil, Malformed, "the registry's answer is no manifest"},
		"large":          {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 5<<20)) }, nil, TooLarge, "the registry's answer is too large"},
		"away":           {redirect("https://169.254.169.254/"), nil, Forbidden, "the registry is at an address that is never asked"},
		"to a scheme":    {redirect("gopher://quay.io/"), nil, Forbidden, "the registry is at an address that is never asked"},
		"to plain http":  {redirect("http://quay.io/"), nil, Forbidden, "the registry wants plain http"},
		"429":            {status(429), nil, RateLimited, "the registry asks for fewer requests"}, // and once more, in its pause
	} {
		t.Run(name, func(t *testing.T) {
			f.on("/manifests/"+tag(name), tc.answer)
			for range 2 {
				e := h.problem(t, f.host()+"/app:"+tag(name), tc.credential, tc.problem)
				if got := e.Err.Error(); got != tc.want {
					t.Errorf("told %q, want %q", got, tc.want)
				}
			}
			h.clock.Step(maxPause)
		})
	}
}

// tag is a tag for a test's name.
func tag(name string) string { return fmt.Sprintf("%x", name) }

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
}

func TestARegistryThatIsNotAllowedIsToldFromOneAtARefusedAddress(t *testing.T) {
	h := newHarness(t, func(o *Options) { o.Allowed = []string{"127.0.0.1", "169.254.169.254"} })
	for image, want := range map[string]string{
		"quay.io/app":         "the registry is not among those allowed",
		"169.254.169.254/app": "the registry is at an address that is never asked",
	} {
		if e := h.problem(t, image, nil, Forbidden); e.Err.Error() != want {
			t.Errorf("%s: told %q, want %q", image, e.Err, want)
		}
	}
}

func TestUsersAreNotToldWhyARegistryCannotBeReached(t *testing.T) {
	h := newHarness(t, nil)
	logged := map[string]string{}
	for name, err := range map[string]error{
		"closed port":       &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED},
		"no route":          &net.OpError{Op: "dial", Net: "tcp", Err: syscall.EHOSTUNREACH},
		"no name":           &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "internal.example", IsNotFound: true}},
		"plain http":        http.ErrSchemeMismatch,
		"no TLS at all":     tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"},
		"a TLS alert":       tls.AlertError(40),
		"an own authority":  x509.UnknownAuthorityError{},
		"a certificate":     x509.HostnameError{Certificate: &x509.Certificate{}, Host: "quay.io"},
		"closed at once":    io.EOF,
		"certificate times": &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired, Cert: &x509.Certificate{}, Detail: "current time 2026-01-02"}},
	} {
		h.instead(func(*http.Request) (*http.Response, error) { return nil, err })
		e := h.problem(t, "quay.io/app", nil, Unreachable)
		if got, want := e.Error(), "inspecting quay.io/app:latest: the registry cannot be reached"; got != want {
			t.Errorf("%s: told %q, want %q", name, got, want)
		}
		if errors.Is(e, err) {
			t.Errorf("%s: the cause can be unwrapped", name)
		}
		logged[e.Cause.Error()] = name
	}
	if len(logged) < 8 {
		t.Errorf("logged %v, want causes that help", logged)
	}
}

func TestATimeoutIsToldTheSameWhereverItIs(t *testing.T) {
	h := newHarness(t, nil)
	for _, err := range []error{
		context.DeadlineExceeded,
		&net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{Port: 5000}, Err: context.DeadlineExceeded},
		&net.DNSError{Err: "i/o timeout", Name: "quay.io", Server: "10.0.0.10:53", IsTimeout: true},
	} {
		h.instead(func(*http.Request) (*http.Response, error) { return nil, err })
		e := h.problem(t, "quay.io/app", nil, TimedOut)
		if got, want := e.Err.Error(), "the registry does not answer in time"; got != want || !errors.Is(e, context.DeadlineExceeded) {
			t.Errorf("%v: told %q, want %q and %v in it", err, got, want, context.DeadlineExceeded)
		}
	}
}

func TestALimitIsToldWithoutItsTime(t *testing.T) {
	f := newFake(t)
	wait := "60"
	f.on("/manifests/v1", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", wait)
		w.WriteHeader(http.StatusTooManyRequests)
	})
	h := newHarness(t, nil, f)
	first := h.problem(t, f.host()+"/app:v1", nil, RateLimited)
	h.clock.Step(30 * time.Second)
	second := h.problem(t, f.host()+"/app:v1", nil, RateLimited)
	wait = "90"
	h.clock.Step(time.Minute)
	third := h.problem(t, f.host()+"/app:v1", nil, RateLimited)
	if first.Error() != second.Error() || second.Error() != third.Error() {
		t.Errorf("told %q, %q and %q, want the same of the same problem", first, second, third)
	}
	if first.RetryAfter != time.Minute || second.RetryAfter != 30*time.Second || third.RetryAfter != 90*time.Second {
		t.Errorf("retry after %v, %v, %v, want 1m, 30s, 1m30s", first.RetryAfter, second.RetryAfter, third.RetryAfter)
	}
}
