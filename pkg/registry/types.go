package registry

import (
	"fmt"
	"time"

	"plimsoll.dev/scheduler/pkg/arch"
)

// Reference names an image, normalised as the kubelet does it.
type Reference struct {
	// Registry is a host, with its port if it has one: docker.io, localhost:5000.
	Registry string
	// Repository is the path in the registry: library/nginx.
	Repository string
	// Tag is empty if the reference has a digest only; latest if it has neither.
	Tag string
	// Digest is empty, or sha256:<64 hex digits>.
	Digest string
}

// String is the reference in full: docker.io/library/nginx:1.27@sha256:...
func (r Reference) String() string {
	s := r.Registry + "/" + r.Repository
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest
	}
	return s
}

// Kind is what a manifest turned out to be.
type Kind string

// The kinds of manifests.
const (
	// Index lists manifests by platform.
	Index Kind = "index"
	// Image is one platform's image.
	Image Kind = "image"
	// Schema1 is an image in Docker's first format.
	Schema1 Kind = "schema1"
	// Artifact is no image: it runs nowhere, and can be mounted everywhere.
	Artifact Kind = "artifact"
)

// Manifest is what a registry says of an image.
type Manifest struct {
	// Digest is that of the index or the manifest which the reference names.
	Digest string
	Kind   Kind
	// Platforms are those that the image has. Empty if the registry does not
	// say, as for a config without architecture.
	Platforms arch.Set
	// Mountable says that an image volume takes it on any node, whatever its
	// Platforms: container runtimes look for a platform in indexes only, and take
	// an entry that has none.
	Mountable bool
	// Sparse says that Platforms are only those whose manifests the endpoint
	// has now, so that its digest does not stand for them.
	Sparse bool
}

// Credential is what is shown to a registry. It never prints itself.
type Credential struct {
	Username, Password, IdentityToken, RegistryToken string
}

// Format prints nothing of the secret, whatever the verb.
func (Credential) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("<credential>")) }

// Problem says why an image could not be inspected.
type Problem string

// The problems there are; metrics use them as labels.
const (
	// NotFound: the registry answers that there is no such image.
	NotFound Problem = "not_found"
	// Unauthorized: the registry wants (other) credentials.
	Unauthorized Problem = "unauthorized"
	// RateLimited: the registry asks for fewer requests.
	RateLimited Problem = "rate_limited"
	// TimedOut: no answer in time, or whoever asked gave up before.
	TimedOut Problem = "timeout"
	// Unreachable: no connection: DNS, TCP, TLS.
	Unreachable Problem = "unreachable"
	// ServerError: the registry answers that it failed itself.
	ServerError Problem = "server_error"
	// Forbidden: the address, scheme or registry is one we do not ask.
	Forbidden Problem = "forbidden"
	// TooLarge: the answer is larger than any manifest should be.
	TooLarge Problem = "too_large"
	// Malformed: the answer, or the reference itself, cannot be understood. An
	// answer like that is often an outage: what stands before the registry
	// answers in its place.
	Malformed Problem = "malformed"
)

// Error is why an image could not be inspected.
type Error struct {
	Image   string
	Problem Problem
	// RetryAfter is how long the registry asked to be left alone; 0 if it did
	// not say.
	RetryAfter time.Duration
	// Err is fit for whoever named the image. It tells no more of the network
	// than the problem, and the same each time. It wraps context.Canceled and
	// context.DeadlineExceeded.
	Err error
	// Cause has the particulars: for logs only, may name addresses; never
	// credentials.
	Cause error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("inspecting %s: %v", e.Image, e.Err) }

// Unwrap implements errors.
func (e *Error) Unwrap() error { return e.Err }

// Temporary reports whether asking again later could help without anybody
// correcting something.
func (e *Error) Temporary() bool {
	switch e.Problem {
	case RateLimited, TimedOut, Unreachable, ServerError:
		return true
	}
	return false
}
