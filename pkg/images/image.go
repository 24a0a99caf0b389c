package images

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"plimsoll.dev/scheduler/pkg/registry"
)

const (
	// longestName is that of an image string; what is longer is refused.
	longestName = 4 << 10
	// longestMessage bounds what is kept of an error's text.
	longestMessage = 512
)

// name is an image string as pods spell it.
type name struct {
	slot
	text  string
	image *image // nil if the string is no reference
	// message says what is wrong with the string.
	message string
}

// image is all that is known of a reference, however it is spelled.
type image struct {
	slot
	store *Store
	ref   registry.Reference
	// id tells apart two images of the same reference, before and after it was
	// forgotten.
	id uint64
	// names are the spellings that are remembered.
	names []*name
	// public is the inquiry without a credential: it serves everybody.
	public inquiry
	// open is the view of all who show no credential.
	open view
	// waiting are the views whose askers were told to wait.
	waiting map[*view]struct{}
	// views are the others that are remembered.
	views []*view
}

// nameOf returns what is remembered of an image string, and remembers it.
func (s *Store) nameOf(text string) *name {
	if n := s.names[text]; n != nil {
		return n
	}
	n := &name{text: strings.Clone(text)} // it may be a part of something larger
	ref, err := s.parse(n.text)
	if err != nil {
		n.message = malformed(err)
	} else {
		n.image = s.imageOf(ref)
		n.image.names = append(n.image.names, n)
	}
	s.names[n.text] = n
	s.lru.add(&n.slot, n, nameBytes+int64(len(n.text)+len(n.message)))
	return n
}

func (s *Store) imageOf(ref registry.Reference) *image {
	if img := s.images[ref]; img != nil {
		return img
	}
	s.lastID++
	img := &image{store: s, ref: ref, id: s.lastID, waiting: map[*view]struct{}{}}
	img.public = inquiry{image: img, slot: &img.slot}
	img.public.retry.ring = func(now time.Time) { s.retryRings(&img.public, now) }
	img.open = view{image: img, slot: &img.slot}
	img.open.deadline.ring = func(now time.Time) { s.overdue(&img.open, now) }
	s.images[ref] = img
	s.lru.add(&img.slot, img, imageBytes+int64(len(ref.Registry)+len(ref.Repository)+len(ref.Tag)+len(ref.Digest)))
	return img
}

// forget implements forgetter. Who waits under this name, or was promised a
// late success, has to ask again.
func (n *name) forget(s *Store) {
	delete(s.names, n.text)
	if n.image == nil {
		return
	}
	for i, other := range n.image.names {
		if other == n {
			n.image.names = append(n.image.names[:i], n.image.names[i+1:]...)
			break
		}
	}
	if len(n.image.waiting) > 0 || n.image.public.retry.isSet() && n.image.public.failed() {
		s.tellName(n.text)
	}
}

// forget implements forgetter. Names, views and inquiries are touched before
// their image, and so forgotten before it.
func (img *image) forget(s *Store) {
	delete(s.images, img.ref)
	s.stopAlarm(&img.public.retry)
	img.public.gone = true
}

// touch marks what an answer was taken from as used: children first.
func (s *Store) touch(n *name, v *view) {
	s.lru.touch(&n.slot)
	if v != nil && v.slot != &n.image.slot {
		for _, q := range v.chain {
			if !q.gone {
				s.lru.touch(q.slot)
			}
		}
		s.lru.touch(v.slot)
	}
	s.lru.touch(&n.image.slot)
}

// malformed is the message for a string that is no reference.
func malformed(err error) string { return clip(err.Error()) }

func tooLong(text string) string {
	return fmt.Sprintf("image %.40q...: %d bytes; want at most %d", text, len(text), longestName)
}

// clip bounds a text that comes from outside.
func clip(text string) string {
	text = strings.ToValidUTF8(text, "�")
	if len(text) <= longestMessage {
		return text
	}
	end := longestMessage
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "..."
}
