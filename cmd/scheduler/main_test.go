package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"plimsoll.dev/scheduler/internal/stack"
	"plimsoll.dev/scheduler/internal/testkit"
)

// asScheduler makes the test binary run main itself, so that the real command is
// tested, as a process of its own, without building another binary.
const asScheduler = "PLIMSOLL_TEST_AS_SCHEDULER"

func TestMain(m *testing.M) {
	if os.Getenv(asScheduler) != "" {
		main()
	}
	stack.Quiet()
	os.Exit(m.Run())
}

const patience = 2 * time.Minute

// TestServes runs the command with the shipped configuration, as the shipped
// ServiceAccount with nothing but the shipped permissions.
func TestServes(t *testing.T) {
	c := startCluster(t)
	child, port := c.startServing()
	get := func(path string) string {
		body, err := fetch(fmt.Sprintf("https://127.0.0.1:%d%s", port, path))
		if err != nil {
			return "error: " + err.Error()
		}
		return body
	}
	for _, path := range []string{"/healthz", "/livez", "/readyz"} {
		eventually(t, child, func() error {
			if got := get(path); got != "ok" {
				return fmt.Errorf("%s says %q, want ok", path, got)
			}
			return nil
		})
	}
	if got := get("/configz"); !strings.Contains(got, `"schedulerName":"plimsoll"`) || !strings.Contains(got, `"percentageOfNodesToScore":100`) {
		t.Errorf("/configz does not show the shipped configuration: %.300s", got)
	}
	c.runsPod(child, "p1")
	c.runsPodWithClaim(child, "p2")
	for _, want := range []string{
		`plimsoll_binpack_placements_total{profile="plimsoll",side="opens"}`, // both pods open a node
		"plimsoll_binpack_placement_utilization_ratio_count",
		`scheduler_schedule_attempts_total{profile="plimsoll",result="scheduled"} 2`,
	} {
		eventually(t, child, func() error {
			if !strings.Contains(get("/metrics"), want) {
				return fmt.Errorf("/metrics lacks %s", want)
			}
			return nil
		})
	}
	child.stop()
	log := child.log()
	if strings.Contains(log, "Disabling signatures") {
		t.Errorf("the shipped profile switches opportunistic batching off:\n%s", log)
	}
	if !strings.Contains(log, "Starting Kubernetes Scheduler") {
		t.Errorf("the log does not begin like kube-scheduler's:\n%.500s", log)
	}
	if strings.Contains(log, "forbidden") {
		t.Errorf("the shipped permissions are not enough:\n%s", grep(log, "forbidden"))
	}
}

// TestASecondReplicaTakesOver runs two replicas under the shipped lease and
// kills the one that leads.
func TestASecondReplicaTakesOver(t *testing.T) {
	c := startCluster(t)
	quick := func(config map[string]any) {
		election := config["leaderElection"].(map[string]any)
		// Short enough to wait for, long enough for a busy machine.
		election["leaseDuration"], election["renewDeadline"], election["retryPeriod"] = "10s", "8s", "500ms"
	}
	children := map[string]*child{}
	for _, name := range []string{"one", "two"} {
		ch := c.startChild(name, quick, "--secure-port=0")
		children[fmt.Sprint(ch.pid())] = ch
	}
	leader := func() (holder string) {
		eventually(t, nil, func() error {
			lease, err := c.client.CoordinationV1().Leases("plimsoll-system").Get(t.Context(), "plimsoll-scheduler", metav1.GetOptions{})
			if err != nil || lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" {
				return fmt.Errorf("nobody holds the lease: %w", err)
			}
			holder = *lease.Spec.HolderIdentity
			return nil
		})
		return holder
	}
	first := leader()
	c.runsPod(nil, "before")
	killed := false
	for _, ch := range children {
		// The holder's identity is host_uuid; only its own log names it.
		if strings.Contains(ch.log(), "successfully acquired lease") || strings.Contains(ch.log(), "Successfully acquired lease") {
			ch.kill()
			killed = true
		}
	}
	if !killed {
		t.Fatalf("%s leads, but no replica's log says so", first)
	}
	c.runsPod(nil, "after")
	if second := leader(); second == first {
		t.Errorf("%s still holds the lease after it was killed", second)
	}
}

func TestBadArgumentsStopStartUp(t *testing.T) {
	c := startCluster(t)
	const at = "pluginConfig[BinPack].args"
	for name, tc := range map[string]struct {
		args map[string]any
		want []string
	}{
		"an unknown field": {map[string]any{"targetPercnt": 80}, []string{at, `unknown field`, "targetPercnt"}},
		"target 0":         {map[string]any{"targetPercent": 0}, []string{at + ".targetPercent", "want 1 to 100"}},
		"target 101":       {map[string]any{"targetPercent": 101}, []string{at + ".targetPercent", "want 1 to 100"}},
		"target eighty":    {map[string]any{"targetPercent": "eighty"}, []string{at, "targetPercent"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := *c
			c.T = t
			child := c.startChild("bad", func(config map[string]any) { setBinPackArgs(config, tc.args) }, "--secure-port=0")
			if code := child.wait(); code == 0 {
				t.Error("exit code 0, want a failure")
			}
			for _, want := range tc.want {
				if !strings.Contains(child.log(), want) {
					t.Errorf("the log does not say %q:\n%s", want, child.log())
				}
			}
		})
	}
}

func TestUnknownPluginArgumentsAreRefusedByEveryPlugin(t *testing.T) {
	c := startCluster(t)
	child := c.startChild("bad", func(config map[string]any) {
		profile := config["profiles"].([]any)[0].(map[string]any)
		profile["pluginConfig"] = append(profile["pluginConfig"].([]any),
			map[string]any{"name": "Topology", "args": map[string]any{"levels": []any{map[string]any{"label": "zone"}}}})
	}, "--secure-port=0")
	if code := child.wait(); code == 0 || !strings.Contains(child.log(), `unknown field \"levels[0].label\"`) {
		t.Errorf("exit code %d, log:\n%s", code, child.log())
	}
}

func TestUpstreamFlagsAreThere(t *testing.T) {
	child := run(t, "--help")
	if code := child.wait(); code != 0 {
		t.Fatalf("--help exits with %d:\n%s", code, child.log())
	}
	for _, flag := range []string{"--config", "--leader-elect", "--secure-port", "--feature-gates", "--logging-format", "--write-config-to", "--version", "--emulated-version"} {
		if !strings.Contains(child.log(), flag) {
			t.Errorf("--help does not mention %s", flag)
		}
	}
	version := run(t, "--version")
	if code := version.wait(); code != 0 || !regexp.MustCompile(`^Kubernetes v1\.\d+\.\d+\+plimsoll\n$`).MatchString(version.log()) {
		t.Errorf("--version exits with %d and says %q", code, version.log())
	}
	bad := run(t, "--feature-gates=NoSuchGate=true")
	if code := bad.wait(); code == 0 || !strings.Contains(bad.log(), "NoSuchGate") {
		t.Errorf("an unknown feature gate: exit code %d, log:\n%s", code, bad.log())
	}
}

// startServing runs the command with its endpoints on a free port. Between
// finding the port and binding it another process may take it, so there are
// several tries.
func (c *clusterUnderTest) startServing() (*child, int) {
	c.Helper()
	for range 5 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			c.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		if err := l.Close(); err != nil {
			c.Fatal(err)
		}
		// The shipped endpoints want an authorised caller; the test is none.
		child := c.startChild("one", nil, fmt.Sprintf("--secure-port=%d", port), "--bind-address=127.0.0.1", "--v=2",
			"--authorization-always-allow-paths=/healthz,/readyz,/livez,/metrics,/configz,/metrics/resources")
		taken := false
		eventually(c.T, child, func() error {
			_, err := fetch(fmt.Sprintf("https://127.0.0.1:%d/healthz", port))
			taken = strings.Contains(child.log(), "address already in use")
			if taken {
				return nil
			}
			return err
		})
		if !taken {
			return child, port
		}
	}
	c.Fatal("five free ports in a row were taken before they could be bound")
	return nil, 0
}

func fetch(url string) (string, error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // the scheduler's self-signed certificate
	}}
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s: %.200s", resp.Status, body)
	}
	return string(body), err
}

func grep(text, word string) string {
	var out []string
	for _, line := range strings.Split(text, "\n") {
		if strings.Contains(line, word) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// eventually polls until ok returns nil; the child's log tells why it did not.
func eventually(t *testing.T, c *child, ok func() error) {
	t.Helper()
	testkit.Eventually(t, patience, func() error {
		err := ok()
		if err != nil && c != nil {
			err = fmt.Errorf("%w\n%s", err, c.log())
		}
		return err
	})
}
