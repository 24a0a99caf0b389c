package journal

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"plimsoll.dev/scheduler/pkg/verdict"
)

func TestTheJournalKeepsWhatEveryPluginSaysOfAPlacement(t *testing.T) {
	j := New()
	failed, first, second := verdict.Reason{Code: "failed"}, verdict.Reason{Code: "first"}, verdict.Reason{Code: "second"}
	j.note("pod", false, failed)
	j.note("pod", false, failed)
	if diff := cmp.Diff([]verdict.Reason{failed}, j.Reasons("pod")); diff != "" {
		t.Errorf("after two attempts that failed (-want +got)\n%s", diff)
	}
	j.Placed("", "", "pod", "n", first)
	j.Placed("", "", "pod", "n", second)
	j.Placed("", "", "other", "n", first)
	if diff := cmp.Diff([]verdict.Reason{first, second}, j.Reasons("pod")); diff != "" {
		t.Errorf("once it is placed (-want +got)\n%s", diff)
	}
}

func TestABoundPodKeepsNoRefusal(t *testing.T) {
	j := New()
	refused, placed := verdict.Reason{Code: "refused"}, verdict.Reason{Code: "placed"}
	j.Note("silent", refused)
	j.Note("explained", refused)
	j.Placed("", "", "explained", "n", placed)
	j.Note("waits", refused)
	j.Bound("silent")
	j.Bound("explained")
	got := map[string][]verdict.Reason{}
	for _, uid := range []string{"silent", "explained", "waits"} {
		got[uid] = j.Reasons(uid)
	}
	want := map[string][]verdict.Reason{"silent": nil, "explained": {placed}, "waits": {refused}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
