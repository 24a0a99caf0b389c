package images

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"k8s.io/klog/v2"

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
	// flightLimit is a guard: a resolver gives up much earlier by itself, except
	// while it waits for its turn at a registry with a low rate.
	flightLimit = 5 * time.Minute

	firstRetry, lastRetry     = time.Second, 5 * time.Minute
	firstRecheck, lastRecheck = time.Minute, 5 * time.Minute
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

// overdue reports whether the renewal takes longer than anybody would wait.
func (l *lease) overdue(now time.Time, deadline time.Duration) bool {
	return !l.asked.IsZero() && !now.Before(l.asked.Add(deadline))
}

// inquiry is one question to a registry, what is a reference for whom holds
// this credential, with all that is known of the answer.
//
// There are two kinds of answers: decisions (a manifest, or a problem that
// somebody has to correct), and trouble, which passes. A decision stands until
// the next one; trouble only says that the next one is overdue. To have been in
// line is neither.
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
	// retry rings at next, unless the image is known without trouble.
	retry alarm
	// wanted is when somebody who needs this answer wanted the image last.
	wanted time.Time
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
		return reading{state: Known, stale: q.trouble != "" || q.lease.overdue(now, q.image.store.deadline)}
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

// failed reports whether the last attempts brought no manifest.
func (q *inquiry) failed() bool { return q.problem != "" || q.trouble != "" }

// face is the part of a reading whose change listeners are told of. Trouble
// that follows other trouble is none, nor is a digest that was confirmed.
type face struct {
	state   State
	digest  string
	problem registry.Problem
	// failed: from then on, pull secrets are of use.
	failed bool
}

func (q *inquiry) face(now time.Time) face {
	switch r := q.read(now); r.state {
	case Known:
		f := face{state: Known, digest: q.manifest.Digest}
		if q.manifest.Sparse { // more of the same index
			f.digest += " " + q.manifest.Platforms.String()
		}
		return f
	case Unknown:
		return face{state: Unknown, problem: q.problem, failed: q.failed()}
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

// retryRings asks again what is not known, if anybody still wants to know and
// no answer that serves everybody was found in the meantime.
func (s *Store) retryRings(q *inquiry, now time.Time) {
	public := &q.image.public
	if now.Sub(q.wanted) > wantedFor || q != public && public.read(now).state == Known {
		return
	}
	if !s.poke(q, now, false) {
		s.setAlarm(&q.retry, now.Add(firstRetry))
	}
}

// host implements task.
func (q *inquiry) host() string { return q.image.ref.Registry }

// abandon implements task.
func (q *inquiry) abandon(s *Store, now time.Time) bool {
	if now.Sub(q.wanted) <= wantedFor || len(q.image.waiting) > 0 {
		return false
	}
	q.busy, q.lease.asked = false, time.Time{}
	s.lru.unpin(q.slot)
	s.lru.unpin(&q.image.slot)
	return true
}

// run asks the registry. It implements task.
func (q *inquiry) run(ctx context.Context, s *Store) (answered bool) {
	known := func(digest string) (registry.Manifest, bool) { return s.manifestOf(q, digest) }
	began := s.clock.Now()
	flight, cancel := context.WithTimeout(ctx, s.flightLimit)
	manifest, err := s.resolver.Resolve(flight, q.image.ref, q.credential.open(), known)
	late := err != nil && flight.Err() != nil
	cancel()
	if ctx.Err() != nil {
		return true // the store is closing; this says nothing of the registry
	}
	if late {
		s.queueAgain(q)
		return true
	}
	if err == nil {
		err = s.implausible(q.image.ref, manifest)
	}
	failure := q.failureOf(err)
	q.log(ctx, manifest, failure)
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
	return failure == nil || failure.Problem != registry.TimedOut && failure.Problem != registry.Unreachable
}

// queueAgain is for an inquiry whose turn at the registry did not come. That is
// no trouble: it goes to the end of the line.
func (s *Store) queueAgain(q *inquiry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !q.abandon(s, s.clock.Now()) {
		s.queue.push(q)
	}
}

func (q *inquiry) log(ctx context.Context, manifest registry.Manifest, failure *registry.Error) {
	logger := klog.FromContext(ctx)
	if failure == nil {
		logger.V(4).Info("Inspected image", "image", q.image.ref, "digest", manifest.Digest, "platforms", manifest.Platforms)
		return
	}
	logger.V(2).Info("Inspecting image failed", "image", q.image.ref, "problem", failure.Problem, "err", cmp.Or(failure.Cause, failure.Err))
}

// decide takes the result in and tells whom it concerns. The lock is held.
func (s *Store) decide(q *inquiry, manifest registry.Manifest, failure *registry.Error, now time.Time) {
	before := q.face(now)
	switch {
	case failure == nil:
		s.succeed(q, manifest, now)
	case failure.Temporary() || q.outlasts(failure.Problem):
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

// outlasts reports whether what was known outlasts a problem: one passing
// answer should not undo what many pods rely on. Only that the image is gone, or
// that the credential is refused now, does.
func (q *inquiry) outlasts(p registry.Problem) bool {
	revoked := p == registry.Unauthorized && q.credential != nil
	return q.manifest.Digest != "" && p != registry.NotFound && !revoked
}

func (s *Store) succeed(q *inquiry, manifest registry.Manifest, now time.Time) {
	ttl := s.tagTTL
	if q.image.ref.Digest != "" && !manifest.Sparse {
		ttl = forever
	}
	q.manifest, q.lease, q.next = manifest, lease{until: now.Add(ttl)}, now.Add(ttl)
	q.problem, q.message, q.trouble, q.troubleMessage = "", "", "", ""
	q.failures, q.gaveUp = 0, false
	s.rememberManifest(q.image.ref.Registry, manifest)
}

func (s *Store) struggle(q *inquiry, failure *registry.Error, now time.Time) {
	if q.trouble == "" {
		q.failures = 0
	}
	q.trouble, q.troubleMessage = failure.Problem, clip(failure.Err.Error())
	pause := s.spread(double(firstRetry, lastRetry, q.failures))
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
	pause := s.spread(double(firstRecheck, lastRecheck, q.failures))
	q.failures++
	q.next = now.Add(max(pause, min(failure.RetryAfter, longestRetryAfter)))
	s.setAlarm(&q.retry, q.next)
}

// spread keeps what failed together from coming back together: ±20 %.
func (s *Store) spread(pause time.Duration) time.Duration {
	return time.Duration(float64(pause) * (0.8 + 0.4*s.random()))
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
	credential := q.credential.open()
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
		if known.Cause != nil {
			failure.Cause = errors.New(clip(redact(known.Cause.Error(), credential)))
		}
	case errors.Is(err, context.DeadlineExceeded):
		failure.Problem = registry.TimedOut
	}
	failure.Err = errors.New(redact(err.Error(), credential))
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
