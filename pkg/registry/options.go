package registry

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/utils/clock"
)

// Options say whom to ask, and how much that may take. The zero value asks any
// registry with the defaults.
type Options struct {
	// Timeout of one Resolve, all endpoints together, without the wait for a
	// turn at each. Default 10 s.
	Timeout time.Duration
	// MaxBytes is the most to read of any one answer. Default 4 MiB, which is
	// what registries accept as a manifest.
	MaxBytes int64
	// MaxRedirects is how many redirects one request follows, 1 to 10.
	// Default 5.
	MaxRedirects int
	// Hosts are settings by registry or endpoint. Default none.
	Hosts []Host
	// Allowed are the registries that may be asked, by a reference's registry:
	// host[:port], or *.example.com for everything below that. Default all.
	// Mirrors, token servers and redirects need not be listed.
	Allowed []string
	// AllowedNetworks are exceptions to the addresses that are never dialled.
	// Default none.
	AllowedNetworks []netip.Prefix
	// InspectionsPerSecond is how many Resolves, on average, begin to ask one
	// endpoint; each sends 1 to 5 requests. Those over it wait for their turn,
	// in the order they came. Default 20.
	InspectionsPerSecond float64
	// Burst is how many may begin at once after a quiet time. Default 100.
	Burst int
	// UserAgent is what requests call themselves. Default "plimsoll".
	UserAgent string
	// Clock tells the time for turns, pauses and what is remembered; Timeout is
	// by the real one. Default the real one.
	Clock clock.Clock
}

// Host has settings for a registry or a mirror.
type Host struct {
	// Name is host[:port], or * for every host without an entry of its own.
	Name string
	// Mirrors are endpoints, host[:port], that are asked first, in this order,
	// for images of the registry Name.
	Mirrors []string
	// MirrorsOnly says that the registry itself is not asked.
	MirrorsOnly bool
	// PlainHTTP allows for http, credentials included, if https does not
	// answer. Not for *.
	PlainHTTP bool
	// CA has certificates in PEM to trust in addition to the system's, for the
	// endpoint Name and what it redirects to.
	CA []byte
	// Sparse says that the endpoint Name may lack some manifests of an index;
	// platforms whose manifest it lacks do not count.
	Sparse bool
}

// everyHost is the name of the entry for hosts without their own.
const everyHost = "*"

func (o Options) withDefaults() Options {
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	o.MaxBytes = cmp.Or(o.MaxBytes, 4<<20)
	o.MaxRedirects = cmp.Or(o.MaxRedirects, 5)
	o.InspectionsPerSecond = cmp.Or(o.InspectionsPerSecond, 20)
	o.Burst = cmp.Or(o.Burst, 100)
	o.UserAgent = cmp.Or(o.UserAgent, "plimsoll")
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return o
}

// validate returns all that is wrong with the options, defaults applied.
func (o Options) validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.Timeout < 0 {
		wrong("timeout: %v: want more than 0", o.Timeout)
	}
	if o.MaxBytes < 0 {
		wrong("maxBytes: %d: want more than 0", o.MaxBytes)
	}
	if o.MaxRedirects < 0 || o.MaxRedirects > 10 { // net/http follows no more
		wrong("maxRedirects: %d: want 1 to 10", o.MaxRedirects)
	}
	if !(o.InspectionsPerSecond > 0) || math.IsInf(o.InspectionsPerSecond, 0) { // or not a number
		wrong("inspectionsPerSecond: %v: want more than 0", o.InspectionsPerSecond)
	}
	if o.Burst < 0 {
		wrong("burst: %d: want more than 0", o.Burst)
	}
	if clean(o.UserAgent, len(o.UserAgent)) != o.UserAgent {
		wrong("userAgent: %q: want one line of printable text", o.UserAgent)
	}
	for i, pattern := range o.Allowed {
		if err := checkHost(strings.TrimPrefix(pattern, "*.")); err != nil {
			wrong("allowed[%d]: %w, or *.example.com", i, err)
		}
	}
	for i, network := range o.AllowedNetworks {
		if !network.IsValid() {
			wrong("allowedNetworks[%d]: %v: want a network such as 10.0.0.0/8", i, network)
		}
	}
	seen := map[string]bool{}
	for i := range o.Hosts {
		h := &o.Hosts[i]
		field := fmt.Sprintf("hosts[%d]", i)
		if seen[canonical(h.Name)] {
			wrong("%s.name: %q: has an entry already", field, h.Name)
		}
		seen[canonical(h.Name)] = true
		errs = append(errs, h.validate(field))
	}
	return errors.Join(errs...)
}

func (h *Host) validate(field string) error {
	var errs []error
	if h.Name != everyHost {
		if err := checkHost(h.Name); err != nil {
			errs = append(errs, fmt.Errorf("%s.name: %w, or *", field, err))
		}
	} else if h.PlainHTTP {
		errs = append(errs, fmt.Errorf("%s.plainHTTP: true: want an entry for each host that may be asked by http", field))
	}
	for i, mirror := range h.Mirrors {
		if err := checkHost(mirror); err != nil {
			errs = append(errs, fmt.Errorf("%s.mirrors[%d]: %w", field, i, err))
		}
		if canonical(mirror) == canonical(h.Name) || slices.Contains(h.Mirrors[:i], mirror) {
			errs = append(errs, fmt.Errorf("%s.mirrors[%d]: %q: want each mirror once, without the registry itself", field, i, mirror))
		}
	}
	if h.MirrorsOnly && len(h.Mirrors) == 0 {
		errs = append(errs, fmt.Errorf("%s.mirrorsOnly: true: want at least one mirror with it", field))
	}
	if len(h.CA) > 0 && !x509.NewCertPool().AppendCertsFromPEM(h.CA) {
		errs = append(errs, fmt.Errorf("%s.ca: %d bytes: want certificates in PEM", field, len(h.CA)))
	}
	return errors.Join(errs...)
}

// checkHost accepts host[:port], with an IPv6 address in brackets.
func checkHost(name string) error {
	bad := fmt.Errorf("%q: want host[:port]", name)
	u, err := url.Parse("//" + name)
	if err != nil || u.Host != name || u.Hostname() == "" || strings.ContainsAny(name, "*%\\ ") {
		return bad
	}
	if strings.HasSuffix(name, ":") {
		return bad
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return fmt.Errorf("%q: want a port from 1 to 65535", name)
		}
	}
	return nil
}

// canonical is the form by which hosts are compared.
func canonical(host string) string {
	host = strings.ToLower(host)
	if host == "index.docker.io" || host == "registry-1.docker.io" {
		return dockerHub
	}
	return host
}

// allows reports whether references to the registry may be asked for.
func (o *Options) allows(registry string) bool {
	if len(o.Allowed) == 0 {
		return true
	}
	host := canonical(registry)
	return slices.ContainsFunc(o.Allowed, func(pattern string) bool {
		if suffix, found := strings.CutPrefix(strings.ToLower(pattern), "*"); found {
			return strings.HasSuffix(host, suffix)
		}
		return canonical(pattern) == host
	})
}

// host returns the entry that applies to the host; an empty one if none does.
func (o *Options) host(name string) *Host {
	var every *Host
	for i := range o.Hosts {
		switch h := &o.Hosts[i]; {
		case h.Name == everyHost:
			every = h
		case canonical(h.Name) == canonical(name):
			return h
		}
	}
	if every == nil {
		every = &Host{}
	}
	return every
}
