package images

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"plimsoll.dev/scheduler/pkg/arch"
	"plimsoll.dev/scheduler/pkg/registry"
)

// State is how much is known of an image's platforms.
type State int

// The states; doc.go draws how one becomes another.
const (
	// Unknown: there is no answer, and waiting for one is not worth while.
	Unknown State = iota
	// Waiting: an answer can be expected by the deadline.
	Waiting
	// Known: the registry has said it.
	Known
)

// String implements fmt.Stringer.
func (s State) String() string {
	switch s {
	case Unknown:
		return "unknown"
	case Waiting:
		return "waiting"
	case Known:
		return "known"
	}
	return fmt.Sprintf("State(%d)", int(s))
}

// Asker is who wants to run an image. It decides which credentials are shown
// to the registry, and whose observations count.
type Asker struct {
	Namespace string
	// PullSecrets are the names of the pod's imagePullSecrets, in order.
	PullSecrets []string
}

func (a Asker) clone() Asker {
	names := make([]string, len(a.PullSecrets))
	for i, n := range a.PullSecrets {
		names[i] = strings.Clone(n)
	}
	return Asker{Namespace: strings.Clone(a.Namespace), PullSecrets: names}
}

// Answer is what is known of an image.
type Answer struct {
	State State
	// Platforms are the image's, from the registry: Known, or Waiting for news of
	// what was known before.
	Platforms arch.Set
	// Anywhere: an artifact, which constrains nothing; when as for Platforms.
	Anywhere bool
	// Mountable: as an image volume, it constrains nothing; when as for Platforms,
	// and if the registry does not say any.
	Mountable bool
	// Digest is that of the index or manifest the reference names now. Empty if
	// the registry has not said it.
	Digest string
	// Stale: Known, but it should have been renewed, and there was trouble.
	Stale bool
	// Problem and Message say why an image is Unknown. If it is Waiting, they
	// say what went wrong so far.
	Problem registry.Problem
	Message string
	// Proven are platforms of nodes on which the image became ready, Disproved
	// those where it failed for its architecture, both as seen in the asker's
	// namespace. If that leaves no node, the fault is another: arch.Pod's Doubt.
	Proven, Disproved arch.Set
}

// outcome is a reading for an asker.
type outcome struct {
	reading
	// from is whose reading it is; nil if the pull secrets have to be read, or
	// have nothing that matches.
	from *inquiry
}

// Lookup says what is known of an image, from memory and without any
// consequence. What nobody has wanted yet reads Waiting.
func (s *Store) Lookup(who Asker, image string) Answer {
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, refused := s.refuse(who, image, now); refused {
		return a
	}
	n := s.names[image]
	if n == nil { // a spelling that nobody used so far is not remembered
		ref, err := s.parse(image)
		if err != nil {
			return Answer{Problem: registry.Malformed, Message: malformed(err)}
		}
		img := s.images[ref]
		if img == nil {
			return s.observed(Answer{State: Waiting}, who, image, now)
		}
		return s.answer(s.judge(img, s.viewOf(img, who, false), now), who, image, now)
	}
	if n.image == nil {
		s.lru.touch(&n.slot)
		return Answer{Problem: registry.Malformed, Message: n.message}
	}
	v := s.viewOf(n.image, who, false)
	s.touch(n, v)
	return s.answer(s.judge(n.image, v, now), who, image, now)
}

// Want is Lookup, and has the image inspected if that is due. If it answers
// Waiting, listeners are told of the image by the deadline, whatever comes of it.
// It does no I/O itself.
func (s *Store) Want(who Asker, image string) Answer {
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, refused := s.refuse(who, image, now); refused {
		return a
	}
	n := s.nameOf(image)
	defer s.shrink() // not before the answer is complete
	if n.image == nil {
		s.lru.touch(&n.slot)
		return Answer{Problem: registry.Malformed, Message: n.message}
	}
	v := s.viewOf(n.image, who, false)
	o := s.judge(n.image, v, now)
	if o.state == Known {
		s.renew(v, o, now)
	} else {
		v = s.viewOf(n.image, who, true)
		o = s.pursue(v, o, now)
	}
	s.touch(n, v)
	return s.answer(o, who, image, now)
}

// refuse answers what no registry is asked about.
func (s *Store) refuse(who Asker, image string, now time.Time) (Answer, bool) {
	if len(image) > longestName {
		return Answer{Problem: registry.Malformed, Message: tooLong(image)}, true
	}
	if s.resolver == nil {
		return s.observed(Answer{Message: "registries are not asked"}, who, image, now), true
	}
	return Answer{}, false
}

// judge reads what an asker may know. v is nil for one who shows credentials
// and has no view yet.
func (s *Store) judge(img *image, v *view, now time.Time) outcome {
	public := outcome{img.public.read(now), &img.public}
	if v == &img.open || public.state == Known || !img.public.failed() {
		return public
	}
	if v == nil || !v.usable(now) {
		return public.pending(v)
	}
	o := v.judgeChain(now)
	if o.from == nil || o.state == Unknown && o.from.failed() {
		public.remark(o.message)
		public.remark(v.message)
		o = public
	}
	if o.state == Waiting && v.gaveUp {
		o.giveUp()
	}
	return o
}

// pending is what a failed public inquiry means while the pull secrets of the
// asker have to be read.
func (o outcome) pending(v *view) outcome {
	o.from = nil
	if v != nil && v.gaveUp {
		o.state = Unknown
		o.remark(cmp.Or(v.message, "the pull secrets have to be read (again)"))
		return o
	}
	if o.state == Unknown { // decided, but not for this asker
		o.reading = reading{}
	}
	o.state = Waiting
	return o
}

// judgeChain reads the inquiries with the asker's own credentials: any that
// succeeded will do, or else the first that is not decided yet counts, or else
// the first that says something other than that the credential is not enough.
func (v *view) judgeChain(now time.Time) (o outcome) {
	for _, q := range v.chain {
		switch r := q.read(now); {
		case r.state == Known:
			return outcome{r, q}
		case r.state == Waiting && o.state != Waiting:
			o = outcome{r, q}
		case r.state == Unknown && o.state == Unknown && (o.from == nil || o.problem == registry.Unauthorized):
			o = outcome{r, q}
		}
	}
	return o
}

// remark adds to the message what else is known of the matter.
func (o *outcome) remark(text string) {
	if text != "" && text != o.message {
		o.message += "; " + text
	}
}

// giveUp is what becomes of Waiting for somebody who does not wait any more.
func (o *outcome) giveUp() {
	switch {
	case o.from.manifest.Digest != "":
		o.reading = reading{state: Known, stale: true}
	case o.problem == "":
		o.reading = reading{problem: registry.TimedOut, message: o.from.image.store.overdueMessage}
	default:
		o.state = Unknown
	}
}

// renew keeps fresh what an answer was taken from.
func (s *Store) renew(v *view, o outcome, now time.Time) {
	o.from.wanted = now
	s.poke(o.from, now, false)
	if v == nil {
		return
	}
	v.gaveUp, v.rereads, v.wanted = false, 0, now
	if o.from != &v.image.public {
		s.reload(v, now, false)
	}
}

// pursue sets in motion what can make a view Known, and begins the wait for it.
func (s *Store) pursue(v *view, o outcome, now time.Time) outcome {
	waits := o.state == Waiting
	if waits && !s.wait(v, now) {
		return outcome{reading: reading{problem: registry.RateLimited, message: "too many images wait to be inspected"}}
	}
	img := v.image
	img.public.wanted, v.wanted = now, now
	s.poke(&img.public, now, waits)
	if v != &img.open && img.public.failed() {
		if o.state == Unknown && !now.Before(v.next) {
			v.expire(now) // the secrets did not help, and may have been mended
		}
		s.reload(v, now, waits)
		for _, q := range v.chain {
			q.wanted = now
		}
		for _, q := range v.chain {
			if q.gone {
				break
			}
			if s.poke(q, now, waits); q.read(now).state == Waiting {
				break // the next credential is only tried if this one fails
			}
		}
	}
	return o
}

// advance queues what a waiting view needs next.
func (s *Store) advance(v *view, o outcome, now time.Time) {
	if o.from != nil {
		s.poke(o.from, now, true)
	} else {
		s.reload(v, now, true)
	}
}

// answer says it in the caller's terms.
func (s *Store) answer(o outcome, who Asker, image string, now time.Time) Answer {
	a := Answer{State: o.state, Stale: o.stale, Problem: o.problem, Message: o.message}
	if o.state == Known || o.state == Waiting && o.from != nil && o.from.manifest.Digest != "" {
		m := &o.from.manifest
		a.Platforms, a.Digest, a.Anywhere, a.Mountable = m.Platforms, m.Digest, m.Kind == registry.Artifact, m.Mountable
		if o.state == Known && !a.Anywhere && m.Platforms.Len() == 0 {
			a = Answer{Digest: m.Digest, Mountable: m.Mountable, Message: "the registry does not say for which platforms the image is built"}
		}
	}
	return s.observed(a, who, image, now)
}

// observed adds what was seen on nodes.
func (s *Store) observed(a Answer, who Asker, image string, now time.Time) Answer {
	a.Proven, a.Disproved = s.seen(who.Namespace, image, a.Digest, now)
	return a
}
