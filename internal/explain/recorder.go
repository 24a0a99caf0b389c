package explain

import (
	"sync"

	"plimsoll.dev/scheduler/pkg/verdict"
)

// Recorder hears what plugins say of a placement that is only tried, and passes on
// what they say otherwise. It is given to the plugins' registry. The zero value
// works, and is safe for concurrent use.
type Recorder struct {
	// Next is told of real placements; nil if nobody is.
	Next verdict.Recorder

	mu     sync.Mutex
	trying bool
	heard  []verdict.Reason
}

// Placed implements verdict.Recorder.
func (r *Recorder) Placed(namespace, name, uid, node string, reason verdict.Reason) {
	r.mu.Lock()
	trying := r.trying
	if trying {
		r.heard = append(r.heard, reason)
	}
	r.mu.Unlock()
	if !trying && r.Next != nil {
		r.Next.Placed(namespace, name, uid, node, reason)
	}
}

// hear returns what is said while do runs; nothing if the recorder is nil.
func (r *Recorder) hear(do func() error) ([]verdict.Reason, error) {
	if r == nil {
		return nil, do()
	}
	r.mu.Lock()
	r.trying, r.heard = true, nil
	r.mu.Unlock()
	err := do()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trying = false
	return r.heard, err
}
