package snapshot

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plimsoll.dev/scheduler/internal/testkit"
)

// TestTheDumpThatIsDocumentedHasAllKinds holds what users are told to run to Kinds.
// kubectl fails on a resource that the cluster does not have, so kinds that most
// clusters lack (alpha, or of an API that is off by default) are left out, and a
// second line is for clusters without dynamic resource allocation.
func TestTheDumpThatIsDocumentedHasAllKinds(t *testing.T) {
	var all, without []string
	for _, k := range known().kinds {
		if k.optional || k.workload {
			continue
		}
		all = append(all, k.resource)
		if k.Group != "resource.k8s.io" {
			without = append(without, k.resource)
		}
	}
	line := func(resources []string) string {
		slices.Sort(resources)
		return strings.Join(resources, " ")
	}
	want := []string{line(all), line(without)}
	for _, file := range []string{"README.md", "docs/guide/simulate.md"} {
		var got []string
		for text := range strings.Lines(string(testkit.RepoFile(t, file))) {
			rest, is := strings.CutPrefix(strings.TrimPrefix(text, "# "), "kubectl get ")
			if !is {
				continue
			}
			resources, flags, _ := strings.Cut(strings.TrimSpace(rest), " ")
			if flags != "-A -o yaml > dump.yaml" {
				t.Errorf("%s: kubectl get with %q", file, flags)
			}
			got = append(got, line(strings.Split(resources, ",")))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-kinds +documented):\n%s", file, diff)
		}
	}
}
