package registry

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// failure is what went wrong with one endpoint.
type failure struct {
	problem Problem
	// text is for logs: no secret, no query, no control characters.
	text string
	// told is for users; empty if the problem says it all.
	told string
	// status of the answer; 0 if that is not what failed.
	status int
	// anonymous says that there was no credential to show.
	anonymous bool
	// retryAfter is how long the endpoint asked to be left alone.
	retryAfter time.Duration
	// cause is an error that others look for, as of the context.
	cause error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.cause }

func fail(p Problem, format string, args ...any) *failure {
	return &failure{problem: p, text: fmt.Sprintf(format, args...)}
}

// maxMessage bounds a failure's text, in characters.
const maxMessage = 300

// errorOf is what callers see of a failure.
func errorOf(ref Reference, f *failure) *Error {
	f.text = clean(f.text, maxMessage)
	return &Error{Image: ref.String(), Problem: f.problem, RetryAfter: f.retryAfter, Err: f.message(), Cause: f}
}

// What is told of a problem ends in events, which whoever names an image can
// read: anything that told a closed port from a missing name would have us scan
// the network for them. It is also the same each time, so that events merge.
const (
	toldNotAllowed = "the registry is not among those allowed"
	toldAddress    = "the registry is at an address that is never asked"
	toldPlainHTTP  = "the registry wants plain http"
)

var toldOf = map[Problem]string{
	NotFound:    "the registry has no such image",
	RateLimited: "the registry asks for fewer requests",
	TimedOut:    "the registry does not answer in time",
	Unreachable: "the registry cannot be reached",
	Forbidden:   toldAddress,
	TooLarge:    "the registry's answer is too large",
	Malformed:   "the registry's answer is no manifest",
}

// message is what a user may know of a failure.
type message struct {
	text string
	// cause is nil or an error of the context.
	cause error
}

func (m *message) Error() string { return m.text }
func (m *message) Unwrap() error { return m.cause }

func (f *failure) message() *message {
	m := &message{text: cmp.Or(f.told, toldOf[f.problem])}
	switch f.problem {
	case ServerError:
		m.text = fmt.Sprintf("the registry fails (%d)", f.status)
	case Unauthorized:
		m.text = fmt.Sprintf("the registry refuses access (%d)", f.status)
		if f.anonymous && f.status == http.StatusUnauthorized {
			m.text += ": no such repository, or a private one"
		}
	case TimedOut:
		m.cause = f.cause
	}
	return m
}

// explain turns any error of a request into a failure. Errors of libraries are
// not repeated as they are: they name URLs, and quote answers.
func explain(err error, otherwise Problem) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if e, ok := errors.AsType[*transport.Error](err); ok {
		return fromStatus(e.StatusCode, codesOf(e), e.Request)
	}
	if f := explainContext(err); f != nil {
		return f
	}
	if f := explainNetwork(err); f != nil {
		return f
	}
	switch {
	case errors.Is(err, http.ErrSchemeMismatch):
		return fail(Unreachable, "it speaks plain http: plainHTTP of this host would allow for that")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fail(otherwise, "the connection ended within the answer")
	case otherwise == Malformed:
		return fail(Malformed, "its answer cannot be understood")
	}
	return fail(otherwise, "no answer in HTTP")
}

func explainContext(err error) *failure {
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, context.Canceled):
		return &failure{problem: TimedOut, text: "given up by who asked", cause: context.Canceled}
	case errors.Is(err, context.DeadlineExceeded), isNet && timeout.Timeout():
		return &failure{problem: TimedOut, text: "no answer in time", cause: context.DeadlineExceeded}
	}
	return nil
}

func explainNetwork(err error) *failure {
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return fail(Unreachable, "host %q: %s", e.Name, e.Err)
	}
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fail(Unreachable, "its certificate is not trusted: %v", e)
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return fail(Unreachable, "its certificate is for another host, not %q", e.Host)
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fail(Unreachable, "its certificate is not trusted: %v", e.Err)
	}
	if e, ok := errors.AsType[tls.AlertError](err); ok {
		return fail(Unreachable, "TLS: %v", e)
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return fail(Unreachable, "%v", e)
	}
	return nil
}

// diagnosis is one error in a registry's answer.
type diagnosis struct{ Code, Message string }

// knownCode keeps free text out of where a code belongs.
var knownCode = regexp.MustCompile(`^[A-Z_]{1,40}$`)

func codesOf(e *transport.Error) (all []diagnosis) {
	for _, d := range e.Errors {
		all = append(all, diagnosis{string(d.Code), d.Message})
	}
	return all
}

// maxErrorBody is the most to read, in bytes, of an answer that is an error.
const maxErrorBody = 32 << 10

// fromResponse reads an answer that is not the one hoped for.
func fromResponse(resp *http.Response) *failure {
	var body struct {
		Errors []diagnosis `json:"errors"`
	}
	if text, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)); err == nil {
		_ = json.Unmarshal(text, &body) // the status says enough
	}
	return fromStatus(resp.StatusCode, body.Errors, resp.Request)
}

// fromStatus explains a status and, where they say more, the registry's codes.
func fromStatus(status int, errs []diagnosis, req *http.Request) *failure {
	f := &failure{status: status, text: fmt.Sprintf("%d %s", status, http.StatusText(status))}
	code := ""
	if len(errs) > 0 && knownCode.MatchString(errs[0].Code) {
		code = errs[0].Code
		f.text += " " + code
	}
	withSecret := req == nil || req.Header.Get("Authorization") != "" || req.Method == http.MethodPost
	if len(errs) > 0 && !withSecret && errs[0].Message != "" {
		// Who was shown a secret might repeat it.
		f.text += ": " + clean(errs[0].Message, 120)
	}
	f.problem = problemOf(status, code)
	switch {
	case f.problem == Unauthorized && status == http.StatusUnauthorized:
		f.text += " (no such repository, or one that other credentials may read)"
	case f.problem == NotFound:
		f.text += " (no such image)"
	}
	return f
}

// notOfTheImage is for answers to something else: a 404 where registries and
// token servers have an answer is from neither, and says nothing of the image.
func (f *failure) notOfTheImage() *failure {
	if f.problem == NotFound {
		return fail(Malformed, "%d %s (no registry)", f.status, http.StatusText(f.status))
	}
	return f
}

func problemOf(status int, code string) Problem {
	switch {
	case status == http.StatusTooManyRequests || code == "TOOMANYREQUESTS":
		return RateLimited
	case status >= 500:
		return ServerError
	case status == http.StatusNotFound || code == "MANIFEST_UNKNOWN" || code == "NAME_UNKNOWN":
		return NotFound
	case status == http.StatusUnauthorized || status == http.StatusForbidden || code == "DENIED" || code == "UNAUTHORIZED":
		return Unauthorized
	case status == http.StatusRequestTimeout:
		return TimedOut
	}
	return Malformed
}

// temporary reports whether asking again later could help.
func (f *failure) temporary() bool { return (&Error{Problem: f.problem}).Temporary() }

// at prefixes the failure with who it happened at.
func (f *failure) at(e endpoint, credential bool) *failure {
	who := e.name
	if !e.own {
		who = "mirror " + who
	}
	how := ""
	if f.problem == Unauthorized && !credential {
		how = ", asked without credentials"
	}
	out := *f
	out.anonymous = !credential
	out.text = strings.Join([]string{who, how, ": ", f.text}, "")
	return &out
}
