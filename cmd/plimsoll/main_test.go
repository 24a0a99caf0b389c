package main

import (
	"bytes"
	"strings"
	"testing"

	"plimsoll.dev/scheduler/internal/stack"
)

func TestMain(m *testing.M) {
	stack.Quiet()
	m.Run()
}

func execute(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := newCommand()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&errOut)
	err = cmd.ExecuteContext(t.Context())
	return out.String(), errOut.String(), err
}

func TestDemoRefusesWhatItCannotDo(t *testing.T) {
	for want, args := range map[string][]string{
		`output format "xml": want one of table, json, yaml`: {"demo", "-o", "xml"},
		"at least 14 nodes, got 3":                           {"demo", "--nodes", "3"},
		`unknown command "extra"`:                            {"demo", "extra"},
		"unknown flag: --colour":                             {"demo", "--colour"},
		`unknown command "simulte"`:                          {"simulte"},
	} {
		stdout, _, err := execute(t, args...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want it to say %q", args, err, want)
		}
		if stdout != "" {
			t.Errorf("%v: prints %q beside its error", args, stdout)
		}
	}
}

func TestDemoPrintsItsResultOnStdoutAndProgressOnStderr(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	stdout, stderr, err := execute(t, "demo", "-o", "yaml")
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, stdout, stderr)
	}
	if !strings.HasPrefix(stdout, "pods:") || !strings.Contains(stdout, "schemaVersion: 1") {
		t.Errorf("not the result in YAML:\n%.300s", stdout)
	}
	for _, want := range []string{"started kube-apiserver", "created 14 nodes", "applied 10-gpu-contradiction.yaml: as expected"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("progress does not say %q:\n%s", want, stderr)
		}
	}
}
