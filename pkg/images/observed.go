package images

import (
	"slices"
	"strings"
	"time"

	"plimsoll.dev/scheduler/pkg/arch"
)

const (
	// disprovedFor is how long a disproof is believed: a crash may have had
	// another cause after all.
	disprovedFor = time.Hour
	// mostClaims bounds the distinct platforms per observation.
	mostClaims = 32
)

// place is where something was observed. What runs in one namespace says
// nothing to another one: it may be private.
type place struct {
	namespace string
	// Either image or digest is set. An image string stands for what was never
	// pulled, and so has no digest yet.
	image, digest string
}

// claim is that an image runs, or does not run, on a platform.
type claim struct {
	on    arch.Platform
	until time.Time
}

// observation is what was seen of one digest, or of one image string that has
// none, in one namespace.
type observation struct {
	slot
	place
	// spelling is the image string that is told of when a claim expires.
	spelling          string
	proven, disproved []claim
	// expiry rings at the earliest until.
	expiry alarm
	// The claims as sets, made once for many readers.
	provenOn, disprovedOn arch.Set
}

// sighting is the digest that was observed last under an image string.
type sighting struct {
	slot
	place
	digest string
}

// forget implements forgetter.
func (o *observation) forget(s *Store) {
	s.stopAlarm(&o.expiry)
	delete(s.observations, o.place)
}

// forget implements forgetter.
func (g *sighting) forget(s *Store) { delete(s.sightings, g.place) }

// Prove notes that a container of the image became ready on a node of the
// platform. digest is what the container's status has as its imageID.
func (s *Store) Prove(namespace, image, digest string, on arch.Platform) {
	s.observe(namespace, image, digest, func(o *observation, now time.Time) bool { return o.prove(on, s.provenUntil(o, now)) })
}

// Disprove notes that the image cannot run on nodes of the platform: it was
// executed in vain, or not even pulled, in which case the digest is empty: then
// this counts for the digest that the registry says the image has, if it is known.
func (s *Store) Disprove(namespace, image, digest string, on arch.Platform) {
	if digestOf(digest) == "" {
		digest = s.digestFor(namespace, image)
	}
	s.observe(namespace, image, digest, func(o *observation, now time.Time) bool { return o.disprove(on, s.disprovedUntil(o, now)) })
}

// digestFor is what the registry says the image is now, to somebody in the
// namespace; empty if it says nothing.
func (s *Store) digestFor(namespace, image string) string {
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(image) > longestName {
		return ""
	}
	ref, err := s.parse(image)
	if err != nil || s.images[ref] == nil {
		return ""
	}
	img := s.images[ref]
	if o := s.judge(img, &img.open, now); o.state == Known {
		return o.from.manifest.Digest
	}
	for _, v := range img.views {
		if v.asker.Namespace != namespace {
			continue
		}
		if o := s.judge(img, v, now); o.state == Known {
			return o.from.manifest.Digest
		}
	}
	return ""
}

// What is known by an image string only is as short-lived as its digest.
func (s *Store) provenUntil(o *observation, now time.Time) time.Time {
	if o.digest == "" {
		return now.Add(s.tagTTL)
	}
	return now.Add(forever)
}

func (s *Store) disprovedUntil(o *observation, now time.Time) time.Time {
	if o.digest == "" {
		return now.Add(min(s.tagTTL, disprovedFor))
	}
	return now.Add(disprovedFor)
}

// observe notes a claim and tells of the image if that was news.
func (s *Store) observe(namespace, image, imageID string, note func(*observation, time.Time) bool) {
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(image) > longestName || !s.lru.room() {
		return // the pod's next status says it again
	}
	defer s.shrink()
	where := place{namespace: namespace, digest: digestOf(imageID)}
	if where.digest == "" {
		where.image = image
	}
	news := where.digest != "" && s.sight(namespace, image, where.digest)
	o := s.observations[where]
	if o == nil {
		o = &observation{place: place{strings.Clone(namespace), strings.Clone(where.image), strings.Clone(where.digest)}}
		o.spelling = strings.Clone(image)
		o.expiry.ring = func(now time.Time) { s.expire(o, now) }
		s.observations[o.place] = o
		s.lru.add(&o.slot, o, 0)
	}
	news = o.drop(now) || news
	if note(o, now) {
		news = true
		o.provenOn, o.disprovedOn = setOf(o.proven), setOf(o.disproved)
	}
	s.schedule(o)
	s.lru.touch(&o.slot)
	if news {
		s.tellSpellings(image)
	}
}

// sight notes the digest under the image string. It reports whether this was
// the first: pods of two versions side by side take turns, which is no news.
func (s *Store) sight(namespace, image, digest string) bool {
	g := s.sightings[place{namespace: namespace, image: image}]
	if g != nil {
		if g.digest != digest {
			g.digest = strings.Clone(digest)
		}
		s.lru.touch(&g.slot)
		return false
	}
	g = &sighting{place: place{namespace: strings.Clone(namespace), image: strings.Clone(image)}, digest: strings.Clone(digest)}
	s.sightings[g.place] = g
	s.lru.add(&g.slot, g, sightingBytes+int64(len(namespace)+len(image)+len(digest)))
	return true
}

// tellSpellings tells of the image string, and of others for the same reference.
func (s *Store) tellSpellings(image string) {
	s.tellName(image)
	if n := s.names[image]; n != nil && n.image != nil {
		s.tell(n.image)
	}
}

// prove outranks all disproofs of what it implies, before and after it. It
// reports whether it says something new.
func (o *observation) prove(on arch.Platform, until time.Time) bool {
	if i := slices.IndexFunc(o.proven, func(c claim) bool { return c.on == on }); i >= 0 {
		o.proven[i].until = until
		return false
	}
	disproofs := len(o.disproved)
	o.disproved = slices.DeleteFunc(o.disproved, func(c claim) bool { return on.Implies(c.on) })
	return add(&o.proven, on, until) || len(o.disproved) < disproofs
}

// disprove counts for less than any proof that implies the contrary: a script without
// an interpreter fails with the same words.
func (o *observation) disprove(on arch.Platform, until time.Time) bool {
	if slices.ContainsFunc(o.proven, func(c claim) bool { return c.on.Implies(on) }) {
		return false
	}
	if i := slices.IndexFunc(o.disproved, func(c claim) bool { return c.on == on }); i >= 0 {
		o.disproved[i].until = until
		return false
	}
	return add(&o.disproved, on, until)
}

func add(claims *[]claim, on arch.Platform, until time.Time) bool {
	if len(*claims) >= mostClaims {
		return false
	}
	on = arch.Platform{
		OS: strings.Clone(on.OS), Architecture: strings.Clone(on.Architecture),
		Variant: strings.Clone(on.Variant), OSVersion: strings.Clone(on.OSVersion),
	}
	*claims = append(*claims, claim{on, until})
	return true
}

// expire drops what is too old and tells of it: a platform may be tried again.
func (s *Store) expire(o *observation, now time.Time) {
	if o.drop(now) {
		s.tellSpellings(o.spelling)
	}
	s.schedule(o)
}

// drop forgets claims whose time is over.
func (o *observation) drop(now time.Time) bool {
	count := len(o.proven) + len(o.disproved)
	over := func(c claim) bool { return !now.Before(c.until) }
	o.proven, o.disproved = slices.DeleteFunc(o.proven, over), slices.DeleteFunc(o.disproved, over)
	if len(o.proven)+len(o.disproved) == count {
		return false
	}
	o.provenOn, o.disprovedOn = setOf(o.proven), setOf(o.disproved)
	return true
}

// schedule sets the alarm for the next claim to expire, and weighs the rest.
func (s *Store) schedule(o *observation) {
	var next time.Time
	bytes := observationBytes + len(o.namespace) + len(o.image) + len(o.spelling) + len(o.digest)
	for _, claims := range [][]claim{o.proven, o.disproved} {
		for _, c := range claims {
			bytes += claimBytes + len(c.on.OS) + len(c.on.Architecture) + len(c.on.Variant) + len(c.on.OSVersion)
			if next.IsZero() || c.until.Before(next) {
				next = c.until
			}
		}
	}
	s.lru.resize(&o.slot, int64(bytes))
	if next.IsZero() {
		s.stopAlarm(&o.expiry)
	} else {
		s.setAlarm(&o.expiry, next)
	}
}

// seen are the platforms on which an image was proven and disproved in the
// namespace. If the registry has said the digest, little else counts: what ran
// under the image string may have been an older one. But what failed under it a
// short while ago is likely to be what is there now.
func (s *Store) seen(namespace, image, digest string, now time.Time) (proven, disproved arch.Set) {
	if digest != "" {
		_, unpulled := s.seenAt(place{namespace: namespace, image: image}, now)
		proven, disproved = s.seenAt(place{namespace: namespace, digest: digest}, now)
		return merge(arch.Set{}, unpulled, proven, disproved)
	}
	proven, disproved = s.seenAt(place{namespace: namespace, image: image}, now)
	g := s.sightings[place{namespace: namespace, image: image}]
	if g == nil {
		return proven, disproved
	}
	s.lru.touch(&g.slot)
	provenThere, disprovedThere := s.seenAt(place{namespace: namespace, digest: g.digest}, now)
	return merge(proven, disproved, provenThere, disprovedThere)
}

func (s *Store) seenAt(where place, now time.Time) (proven, disproved arch.Set) {
	o := s.observations[where]
	if o == nil {
		return arch.Set{}, arch.Set{}
	}
	if o.expiry.isSet() && !now.Before(o.expiry.at) {
		s.expire(o, now) // the alarm is about to ring
	}
	s.lru.touch(&o.slot)
	return o.provenOn, o.disprovedOn
}

// merge unites what is known by the image string with what is known by the
// digest. A proof outranks a disproof here too.
func merge(proven, disproved, provenThere, disprovedThere arch.Set) (bothProven, bothDisproved arch.Set) {
	if proven.Len()+disproved.Len() == 0 {
		return provenThere, disprovedThere
	}
	if provenThere.Len()+disprovedThere.Len() == 0 {
		return proven, disproved
	}
	bothProven = arch.NewSet(slices.Concat(proven.Platforms(), provenThere.Platforms())...)
	var rest []arch.Platform
	for _, p := range slices.Concat(disproved.Platforms(), disprovedThere.Platforms()) {
		if !slices.ContainsFunc(bothProven.Platforms(), func(q arch.Platform) bool { return q.Implies(p) }) {
			rest = append(rest, p)
		}
	}
	return bothProven, arch.NewSet(rest...)
}

func setOf(claims []claim) arch.Set {
	all := make([]arch.Platform, len(claims))
	for i, c := range claims {
		all[i] = c.on
	}
	return arch.NewSet(all...)
}
