package binpack

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
)

func TestDecodeArgsNamesEveryWrongField(t *testing.T) {
	const at = "pluginConfig[BinPack].args"
	for name, tc := range map[string]struct {
		args string
		errs []string // none: the arguments are right
	}{
		"none":                        {"", nil},
		"all of them":                 {"{apiVersion: plimsoll.dev/v1alpha1, kind: BinPackArgs, targetPercent: 70, ceilingPercent: 90, resources: [{name: cpu, weight: 2}, {name: example.com/fpga, device: true}], pools: [{matchLabels: {a: b}, targetPercent: 50, ceilingPercent: 60}], shapeHalfLifePods: 10, measuredUsage: {weightPercent: 100, pollSeconds: 60, maxAgeSeconds: 120}}", nil},
		"the edges":                   {"{targetPercent: 100, ceilingPercent: 100, pools: [{matchLabels: {a: b}, targetPercent: 1}]}", nil},
		"measured usage by default":   {"{measuredUsage: {}}", nil},
		"an unknown field":            {"{targetPercnt: 80}", []string{at, `unknown field "targetPercnt"`}},
		"an unknown field inside":     {"{pools: [{matchLabel: {}}]}", []string{`unknown field "pools[0].matchLabel"`}},
		"target nothing":              {"{targetPercent: 0}", []string{at + ".targetPercent: Invalid value: 0: want 1 to 100"}},
		"target past the brim":        {"{targetPercent: 101}", []string{at + ".targetPercent: Invalid value: 101: want 1 to 100"}},
		"target as a word":            {"{targetPercent: eighty}", []string{at, "targetPercent of type int64"}},
		"target as a fraction":        {"{targetPercent: 0.8}", []string{at, "targetPercent of type int64"}},
		"ceiling below the target":    {"{ceilingPercent: 79}", []string{at + ".ceilingPercent: Invalid value: 79: want the target, 80, to 100"}},
		"pool without labels":         {"{pools: [{targetPercent: 50}]}", []string{at + ".pools[0].matchLabels: Required value"}},
		"pool below its ceiling":      {"{ceilingPercent: 85, pools: [{matchLabels: {a: b}, targetPercent: 90}]}", []string{at + ".pools[0].ceilingPercent: Invalid value: 85: want the target, 90, to 100"}},
		"pool target":                 {"{pools: [{matchLabels: {a: b}}, {matchLabels: {a: c}, targetPercent: 0}]}", []string{at + ".pools[1].targetPercent: Invalid value: 0"}},
		"resource twice":              {"{resources: [{name: cpu}, {name: cpu}]}", []string{at + ".resources[1].name: Duplicate value"}},
		"resource without a name":     {"{resources: [{name: cpu}, {weight: 1}]}", []string{at + ".resources[1].name: Unsupported value"}},
		"resource misspelt":           {"{resources: [{name: cpus}]}", []string{at + `.resources[0].name: Unsupported value: "cpus"`, `"cpu"`}},
		"resource of no domain":       {"{resources: [{name: cpu}, {name: /gpu}]}", []string{at + ".resources[1].name: Invalid value"}},
		"huge pages":                  {"{resources: [{name: cpu}, {name: hugepages-2Mi}]}", nil},
		"no resources":                {"{resources: []}", []string{at + ".resources: Invalid value"}},
		"a weight of nothing":         {"{resources: [{name: cpu, weight: 0}]}", []string{at + ".resources[0].weight: Invalid value: 0: want 1 to 100"}},
		"usage that never counts":     {"{measuredUsage: {weightPercent: 0}}", []string{at + ".measuredUsage.weightPercent: Invalid value: 0: want 1 to 100"}},
		"usage polled all the time":   {"{measuredUsage: {pollSeconds: 0}}", []string{at + ".measuredUsage.pollSeconds: Invalid value: 0: want 5 to 3600"}},
		"weight":                      {"{resources: [{name: cpu, weight: 101}]}", []string{at + ".resources[0].weight: Invalid value: 101: want 1 to 100"}},
		"only devices":                {"{resources: [{name: nvidia.com/gpu, device: true}]}", []string{at + ".resources: Invalid value", "not a device"}},
		"more than are weighed":       {"{resources: [{name: x/a}, {name: x/b}, {name: x/c}, {name: x/d}, {name: x/e}, {name: x/f}, {name: x/g}, {name: x/h}, {name: x/i}]}", []string{at + ".resources: Too many: 9"}},
		"half-life":                   {"{shapeHalfLifePods: 0}", []string{at + ".shapeHalfLifePods: Invalid value: 0"}},
		"usage":                       {"{measuredUsage: {weightPercent: 101, pollSeconds: 1, maxAgeSeconds: -1}}", []string{at + ".measuredUsage.weightPercent", at + ".measuredUsage.pollSeconds", at + ".measuredUsage.maxAgeSeconds"}},
		"samples staler than polls":   {"{measuredUsage: {pollSeconds: 300}}", []string{at + ".measuredUsage.maxAgeSeconds: Invalid value: 180: want 600 to 86400"}},
		"samples of one poll only":    {"{measuredUsage: {pollSeconds: 60, maxAgeSeconds: 119}}", []string{at + ".measuredUsage.maxAgeSeconds: Invalid value: 119: want 120 to 86400"}},
		"nothing that is measured":    {"{resources: [{name: example.com/fpga}], measuredUsage: {}}", []string{at + ".measuredUsage: Forbidden: only cpu and memory are measured"}},
		"memory alone":                {"{resources: [{name: memory}], measuredUsage: {}}", nil},
		"a label no node can have":    {"{pools: [{matchLabels: {a: b}}, {matchLabels: {'pool ': x}}]}", []string{at + `.pools[1].matchLabels: Invalid value: "pool "`}},
		"a value no label has":        {"{pools: [{matchLabels: {pool: 'a,b'}}]}", []string{at + `.pools[0].matchLabels[pool]: Invalid value: "a,b"`}},
		"a pool that no node gets to": {"{pools: [{matchLabels: {x: z}}, {matchLabels: {a: b}}, {matchLabels: {a: b, c: d}}]}", []string{at + ".pools[2].matchLabels: Invalid value", "belong to " + at + ".pools[1]"}},
		"the same pool twice":         {"{pools: [{matchLabels: {a: b}}, {matchLabels: {a: b}}]}", []string{at + ".pools[1].matchLabels: Invalid value"}},
		"the narrower pool first":     {"{pools: [{matchLabels: {a: b, c: d}}, {matchLabels: {a: b}}, {matchLabels: {a: c}}]}", nil},
		"another plugin's":            {"{kind: TopologyArgs}", []string{at, `"TopologyArgs" does not fit plugin BinPack`}},
		"everything at once":          {"{targetPercent: 0, shapeHalfLifePods: 0}", []string{"targetPercent", "shapeHalfLifePods"}},
	} {
		t.Run(name, func(t *testing.T) {
			args, err := DecodeArgs(&runtime.Unknown{Raw: []byte(tc.args)})
			if len(tc.errs) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				if _, _, err := args.scale(); err != nil {
					t.Errorf("the resources are valid but make no scale: %v", err)
				}
			}
			for _, want := range tc.errs {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want it to say %q", err, want)
				}
			}
		})
	}
}
