package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"plimsoll.dev/scheduler/internal/placement"
)

// smallCluster has a node, a pod that fits and one that does not.
const smallCluster = `
apiVersion: v1
kind: Node
metadata: {name: eu-a-01, labels: {topology.kubernetes.io/zone: eu-a, kubernetes.io/arch: arm64}}
status:
  allocatable: {cpu: "4", memory: 8Gi, pods: "110"}
  nodeInfo: {architecture: arm64, operatingSystem: linux}
---
apiVersion: v1
kind: Secret
metadata: {name: token, namespace: shop}
data: {password: aHVudGVyMg==}
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
  metadata: {name: web, namespace: shop}
  spec: {containers: [{name: web, image: example.test/web:1, resources: {requests: {cpu: "1", memory: 1Gi}}}]}
- apiVersion: v1
  kind: Pod
  metadata: {name: huge, namespace: shop}
  spec: {containers: [{name: huge, image: example.test/huge:1, resources: {requests: {cpu: "16"}}}]}
`

const lists = `sn,cpu_milli,memory_mib,gpu,model
n-1,64000,262144,2,T4
`

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWhatCannotBeSimulatedIsSaid(t *testing.T) {
	good := write(t, "cluster.yaml", smallCluster)
	before, _, _ := strings.Cut(smallCluster, "==}")
	half := write(t, "half.yaml", before)
	_, onlyPods, _ := strings.Cut(smallCluster, "aHVudGVyMg==}\n---\n")
	noNodes := write(t, "pods.yaml", onlyPods)
	nodes := write(t, "nodes.csv", lists)
	pods := write(t, "pods.csv", "name,cpu_milli,memory_mib,num_gpu,gpu_milli\np-1,1000,1024,1,500\np-2,1000,1024,3,500\n")
	empty := t.TempDir()
	for _, tc := range []struct {
		want string
		args []string
	}{
		{"there is nothing to read: want -f FILE", []string{"simulate"}},
		{`output format "xml"`, []string{"simulate", "-f", good, "-o", "xml"}},
		{`scheduler "mine": want one of plimsoll, default, both`, []string{"simulate", "-f", good, "--scheduler", "mine"}},
		{`engine "steam": want one of auto, control-plane, memory`, []string{"simulate", "-f", good, "--engine", "steam"}},
		{"-f names files, and --kubeconfig or --context a cluster", []string{"simulate", "-f", good, "--context", "prod"}},
		{"no such file", []string{"simulate", "-f", filepath.Join(empty, "none.yaml")}},
		{empty, []string{"simulate", "-f", empty}},
		{"half.yaml:", []string{"simulate", "-f", half}},
		{"there are no nodes", []string{"simulate", "-f", noNodes}},
		{"reading the scheduler's configuration", []string{"simulate", "-f", good, "--config", filepath.Join(empty, "none.yaml")}},
		{"decoding scheduler configuration", []string{"simulate", "-f", good, "--config", good}},
		{`--trace "borg": want openb`, []string{"simulate", "--trace", "borg"}},
		{"--trace brings a cluster", []string{"simulate", "--trace", "openb", "-f", good}},
		{"a trace is replayed in memory", []string{"simulate", "--trace", "openb", "--engine", "control-plane"}},
		{"--load is for traces", []string{"simulate", "-f", good, "--load", "2"}},
		{"--load 0: want a number above 0", []string{"simulate", "--trace", "openb", "--load", "0"}},
		{"--nodes and --pods belong together", []string{"simulate", "--trace", "openb", "--nodes", nodes}},
		{"pods.csv: line 3, column gpu_milli", []string{"simulate", "--trace", "openb", "--nodes", nodes, "--pods", pods}},
		{`no pod "web-2" among the 2`, []string{"explain", "web-2", "-f", good}},
		{"accepts 1 arg(s)", []string{"explain", "-f", good}},
		{"0 of the best nodes: want at least 1", []string{"explain", "web", "-f", good, "--top", "0"}},
		{"want plimsoll or default", []string{"explain", "web", "-f", good, "--scheduler", "both"}},
	} {
		stdout, _, err := execute(t, tc.args...)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v: error %v, want it to say %q", tc.args, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "aHVudGV") {
			t.Errorf("%v: the error tells a secret: %v", tc.args, err)
		}
		if stdout != "" {
			t.Errorf("%v: prints %q beside its error", tc.args, stdout)
		}
	}
}

func TestSimulateComparesSchedulersAndWritesAReport(t *testing.T) {
	file, page := write(t, "cluster.yaml", smallCluster), filepath.Join(t.TempDir(), "report.html")
	stdout, stderr, err := execute(t, "simulate", "-f", file, "--engine", "memory", "-o", "json", "--report", page)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	var s placement.Simulation
	if err := json.Unmarshal([]byte(stdout), &s); err != nil {
		t.Fatal(err)
	}
	if s.SchemaVersion != 1 || s.Engine != "memory" || len(s.Results) != 2 {
		t.Fatalf("%+v", s)
	}
	for _, r := range s.Results {
		pods := map[string]placement.Pod{}
		for _, p := range r.Pods {
			pods[p.Name] = p
		}
		web, huge := pods["web"], pods["huge"]
		if web.Node != "eu-a-01" || web.Zone != "eu-a" || web.Arch != "arm64" || web.Phase != "Running" {
			t.Errorf("%s: web %+v", r.Scheduler, web)
		}
		if huge.Phase != "Pending" || len(huge.Reasons) != 1 || huge.Reasons[0].Message != "1 Insufficient cpu" {
			t.Errorf("%s: huge %+v", r.Scheduler, huge)
		}
		if r.Summary.NodesInUse != 1 || len(r.Nodes) != 1 || r.Nodes[0].CPU != (placement.Amount{Used: 1000, Allocatable: 4000}) {
			t.Errorf("%s: summary %+v, nodes %+v", r.Scheduler, r.Summary, r.Nodes)
		}
		if last := r.Series[len(r.Series)-1]; last.Arrived != 2 || last.Placed != 1 || last.CPUPercent != 25 {
			t.Errorf("%s: ends as %+v", r.Scheduler, last)
		}
	}
	if ours, theirs := s.Results[0].Nodes[0].TargetPercent, s.Results[1].Nodes[0].TargetPercent; ours != 80 || theirs != 0 {
		t.Errorf("the lines are at %v and %v, want 80 and none", ours, theirs)
	}
	html, err := os.ReadFile(page)
	if err != nil || !strings.Contains(string(html), "eu-a-01") {
		t.Errorf("the report: %v, %d bytes", err, len(html))
	}
	for _, text := range []string{stdout, stderr, string(html)} {
		if strings.Contains(text, "aHVudGV") || strings.Contains(text, "hunter2") {
			t.Error("a secret was told")
		}
	}
}

func TestAddedWorkloadsAreSimulated(t *testing.T) {
	file := write(t, "cluster.yaml", smallCluster)
	more := write(t, "more.yaml", `
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart}}
    spec: {schedulerName: plimsoll, containers: [{name: cart, image: example.test/cart:1, resources: {requests: {cpu: 500m}}}]}
`)
	stdout, stderr, err := execute(t, "simulate", "-f", file, "--add", more, "--engine", "memory", "--scheduler", "plimsoll")
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	if strings.Count(stdout, "shop/cart-") != 2 || !strings.Contains(stdout, "4 pods: 3 running on 1 of 1 nodes, 1 pending") {
		t.Errorf("prints\n%s", stdout)
	}
}

func TestExplainTriesWhatWouldHelp(t *testing.T) {
	stdout, stderr, err := execute(t, "explain", "shop/huge", "-f", write(t, "cluster.yaml", smallCluster))
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	for _, want := range []string{"shop/huge under plimsoll: pending", "0 of 1 node can take it", "Insufficient cpu", "ask for cpu 4 instead of 16"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("does not say %q:\n%s", want, stdout)
		}
	}
}

func TestATraceOfOnesOwnIsReplayed(t *testing.T) {
	nodes := write(t, "nodes.csv", lists)
	pods := write(t, "pods.csv", "name,cpu_milli,memory_mib,num_gpu,gpu_milli\np-1,1000,1024,1,500\np-2,1000,1024,1,1000\n")
	stdout, stderr, err := execute(t, "simulate", "--trace", "openb", "--nodes", nodes, "--pods", pods, "--known-mix", "-o", "json")
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	var s placement.Simulation
	if err := json.Unmarshal([]byte(stdout), &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Results) != 2 || s.Results[0].Trace == nil || s.Results[0].Trace.GPUs != 2 || s.Results[0].Trace.NodesTouched != 1 {
		t.Errorf("%+v", s.Results)
	}
	if ours, others := s.Results[0].Nodes[0].TargetPercent, s.Results[1].Nodes[0].TargetPercent; ours != 80 || others != 0 {
		t.Errorf("nodes are filled to %v %% by Plimsoll and %v %% by the default scheduler, want its line of 80 %% and none", ours, others)
	}
}

// TestTheDemosClusterCanBeSimulated does what the guide begins with.
func TestTheDemosClusterCanBeSimulated(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dump := filepath.Join(t.TempDir(), "cluster.yaml")
	if _, stderr, err := execute(t, "demo", "--dump", dump, "-o", "json"); err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	stdout, stderr, err := execute(t, "simulate", "-f", dump, "--from-scratch")
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	for _, want := range []string{"=== plimsoll", "=== default", "engine: control-plane", "pods were taken off their nodes", "GPUSlice: took gpu-0-mig-4g40gb-5-0"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("does not say %q:\n%s", want, stdout)
		}
	}
	stdout, stderr, err = execute(t, "explain", "too-large", "-f", dump)
	if err != nil || !strings.Contains(stdout, "instead of 32") {
		t.Errorf("%v\n%s\n%s", err, stderr, stdout)
	}
}

func TestProgressTellsWhatIsLeft(t *testing.T) {
	var out strings.Builder
	clock := clocktesting.NewFakeClock(time.Now())
	p := newProgress(&out, clock)
	p.step("simulating")
	p.pods(1, 100) // too early
	clock.Step(10 * time.Second)
	p.pods(25, 100)
	p.pods(26, 100) // too soon after the last
	clock.Step(30 * time.Second)
	p.pods(100, 100) // done
	if got, want := out.String(), "  0.0s simulating\n 10.0s 25 of 100 pods, about 30s left\n"; got != want {
		t.Errorf("tells %q, want %q", got, want)
	}
}

// TestFromScratchLeavesThePodsOfOtherSchedulers: they are not placed anew, so they
// must not be taken off either, or their load would be gone.
func TestFromScratchLeavesThePodsOfOtherSchedulers(t *testing.T) {
	running := func(name, scheduler string) string {
		return "\n---\n{apiVersion: v1, kind: Pod, metadata: {name: " + name + ", namespace: shop}, spec: {nodeName: eu-a-01, schedulerName: " + scheduler +
			", containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 500m}}}]}, status: {phase: Running}}"
	}
	config := write(t, "config.yaml", "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles: [{schedulerName: volcano}]\n")
	file := write(t, "cluster.yaml", strings.TrimSuffix(smallCluster, "\n")+running("batch", "volcano")+running("cart", "plimsoll"))
	for _, tc := range []struct {
		note string
		args []string
	}{
		{"1 pod was taken off its node", nil},
		{"1 pod was taken off its node", []string{"--config", config}}, // of volcano now, not of plimsoll
	} {
		args := append([]string{"simulate", "-f", file, "--from-scratch", "--engine", "memory", "--scheduler", "plimsoll", "-o", "json"}, tc.args...)
		stdout, stderr, err := execute(t, args...)
		if err != nil {
			t.Fatalf("%v\n%s", err, stderr)
		}
		var s placement.Simulation
		if err := json.Unmarshal([]byte(stdout), &s); err != nil {
			t.Fatal(err)
		}
		if used := s.Results[0].Nodes[0].CPU.Used; used != 2000 { // web, batch and cart
			t.Errorf("%v: %d thousandths of a core are used, want 2000", tc.args, used)
		}
		if !strings.Contains(strings.Join(s.Notes, "\n"), tc.note) {
			t.Errorf("%v: notes %q, want %q", tc.args, s.Notes, tc.note)
		}
		for _, p := range s.Results[0].Pods {
			if (p.Name == "batch" || p.Name == "cart") && p.Node != "eu-a-01" {
				t.Errorf("%v: %s is on %q", tc.args, p.Name, p.Node)
			}
		}
	}
}

func TestWhatTheInputLacksIsNoted(t *testing.T) {
	file := write(t, "cluster.yaml", smallCluster+`
---
{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: shop}, spec: {nodeName: eu-a-01, volumes: [{name: d, persistentVolumeClaim: {claimName: data}}], containers: [{name: c, image: example.test/c:1}]}, status: {phase: Running}}
`)
	const note = "1 pod names PersistentVolumeClaims that were not read"
	for want, args := range map[bool][]string{true: {"--from-scratch"}, false: nil} {
		stdout, stderr, err := execute(t, append([]string{"simulate", "-f", file, "--engine", "memory", "--scheduler", "default"}, args...)...)
		if err != nil {
			t.Fatalf("%v\n%s", err, stderr)
		}
		if got := strings.Contains(stdout, note); got != want {
			t.Errorf("%v: notes %q: %v, want %v\n%s", args, note, got, want, stdout)
		}
	}
}

// TestTheSeedIsOnlyShownWhereItDecides: a control plane chooses at random.
func TestTheSeedIsOnlyShownWhereItDecides(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	file := write(t, "cluster.yaml", smallCluster)
	for engine, want := range map[string]string{"memory": "engine: memory; seed 7\n", "control-plane": "engine: control-plane\nnote: "} {
		stdout, stderr, err := execute(t, "simulate", "-f", file, "--engine", engine, "--scheduler", "default", "--seed", "7")
		if err != nil {
			t.Fatalf("%v\n%s", err, stderr)
		}
		if noted := strings.Contains(stdout, "note: --seed decided nothing"); noted != (engine == "control-plane") || !strings.Contains(stdout, want) {
			t.Errorf("%s does not say %q, or notes that the seed decided nothing where it did:\n%s", engine, want, stdout)
		}
	}
}

// TestAProfileThatMeasuresUsageRunsOnACopy takes the shipped example of one: there is
// nothing to measure on a copy, so its pods are placed by requests.
func TestAProfileThatMeasuresUsageRunsOnACopy(t *testing.T) {
	const config = "../../manifests/profiles/three-profiles.yaml"
	file := write(t, "cluster.yaml", smallCluster+`
---
{apiVersion: v1, kind: Pod, metadata: {name: batch, namespace: shop}, spec: {schedulerName: plimsoll-dense, containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: "1"}}}]}}
`)
	const note = "note: measured usage is not simulated: profile plimsoll-dense judges nodes by requests alone"
	for scheduler, noted := range map[string]int{"plimsoll": 1, "default": 0} {
		stdout, stderr, err := execute(t, "simulate", "-f", file, "--engine", "memory", "--config", config, "--scheduler", scheduler)
		if err != nil {
			t.Fatalf("%v\n%s", err, stderr)
		}
		if got := strings.Count(stdout, note); got != noted || scheduler == "plimsoll" && !strings.Contains(stdout, "eu-a-01") {
			t.Errorf("%s notes measured usage %d times, want %d, and batch on eu-a-01:\n%s", scheduler, got, noted, stdout)
		}
	}
	stdout, stderr, err := execute(t, "explain", "shop/batch", "-f", file, "--config", config)
	if err != nil || !strings.Contains(stdout, "eu-a-01") {
		t.Errorf("explain: %v, want eu-a-01\n%s%s", err, stdout, stderr)
	}
}

func TestExplainTellsOfPreemption(t *testing.T) {
	file := write(t, "cluster.yaml", smallCluster+`
---
{apiVersion: v1, kind: Pod, metadata: {name: cheap, namespace: shop}, spec: {nodeName: eu-a-01, containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: "3"}}}]}, status: {phase: Running}}
---
{apiVersion: v1, kind: Pod, metadata: {name: dear, namespace: shop}, spec: {priority: 100, containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: "2"}}}]}}
`)
	for _, scheduler := range []string{"plimsoll", "default"} {
		stdout, stderr, err := execute(t, "explain", "dear", "-f", file, "--scheduler", scheduler)
		if err != nil {
			t.Fatalf("%v\n%s", err, stderr)
		}
		for _, want := range []string{"pending at first, then goes to eu-a-01", "1 pod of lower priority would be preempted on eu-a-01: shop/cheap"} {
			if !strings.Contains(stdout, want) {
				t.Errorf("%s does not say %q:\n%s", scheduler, want, stdout)
			}
		}
	}
}
