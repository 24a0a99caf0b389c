package scenarios

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"plimsoll.dev/scheduler/internal/offline"
	"plimsoll.dev/scheduler/internal/schedconfig"
	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/pkg/plugins"
	"plimsoll.dev/scheduler/pkg/plugins/archaware"
)

// TestTheGuidesSnippetKeepsAProfileToItsPool: with it in the shipped configuration, nodes
// of no pool and of other pools are out of reach.
func TestTheGuidesSnippetKeepsAProfileToItsPool(t *testing.T) {
	guide := string(testkit.RepoFile(t, "docs/guide/packing.md"))
	_, snippet, found := strings.Cut(guide, "```yaml\n- name: NodeAffinity\n")
	snippet, _, ended := strings.Cut(snippet, "```")
	if !found || !ended {
		t.Fatal("the guide has no such snippet")
	}
	var args []any
	if err := yaml.UnmarshalStrict([]byte("- name: NodeAffinity\n"+snippet), &args); err != nil {
		t.Fatal(err)
	}
	var shipped map[string]any
	if err := yaml.Unmarshal(testkit.RepoFile(t, "manifests/base/scheduler-config.yaml"), &shipped); err != nil {
		t.Fatal(err)
	}
	profile := shipped["profiles"].([]any)[0].(map[string]any)
	profile["pluginConfig"] = append(profile["pluginConfig"].([]any), args...)
	text, err := yaml.Marshal(shipped)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := schedconfig.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := testkit.Nodes("ours cpu=4 label:pool=plimsoll\ntheirs cpu=4 label:pool=other\nnobodys cpu=4\n")
	if err != nil {
		t.Fatal(err)
	}
	var objects []runtime.Object
	for _, node := range nodes {
		objects = append(objects, node)
	}
	c, err := offline.New(t.Context(), cfg, plugins.Registry(plugins.Shared{Images: &archaware.Shared{Registries: &testkit.Depot{}}}), objects...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	var fits []string
	for _, answer := range try(t, c, "web cpu=1").Nodes {
		if answer.Status == nil {
			fits = append(fits, answer.Node)
		}
	}
	if len(fits) != 1 || fits[0] != "ours" {
		t.Errorf("the pod fits on %v, want only its profile's pool", fits)
	}
}
