package arch

import "testing"

func TestWhatFailsWhereverThePodCanGoFailsForAnotherReason(t *testing.T) {
	host := func(os, architecture string) *Host { return NewHost(New(os, architecture, "", ""), true) }
	amdNode, armNode, windowsNode := host("linux", "amd64"), host("linux", "arm64"), host("windows", "amd64")
	amd, both := set(t, "linux/amd64"), set(t, "linux/amd64", "linux/arm64")
	for name, tc := range map[string]struct {
		pod   Pod
		hosts []*Host
		want  string // what is left of the first image's disproofs
	}{
		"one architecture":                    {Pod{Images: []Image{{Known: true, Platforms: both, Disproved: amd}}}, []*Host{amdNode}, "no platform"},
		"one architecture, unknown":           {Pod{Images: []Image{{Disproved: amd}}, Assumed: amd}, []*Host{amdNode}, "no platform"},
		"another is left":                     {Pod{Images: []Image{{Known: true, Platforms: both, Disproved: amd}}}, []*Host{amdNode, armNode}, "linux/amd64"},
		"another is left, unknown":            {Pod{Images: []Image{{Disproved: amd}}, Assumed: amd}, []*Host{amdNode, armNode}, "linux/amd64"},
		"all have failed":                     {Pod{Images: []Image{{Known: true, Platforms: both, Disproved: both}}}, []*Host{amdNode, armNode}, "no platform"},
		"it is not built for the other":       {Pod{Images: []Image{{Known: true, Platforms: amd, Disproved: amd}}}, []*Host{amdNode, armNode}, "no platform"},
		"its sidecar is not":                  {Pod{Images: []Image{{Known: true, Platforms: both, Disproved: amd}, {Known: true, Platforms: amd}}}, []*Host{amdNode, armNode}, "no platform"},
		"both its containers failed":          {Pod{Images: []Image{{Known: true, Platforms: both, Disproved: amd}, {Known: true, Platforms: both, Disproved: amd}}}, []*Host{amdNode}, "no platform"},
		"the pod does not list the other":     {Pod{Images: []Image{{Known: true, Platforms: both, Disproved: amd}}, Preference: preference(t, "amd64")}, []*Host{amdNode, armNode}, "no platform"},
		"Windows is no way out":               {Pod{Images: []Image{{Disproved: amd}}, Assumed: amd}, []*Host{amdNode, windowsNode}, "no platform"},
		"what failed on Windows is not Linux": {Pod{Images: []Image{{Disproved: set(t, "linux/amd64", "windows/amd64")}}}, []*Host{amdNode, armNode, windowsNode}, "linux/amd64"},
	} {
		tc.pod.Doubt(tc.hosts)
		if got := tc.pod.Images[0].Disproved.String(); got != tc.want {
			t.Errorf("%s: %s is held against it, want %s", name, got, tc.want)
		}
	}
}
