package perf

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	perf "k8s.io/kubernetes/test/integration/scheduler_perf"
	"sigs.k8s.io/yaml"

	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/pkg/plugins"
	"plimsoll.dev/scheduler/pkg/plugins/archaware"
)

// BenchmarkShort runs the table at sizes for CI.
func BenchmarkShort(b *testing.B) { benchmark(b, variant{short: true}) }

// BenchmarkFull runs the table at upstream's sizes.
func BenchmarkFull(b *testing.B) { benchmark(b, variant{}) }

// BenchmarkShortBatching is BenchmarkShort with OpportunisticBatching on for
// every profile.
func BenchmarkShortBatching(b *testing.B) { benchmark(b, variant{short: true, batching: true}) }

// BenchmarkFullBatching is BenchmarkFull with OpportunisticBatching on for
// every profile.
func BenchmarkFullBatching(b *testing.B) { benchmark(b, variant{batching: true}) }

// benchmark runs every profile on every case in turn, round after round. Results
// are named CASE/WORKLOAD/round=N/profile=NAME/batching=off. The last part is
// scheduler_perf's workload, all before it one of its test cases: package testing
// would number test cases of the same name.
func benchmark(b *testing.B, v variant) {
	folder := b.TempDir()
	configs, err := writeConfigs(folder, profiles)
	if err != nil {
		b.Fatal(err)
	}
	u, err := findUpstream()
	if err != nil {
		b.Fatal(err)
	}
	for _, r := range table {
		testCase, err := u.testCase(r, v)
		if err != nil {
			b.Fatal(err)
		}
		if testCase == nil {
			continue
		}
		for round := range rounds {
			those := v.profiles(r)
			for i := range those {
				p := those[(round+i)%len(those)]
				testCase["name"] = fmt.Sprintf("%s/%s/round=%d/profile=%s", r.testCase, v.title(r), round+1, p.name)
				runCase(b, folder, testCase, configs[p.name])
			}
		}
	}
}

// runCase hands one test case to scheduler_perf. Every run has plugins of its
// own, as a scheduler of its own has.
func runCase(b *testing.B, folder string, testCase object, configPath string) {
	delete(testCase, "schedulerConfigPath")
	if configPath != "" {
		testCase["schedulerConfigPath"] = configPath
	}
	raw, err := yaml.Marshal([]object{testCase})
	if err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(folder, "performance-config.yaml")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		b.Fatal(err)
	}
	perf.RunBenchmarkPerfScheduling(b, file, "plimsoll", plugins.Registry(plugins.Shared{Images: &archaware.Shared{Registries: &testkit.Depot{}}}))
}
