package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/pkg/verdict"
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
		if strings.Count(line, "|") == 3 {
			continue // a value of a field
		}
		if !strings.Contains(line, "Default") && !strings.Contains(line, "Required") && !strings.Contains(line, "`name`") && !strings.Contains(line, "`matchLabels`") {
			t.Errorf("no default is given: %s", line)
		}
	}
	if rows < 24 {
		t.Errorf("%d fields and values are documented, want all of them", rows)
	}
}

// TestKindsOfFields reads declarations that stand for all that arguments may be.
func TestKindsOfFields(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "args.go"), []byte(declared), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := plugin{dir: "."}.declarations(root)
	if err != nil {
		t.Fatal(err)
	}
	want := []structDoc{
		{"Args", "Args configures it.", []fieldDoc{
			{"Colour", "colour", "`Red`, `Green`", "One of them. Default Red."},
			{"Weights", "weights", "map of integers", "By name. Default: none."},
			{"Labels", "labels", "map of strings", "Matched."},
			{"Names", "names", "list of string", "Listed."},
			{"On", "on", "boolean", "Switches it."},
			{"Parts", "parts", "list of Part", "Made of these."},
		}},
		{"Part", "Part is one.", []fieldDoc{{"Name", "name", "string", "What it is called."}}},
	}
	if diff := cmp.Diff(want, d.structs, cmp.AllowUnexported(structDoc{}, fieldDoc{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, unreadable := range []string{"func()", "complex128", "chan int64"} {
		text := strings.Replace(declared, "*bool", unreadable, 1)
		if err := os.WriteFile(filepath.Join(root, "args.go"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := (plugin{dir: "."}).declarations(root); err == nil || !strings.Contains(err.Error(), "Args.On") {
			t.Errorf("%s: error %v, want it to name the field", unreadable, err)
		}
	}
}

const declared = `package p

// Colour is a colour.
type Colour string

// Not all of the colours.
const (
	// Red is warm.
	Red Colour = "Red"
	// Green is not.
	Green Colour = "Green"
	other        = "other"
)

// Args configures it.
type Args struct {
	// Colour is one of them. Default Red.
	Colour Colour ` + "`json:\"colour\"`" + `
	// Weights are by name. Default: none.
	Weights map[string]int64 ` + "`json:\"weights,omitempty\"`" + `
	// Labels are matched.
	Labels map[string]string ` + "`json:\"labels\"`" + `
	// Names are listed.
	Names []string ` + "`json:\"names\"`" + `
	// On switches it.
	On *bool ` + "`json:\"on\"`" + `
	// Parts are made of these.
	Parts []Part ` + "`json:\"parts\"`" + `
}

// Part is one.
type Part struct {
	// Name is what it is called.
	Name string ` + "`json:\"name\"`" + `
}
`

// TestEveryEventIsDocumented: plugins emit events by their names in the table, and all
// of these.
func TestEveryEventIsDocumented(t *testing.T) {
	root := testkit.RepoRoot(t)
	files, err := filepath.Glob(filepath.Join(root, "pkg", "*", "*", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	calls, code := 0, strings.Builder{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		code.Write(text)
		for _, call := range regexp.MustCompile(`\.Eventf\([^\n]*`).FindAllString(string(text), -1) {
			calls++
			if !regexp.MustCompile(`v1\.EventType\w+, string\((verdict\.\w+|event)\), `).MatchString(call) {
				t.Errorf("%s: %s: want an event of package verdict", file, call)
			}
		}
	}
	if calls < 3 {
		t.Errorf("%d events are emitted, want those of ArchAware and Topology among them", calls)
	}
	for _, e := range verdict.Events() {
		if !strings.Contains(code.String(), "verdict."+string(e.Event)) {
			t.Errorf("event %s is in the table, but nobody emits it", e.Event)
		}
	}
}
