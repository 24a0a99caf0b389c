package demo

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"plimsoll.dev/scheduler/internal/placement"
)

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

func TestExpectationsOfZonesAndRacks(t *testing.T) {
	in := func(zone string) placement.Pod {
		return placement.Pod{Name: "p-" + zone, Phase: "Running", Node: "n", Zone: zone}
	}
	waits := placement.Pod{Name: "waits", Phase: "Pending"}
	for name, tc := range map[string]struct {
		pods   []placement.Pod
		racks  []string
		expect string
		want   []string
	}{
		"one rack":               {[]placement.Pod{in("a"), in("a")}, []string{"r1", "r1"}, `{phase: Running, pods: 2, racks: 1, zone: a}`, nil},
		"racks of the same name": {[]placement.Pod{in("a"), in("b")}, []string{"r1", "r1"}, `{phase: Running, pods: 2, racks: 1}`, []string{"g: in 2 racks, want 1"}},
		"in another zone":        {[]placement.Pod{in("b")}, []string{""}, `{phase: Running, zone: a}`, []string{`g: pod p-b is in zone "b", want "a"`}},
		"two in each zone":       {[]placement.Pod{in("a"), in("b"), in("a"), in("b")}, make([]string, 4), `{phase: Running, pods: 4, perZone: 2}`, nil},
		"one in the other": {[]placement.Pod{in("b"), in("a"), in("a")}, make([]string, 3), `{phase: Running, pods: 3, perZone: 2}`,
			[]string{"g: 1 pods in zone b, want 2"}},
		"nowhere yet": {[]placement.Pod{waits}, []string{""}, `{phase: Pending, zone: a, perZone: 1}`, nil},
	} {
		g := &group{name: "g", pods: tc.pods, pools: make([]string, len(tc.pods)), racks: tc.racks}
		var err error
		if g.want, err = parseExpectation(tc.expect); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, g.unmet(nil)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}
