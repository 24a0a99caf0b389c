package simulate

import (
	"context"
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/internal/journal"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// Settle implements Engine.
func (e *ControlPlane) Settle(ctx context.Context) error {
	calm, seen, moved, began := 0, -1, time.Now(), time.Now()
	err := wait.PollUntilContextCancel(ctx, look, true, func(ctx context.Context) (bool, error) {
		busy, attempts, err := e.state()
		if attempts != seen {
			seen, moved = attempts, time.Now()
		}
		switch {
		case err != nil:
			return false, err
		case time.Since(moved) > patience:
			return false, fmt.Errorf("the scheduler has come neither to an end nor any further for %v", patience)
		case busy || e.lettingGo():
			calm = 0
			return false, nil
		}
		// Events on their way from the API server would be seen by then.
		if calm++; calm < calmLooks {
			return false, nil
		}
		if e.noteHeld(ctx) && time.Since(began) < backOffPatience {
			calm = 0
			return false, nil
		}
		return true, nil
	})
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// state tells whether anything is under way, and how many attempts are through.
func (e *ControlPlane) state() (busy bool, attempts int, err error) {
	queue := e.scheduler.SchedulingQueue
	pods := slices.Concat(queue.PodsInActiveQ(), queue.PodsInBackoffQ(), queue.InFlightPods())
	e.mu.Lock()
	defer e.mu.Unlock()
	for uid, room := range e.making {
		if !room.under() {
			delete(e.making, uid)
		}
	}
	// A pod that Permit holds is in flight until it is let go.
	queued := slices.ContainsFunc(pods, func(p *v1.Pod) bool { return !e.waiting[p.UID] && !e.retries.inVain(p.UID) })
	busy = queued || len(e.busy) > 0 || len(e.making) > 0
	return busy, e.attempts, e.failed
}

// noteHeld notes what holds pods back now, and tells whether some of them are only
// backing off.
func (e *ControlPlane) noteHeld(ctx context.Context) (backOff bool) {
	for _, pod := range e.scheduler.SchedulingQueue.UnschedulablePods() {
		held := e.heldBack(ctx, pod)
		if held == nil {
			continue
		}
		reasons := journal.Whole(held)
		e.journal.Note(pod.UID, reasons...)
		backOff = backOff || backsOff(reasons)
	}
	return backOff
}

// backsOff tells of a pod whose group will be tried again in a while.
func backsOff(reasons []verdict.Reason) bool {
	return slices.ContainsFunc(reasons, func(r verdict.Reason) bool { return r.Code == verdict.GroupBacksOff })
}

// lettingGo tells whether a pod that Permit held was just allowed to go on.
func (e *ControlPlane) lettingGo() bool {
	for _, fw := range e.scheduler.Profiles {
		free := false
		fw.IterateOverWaitingPods(func(w fwk.WaitingPod) { free = free || len(w.GetPendingPlugins()) == 0 })
		if free {
			return true
		}
	}
	return false
}
