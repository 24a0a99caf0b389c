package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plimsoll.dev/scheduler/internal/testkit"
)

// TestPagesAreUpToDate keeps pages and code from drifting apart.
func TestPagesAreUpToDate(t *testing.T) {
	root := testkit.RepoRoot(t)
	for _, p := range pages() {
		want, err := p.text(root)
		if err != nil {
			t.Fatalf("%s: %v", p.path, err)
		}
		got, err := os.ReadFile(filepath.Join(root, p.path))
		if err != nil {
			t.Errorf("%v: run `go run ./hack/docs`", err)
			continue
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s is not what the code says; run `go run ./hack/docs` (-want +got)\n%s", p.path, diff)
		}
	}
}

// TestEveryFieldIsDocumented holds arguments to the house rule: units, range and
// default stand in the comment.
func TestEveryFieldIsDocumented(t *testing.T) {
	page, err := arguments(testkit.RepoRoot(t))
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, line := range strings.Split(page, "\n") {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		rows++
		if !strings.Contains(line, "Default") && !strings.Contains(line, "`name`") && !strings.Contains(line, "`matchLabels`") {
			t.Errorf("no default is given: %s", line)
		}
	}
	if rows < 12 {
		t.Errorf("%d fields are documented, want all of them", rows)
	}
}
