// Package journal keeps what a scheduler said of each pod last: why it was placed
// where it is, or why it waits, counted over the nodes.
package journal

import (
	"errors"
	"iter"
	"sync"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"plimsoll.dev/scheduler/pkg/verdict"
)

// Journal remembers, per pod, what the scheduler said last: why an attempt failed,
// or what each plugin gave as its reason for the placement. It is safe for
// concurrent use.
type Journal struct {
	mu     sync.Mutex
	byUID  map[string]entry
	change chan struct{}
}

type entry struct {
	placed  bool
	reasons []verdict.Reason
}

// New returns an empty journal.
func New() *Journal {
	return &Journal{byUID: map[string]entry{}, change: make(chan struct{}, 1)}
}

// Change gets a value, at most one at a time, when something new was noted.
func (j *Journal) Change() <-chan struct{} { return j.change }

// Placed implements verdict.Recorder. Each plugin calls it, in the order of the
// profile.
func (j *Journal) Placed(_, _, uid, _ string, reason verdict.Reason) {
	j.note(uid, true, reason)
}

// Note notes why an attempt to schedule a pod came to nothing.
func (j *Journal) Note(uid types.UID, reasons ...verdict.Reason) {
	j.note(string(uid), false, reasons...)
}

// Failed notes why an attempt to schedule a pod came to nothing.
func (j *Journal) Failed(pod *v1.Pod, status *fwk.Status) {
	j.note(string(pod.UID), false, WhyNot(status)...)
}

// Bound notes that a pod has its node: why earlier attempts came to nothing is no
// reason for that.
func (j *Journal) Bound(uid types.UID) {
	j.mu.Lock()
	e, found := j.byUID[string(uid)]
	stale := found && !e.placed
	if stale {
		delete(j.byUID, string(uid))
	}
	j.mu.Unlock()
	if stale {
		j.tell()
	}
}

func (j *Journal) note(uid string, placed bool, reasons ...verdict.Reason) {
	j.mu.Lock()
	if e := j.byUID[uid]; placed && e.placed {
		reasons = append(e.reasons[:len(e.reasons):len(e.reasons)], reasons...)
	}
	j.byUID[uid] = entry{placed, reasons}
	j.mu.Unlock()
	j.tell()
}

func (j *Journal) tell() {
	select {
	case j.change <- struct{}{}:
	default: // somebody will look anyway
	}
}

// Reasons is what was said of a pod last, nil if nothing.
func (j *Journal) Reasons(uid string) []verdict.Reason {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.byUID[uid].reasons
}

// WhyNot counts the reasons of a failed attempt over the nodes. Where no node fits,
// status.AsError() is a *framework.FitError.
func WhyNot(status *fwk.Status) []verdict.Reason {
	var fit *framework.FitError
	if !errors.As(status.AsError(), &fit) {
		return []verdict.Reason{{Plugin: status.Plugin(), Code: CodeOf(status, status.Message()), Message: status.Message()}}
	}
	var out []verdict.Reason
	if absent := fit.Diagnosis.NodeToStatus.AbsentNodesStatus(); absent != nil && absent.Plugin() != "" {
		// A plugin refused the pod before any node was looked at.
		out = append(out, Whole(absent)...)
	}
	return append(out, Count(func(yield func(*fwk.Status) bool) {
		on := true
		fit.Diagnosis.NodeToStatus.ForEachExplicitNode(func(_ string, s *fwk.Status) { on = on && yield(s) })
	})...)
}

// Whole is why a pod was refused before any node was looked at.
func Whole(status *fwk.Status) []verdict.Reason {
	var tally verdict.Tally
	add(&tally, status)
	var out []verdict.Reason
	for _, c := range tally.Counts() {
		out = append(out, c.Reason)
	}
	return out
}

// Count counts the reasons for which nodes were refused, most frequent first;
// nodes that publish no devices at all come last, for they are no news.
func Count(refused iter.Seq[*fwk.Status]) []verdict.Reason {
	var tally verdict.Tally
	for status := range refused {
		add(&tally, status)
	}
	var out, nothing []verdict.Reason
	for _, c := range tally.Counts() {
		r := verdict.Reason{Plugin: c.Plugin, Code: c.Code, Message: c.Sentence()}
		if c.Code == verdict.DevicesMissing {
			nothing = append(nothing, r)
			continue
		}
		out = append(out, r)
	}
	return append(out, nothing...)
}

func add(t *verdict.Tally, s *fwk.Status) {
	for _, message := range s.Reasons() {
		t.Add(verdict.Reason{Plugin: s.Plugin(), Code: CodeOf(s, message), Message: message}, 1)
	}
}

// CodeOf is the code of one of a status' reasons: ours, or for other plugins what
// kind of status it is.
func CodeOf(s *fwk.Status, message string) verdict.Code {
	if code, ours := verdict.CodeOf(s.Plugin(), message); ours {
		return code
	}
	return verdict.Code(s.Code().String())
}
