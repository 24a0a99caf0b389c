package stack

import (
	"context"
	"os"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"
	"k8s.io/apiserver/pkg/server/healthz"
)

// patience bounds every wait in these tests; it is generous for the race detector on a busy machine.
const patience = 90 * time.Second

// leakPatience bounds the wait for goroutines that end by themselves after a stop.
const leakPatience = 30 * time.Second

// ignored are the goroutines that run since before the first test, see TestMain.
var ignored goleak.Option

func TestMain(m *testing.M) {
	Quiet()
	// The one goroutine that upstream starts once per process and never ends: the clock of the "log"
	// health check, started under a sync.Once by the first /readyz. goleak cannot tell it by name, as its
	// stack is all wait.Forever, so it is started here and everything that runs now is ignored.
	_ = healthz.LogHealthz.Check(nil)
	ignored = goleak.IgnoreCurrent()
	os.Exit(m.Run())
}

// start returns a running stack that is stopped at the end of the test, when nothing may be left of it.
func start(t *testing.T, o Options) *Stack {
	t.Helper()
	if o.Dir == "" {
		o.Dir = shortTempDir(t)
	}
	began := time.Now()
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started in %v", time.Since(began).Round(time.Millisecond))
	t.Cleanup(func() {
		began := time.Now()
		if err := s.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		t.Logf("stopped in %v", time.Since(began).Round(time.Millisecond))
		assertNothingLeft(t, o.Dir)
	})
	return s
}

// shortTempDir is t.TempDir with a path short enough for a unix socket.
func shortTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "st")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// assertNothingLeft fails when a goroutine runs on or the folder is not empty.
func assertNothingLeft(t *testing.T, dir string) {
	t.Helper()
	began := time.Now()
	for {
		err := goleak.Find(ignored) // itself polls for a fraction of a second
		if err == nil {
			break
		}
		if time.Since(began) > leakPatience {
			t.Errorf("goroutines left: %v", err)
			break
		}
		runtime.GC() // client-go ends some transports when they are collected
	}
	t.Logf("goroutines gone after %v", time.Since(began).Round(time.Millisecond))
	assertEmpty(t, dir)
}

func assertEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Errorf("listing folder: %v", err)
	}
	for _, e := range entries {
		t.Errorf("left behind: %s/%s", dir, e.Name())
	}
}

// eventually polls until the check passes; it fails the test with what the check said last.
func eventually(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		if ctx.Err() == nil {
			last = err // later ones only say that the time is up
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, last)
		}
	}
}

// apply applies manifests and fails the test where the server refuses.
func apply(t *testing.T, s *Stack, manifests string) {
	t.Helper()
	if _, err := s.Apply(t.Context(), []byte(manifests)); err != nil {
		t.Fatalf("applying: %v", err)
	}
}
