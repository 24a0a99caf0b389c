package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"plimsoll.dev/scheduler/internal/stack"
)

// asked has the test binary wait for signals instead of running tests.
const asked = "PLIMSOLL_TEST_WAITS_FOR_SIGNALS"

func TestMain(m *testing.M) {
	if os.Getenv(asked) != "" {
		waitForSignals()
		return
	}
	stack.Quiet()
	m.Run()
}

// waitForSignals says that it listens, and once it is interrupted does not come to an end
// while its input is open.
func waitForSignals() {
	ctx, stop := untilSignal(context.Background())
	defer stop()
	fmt.Println("listens")
	<-ctx.Done()
	_, _ = io.Copy(io.Discard, os.Stdin)
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

// TestTheSecondSignalEndsTheProcess whatever it is doing.
func TestTheSecondSignalEndsTheProcess(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), asked+"=yes")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stdin.Close() }()
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if lines := bufio.NewScanner(stdout); !lines.Scan() {
		t.Fatalf("does not say that it listens: %v", lines.Err())
	}
	// One may come before the first is noticed, and would be taken for it. A shell may
	// have its background jobs ignore interrupts.
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	go func() {
		for range tick.C {
			if ctx.Err() != nil || cmd.Process.Signal(syscall.SIGTERM) != nil {
				return
			}
		}
	}()
	if err := cmd.Wait(); err == nil || err.Error() != "signal: terminated" {
		t.Errorf("ends with %v, want the signal", err)
	}
}

// TestAnInterruptEndsReading: nobody may ever write to standard input.
func TestAnInterruptEndsReading(t *testing.T) {
	silent, _ := io.Pipe()
	file := write(t, "cluster.yaml", smallCluster)
	interrupted := errors.New("interrupted")
	for _, args := range [][]string{{"simulate", "-f", "-"}, {"explain", "web", "-f", "-"}, {"simulate", "-f", file, "--add", "-"}} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cmd := newCommand()
		cmd.SetArgs(args)
		cmd.SetIn(silent)
		done := make(chan error, 1)
		go func() { done <- cmd.ExecuteContext(ctx) }()
		cancel(interrupted)
		select {
		case err := <-done:
			if !errors.Is(err, interrupted) {
				t.Errorf("%v: error %v, want %v", args, err, interrupted)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%v: still reads", args)
		}
	}
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
