package images

import (
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"time"
)

// view is how one kind of asker sees an image: by the namespace and the pull
// secrets. Askers without pull secrets share one, which is part of the image.
type view struct {
	image *image
	slot  *slot
	key   string
	asker Asker

	// chain are the inquiries with the asker's credentials, most specific
	// first. Valid if loaded.
	chain  []*inquiry
	lease  lease
	loaded bool
	// message says what is wrong with the pull secrets, or that they have no
	// credential that matches.
	message string
	// next is when the secrets are read again if they did not help; reread rings
	// then. rereads counts how often they did not.
	next    time.Time
	reread  alarm
	rereads int
	// wanted is when the asker wanted the image last.
	wanted time.Time
	// busy: queued, or the pull secrets are being read.
	busy bool

	// since is when the asker was told to wait first; zero if it does not wait.
	since    time.Time
	deadline alarm
	// gaveUp: the asker waited too long, or was told of a problem, and does not
	// wait for credentials again before the image is known.
	gaveUp bool
}

// viewKey is exact, not a hash: one asker must never be taken for another.
func viewKey(buf []byte, img *image, who Asker) []byte {
	buf = binary.LittleEndian.AppendUint64(buf, img.id)
	buf = append(binary.AppendUvarint(buf, uint64(len(who.Namespace))), who.Namespace...)
	for _, secret := range who.PullSecrets {
		buf = append(binary.AppendUvarint(buf, uint64(len(secret))), secret...)
	}
	return buf
}

// viewOf returns the asker's view; nil if there is none, and create is false.
func (s *Store) viewOf(img *image, who Asker, create bool) *view {
	if !s.showsCredentials(who) {
		return &img.open
	}
	var space [256]byte
	key := viewKey(space[:0], img, who)
	if own := s.views[string(key)]; own != nil {
		return &own.view
	}
	if !create {
		return nil
	}
	own := &ownView{view: view{image: img, key: string(key), asker: who.clone()}}
	v := &own.view
	v.slot = &own.slot
	v.deadline.ring = func(now time.Time) { s.overdue(v, now) }
	v.reread.ring = func(now time.Time) { s.rereadRings(v, now) }
	s.views[v.key] = own
	img.views = append(img.views, v)
	s.lru.add(v.slot, own, viewBytes+2*int64(len(v.key)))
	return v
}

// ownView is a view that is remembered for itself.
type ownView struct {
	slot
	view
}

// forget implements forgetter. It is not waiting: it would be pinned.
func (v *ownView) forget(s *Store) {
	delete(s.views, v.key)
	v.image.views = slices.DeleteFunc(v.image.views, func(other *view) bool { return other == &v.view })
	s.stopAlarm(&v.reread)
}

// usable reports whether the chain says anything at this time.
func (v *view) usable(now time.Time) bool {
	if !v.loaded || !v.lease.current(now) {
		return false
	}
	for _, q := range v.chain {
		if q.gone {
			return false
		}
	}
	return true
}

// wait notes that the view's askers are told to wait, from the first time on.
// It reports false if too many wait already.
func (s *Store) wait(v *view, now time.Time) bool {
	if !v.since.IsZero() {
		return true
	}
	if !s.lru.room() {
		return false
	}
	v.since = now
	v.image.waiting[v] = struct{}{}
	s.setAlarm(&v.deadline, now.Add(s.deadline))
	s.lru.pin(v.slot)
	s.lru.pin(&v.image.slot)
	return true
}

func (s *Store) stopWaiting(v *view) {
	v.since = time.Time{}
	delete(v.image.waiting, v)
	s.stopAlarm(&v.deadline)
	s.lru.unpin(v.slot)
	s.lru.unpin(&v.image.slot)
}

// overdue ends the wait of a view: it is answered with what there is. Later
// askers do not wait for the same thing again.
func (s *Store) overdue(v *view, now time.Time) {
	if o := s.judge(v.image, v, now); o.state == Waiting {
		v.gaveUp = true
		if o.from != nil {
			o.from.gaveUp = true
		}
	}
	s.settle(v.image, now)
	s.tell(v.image)
}

// settle releases all views that are answered and sends the others on to what
// they wait for next. It reports whether any was released.
func (s *Store) settle(img *image, now time.Time) (released bool) {
	for v := range img.waiting {
		o := s.judge(img, v, now)
		if o.state == Waiting {
			s.advance(v, o, now)
			continue
		}
		v.gaveUp = o.state == Unknown
		s.stopWaiting(v)
		released = true
	}
	return released
}

// reload queues the reading of the view's pull secrets if it is due. It reports
// false if there is no room.
func (s *Store) reload(v *view, now time.Time, needed bool) bool {
	if v.loaded {
		v.lease.renewalAsked(now)
	}
	lost := func(q *inquiry) bool { return q.gone }
	due := !v.loaded || v.lease.expired(now) || slices.ContainsFunc(v.chain, lost)
	if v.busy || !due {
		return true
	}
	if !needed && !s.lru.room() {
		return false
	}
	v.busy = true
	s.stopAlarm(&v.reread)
	s.lru.pin(v.slot)
	s.lru.pin(&v.image.slot)
	s.queue.push(v)
	s.work.Signal()
	return true
}

// expire makes the reading of the pull secrets due. The credentials that were
// read before count until it is done.
func (v *view) expire(now time.Time) {
	if v.loaded && !v.lease.expired(now) {
		v.lease.until = now
	}
}

// rereadRings has the pull secrets read again that did not help, if anybody
// still wants to know: they may have been mended.
func (s *Store) rereadRings(v *view, now time.Time) {
	if now.Sub(v.wanted) > wantedFor || s.judge(v.image, v, now).state == Known {
		return
	}
	v.expire(now)
	if !s.reload(v, now, false) {
		s.setAlarm(&v.reread, now.Add(firstRetry))
	}
}

// host implements task: secrets come from the API server.
func (*view) host() string { return apiServer }

// abandon implements task: it is done soon anyway.
func (*view) abandon(*Store, time.Time) bool { return false }

// run reads the pull secrets. It implements task.
func (v *view) run(ctx context.Context, s *Store) (answered bool) {
	s.mu.Lock()
	oldest := s.tagTTL
	if v.rereads > 0 {
		oldest = min(s.tagTTL, missingFor)
	}
	s.mu.Unlock()
	name := v.image.ref.Registry + "/" + v.image.ref.Repository
	creds, problems, until := s.credentials(ctx, v.asker, name, oldest)
	if ctx.Err() != nil {
		return true
	}
	if len(creds) == 0 {
		problems = append([]string{"no pull secret of the pod has credentials for " + name}, problems...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	before := faceOf(s.judge(v.image, v, now))
	v.chain = v.chain[:0]
	for _, c := range creds {
		if q := s.privateInquiry(v.image, c); !slices.Contains(v.chain, q) {
			v.chain = append(v.chain, q)
		}
	}
	v.next = now.Add(s.spread(double(firstRecheck, lastRecheck, v.rereads)))
	v.rereads++
	s.setAlarm(&v.reread, v.next)
	v.message, v.lease, v.loaded, v.busy = clip(strings.Join(problems, "; ")), lease{until: until}, true, false
	s.lru.resize(v.slot, viewBytes+2*int64(len(v.key))+int64(len(v.message)))
	// Who gave up waiting still wants to know.
	for _, q := range v.chain {
		if v.wanted.After(q.wanted) {
			q.wanted = v.wanted
		}
	}
	if o := v.judgeChain(now); o.from != nil {
		s.poke(o.from, now, !v.since.IsZero())
	}
	told := s.settle(v.image, now)
	if before.differs(faceOf(s.judge(v.image, v, now))) || told {
		s.tell(v.image)
	}
	s.lru.unpin(v.slot)
	s.lru.unpin(&v.image.slot)
	s.shrink()
	return true
}

func faceOf(o outcome) face {
	f := face{state: o.state}
	switch o.state {
	case Known:
		f.digest = o.from.manifest.Digest
	case Unknown:
		f.problem = o.problem
	}
	return f
}
