package stack

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func TestStopLeavesNeitherGoroutineNorPortNorFile(t *testing.T) {
	home := shortTempDir(t)
	t.Setenv("HOME", home)
	t.Setenv("TMPDIR", home)
	var steps []string
	s, err := Start(t.Context(), Options{Progress: func(step string) { steps = append(steps, step) }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.StartScheduler(t.Context(), SchedulerOptions{}); err != nil {
		t.Fatal(err)
	}
	if want := "folder, credentials, etcd, kube-apiserver, controllers, fake nodes"; strings.Join(steps, ", ") != want {
		t.Errorf("progress was %q, want %q", steps, want)
	}
	assertOnlyFolder(t, home, s.Dir())

	ports := []net.Addr{s.api.listener.Addr(), s.store.etcd.Peers[0].Addr()}
	for _, addr := range ports {
		if !addr.(*net.TCPAddr).IP.IsLoopback() {
			t.Errorf("%v is not a loopback address", addr)
		}
	}
	// A watch that nobody ends must not hold up the stop.
	if _, err := s.Client().CoreV1().Nodes().Watch(t.Context(), metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}

	began := time.Now()
	if err := s.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if took := time.Since(began); took > stopTimeout/3 {
		t.Errorf("stop took %v", took)
	}
	for _, addr := range ports {
		if conn, err := net.Dial(addr.Network(), addr.String()); err == nil {
			_ = conn.Close()
			t.Errorf("port %v still answers", addr)
		}
	}
	if err := s.Stop(); err != nil {
		t.Errorf("second stop: %v", err)
	}
	if _, err := s.StartScheduler(t.Context(), SchedulerOptions{}); err == nil {
		t.Error("a stopped stack started a scheduler")
	}
	assertNothingLeft(t, home)
}

// assertOnlyFolder checks that home holds nothing but the stack's folder, and that only its owner may
// look inside.
func assertOnlyFolder(t *testing.T, home, folder string) {
	t.Helper()
	entries, err := os.ReadDir(home)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || filepath.Join(home, entries[0].Name()) != folder {
		t.Errorf("%s holds %v, want only %s", home, entries, folder)
	}
	info, err := os.Stat(folder)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o700 {
		t.Errorf("mode of %s is %o, want 700", folder, mode)
	}
}

func TestFolderTooDeepForASocketMakesEtcdUseAPort(t *testing.T) {
	dir := filepath.Join(shortTempDir(t), strings.Repeat("deep", 25))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s := start(t, Options{Dir: dir, NoFakeNodes: true})
	if !strings.HasPrefix(s.store.endpoint, "http://127.0.0.1:") {
		t.Errorf("etcd serves on %s", s.store.endpoint)
	}
}

func TestCancelledStartCleansUp(t *testing.T) {
	t.Run("between components", func(t *testing.T) {
		dir := shortTempDir(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := Start(ctx, Options{Dir: dir, Progress: func(step string) {
			if step == "etcd" {
				cancel()
			}
		}})
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "starting kube-apiserver") {
			t.Errorf("error is %v", err)
		}
		assertNothingLeft(t, dir)
	})
	t.Run("while the API server runs its start hooks", func(t *testing.T) {
		dir := shortTempDir(t)
		// The hook that creates the RBAC roles begins with waiting a second.
		ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
		defer cancel()
		_, err := Start(ctx, Options{Dir: dir})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v", err)
		}
		assertNothingLeft(t, dir)
	})
}

func TestFailedStartNamesTheComponentAndCleansUp(t *testing.T) {
	for name, tc := range map[string]struct {
		flags []string
		want  string
	}{
		"unknown flag":  {[]string{"--no-such-flag"}, "unknown flag: --no-such-flag"},
		"refused value": {[]string{"--authorization-mode=Whim"}, "Whim"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := shortTempDir(t)
			_, err := Start(t.Context(), Options{Dir: dir, APIServerFlags: tc.flags})
			if err == nil || !strings.Contains(err.Error(), "starting kube-apiserver") || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error is %v, want one about %q", err, tc.want)
			}
			assertNothingLeft(t, dir)
		})
	}
	t.Run("folder that is not there", func(t *testing.T) {
		if _, err := Start(t.Context(), Options{Dir: "/no/such/folder"}); err == nil || !strings.Contains(err.Error(), "starting folder") {
			t.Errorf("error is %v", err)
		}
	})
}

func TestKubeconfigServesOtherClients(t *testing.T) {
	s := start(t, Options{})
	apply(t, s, nodes)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteKubeconfig(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("mode is %o, want 600", mode)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	list, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 2 {
		t.Errorf("saw %d nodes, want 2", len(list.Items))
	}
	version, err := client.Discovery().ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(version.GitVersion, "v"+version.Major+"."+version.Minor+".") {
		t.Errorf("version is %s, of %s.%s", version.GitVersion, version.Major, version.Minor)
	}
	t.Logf("serving %s", version.GitVersion)
	if err := s.WriteKubeconfig(filepath.Join(t.TempDir(), "no", "such", "folder")); err == nil {
		t.Error("wrote into a folder that is not there")
	}
}
