package perf

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// variant is how a row of the table is run.
type variant struct {
	short    bool
	batching bool
}

// object is a decoded YAML mapping: upstream's types are not exported.
type object = map[string]any

// upstream is the folder of upstream's scheduler_perf.
type upstream string

// findUpstream asks the go command where the module is.
func findUpstream() (upstream, error) {
	const module = "k8s.io/kubernetes"
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("finding module %s: %w", module, err)
	}
	dir := strings.TrimSpace(string(out))
	if dir == "" {
		return "", fmt.Errorf("finding module %s: not in the module cache", module)
	}
	return upstream(filepath.Join(dir, "test", "integration", "scheduler_perf")), nil
}

// runs reports whether the variant has the row. Batching is younger than the
// release that a workload emulates by switching queueing hints off.
func (v variant) runs(r row, workload object) bool {
	gates, _ := workload["featureGates"].(object)
	return (!v.short || r.short != nil) && (!v.batching || gates["SchedulerQueueingHints"] != false)
}

// sizes are those that are not upstream's; nil if all are.
func (v variant) sizes(r row) sizes {
	if v.short {
		return r.short
	}
	return stretched[r.String()]
}

// title is the name of the row's workload, marked if its sizes are not upstream's.
func (v variant) title(r row) string {
	switch {
	case v.short:
		return r.workload + "_Short"
	case v.sizes(r) != nil:
		return r.workload + "_Stretched"
	}
	return r.workload
}

// profiles are those that the row is run with.
func (v variant) profiles(r row) []profile {
	if !v.short && oursAlone[r.String()] {
		return slices.DeleteFunc(slices.Clone(profiles), func(p profile) bool { return p.name != "plimsoll" })
	}
	return profiles
}

// String is the last part of a result's name.
func (v variant) String() string {
	if v.batching {
		return "batching=on"
	}
	return "batching=off"
}

// testCase returns upstream's test case with the row's workload as its only
// one, adapted to the variant; nil if the variant does not have the row.
func (u upstream) testCase(r row, v variant) (object, error) {
	folder := filepath.Join(string(u), r.folder)
	file := filepath.Join(folder, "performance-config.yaml")
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading upstream's test cases: %w", err)
	}
	var cases []any
	if err := yaml.Unmarshal(raw, &cases); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", file, err)
	}
	testCase, err := named(cases, r.testCase)
	if err != nil {
		return nil, fmt.Errorf("%s: no test case %w", file, err)
	}
	if testCase["schedulerConfigPath"] != nil {
		return nil, fmt.Errorf("%s: %s has a scheduler configuration of its own, so there is nothing to compare", file, r.testCase)
	}
	workloads, _ := testCase["workloads"].([]any)
	workload, err := named(workloads, r.workload)
	if err != nil {
		return nil, fmt.Errorf("%s: %s has no workload %w", file, r.testCase, err)
	}
	if !v.runs(r, workload) {
		return nil, nil
	}
	if err := v.adapt(r, workload); err != nil {
		return nil, fmt.Errorf("%s: %s/%s: %w", file, r.testCase, r.workload, err)
	}
	testCase["workloads"] = []any{workload}
	fixedCount(testCase, v.sizes(r))
	// What scheduler_perf filters by; the table has chosen already.
	testCase["labels"] = []any{"performance", "short"}
	absolutePaths(testCase, folder)
	return testCase, nil
}

func (v variant) adapt(r row, workload object) error {
	workload["name"] = v.String()
	delete(workload, "labels")
	// Pods a second that upstream's CI machines must reach.
	delete(workload, "threshold")
	if v.batching {
		gates, _ := workload["featureGates"].(object)
		if gates == nil {
			gates = object{}
		}
		gates["OpportunisticBatching"] = true
		workload["featureGates"] = gates
	}
	params, _ := workload["params"].(object)
	for name, size := range v.sizes(r) {
		if name == fixedPods {
			continue
		}
		if _, found := params[name]; !found {
			return fmt.Errorf("overriding sizes: no parameter %q", name)
		}
		params[name] = size
	}
	return nil
}

// fixedPods is the size of a workload whose pods upstream counts in the test
// case instead of in a parameter: too few to measure.
const fixedPods = "createPods.count"

func fixedCount(testCase object, instead sizes) {
	size, found := instead[fixedPods]
	if !found {
		return
	}
	operations, _ := testCase["workloadTemplate"].([]any)
	for _, entry := range operations {
		if op, _ := entry.(object); op["opcode"] == "createPods" && op["count"] != nil {
			op["count"] = size
		}
	}
}

// named finds an object in a list by its name. Its error names the choices.
func named(list []any, name string) (object, error) {
	var names []string
	for _, entry := range list {
		o, _ := entry.(object)
		if o["name"] == name {
			return o, nil
		}
		names = append(names, fmt.Sprint(o["name"]))
	}
	return nil, fmt.Errorf("%q among %s", name, strings.Join(names, ", "))
}

// absolutePaths resolves the paths of templates, however deep in the value,
// against the folder: upstream runs its tests inside of it.
func absolutePaths(value any, folder string) {
	switch value := value.(type) {
	case []any:
		for _, entry := range value {
			absolutePaths(entry, folder)
		}
	case object:
		for key, entry := range value {
			switch lower := strings.ToLower(key); {
			case strings.HasSuffix(lower, "templatepath"):
				value[key] = filepath.Join(folder, entry.(string))
			case strings.HasSuffix(lower, "templatepaths"):
				paths, _ := entry.([]any)
				for i := range paths {
					paths[i] = filepath.Join(folder, paths[i].(string))
				}
			default:
				absolutePaths(entry, folder)
			}
		}
	}
}
