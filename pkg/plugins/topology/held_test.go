package topology

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAGroupThatIsHeldBackForLongSaysSo(t *testing.T) {
	f := build(t, "", threeRacks)
	pods := f.pods("p-[1-3]" + gangOf4)
	for _, pod := range pods {
		f.try(pod)
	}
	f.clock.Step(9 * time.Second)
	f.beat(false)
	if len(f.events.Events) != 0 {
		t.Fatal("told too early")
	}
	f.clock.Step(time.Second)
	f.beat(false)
	if len(f.events.Events) != 0 {
		t.Fatal("told by a replica that only stands by")
	}
	f.shared.leads.Store(true)
	f.beat(false)
	f.beat(false)
	if len(f.events.Events) != 1 {
		t.Fatalf("%d events, want one for the group", len(f.events.Events))
	}
	if got := <-f.events.Events; got != "Warning GroupHeldBack waiting for group train: 3 of its 4 pods exist (annotation plimsoll.dev/group-size)" {
		t.Errorf("said %q", got)
	}
}

// TestAProcessThatHasOnlyGroupsThatAreHeldBackFindsOutThatItSchedules: nothing else
// would ever be tried, and nobody told.
func TestAProcessThatHasOnlyGroupsThatAreHeldBackFindsOutThatItSchedules(t *testing.T) {
	f := build(t, "", threeRacks)
	pods := f.pods("p-[1-3]" + gangOf4)
	for _, pod := range pods {
		f.try(pod)
	}
	f.clock.Step(quiet)
	f.beat(false)
	f.beat(false)
	if got := f.awake(); !slices.Equal(got, []string{"p-3"}) {
		t.Fatalf("woke %v, want one of the group, once", got)
	}
	if status := f.PreEnqueue(t.Context(), pods[0]); status.IsSuccess() {
		t.Error("let two of the group into the queue")
	}
	if status := f.PreEnqueue(t.Context(), pods[2]); !status.IsSuccess() {
		t.Fatalf("kept the scout out of the queue: %v", status)
	}
	if a := f.try(pods[2]); !strings.Contains(a.said, "3 of its 4 pods exist") {
		t.Errorf("got %+v, want it refused", a)
	}
	f.beat(false)
	if len(f.events.Events) != 1 {
		t.Errorf("%d events, want one for the group", len(f.events.Events))
	}
	if status := f.PreEnqueue(t.Context(), pods[2]); status.IsSuccess() {
		t.Error("lets it into the queue again, although it is known who schedules")
	}
}

func TestAProcessThatStandsByForgetsGroupsThatAreGone(t *testing.T) {
	f := build(t, "", threeRacks)
	for _, pod := range f.pods("p-[1-3]" + gangOf4) {
		f.try(pod)
		f.forget(pod, "")
	}
	f.beat(false)
	if len(f.wakes.holds) != 0 {
		t.Errorf("remembers %d groups", len(f.wakes.holds))
	}
}
