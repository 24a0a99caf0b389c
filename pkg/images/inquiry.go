package images

import (
	"context"
	"errors"
	"strings"
	"time"

	"plimsoll.dev/scheduler/pkg/registry"
)

// The times nobody needs to configure.
const (
	// grace is how long after its end an answer still counts while it is being
	// renewed, so that it does not change between two looks at the same pod.
	grace = 30 * time.Second
	// forever is for what never changes: the manifest of a digest.
	forever = 100 * 365 * 24 * time.Hour
	// wantedFor is how long retries go on after the last Want.
	wantedFor = 10 * time.Minute
	// flightLimit is a guard: registry.Client gives up much earlier by itself.
	flightLimit = time.Minute

	firstRetry, lastRetry     = time.Second, 5 * time.Minute
	firstRecheck, lastRecheck = time.Minute, 30 * time.Minute
	// longestRetryAfter bounds what a registry may ask for.
	longestRetryAfter = 24 * time.Hour
)

// lease says how long something is believed.
type lease struct {
	until time.Time
	// asked is when a renewal was asked for first; zero if it was not.
	asked time.Time
}

func (l *lease) expired(now time.Time) bool { return !now.Before(l.until) }

// current reports whether it still counts: until its end, in the grace after
// it, and, if a renewal was asked for by then, for as long as that takes.
func (l *lease) current(now time.Time) bool {
	end := l.until.Add(grace)
	return now.Before(end) || !l.asked.IsZero() && l.asked.Before(end)
}

// renewalAsked notes the first demand after the end.
func (l *lease) renewalAsked(now time.Time) {
	if l.expired(now) && l.asked.IsZero() {
		l.asked = now
	}
}

// inquiry is one question to a registry, what is a reference for whom holds
// this credential, with all that is known of the answer.
//
// There are two kinds of answers: decisions (a manifest, or a problem that
// somebody has to correct), and trouble, which passes. A decision stands until
// the next one; trouble only says that the next one is overdue.
type inquiry struct {
	image *image
	slot  *slot // the image's if public, its own otherwise
	// credential is empty for the public inquiry.
	credential sealed[*registry.Credential]

	// manifest is the last decision if it has a digest; lease says until when.
	manifest registry.Manifest
	lease    lease
	// problem is the last decision if it is not empty.
	problem registry.Problem
	message string
	// trouble is why the last attempt decided nothing; empty if it did.
	trouble        registry.Problem
	troubleMessage string
	// failures counts attempts that ended in the same way, trouble or problem.
	failures int
	// next is the earliest time for the next attempt.
	next time.Time
	// retry rings at next after trouble. Problems wait to be wanted.
	retry alarm
	// bytes is how much of the slot's is for what was learnt.
	bytes int64
	// busy: queued or being answered.
	busy bool
	// gaveUp: somebody waited too long, or was told of a problem. Nobody waits
	// again before it is known.
	gaveUp bool
	// gone: forgotten by the lru.
	gone bool
}

// reading is what an inquiry says at a time.
type reading struct {
	state   State
	stale   bool // Known only
	problem registry.Problem
	message string
}

func (q *inquiry) read(now time.Time) reading {
	switch {
	case q.manifest.Digest != "" && q.lease.current(now):
		return reading{state: Known, stale: q.trouble != ""}
	case q.manifest.Digest != "" && (q.trouble != "" || q.gaveUp):
		return reading{state: Known, stale: true}
	case q.manifest.Digest != "":
		return reading{state: Waiting}
	case q.problem != "":
		return reading{state: Unknown, problem: q.problem, message: q.message}
	case q.gaveUp && q.trouble == "":
		return reading{state: Unknown, problem: registry.TimedOut, message: q.image.store.overdueMessage}
	case q.gaveUp:
		return reading{state: Unknown, problem: q.trouble, message: q.troubleMessage}
	}
	return reading{state: Waiting, problem: q.trouble, message: q.troubleMessage}
}

// face is the part of a reading whose change listeners are told of. Trouble
// that follows other trouble is none, nor is a digest that was confirmed.
type face struct {
	state   State
	digest  string
	problem registry.Problem
}

func (q *inquiry) face(now time.Time) face {
	switch r := q.read(now); r.state {
	case Known:
		return face{state: Known, digest: q.manifest.Digest}
	case Unknown:
		return face{state: Unknown, problem: q.problem}
	default:
		return face{state: Waiting}
	}
}

// differs reports whether somebody who is not waiting would want to know.
func (before face) differs(after face) bool {
	return before != after && (before.state != Waiting || after.state == Known)
}

// poke queues the inquiry if it is due. If it is not needed for somebody who
// waits already, it may find no room.
func (s *Store) poke(q *inquiry, now time.Time, needed bool) bool {
	q.lease.renewalAsked(now)
	if q.busy || now.Before(q.next) {
		return true
	}
	if !needed && !s.lru.room() {
		return false
	}
	q.busy = true
	s.stopAlarm(&q.retry)
	s.lru.pin(q.slot)
	s.lru.pin(&q.image.slot)
	s.queue.push(q)
	s.work.Signal()
	return true
}

// retryRings asks again after trouble, if anybody still wants to know.
func (s *Store) retryRings(q *inquiry, now time.Time) {
	if now.Sub(q.image.wanted) <= wantedFor && !s.poke(q, now, false) {
		s.setAlarm(&q.retry, now.Add(firstRetry))
	}
}

func (q *inquiry) host() string { return q.image.ref.Registry }

// run asks the registry. It implements task.
func (q *inquiry) run(ctx context.Context, s *Store) {
	known := func(digest string) (registry.Manifest, bool) { return s.manifestOf(q, digest) }
	began := s.clock.Now()
	flight, cancel := context.WithTimeout(ctx, flightLimit)
	manifest, err := s.resolver.Resolve(flight, q.image.ref, q.credential.open(), known)
	cancel()
	if ctx.Err() != nil {
		return // the store is closing; this says nothing of the registry
	}
	if err == nil {
		err = s.implausible(q.image.ref, manifest)
	}
	failure := q.failureOf(err)
	if s.onInspect != nil {
		result := "ok"
		if failure != nil {
			result = string(failure.Problem)
		}
		s.onInspect(q.image.ref.Registry, result, s.clock.Since(began))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.decide(q, manifest, failure, s.clock.Now())
}

// decide takes the result in and tells whom it concerns. The lock is held.
func (s *Store) decide(q *inquiry, manifest registry.Manifest, failure *registry.Error, now time.Time) {
	before := q.face(now)
	switch {
	case failure == nil:
		s.succeed(q, manifest, now)
	case failure.Temporary():
		s.struggle(q, failure, now)
	default:
		s.fail(q, failure, now)
	}
	size := q.size()
	s.lru.resize(q.slot, q.slot.bytes-q.bytes+size)
	q.bytes = size
	q.busy = false
	told := s.settle(q.image, now)
	if before.differs(q.face(now)) || told {
		s.tell(q.image)
	}
	s.lru.unpin(q.slot)
	s.lru.unpin(&q.image.slot)
	s.shrink()
}

func (s *Store) succeed(q *inquiry, manifest registry.Manifest, now time.Time) {
	ttl := s.tagTTL
	if q.image.ref.Digest != "" && !manifest.Sparse {
		ttl = forever
	}
	q.manifest, q.lease, q.next = manifest, lease{until: now.Add(ttl)}, now.Add(ttl)
	q.problem, q.message, q.trouble, q.troubleMessage = "", "", "", ""
	q.failures, q.gaveUp = 0, false
	s.rememberManifest(manifest)
}

func (s *Store) struggle(q *inquiry, failure *registry.Error, now time.Time) {
	if q.trouble == "" {
		q.failures = 0
	}
	q.trouble, q.troubleMessage = failure.Problem, clip(failure.Err.Error())
	pause := time.Duration(float64(double(firstRetry, lastRetry, q.failures)) * (0.8 + 0.4*s.random()))
	q.failures++
	q.next = now.Add(max(pause, min(failure.RetryAfter, longestRetryAfter)))
	s.setAlarm(&q.retry, q.next)
}

func (s *Store) fail(q *inquiry, failure *registry.Error, now time.Time) {
	if q.problem == "" || q.trouble != "" {
		q.failures = 0
	}
	q.manifest, q.lease = registry.Manifest{}, lease{}
	q.problem, q.message = failure.Problem, clip(failure.Err.Error())
	q.trouble, q.troubleMessage, q.gaveUp = "", "", true
	pause := double(firstRecheck, lastRecheck, q.failures)
	q.failures++
	q.next = now.Add(max(pause, min(failure.RetryAfter, longestRetryAfter)))
}

// double is first·2ⁿ, but not more than last.
func double(first, last time.Duration, n int) time.Duration {
	for ; n > 0 && first < last; n-- {
		first *= 2
	}
	return min(first, last)
}

// failureOf makes sure that every error has a problem, and that none carries
// the credential into a message.
func (q *inquiry) failureOf(err error) *registry.Error {
	if err == nil {
		return nil
	}
	failure := &registry.Error{Image: q.image.ref.String(), Problem: registry.Unreachable}
	var known *registry.Error
	switch {
	case errors.As(err, &known):
		failure.Problem, failure.RetryAfter = known.Problem, known.RetryAfter
		if known.Image != "" {
			failure.Image = known.Image
		}
		if known.Err != nil {
			err = known.Err
		}
	case errors.Is(err, context.DeadlineExceeded):
		failure.Problem = registry.TimedOut
	}
	failure.Err = errors.New(redact(err.Error(), q.credential.open()))
	return failure
}

// redact takes what is secret of the credential out of the text. Registries
// echo the strangest things.
func redact(text string, c *registry.Credential) string {
	if c == nil {
		return text
	}
	for _, secret := range []string{basicAuth(c), c.Password, c.IdentityToken, c.RegistryToken} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "<credential>")
		}
	}
	return text
}
