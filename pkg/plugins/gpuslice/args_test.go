package gpuslice

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
)

func raw(text string) runtime.Object { return &runtime.Unknown{Raw: []byte(text)} }

func TestArgumentsAreDefaultedAndChecked(t *testing.T) {
	for name, c := range map[string]struct{ args, want string }{
		"none":                           {"", ""},
		"all that may be given":          {"profileMix: Fixed\nprofileWeights: {1g.10gb: 1, 7g.80gb: 0}\nmixHalfLifeRequests: 5\nspareGPUNodes: false\npoolLabel: pool\nfilterTimeoutSeconds: 0\nbindingTimeoutSeconds: 1", ""},
		"another mix":                    {"profileMix: Fair", `profileMix: Unsupported value: "Fair"`},
		"a fixed mix without weights":    {"profileMix: Fixed", "profileWeights: Required value"},
		"a fixed mix without any weight": {"profileMix: Fixed\nprofileWeights: {1g.10gb: 0}", "want a weight above 0"},
		"weights without a fixed mix":    {"profileWeights: {1g.10gb: 1}", "only a Fixed mix has weights, profileMix is Uniform"},
		"a negative weight":              {"profileMix: Fixed\nprofileWeights: {1g.10gb: -1}", "profileWeights[1g.10gb]: Invalid value: -1: want 0 to 1000000"},
		"a profile that is none":         {"profileMix: Fixed\nprofileWeights: {3g40gb: 1}", `profileWeights[3g40gb]: Invalid value: "3g40gb": parsing profile`},
		"no half-life":                   {"mixHalfLifeRequests: 0", "mixHalfLifeRequests: Invalid value: 0"},
		"a negative timeout":             {"filterTimeoutSeconds: -1", "filterTimeoutSeconds: Invalid value: -1"},
		"no time to bind":                {"bindingTimeoutSeconds: 0", "bindingTimeoutSeconds: Invalid value: 0"},
		"a label that is none":           {"poolLabel: 'a b'", "poolLabel"},
		"an unknown field":               {"profilemix: Learnt", `unknown field "profilemix"`},
		"another plugin's arguments":     {"kind: BinPackArgs", `want "GPUSliceArgs"`},
	} {
		_, err := DecodeArgs(raw(c.args))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "pluginConfig[GPUSlice].args")):
			t.Errorf("%s: error %v, want it to say %q and where", name, err, c.want)
		}
	}
}

// TestTheWrappedPluginGetsUpstreamsDefaults: without them it would run without
// any timeout.
func TestTheWrappedPluginGetsUpstreamsDefaults(t *testing.T) {
	args, err := DecodeArgs(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := args.dynamicResources()
	if err != nil {
		t.Fatal(err)
	}
	if got.FilterTimeout == nil || got.FilterTimeout.Duration != 10*time.Second || got.BindingTimeout == nil || got.BindingTimeout.Duration != 600*time.Second {
		t.Errorf("defaults %+v", got)
	}
	args, err = DecodeArgs(raw("filterTimeoutSeconds: 3\nbindingTimeoutSeconds: 30"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err = args.dynamicResources(); err != nil || got.FilterTimeout.Duration != 3*time.Second || got.BindingTimeout.Duration != 30*time.Second {
		t.Errorf("as given: %+v, %v", got, err)
	}
}
