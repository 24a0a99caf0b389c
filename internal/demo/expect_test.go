package demo

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/pkg/verdict"
)

func TestTheJournalKeepsWhatEveryPluginSaysOfAPlacement(t *testing.T) {
	j := newJournal()
	failed, first, second := verdict.Reason{Code: "failed"}, verdict.Reason{Code: "first"}, verdict.Reason{Code: "second"}
	j.note("pod", false, failed)
	j.note("pod", false, failed)
	if diff := cmp.Diff([]verdict.Reason{failed}, j.reasons("pod")); diff != "" {
		t.Errorf("after two attempts that failed (-want +got)\n%s", diff)
	}
	j.Placed("", "", "pod", "n", first)
	j.Placed("", "", "pod", "n", second)
	j.Placed("", "", "other", "n", first)
	if diff := cmp.Diff([]verdict.Reason{first, second}, j.reasons("pod")); diff != "" {
		t.Errorf("once it is placed (-want +got)\n%s", diff)
	}
}

func TestExpectationsOfGPUs(t *testing.T) {
	pod := func(devices ...string) placement.Pod {
		return placement.Pod{Name: "p", Phase: "Running", Devices: devices}
	}
	small := &group{name: "small-5c57", pods: []placement.Pod{pod("d/n/gpu-0-mig-1g10gb-19-5"), pod("d/n/gpu-1-mig-1g10gb-19-6")}, pools: []string{"", ""}}
	large := &group{name: "large", pods: []placement.Pod{pod("d/n/gpu-1-mig-4g40gb-5-0")}, pools: []string{""}}
	away := &group{name: "away", pods: []placement.Pod{pod("d/other/gpu-1-mig-4g40gb-5-0")}, pools: []string{""}}
	for name, tc := range map[string]struct {
		group  *group
		expect string
		want   []string
	}{
		"two GPUs, as they should be": {small, `{phase: Running, pods: 2, gpus: 2, device: 1g10gb}`, nil},
		"two GPUs instead of one":     {small, `{phase: Running, pods: 2, gpus: 1}`, []string{"small-5c57: devices of 2 different GPUs, want 1"}},
		"another device":              {large, `{phase: Running, device: 7g80gb}`, []string{"large: pod p has device d/n/gpu-1-mig-4g40gb-5-0, want one of 7g80gb"}},
		"beside the others":           {large, `{phase: Running, beside: small}`, nil},
		"on another node's GPU":       {away, `{phase: Running, beside: small}`, []string{"away: has a device of d/other/gpu-1, want one beside small"}},
		"beside nobody":               {large, `{phase: Running, beside: nobody}`, []string{"large: has a device of d/n/gpu-1, want one beside nobody"}},
	} {
		var err error
		if tc.group.want, err = parseExpectation(tc.expect); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, tc.group.unmet([]*group{small, large, away})); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}
