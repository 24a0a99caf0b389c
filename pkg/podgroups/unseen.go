package podgroups

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

const (
	// lookEvery is how often it is looked whose patience is at an end.
	lookEvery = 5 * time.Second
	// forgetAfter is when an owner that nobody asks for any more is forgotten:
	// later than the scheduler's own retry of every pod, after 5 min.
	forgetAfter = 10 * time.Minute
)

// unseen are the owners that pods name but no watch has told of: watches are not in
// step, and a pod may be seen before its owner. Some never come: an owner may be
// deleted and leave its pods.
type unseen struct {
	clock    clock.Clock
	onChange func(namespace, id string)

	mu     sync.Mutex
	owners map[types.UID]*stranger
}

// stranger is an owner that is unseen.
type stranger struct {
	namespace   string
	first, last time.Time // when it was asked for
	told        bool      // those who waited were told that it is too late
}

func newUnseen(c clock.Clock, onChange func(namespace, id string)) *unseen {
	return &unseen{clock: c, onChange: onChange, owners: map[types.UID]*stranger{}}
}

// waits notes that an owner is asked for, and tells whether to wait for it.
func (u *unseen) waits(namespace string, owner types.UID) bool {
	now := u.clock.Now()
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.owners[owner]
	if s == nil {
		s = &stranger{namespace: namespace, first: now}
		u.owners[owner] = s
	}
	s.last = now
	return now.Sub(s.first) < patience
}

// came forgets an owner before everybody is told of it.
func (u *unseen) came(namespace, id string) {
	u.mu.Lock()
	delete(u.owners, types.UID(id))
	u.mu.Unlock()
	u.onChange(namespace, id)
}

// run looks at intervals until the context ends.
func (u *unseen) run(ctx context.Context) {
	next := u.clock.NewTimer(lookEvery)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C():
			u.look()
			next.Reset(lookEvery)
		}
	}
}

// look tells, once for each owner, that nobody waits for it any longer, and forgets
// those that nobody asks for. An owner that came while it was asked for may still be
// among them: being told once more does no harm.
func (u *unseen) look() {
	for _, late := range u.late() {
		u.onChange(late.Namespace, late.Name)
	}
}

// late returns the owners to tell of by namespace and UID, in that order.
func (u *unseen) late() []types.NamespacedName {
	now := u.clock.Now()
	var out []types.NamespacedName
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, s := range u.owners {
		if !s.told && now.Sub(s.first) >= patience {
			s.told = true
			out = append(out, types.NamespacedName{Namespace: s.namespace, Name: string(id)})
		}
		if now.Sub(s.last) >= forgetAfter {
			delete(u.owners, id)
		}
	}
	slices.SortFunc(out, func(a, b types.NamespacedName) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return out
}
