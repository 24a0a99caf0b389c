package archaware

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
)

func TestDecodeArgsNamesEveryWrongField(t *testing.T) {
	const at = "pluginConfig[ArchAware].args"
	nonsense := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(nonsense, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args string
		errs []string // none: the arguments are right
	}{
		"none": {"", nil},
		"all of them": {`{apiVersion: plimsoll.dev/v1alpha1, kind: ArchAwareArgs, inspect: true, allowedRegistries: [docker.io, "*.example.com"], allowedNetworks: [10.0.0.0/8, "fd00::/8"],
			registries: [{name: docker.io, mirrors: [mirror.example.com:5000], mirrorsOnly: true}, {name: "mirror.example.com:5000", plainHTTP: true, sparse: true}],
			usePullSecrets: true, deadlineSeconds: 1, timeoutSeconds: 1, tagTTLSeconds: 10, inspectionsPerSecond: 1, cacheMiB: 1, whenUnknown: Closed, assumedPlatforms: [linux/amd64, linux/arm/v7],
			use32Bit: false, preferredArchitectures: [arm64, amd64], flexibility: false, demandHalfLifePods: 1, runtimeClasses: [{name: wasmtime, platform: wasip1/wasm}]}`, nil},
		"nothing is assumed":        {"{assumedPlatforms: []}", nil},
		"an unknown field":          {"{deadline: 5}", []string{at, `unknown field "deadline"`}},
		"an unknown field inside":   {"{registries: [{nam: x}]}", []string{`unknown field "registries[0].nam"`}},
		"no deadline":               {"{deadlineSeconds: 0}", []string{at + ".deadlineSeconds: Invalid value: 0: want 1 to 600"}},
		"no timeout":                {"{timeoutSeconds: 61}", []string{at + ".timeoutSeconds: Invalid value: 61: want 1 to 60"}},
		"no TTL":                    {"{tagTTLSeconds: 9}", []string{at + ".tagTTLSeconds: Invalid value: 9: want 10 to 86400"}},
		"no requests":               {"{inspectionsPerSecond: 0}", []string{at + ".inspectionsPerSecond: Invalid value: 0: want 1 to 1000"}},
		"no memory":                 {"{cacheMiB: -1}", []string{at + ".cacheMiB: Invalid value: -1: want 1 to 1024"}},
		"no half-life":              {"{demandHalfLifePods: 0}", []string{at + ".demandHalfLifePods: Invalid value: 0"}},
		"another policy":            {"{whenUnknown: ajar}", []string{at + `.whenUnknown: Unsupported value: "ajar": supported values: "Open", "Closed"`}},
		"half a platform":           {"{assumedPlatforms: [linux/amd64, arm64]}", []string{at + `.assumedPlatforms[1]: Invalid value: "arm64"`}},
		"no architecture":           {"{preferredArchitectures: [arm64, x86_64]}", []string{at + ".preferredArchitectures: Invalid value", `"x86_64", number 2 of 2`}},
		"one twice":                 {"{preferredArchitectures: [arm64, arm64]}", []string{at + ".preferredArchitectures: Invalid value", "listed before"}},
		"no network":                {"{allowedNetworks: [localhost]}", []string{at + `.allowedNetworks[0]: Invalid value: "localhost": want a CIDR`}},
		"a class without a name":    {"{runtimeClasses: [{platform: wasip1/wasm}]}", []string{at + ".runtimeClasses[0].name: Required value"}},
		"a class twice":             {"{runtimeClasses: [{name: a, platform: wasip1/wasm}, {name: a, platform: wasip1/wasm}]}", []string{at + `.runtimeClasses[1].name: Duplicate value: "a"`}},
		"a class without platform":  {"{runtimeClasses: [{name: a}]}", []string{at + `.runtimeClasses[0].platform: Invalid value: ""`}},
		"a registry without a name": {"{registries: [{mirrors: [a]}]}", []string{at + ".registries", "hosts[0].name"}},
		"a registry as a URL":       {`{registries: [{name: "https://docker.io"}]}`, []string{at + ".registries", "https://docker.io"}},
		"a certificate not there":   {`{registries: [{name: docker.io, caFile: /nowhere/ca.crt}]}`, []string{at + `.registries[0].caFile: Invalid value: "/nowhere/ca.crt"`}},
		"a certificate that is not": {`{registries: [{name: docker.io, caFile: ` + nonsense + `}]}`, []string{at + ".registries", "PEM"}},
		"another plugin's":          {"{kind: BinPackArgs}", []string{at, `want "ArchAwareArgs"`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := DecodeArgs(&runtime.Unknown{Raw: []byte(tc.args)})
			if (err != nil) != (len(tc.errs) > 0) {
				t.Fatalf("error %v, want %v", err, tc.errs)
			}
			for _, want := range tc.errs {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
}

func TestOnlyProfilesWithEqualSettingsShareWhatTheyKnow(t *testing.T) {
	key := func(text string) string {
		args, err := DecodeArgs(&runtime.Unknown{Raw: []byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		return args.key()
	}
	if key("") != key("{whenUnknown: Closed, preferredArchitectures: [arm64], flexibility: false, inspect: true}") {
		t.Error("profiles that ask registries alike do not share")
	}
	for _, text := range []string{"{inspect: false}", "{usePullSecrets: true}", "{tagTTLSeconds: 60}", "{deadlineSeconds: 60}", "{allowedRegistries: [docker.io]}", "{allowedNetworks: [10.0.0.0/8]}", "{registries: [{name: docker.io, sparse: true}]}"} {
		if key("") == key(text) {
			t.Errorf("%s: shares with a profile without", text)
		}
	}
}

// Four questions at once, whatever the rate, were 8 images a second at half a
// second each.
func TestEnoughIsAskedAtOnceForTheRate(t *testing.T) {
	for rate, want := range map[int64]int{1: 4, 8: 4, 20: 10, 100: 50, 1000: 64} {
		if got := (&Args{InspectionsPerSecond: rate}).atOnce(); got != want {
			t.Errorf("%d inspections a second: %d at once, want %d", rate, got, want)
		}
	}
}
