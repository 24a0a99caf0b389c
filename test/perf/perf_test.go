package perf

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/validation"
	schedulerprofile "k8s.io/kubernetes/pkg/scheduler/profile"
	"k8s.io/kubernetes/test/integration/framework"
	"sigs.k8s.io/yaml"

	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/pkg/plugins"
	"plimsoll.dev/scheduler/pkg/plugins/archaware"
)

// variants are those of the four benchmarks.
var variants = []variant{{}, {short: true}, {batching: true}, {short: true, batching: true}}

func mustFindUpstream(t *testing.T) upstream {
	t.Helper()
	u, err := findUpstream()
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestEveryRowIsAWorkloadOfUpstreams(t *testing.T) {
	u := mustFindUpstream(t)
	for _, r := range table {
		for _, v := range variants {
			t.Run(fmt.Sprintf("%s/%s/%s", r.testCase, v.title(r), v), func(t *testing.T) {
				testCase, err := u.testCase(r, v)
				if err != nil {
					t.Fatal(err)
				}
				if testCase == nil {
					if v == (variant{}) {
						t.Error("missing from BenchmarkFull")
					}
					return
				}
				checkTestCase(t, testCase, r, v)
			})
		}
	}
}

// TestExceptionsAreOfTheTable: what is said of a workload is of one that is run.
func TestExceptionsAreOfTheTable(t *testing.T) {
	full := variant{}
	left := len(stretched) + len(oursAlone)
	for _, r := range table {
		if stretched[r.String()] != nil {
			left--
			if got := full.title(r); got != r.workload+"_Stretched" {
				t.Errorf("%s: its title is %q, want it marked", r, got)
			}
		}
		want := len(profiles)
		if oursAlone[r.String()] {
			left--
			want = 1
		}
		if got := full.profiles(r); len(got) != want || !slices.ContainsFunc(got, func(p profile) bool { return p.name == "plimsoll" }) {
			t.Errorf("%s: runs with %d profiles, want %d with ours among them", r, len(got), want)
		}
		if r.short != nil && len(variant{short: true}.profiles(r)) != len(profiles) {
			t.Errorf("%s: at sizes for CI some profiles are left out", r)
		}
	}
	if left != 0 {
		t.Errorf("%d exceptions are of no row", left)
	}
}

// TestNoWorkloadWithClaimsIsLeftOut: of every test case of upstream's, all workloads are
// in the table but those that are too short to measure while there are longer ones, and
// those that emulate an older release.
func TestNoWorkloadWithClaimsIsLeftOut(t *testing.T) {
	u := mustFindUpstream(t)
	inTable := map[string]bool{}
	for _, r := range table {
		inTable[r.testCase+"/"+r.workload], inTable[r.testCase] = true, true
	}
	files, err := filepath.Glob(filepath.Join(string(u), "dra", "*", "performance-config.yaml"))
	if err != nil || len(files) < 5 {
		t.Fatalf("found %v, %v; want upstream's folders of claims", files, err)
	}
	more, err := filepath.Glob(filepath.Join(string(u), "dra", "*", "*", "performance-config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(append(files, more...), filepath.Join(string(u), "dra", "performance-config.yaml")) {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var cases []struct {
			Name      string
			Workloads []struct {
				Name         string
				FeatureGates map[string]bool
			}
		}
		if err := yaml.Unmarshal(raw, &cases); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, c := range cases {
			if unmeasured[c.Name] == "" && !inTable[c.Name] {
				t.Errorf("%s: %s is neither measured nor is it said why not", file, c.Name)
			}
			for _, w := range c.Workloads {
				hints, set := w.FeatureGates["SchedulerQueueingHints"]
				if older := set && !hints; older || strings.HasPrefix(w.Name, "fast") || unmeasured[c.Name] != "" {
					continue
				}
				if !inTable[c.Name+"/"+w.Name] {
					t.Errorf("%s: %s/%s is not measured", file, c.Name, w.Name)
				}
			}
		}
	}
}

// checkTestCase checks what scheduler_perf would, without running anything.
func checkTestCase(t *testing.T, testCase object, r row, v variant) {
	t.Helper()
	raw, err := yaml.Marshal(testCase)
	if err != nil {
		t.Fatal(err)
	}
	workloads := testCase["workloads"].([]any)
	workload := workloads[0].(object)
	if len(workloads) != 1 || workload["name"] != v.String() {
		t.Errorf("want one workload, %s:\n%s", v, raw)
	}
	gates, _ := workload["featureGates"].(object)
	if on, set := gates["OpportunisticBatching"]; set != v.batching || set && on != true {
		t.Errorf("OpportunisticBatching: want set=%t, got %v", v.batching, on)
	}
	if workload["threshold"] != nil {
		t.Error("upstream's threshold is still there")
	}

	params := workload["params"].(object)
	for name, want := range v.sizes(r) {
		if name == fixedPods {
			if !strings.Contains(string(raw), fmt.Sprintf("count: %d\n", want)) {
				t.Errorf("%s: want %d:\n%s", name, want, raw)
			}
			continue
		}
		if params[name] != want {
			t.Errorf("%s: want %d, got %v", name, want, params[name])
		}
	}
	var defined []string
	for name := range params {
		defined = append(defined, name)
	}
	if diff := cmp.Diff(sorted(references(raw)), sorted(defined)); diff != "" {
		t.Errorf("parameters (-referred to +defined):\n%s", diff)
	}
	checkFilesExist(t, testCase)
}

// references are the parameters that the operations refer to: "countParam: $initNodes".
func references(raw []byte) []string {
	var names []string
	for _, match := range regexp.MustCompile(`Param: \$(\w+)`).FindAllSubmatch(raw, -1) {
		names = append(names, string(match[1]))
	}
	return names
}

func sorted(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

func checkFilesExist(t *testing.T, value any) {
	t.Helper()
	switch value := value.(type) {
	case []any:
		for _, entry := range value {
			checkFilesExist(t, entry)
		}
	case object:
		for _, entry := range value {
			checkFilesExist(t, entry)
		}
	case string:
		if !strings.HasSuffix(value, ".yaml") {
			return
		}
		if _, err := os.Stat(value); err != nil || !strings.HasPrefix(value, "/") {
			t.Errorf("template %s: want the absolute path of a file, got %v", value, err)
		}
	}
}

func TestAWrongRowIsNamed(t *testing.T) {
	u := mustFindUpstream(t)
	for _, c := range []struct {
		row  row
		want string
	}{
		{row{"cargo", "SchedulingBasic", "5Nodes", nil}, "cargo/performance-config.yaml: no such file"},
		{row{"misc", "SchedulingCargo", "5Nodes", nil}, `no test case "SchedulingCargo" among SchedulingBasic, `},
		{row{"misc", "SchedulingBasic", "6Nodes", nil}, `SchedulingBasic has no workload "6Nodes" among 5Nodes, `},
		{row{"misc", "SchedulingBasic", "5Nodes", sizes{"cargo": 1}}, `SchedulingBasic/5Nodes: overriding sizes: no parameter "cargo"`},
		{row{"dra/extendedresource/scoring", "ExtendedResourceScoring", "fast", nil}, "configuration of its own"},
	} {
		_, err := u.testCase(c.row, variant{short: c.row.short != nil})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: want %q, got %v", c.row, c.want, err)
		}
	}
}

// decode reads a configuration the way the scheduler and scheduler_perf do.
func decode(raw []byte) (*config.KubeSchedulerConfiguration, error) {
	object, kind, err := scheme.Codecs.UniversalDecoder().Decode(raw, nil, nil)
	if err != nil {
		return nil, err
	}
	decoded, ok := object.(*config.KubeSchedulerConfiguration)
	if !ok {
		return nil, fmt.Errorf("got a %v", kind)
	}
	return decoded, nil
}

func TestEveryProfileMakesAScheduler(t *testing.T) {
	for _, p := range slices.Concat(profiles, topologyProfiles) {
		if p.config == nil {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			raw, err := p.config()
			if err != nil {
				t.Fatal(err)
			}
			decoded, err := decode(raw)
			if err != nil {
				t.Fatalf("decoding: %v\n%s", err, raw)
			}
			if err := validation.ValidateKubeSchedulerConfiguration(decoded); err != nil {
				t.Errorf("validating: %v", err)
			}
			if got := decoded.PercentageOfNodesToScore; got == nil || *got != 100 {
				t.Errorf("percentageOfNodesToScore: want 100, got %v", got)
			}
			client := fake.NewClientset()
			sched, err := scheduler.New(t.Context(), client, informers.NewSharedInformerFactory(client, 0), nil,
				schedulerprofile.NewRecorderFactory(events.NewBroadcaster(&events.EventSinkImpl{})),
				scheduler.WithKubeConfig(&rest.Config{}),
				scheduler.WithProfiles(decoded.Profiles...),
				scheduler.WithFrameworkOutOfTreeRegistry(plugins.Registry(plugins.Shared{Images: &archaware.Shared{Registries: &testkit.Depot{}}})))
			if err != nil {
				t.Fatalf("making the scheduler: %v", err)
			}
			if sched.Profiles[upstreamProfile] == nil {
				t.Errorf("no profile takes the pods of %s", upstreamProfile)
			}
		})
	}
}

func TestTheShippedProfileIsOnlyRenamed(t *testing.T) {
	raw, err := os.ReadFile(shippedFile)
	if err != nil {
		t.Fatal(err)
	}
	want, err := decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	renamed, err := shipped(shippedFile)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode(renamed)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want.Profiles {
		if want.Profiles[i].SchedulerName == shippedProfile {
			want.Profiles[i].SchedulerName = upstreamProfile
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("shipped configuration (-want +got):\n%s", diff)
	}
}

func TestEtcdIsThisBinary(t *testing.T) {
	// Aborts the test unless an etcd from PATH serves.
	framework.StartEtcd(klog.Background(), t, true)
}
