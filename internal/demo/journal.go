package demo

import (
	"errors"
	"sync"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"plimsoll.dev/scheduler/pkg/verdict"
)

// journal remembers, per pod, what the scheduler said last: why an attempt failed,
// or what each plugin gave as its reason for the placement.
type journal struct {
	mu     sync.Mutex
	byUID  map[string]entry
	change chan struct{}
}

type entry struct {
	placed  bool
	reasons []verdict.Reason
}

func newJournal() *journal {
	return &journal{byUID: map[string]entry{}, change: make(chan struct{}, 1)}
}

// Placed implements verdict.Recorder. Each plugin calls it, in the order of the
// profile.
func (j *journal) Placed(_, _, uid, _ string, reason verdict.Reason) {
	j.note(uid, true, reason)
}

// failed notes why an attempt to schedule a pod came to nothing.
func (j *journal) failed(pod *v1.Pod, status *fwk.Status) {
	j.note(string(pod.UID), false, whyNot(status)...)
}

func (j *journal) note(uid string, placed bool, reasons ...verdict.Reason) {
	j.mu.Lock()
	if e := j.byUID[uid]; placed && e.placed {
		reasons = append(e.reasons[:len(e.reasons):len(e.reasons)], reasons...)
	}
	j.byUID[uid] = entry{placed, reasons}
	j.mu.Unlock()
	select {
	case j.change <- struct{}{}:
	default: // somebody will look anyway
	}
}

func (j *journal) reasons(uid string) []verdict.Reason {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.byUID[uid].reasons
}

// whyNot counts the reasons of a failed attempt over the nodes.
func whyNot(status *fwk.Status) []verdict.Reason {
	var fit *framework.FitError
	if !errors.As(status.AsError(), &fit) {
		return []verdict.Reason{{Plugin: status.Plugin(), Code: verdict.Code(status.Code().String()), Message: status.Message()}}
	}
	var tally, whole verdict.Tally
	fit.Diagnosis.NodeToStatus.ForEachExplicitNode(func(_ string, s *fwk.Status) { addAll(&tally, s) })
	if absent := fit.Diagnosis.NodeToStatus.AbsentNodesStatus(); absent != nil && absent.Plugin() != "" {
		// A plugin refused the pod before any node was looked at.
		addAll(&whole, absent)
	}
	var out []verdict.Reason
	for _, c := range whole.Counts() {
		out = append(out, c.Reason)
	}
	var nothing []verdict.Reason // nodes without devices are no news
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

func addAll(t *verdict.Tally, s *fwk.Status) {
	for _, message := range s.Reasons() {
		code, ours := verdict.CodeOf(s.Plugin(), message)
		if !ours {
			code = verdict.Code(s.Code().String())
		}
		t.Add(verdict.Reason{Plugin: s.Plugin(), Code: code, Message: message}, 1)
	}
}
