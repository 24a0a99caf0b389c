package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "(none)"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestAReportThatCannotBeWrittenIsKnownBeforeTheRun(t *testing.T) {
	dir := t.TempDir()
	file := write(t, "cluster.yaml", smallCluster)
	for _, path := range []string{filepath.Join(dir, "none", "report.html"), dir} {
		stdout, stderr, err := execute(t, "simulate", "-f", file, "--engine", "memory", "--report", path)
		if err == nil || !strings.Contains(err.Error(), "--report: open "+path) {
			t.Errorf("%s: error %v", path, err)
		}
		if stdout != "" || stderr != "" {
			t.Errorf("%s: it ran all the same:\n%s%s", path, stderr, stdout)
		}
	}
}

func TestARunThatFailsLeavesNoReport(t *testing.T) {
	broken, before := write(t, "cluster.yaml", "{"), write(t, "before.html", "as it was")
	fresh := filepath.Join(t.TempDir(), "report.html")
	for path, want := range map[string]string{fresh: "(none)", before: "as it was"} {
		if _, _, err := execute(t, "simulate", "-f", broken, "--report", path); err == nil {
			t.Error("half an object was simulated")
		}
		if got := content(t, path); got != want {
			t.Errorf("%s has %q, want %q", path, got, want)
		}
	}
}

func TestAFileIsWholeOrNotThere(t *testing.T) {
	failed := errors.New("failed")
	for name, tc := range map[string]struct {
		before string
		err    error
		want   string
	}{
		"a new file":                     {"", nil, "new"},
		"a shorter text replaces all":    {"rather long", nil, "new"},
		"half a new file is removed":     {"", failed, "(none)"},
		"half of one that was there too": {"rather long", failed, "(none)"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			if tc.before != "" {
				path = write(t, "file", tc.before)
			}
			o, err := openOutput(path)
			if err != nil {
				t.Fatal(err)
			}
			err = o.close(o.write(func(w io.Writer) error {
				_, err := io.WriteString(w, "new")
				return errors.Join(err, tc.err)
			}))
			if !errors.Is(err, tc.err) || content(t, path) != tc.want {
				t.Errorf("error %v, the file has %q, want %v and %q", err, content(t, path), tc.err, tc.want)
			}
		})
	}
}
