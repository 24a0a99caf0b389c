package images

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"plimsoll.dev/scheduler/pkg/registry"
)

// privateKey names an inquiry with a credential, without holding it.
type privateKey struct {
	image       uint64
	fingerprint [sha256.Size]byte
}

// privateInquiry is one that is remembered for itself.
type privateInquiry struct {
	slot
	inquiry
	key privateKey
}

// forget implements forgetter. Who was promised a late success has to ask again.
func (p *privateInquiry) forget(s *Store) {
	delete(s.privates, p.key)
	p.gone = true
	if p.retry.isSet() && p.trouble != "" {
		s.tell(p.image)
	}
	s.stopAlarm(&p.retry)
}

// privateInquiry returns the image's inquiry with the credential. Whoever holds
// an equal one shares it, in whichever namespace.
func (s *Store) privateInquiry(img *image, c *registry.Credential) *inquiry {
	key := privateKey{img.id, s.fingerprint(c)}
	if p := s.privates[key]; p != nil {
		return &p.inquiry
	}
	p := &privateInquiry{key: key, inquiry: inquiry{image: img, credential: seal(c)}}
	q := &p.inquiry
	q.slot = &p.slot
	q.retry.ring = func(now time.Time) { s.retryRings(q, now) }
	s.privates[key] = p
	s.lru.add(&p.slot, p, inquiryBytes+int64(len(c.Username)+len(c.Password)+len(c.IdentityToken)+len(c.RegistryToken)))
	return q
}

// fingerprint tells credentials apart. The key is the process's own, so that a
// fingerprint found in a memory dump cannot be tried against guesses elsewhere.
func (s *Store) fingerprint(c *registry.Credential) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, s.hmacKey.open())
	var length [8]byte
	for _, field := range []string{c.Username, c.Password, c.IdentityToken, c.RegistryToken} {
		binary.LittleEndian.PutUint64(length[:], uint64(len(field)))
		mac.Write(length[:])
		mac.Write([]byte(field))
	}
	mac.Sum(sum[:0])
	return sum
}
