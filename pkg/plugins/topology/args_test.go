package topology

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
)

func TestDecodeArgsNamesEveryWrongField(t *testing.T) {
	const at = "pluginConfig[Topology].args"
	for name, tc := range map[string]struct {
		args string
		errs []string // none: the arguments are right
	}{
		"none": {"", nil},
		"all of them": {`{apiVersion: plimsoll.dev/v1alpha1, kind: TopologyArgs, levels: [{key: zone, alias: zone}, {key: example.com/row, alias: row}, {key: example.com/cage, alias: row}],
			groupTimeoutSeconds: 600, reservationSeconds: 3600, podGroupPollSeconds: 1, prices: [{from: a, to: b, perGB: 0.01}, {from: b, to: a, perGB: 0}], pricePerGBElsewhere: 0.02}`, nil},
		"an unknown field":          {"{timeout: 5}", []string{at, `unknown field "timeout"`}},
		"an unknown field inside":   {"{levels: [{label: x}]}", []string{`unknown field "levels[0].label"`}},
		"no levels":                 {"{levels: []}", []string{at + ".levels: Required value"}},
		"too many levels":           {"{levels: [" + strings.Repeat("{key: a},", 33) + "]}", []string{at + ".levels: Too many: 33: must have at most 32"}},
		"a level without a key":     {"{levels: [{alias: zone}]}", []string{at + `.levels[0].key: Invalid value: ""`}},
		"a key that is none":        {"{levels: [{key: a b}]}", []string{at + `.levels[0].key: Invalid value: "a b"`}},
		"a key twice":               {"{levels: [{key: a}, {key: a}]}", []string{at + `.levels[1].key: Duplicate value: "a"`}},
		"an alias that is none":     {"{levels: [{key: a, alias: Zone}]}", []string{at + `.levels[0].alias: Invalid value: "Zone"`}},
		"no timeout":                {"{groupTimeoutSeconds: 0}", []string{at + ".groupTimeoutSeconds: Invalid value: 0: want 1 to 600"}},
		"no reservation":            {"{reservationSeconds: 3601}", []string{at + ".reservationSeconds: Invalid value: 3601: want 1 to 3600"}},
		"no poll":                   {"{podGroupPollSeconds: 0}", []string{at + ".podGroupPollSeconds: Invalid value: 0: want 1 to 3600"}},
		"a price from nowhere":      {"{prices: [{to: b, perGB: 1}]}", []string{at + ".prices[0].from: Required value"}},
		"a price to nowhere":        {"{prices: [{from: b, perGB: 1}]}", []string{at + ".prices[0].to: Required value"}},
		"a price below zero":        {"{prices: [{from: a, to: b, perGB: -1}]}", []string{at + ".prices[0].perGB: Invalid value: -1: want 0 to 1000000"}},
		"a price that is no number": {"{pricePerGBElsewhere: .nan}", []string{at}},
		"a price that is too high":  {"{pricePerGBElsewhere: 1e7}", []string{at + ".pricePerGBElsewhere: Invalid value: 1e+07: want 0 to 1000000"}},
		"a price twice":             {"{prices: [{from: a, to: b, perGB: 1}, {from: a, to: b, perGB: 2}]}", []string{at + `.prices[1]: Duplicate value: "a to b"`}},
		"another plugin's":          {"{kind: BinPackArgs}", []string{at, `want "TopologyArgs"`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := DecodeArgs(&runtime.Unknown{Raw: []byte(tc.args)})
			if len(tc.errs) == 0 && err != nil {
				t.Fatalf("refused: %v", err)
			}
			for _, want := range tc.errs {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want it to say %q", err, want)
				}
			}
		})
	}
}

func TestTheDefaultsKnowTheCloudsLabels(t *testing.T) {
	args, err := DecodeArgs(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &Topology{levels: args.levels()}
	for word, want := range map[string]string{
		"zone":                  "topology.kubernetes.io/zone",
		"block":                 "topology.kubernetes.io/block, cloud.google.com/gce-topology-block, topology.k8s.aws/network-node-layer-2",
		"rack":                  "topology.kubernetes.io/rack, cloud.google.com/gce-topology-subblock, topology.k8s.aws/network-node-layer-3",
		"host":                  "kubernetes.io/hostname",
		"nvidia.com/gpu.clique": "nvidia.com/gpu.clique",
	} {
		if got := p.labelsOf(word); got != want {
			t.Errorf("%s: %s, want %s", word, got, want)
		}
	}
	// Narrower ones come later: EKS counts from the broadest, whatever it is called.
	order := []string{"region", "zone", "topology.k8s.aws/network-node-layer-1", "block", "rack", "topology.k8s.aws/network-node-layer-4", "clique", "host"}
	for i := range order[1:] {
		if p.rankOf(order[i]) >= p.rankOf(order[i+1]) {
			t.Errorf("%s is not broader than %s", order[i], order[i+1])
		}
	}
}
