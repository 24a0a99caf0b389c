package topology

import (
	"testing"
	"time"

	"k8s.io/kubernetes/pkg/scheduler/framework"

	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/pkg/gang"
)

// TestProfilesAreToldAndAskedWithoutTheirCommonLock: an informer that tells them holds
// the lock of one profile's members, a scheduling cycle that asks them wants it. With
// a lock of all profiles between, the two would wait for each other; so would this test.
func TestProfilesAreToldAndAskedWithoutTheirCommonLock(t *testing.T) {
	f := build(t, "", threeRacks)
	holder := f.pods("h-[1-4] priority=5" + gangOf4)
	f.try(holder[0])
	other, state := f.pods("other cpu=1")[0], framework.NewCycleState()
	if _, status := f.PreFilter(t.Context(), state, other, f.nodes()); !status.IsSuccess() {
		t.Fatal(status)
	}
	short := f.pods("short cpu=1 annotation:plimsoll.dev/{topology-preferred=rack,group=short}")[0]
	f.groups.Hold(attempt{pod: short}.key(f), &gang.Hold{Slots: map[string]int64{"a1-1": 1}, Need: &gang.Need{}}, f.clock.Now(), time.Minute)
	freed := f.wakes.frees()

	f.shared.mu.Lock() // another profile joins
	defer f.shared.mu.Unlock()
	f.members.drop(short.UID)
	if f.wakes.frees() == freed {
		t.Error("not told that room became free")
	}
	victim, err := testkit.Pods("victim cpu=1")
	if err != nil {
		t.Fatal(err)
	}
	info, err := framework.NewPodInfo(victim[0])
	if err != nil {
		t.Fatal(err)
	}
	if status := f.RemovePod(t.Context(), state, other, info, f.info("a2-1")); !status.IsSuccess() {
		t.Error(status)
	}
}
