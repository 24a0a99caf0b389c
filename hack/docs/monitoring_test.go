package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"plimsoll.dev/scheduler/internal/testkit"
)

// upstreamMetric is an entry of Kubernetes' own list of metrics.
type upstreamMetric struct {
	Name, Namespace, Subsystem, Type string
	Labels                           []string
	ConstLabels                      map[string]string
	ComponentEndpoints               []struct{ Component string }
}

// metricLabels are the labels of every metric that the scheduler has, by the metric's
// name; histograms stand for their buckets.
func metricLabels(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	add := func(name, kind string, labels []string) {
		if strings.EqualFold(kind, "histogram") {
			name, labels = name+"_bucket", append(slices.Clone(labels), "le")
		}
		out[name] = labels
	}
	page, err := metricsPage("")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(page, "\n") {
		cells := strings.Split(line, " | ")
		if len(cells) < 4 || !strings.HasPrefix(line, "| `") {
			continue
		}
		add(strings.Trim(cells[0], "|` "), cells[1], regexp.MustCompile(`\w+`).FindAllString(cells[2], -1))
	}
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes").Output()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "test/instrumentation/documentation/documentation-list.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var upstream []upstreamMetric
	if err := yaml.Unmarshal(text, &upstream); err != nil {
		t.Fatal(err)
	}
	for _, m := range upstream {
		for _, e := range m.ComponentEndpoints {
			if e.Component != "kube-scheduler" {
				continue
			}
			parts := slices.DeleteFunc([]string{m.Namespace, m.Subsystem, m.Name}, func(s string) bool { return s == "" })
			add(strings.Join(parts, "_"), m.Type, m.Labels)
		}
	}
	return out
}

// scraped are labels that scraping adds.
var scraped = []string{"job", "instance"}

// checkQuery holds what an expression asks for against the metrics that there are.
func checkQuery(t *testing.T, known map[string][]string, where, query string) {
	t.Helper()
	var grouped []string
	for _, by := range regexp.MustCompile(`by \(([^)]*)\)`).FindAllStringSubmatch(query, -1) {
		grouped = append(grouped, strings.Split(by[1], ", ")...)
	}
	named := regexp.MustCompile(`\b((?:plimsoll|scheduler|leader|rest)_\w+)(?:\{([^}]*)\})?`).FindAllStringSubmatch(query, -1)
	if len(named) == 0 {
		t.Errorf("%s: %s: no metric", where, query)
	}
	var all []string
	for _, m := range named {
		labels, found := known[m[1]]
		if !found {
			t.Errorf("%s: there is no metric %s", where, m[1])
			continue
		}
		all = append(all, labels...)
		for _, matcher := range regexp.MustCompile(`(\w+)(?:=~|!=|!~|=)"`).FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(append(scraped, labels...), matcher[1]) {
				t.Errorf("%s: %s has no label %s", where, m[1], matcher[1])
			}
		}
	}
	for _, label := range grouped {
		if !slices.Contains(append(scraped, all...), label) {
			t.Errorf("%s: %s: no metric in it has the label %s", where, query, label)
		}
	}
}

// TestAlertsAskForWhatThereIs: metrics and labels of the scheduler's, and annotations that
// say what to do.
func TestAlertsAskForWhatThereIs(t *testing.T) {
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.UnmarshalStrict(testkit.RepoFile(t, "manifests/monitoring/alerts.yaml"), &rules); err != nil {
		t.Fatal(err)
	}
	known, seen := metricLabels(t), 0
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			seen++
			checkQuery(t, known, rule.Alert, rule.Expr)
			for _, name := range []string{"summary", "description"} {
				if rule.Annotations[name] == "" {
					t.Errorf("%s: no %s", rule.Alert, name)
				}
			}
			if !slices.Contains([]string{"critical", "warning", "info"}, rule.Labels["severity"]) {
				t.Errorf("%s: severity %q", rule.Alert, rule.Labels["severity"])
			}
		}
	}
	if seen < 5 {
		t.Errorf("%d alerts were read", seen)
	}
}

// TestTheDashboardShowsWhatThereIs: every metric of ours is on it or is left out for a
// reason, and nothing that there is not.
func TestTheDashboardShowsWhatThereIs(t *testing.T) {
	left := map[string]string{
		"plimsoll_archaware_disproved_platforms_total":                "rare",
		"plimsoll_archaware_image_inspection_duration_seconds_bucket": "of registries",
		"plimsoll_archaware_image_lookups_total":                      "the inspections say it",
		"plimsoll_binpack_usage_fallbacks_total":                      "the nodes' states say it",
		"plimsoll_binpack_usage_polls_total":                          "the nodes' states say it",
		"plimsoll_gpuslice_searches_total":                            "for whoever looks for speed",
		"plimsoll_topology_group_wait_duration_seconds_bucket":        "the groups' results say more",
		"plimsoll_topology_hints_dropped_total":                       "there are events",
		"plimsoll_topology_reserved_pods":                             "comes and goes within seconds",
	}
	text := testkit.RepoFile(t, "manifests/monitoring/dashboard.json")
	var board struct {
		Title  string
		Panels []struct {
			Type, Title, Description string
			Targets                  []struct{ Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	known := metricLabels(t)
	for _, panel := range board.Panels {
		if panel.Type == "row" {
			continue
		}
		if panel.Title == "" || panel.Description == "" || len(panel.Targets) == 0 {
			t.Errorf("panel %q: want a title, a description and something to show", panel.Title)
		}
		for _, target := range panel.Targets {
			checkQuery(t, known, panel.Title, target.Expr)
		}
	}
	for name := range known {
		if !strings.HasPrefix(name, "plimsoll_") {
			continue
		}
		if shown := strings.Contains(string(text), name); shown == (left[name] != "") {
			t.Errorf("metric %s: shown %v, left out because %q", name, shown, left[name])
		}
	}
}
