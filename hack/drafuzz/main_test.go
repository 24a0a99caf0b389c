package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plimsoll.dev/scheduler/internal/worlds"
)

func TestRunJudgesWorldsAndPrintsWhatItCounted(t *testing.T) {
	for name, args := range map[string][]string{
		"so many":    {"-seed", "7", "-n", "100", "-workers", "1"},
		"for a time": {"-for", "1ms"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if err := run(context.Background(), args, &out); err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			for _, want := range []string{"cases per second", "answers:", "unknown because:", "no disagreement"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("it does not say %q:\n%s", want, out.String())
				}
			}
		})
	}
}

func TestRunReplaysAWorld(t *testing.T) {
	g, err := worlds.NewGenerator()
	if err != nil {
		t.Fatal(err)
	}
	text, err := g.Generate(7).YAML()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "case.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := run(context.Background(), []string{"-replay", file}, &out); err != nil || !strings.Contains(out.String(), "1 cases") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestRunSaysWhatItDoesNotUnderstand(t *testing.T) {
	for want, args := range map[string][]string{
		`unexpected argument "x"`: {"x"},
		"-workers 0":              {"-workers", "0"},
		"-for -1s":                {"-for", "-1s"},
		"no such file":            {"-replay", filepath.Join(t.TempDir(), "none.yaml")},
	} {
		if err := run(context.Background(), args, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
}
