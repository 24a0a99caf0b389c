// Package registry asks container registries for which platforms an image is
// built: once, bounded in time and size, and never an address that no registry
// has business at. It remembers no image; pkg/images does.
//
// # One Resolve
//
//	nginx:1.27 ── Parse ──▶ docker.io/library/nginx:1.27
//
//	for each endpoint: mirrors in order, then docker.io
//	  GET  /v2/                    how to log in; a token, if that is what it takes
//	  HEAD manifests/1.27          ──▶ sha256:ab..., nothing more if the caller knows it
//	  GET  manifests/sha256:ab...  ──▶ index: its platforms
//	                                   image: GET blobs/<config>, its platform
//	  HEAD manifests/<child> ...       only where mirrors hold a part of an index
//
// What a mirror does not answer, for whatever reason, the next endpoint is
// asked. A mirror has an equal share of the time that is left, so that one which
// hangs leaves some to the others. Nothing is tried twice: the caller has the
// back-off. Whatever has a digest is compared with it, so that an answer for a
// digest is as good from one registry as from another, except from a sparse one.
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
// answers is what anybody may read who can reach it, as nodes do. Errors repeat
// neither secrets nor paths and queries of redirects (signed URLs), nor what a
// registry wrote after it was shown a secret.
//
// # Known limits
//
// An index within an index is not followed and counts for nothing. A token
// server named by a private IP address, other than the registry's own, is
// refused by go-containerregistry. Mirrors have no path prefix.
package registry
