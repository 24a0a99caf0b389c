// Package registry asks container registries for which platforms an image is
// built: once, bounded in time and size, and never an address that no registry
// has business at. It remembers no image; pkg/images does.
//
// # One Resolve
//
//	nginx:1.27 ── Parse ──▶ docker.io/library/nginx:1.27
//
//	for each endpoint: mirrors in order, then docker.io; when its turn has come
//	  GET  /v2/                    how to log in, unless remembered
//	  GET  <token server>          if a token is what it takes
//	  HEAD manifests/1.27          ──▶ sha256:ab..., nothing more if the caller knows it
//	  GET  manifests/sha256:ab...  ──▶ index: its platforms
//	                                   image: GET blobs/<config>, its platform
//	  HEAD manifests/<child> ...       only where mirrors hold a part of an index
//
// What a mirror does not answer, for whatever reason, the next endpoint is
// asked. A mirror has an equal share of the time that is left, so that one which
// hangs leaves some to the others, and is passed over for a minute once it has let
// that pass, unless it is the last. Nothing is tried twice: the caller has the
// back-off. Whatever has a digest is compared with it, so that an answer for a
// digest is as good from one registry as from another, except from a sparse one.
//
// How to log in is remembered for ten minutes, tokens are not. A lasting failure
// on a remembered way is believed only once GET /v2/ has told the same way
// again; if it tells another, the endpoint is asked on that.
//
// # How much is asked
//
//	Resolves ──▶ first come, first served ──▶ endpoint: 100 at once, then 20/s
//	                                                       │
//	RateLimited ◀── pause of endpoint and account ◀── 429, RateLimit-Remaining: 0
//
// Our own rate only makes a Resolve wait, for as long as its context allows;
// Timeout begins after that. Those who give up waiting leave no debt to others.
// Only the registry's own words refuse a Resolve, until the time that they say
// and for the account that they were said to: an anonymous limit stops no login.
//
// # What is not trusted
//
// Users choose registries by naming images, and registries choose redirects and
// token servers. Every address is therefore checked when it is dialled, after
// name resolution, on every hop: loopback, link-local, multicast and the
// metadata services of clouds are refused unless AllowedNetworks lists them.
// Other private networks are not: registries live there. A proxy from the
// environment (HTTPS_PROXY, NO_PROXY) is used and then dials in our place, so
// that only addresses that are written out are refused before it; the address of
// the proxy itself must be an allowed one. Bodies, redirects, headers, JSON and
// time are bounded; plain http needs consent by host.
//
// A credential goes to the reference's own registry and the token server which
// that names: never to a mirror, and not along with a redirect. What a mirror
// answers is what anybody may read who can reach it, as nodes do.
//
// An error has two texts. Err is for users: one short sentence for a problem, the
// same each time, which does not tell a closed port from a missing name, so that
// naming images does not scan the network. Cause is for logs and names addresses.
// Neither repeats secrets, paths and queries of redirects (signed URLs), or what
// a registry wrote after it was shown a secret.
//
// What answers in a registry's place, as an ingress without a backend does, is
// Malformed. NotFound takes a registry's word: a 404 is Malformed where /v2/ is
// no registry's at that time, or when it is a token server's.
//
// # Known limits
//
// An index within an index is not followed and counts for nothing. A token
// server named by a private IP address, other than the registry's own, is
// refused by go-containerregistry. Mirrors have no path prefix.
package registry
