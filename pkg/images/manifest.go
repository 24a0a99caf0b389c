package images

import (
	"errors"
	"fmt"
	"strings"

	"plimsoll.dev/scheduler/pkg/registry"
)

// manifestKey names a manifest for good. A registry answers for itself only: one
// that claims to have a digest does not get to say what another one holds.
type manifestKey struct{ registry, digest string }

// manifest is remembered by its digest. Nobody gets to see it for knowing that:
// an inquiry has to return it first.
type manifest struct {
	slot
	key manifestKey
	registry.Manifest
}

// forget implements forgetter.
func (m *manifest) forget(s *Store) { delete(s.manifests, m.key) }

// rememberManifest keeps all but what a sparse mirror says: that is only what it
// has now.
func (s *Store) rememberManifest(host string, m registry.Manifest) {
	if m.Sparse {
		return
	}
	key := manifestKey{host, m.Digest}
	if found := s.manifests[key]; found != nil {
		s.lru.touch(&found.slot)
		return
	}
	fresh := &manifest{key: key, Manifest: m}
	s.manifests[key] = fresh
	s.lru.add(&fresh.slot, fresh, manifestBytes+int64(len(host))+sizeOf(m))
}

// manifestOf spares a resolver the download of what is known.
func (s *Store) manifestOf(q *inquiry, digest string) (registry.Manifest, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.manifest.Digest == digest && digest != "" && !q.manifest.Sparse {
		return q.manifest, true
	}
	if m := s.manifests[manifestKey{q.image.ref.Registry, digest}]; m != nil {
		s.lru.touch(&m.slot)
		return m.Manifest, true
	}
	return registry.Manifest{}, false
}

// implausible says what is wrong with a manifest that was not asked for, or is
// too much to remember.
func (s *Store) implausible(ref registry.Reference, m registry.Manifest) error {
	refuse := func(p registry.Problem, err error) error {
		return &registry.Error{Image: ref.String(), Problem: p, Err: err}
	}
	switch most := s.lru.max / 16; {
	case !isDigest(m.Digest):
		return refuse(registry.Malformed, fmt.Errorf("digest %.80q: want sha256:<64 hex digits>", m.Digest))
	case ref.Digest != "" && m.Digest != ref.Digest:
		return refuse(registry.Malformed, errors.New("the registry answers with another digest: "+m.Digest))
	case sizeOf(m) > most:
		return refuse(registry.TooLarge, fmt.Errorf("%d platforms take %d bytes; want at most %d", m.Platforms.Len(), sizeOf(m), most))
	}
	return nil
}

func sizeOf(m registry.Manifest) int64 {
	bytes := len(m.Digest)
	for _, p := range m.Platforms.Platforms() {
		bytes += platformBytes + len(p.OS) + len(p.Architecture) + len(p.Variant) + len(p.OSVersion)
	}
	return int64(bytes)
}

// size is that of what the inquiry has learnt.
func (q *inquiry) size() int64 {
	return sizeOf(q.manifest) + int64(len(q.message)+len(q.troubleMessage))
}

const algorithm = "sha256:"

// isDigest reports whether the text is a digest in canonical form.
func isDigest(text string) bool {
	digits, found := strings.CutPrefix(text, algorithm)
	if !found || len(digits) != 64 {
		return false
	}
	for _, d := range []byte(digits) {
		if (d < '0' || d > '9') && (d < 'a' || d > 'f') {
			return false
		}
	}
	return true
}

// digestOf finds the digest in the imageID of a container's status: a digest
// reference, or the bare digest of an image that has no name. It is empty if
// there is none.
func digestOf(imageID string) string {
	digest := imageID[strings.LastIndexByte(imageID, '@')+1:]
	if !isDigest(digest) {
		return ""
	}
	return digest
}
