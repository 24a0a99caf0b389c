package schedconfig

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"

	"plimsoll.dev/scheduler/manifests"
)

func TestArgumentsTakeThePlaceOfThoseThatWereThere(t *testing.T) {
	text, err := WithArgs(manifests.SchedulerConfig, "BinPack", map[string]any{"targetPercent": 33})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	before, err := Decode(manifests.SchedulerConfig)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, entry := range cfg.Profiles[0].PluginConfig {
		if entry.Name == "BinPack" {
			found++
			if raw := string(entry.Args.(*runtime.Unknown).Raw); !strings.Contains(raw, `"targetPercent":33`) {
				t.Errorf("got %s", raw)
			}
		}
	}
	if got, want := len(cfg.Profiles[0].PluginConfig), len(before.Profiles[0].PluginConfig); found != 1 || got != want {
		t.Errorf("BinPack is there %d times among %d, want once among %d", found, got, want)
	}
}

func TestArgumentsNeedAProfile(t *testing.T) {
	for _, text := range []string{"", "profiles: []", "profiles: [x]", "profiles: x", "{"} {
		if out, err := WithArgs([]byte(text), "BinPack", nil); err == nil {
			t.Errorf("%q: got %q, want an error", text, out)
		}
	}
}
