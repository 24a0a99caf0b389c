package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"plimsoll.dev/scheduler/internal/demo"
	"plimsoll.dev/scheduler/internal/fleet"
	"plimsoll.dev/scheduler/internal/placement"
)

// TestDemo runs what `plimsoll demo` runs, and checks the contract of its JSON.
func TestDemo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var progress []string
	result, err := demo.Run(t.Context(), demo.Options{
		Nodes: fleet.MinNodes + 9, Dir: dir, Settle: patience,
		Progress: func(line string) { progress = append(progress, line) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Summary.Unexpected) > 0 {
		t.Errorf("not as the examples say:\n%s", strings.Join(result.Summary.Unexpected, "\n"))
	}
	if len(progress) == 0 {
		t.Error("nothing was said while it ran")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left behind in %s: %v", left, filepath.Base(dir), err)
	}
	// One GPU holds the three small slices and the large one.
	if picture := strings.Join(result.Pictures, "\n"); !strings.Contains(picture, "[4g.40gb═══|1g.10gb|1g.10gb|1g.10gb| ]") {
		t.Errorf("the GPUs are not drawn, or not filled as they should be:\n%s", picture)
	}
	checkContract(t, result)
}

func checkContract(t *testing.T, result *placement.Result) {
	t.Helper()
	var text strings.Builder
	if err := result.Print(&text, "json"); err != nil {
		t.Fatal(err)
	}
	var got struct {
		SchemaVersion int
		Scheduler     string
		Pods          []map[string]any
		Summary       map[string]any
	}
	if err := json.Unmarshal([]byte(text.String()), &got); err != nil {
		t.Fatal(err)
	}
	if got.SchemaVersion != 1 || got.Scheduler != "plimsoll" || len(got.Pods) != 44 || len(got.Summary) == 0 {
		t.Errorf("schemaVersion %d, scheduler %q, %d pods, summary %v", got.SchemaVersion, got.Scheduler, len(got.Pods), got.Summary)
	}
	pending, devices := 0, 0
	for _, pod := range got.Pods {
		for _, key := range []string{"namespace", "name", "phase", "node", "zone", "arch", "devices", "reasons"} {
			if _, found := pod[key]; !found {
				t.Errorf("pod %v has no %s", pod["name"], key)
			}
		}
		devices += len(pod["devices"].([]any))
		reasons := pod["reasons"].([]any)
		if len(reasons) == 0 {
			t.Errorf("pod %v: no reason", pod["name"])
		}
		for _, r := range reasons {
			keys := make([]string, 0, 3)
			for k, v := range r.(map[string]any) {
				keys = append(keys, k)
				if v == "" {
					t.Errorf("pod %v: reason %v has no %s", pod["name"], r, k)
				}
			}
			slices.Sort(keys)
			if !slices.Equal(keys, []string{"code", "message", "plugin"}) {
				t.Errorf("pod %v: a reason has %v", pod["name"], keys)
			}
		}
		if pod["phase"] == "Pending" {
			pending++
			if pod["node"] != "" {
				t.Errorf("pod %v is pending on node %v", pod["name"], pod["node"])
			}
		}
	}
	if pending != 7 || devices != 7 {
		t.Errorf("%d pending and %d devices, want 7 and 7", pending, devices)
	}
}

func TestDemoRefusesAClusterTooSmallForItsExamples(t *testing.T) {
	t.Parallel()
	_, err := demo.Run(t.Context(), demo.Options{Nodes: 3, Dir: t.TempDir(), Settle: patience, Progress: func(string) {}})
	if err == nil || !strings.Contains(err.Error(), "at least 14 nodes, got 3") {
		t.Errorf("error %v, want it to say how many nodes are needed", err)
	}
}
