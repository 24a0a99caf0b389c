package arch

import "testing"

// containerd lets Windows nodes from 20348 on run all builds since then, and older
// ones their own build only.
func TestWhatRanOnABuildOfWindowsRunsWhereAllItsImagesDo(t *testing.T) {
	windows := func(build string) Platform { return New("windows", "amd64", "", build) }
	w2019, w2022, w2025, unsaid := windows("10.0.17763"), windows("10.0.20348"), windows("10.0.26100"), windows("")
	for _, tc := range []struct {
		first, other Platform
		want         bool
	}{
		{w2022, w2022, true},
		{w2022, w2025, true},
		{w2025, w2022, false}, // it may be an image of 2025
		{w2019, w2022, false},
		{w2022, w2019, false},
		{windows("10.0.20348.1"), windows("10.0.20348.2"), true},
		{unsaid, w2022, true},
		{w2022, unsaid, true},
		{w2022, New("linux", "amd64", "", ""), false},
		{New("linux", "amd64", "v3", ""), New("linux", "amd64", "", ""), true},
		{New("linux", "arm64", "", ""), New("linux", "amd64", "", ""), false},
	} {
		if got := tc.first.Implies(tc.other); got != tc.want {
			t.Errorf("what runs on %s runs on %s: %v, want %v", tc.first, tc.other, got, tc.want)
		}
		if got := NewSet(tc.other).disproves(tc.first); got != tc.want {
			t.Errorf("what fails on %s fails on %s: %v, want %v", tc.other, tc.first, got, tc.want)
		}
	}
}

func TestProofsAndFailuresCountByBuildOfWindows(t *testing.T) {
	windows := func(build string) Platform { return New("windows", "amd64", "", build) }
	older, newer := NewHost(windows("10.0.20348"), true), NewHost(windows("10.0.26100"), true)
	version := func(build string) Set { return NewSet(windows(build)) }
	known := NewSet(windows("10.0.20348"), windows("10.0.26100"))
	for name, tc := range map[string]struct {
		image        Image
		older, newer Cause
	}{
		"it failed on the older":     {Image{Known: true, Platforms: known, Disproved: version("10.0.20348")}, FailsOn, Fine},
		"it failed on the newer":     {Image{Known: true, Platforms: known, Disproved: version("10.0.26100")}, FailsOn, FailsOn},
		"it ran on the newer":        {Image{Proven: version("10.0.26100")}, Unproven, Fine},
		"it ran on the older":        {Image{Proven: version("10.0.20348")}, Fine, Fine},
		"it ran on one that is gone": {Image{Proven: version("10.0.17763")}, Unproven, Unproven},
	} {
		p := Pod{Images: []Image{tc.image}, Closed: true}
		if a, b := p.Judge(older).Cause, p.Judge(newer).Cause; a != tc.older || b != tc.newer {
			t.Errorf("%s: causes %v and %v, want %v and %v", name, a, b, tc.older, tc.newer)
		}
	}
}
