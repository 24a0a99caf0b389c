package adapt

import (
	"time"

	"k8s.io/utils/clock"
	"k8s.io/utils/lru"
)

// silence is how long the same is not said again, and rememberedWords how much
// is remembered.
const (
	silence         = time.Hour
	rememberedWords = 4096
)

// Told remembers what was said lately, so that a thousand pods of one image, or
// of one Service, cause one event. It is safe for concurrent use.
type Told struct {
	clock clock.PassiveClock
	said  *lru.Cache
}

// NewTold returns a memory in which nothing was said yet.
func NewTold(c clock.PassiveClock) *Told { return &Told{c, lru.New(rememberedWords)} }

// First tells whether it was not said within the last hour, and remembers that it
// is now.
func (t *Told) First(words string) bool {
	now := t.clock.Now()
	if at, found := t.said.Get(words); found && now.Sub(at.(time.Time)) < silence {
		return false
	}
	t.said.Add(words, now)
	return true
}
