package replay

import (
	"fmt"
	"slices"

	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"plimsoll.dev/scheduler/internal/adapt"
	"plimsoll.dev/scheduler/internal/schedconfig"
	"plimsoll.dev/scheduler/manifests"
	"plimsoll.dev/scheduler/pkg/plugins"
	"plimsoll.dev/scheduler/pkg/plugins/archaware"
	"plimsoll.dev/scheduler/pkg/plugins/binpack"
	"plimsoll.dev/scheduler/pkg/plugins/gpuslice"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// Policy is a scheduler that places pods.
type Policy struct {
	// Name is what results call it.
	Name string
	// Config is a KubeSchedulerConfiguration in YAML or JSON. Its first profile
	// places all pods. Empty is upstream's default.
	Config []byte
	// Quick runs GPUSlice in the place of DynamicResources, with its scores off and
	// devices in the order in which they are published. The outcome is the same, to
	// the device, but DynamicResources searches the devices of the whole cluster for
	// each node, which takes hours where this takes minutes. A profile without
	// DynamicResources is left as it is.
	Quick bool
}

// Plimsoll is the profile that is shipped.
func Plimsoll() Policy { return Policy{Name: "plimsoll", Config: manifests.SchedulerConfig} }

// PlimsollTo is the profile that is shipped with another line up to which BinPack
// fills nodes, 1 to 100 percent, as "plimsoll-100". The error is that of a profile
// that cannot be read.
func PlimsollTo(targetPercent int) (Policy, error) {
	data, err := schedconfig.WithArgs(manifests.SchedulerConfig, binpack.Name, map[string]any{
		"apiVersion": adapt.APIVersion, "kind": binpack.Name + "Args", "targetPercent": targetPercent})
	return Policy{Name: fmt.Sprintf("plimsoll-%d", targetPercent), Config: data}, err
}

// Default is upstream's default profile, but that it looks at every node, as
// Plimsoll does.
func Default() Policy { return Policy{Name: "default", Config: []byte(byDefault), Quick: true} }

// MostAllocated is the way to pack that upstream documents, with what is known to
// outvote it switched off, so that the comparison is with its best. GPUs of claims
// are nothing that it can score.
func MostAllocated() Policy {
	return Policy{Name: "MostAllocated", Config: []byte(mostAllocated), Quick: true}
}

const byDefault = `
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
percentageOfNodesToScore: 100
profiles: [{schedulerName: default-scheduler}]
`

const mostAllocated = `
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
percentageOfNodesToScore: 100
profiles:
- schedulerName: default-scheduler
  plugins:
    multiPoint:
      disabled: [{name: NodeResourcesBalancedAllocation}, {name: ImageLocality}]
  pluginConfig:
  - name: NodeResourcesFit
    args: {scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 1}, {name: memory, weight: 1}]}}
  - name: PodTopologySpread
    args: {defaultingType: List, defaultConstraints: []}
`

// configuration is that of a scheduler with the policy's profile alone, which tells
// the ledger of every pod it places.
func (p *Policy) configuration() (*config.KubeSchedulerConfiguration, error) {
	cfg, err := schedconfig.Decode(p.Config)
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", p.Name, err)
	}
	if len(cfg.Profiles) == 0 || cfg.Profiles[0].Plugins == nil {
		return nil, fmt.Errorf("policy %s: the configuration has no profile, want one", p.Name)
	}
	cfg.Profiles = cfg.Profiles[:1]
	enabled := cfg.Profiles[0].Plugins
	if p.Quick {
		quicken(enabled)
	}
	enabled.PostBind.Enabled = append(enabled.PostBind.Enabled, config.Plugin{Name: ledgerName})
	return cfg, nil
}

// quicken has GPUSlice do what DynamicResources does, at the same place in the order
// of plugins.
func quicken(p *config.Plugins) {
	at := slices.IndexFunc(p.MultiPoint.Enabled, func(one config.Plugin) bool { return one.Name == names.DynamicResources })
	ours := slices.ContainsFunc(p.MultiPoint.Enabled, func(one config.Plugin) bool { return one.Name == gpuslice.Name })
	if at < 0 || ours {
		return
	}
	p.MultiPoint.Enabled[at] = config.Plugin{Name: gpuslice.Name}
	for _, scoring := range []*config.PluginSet{&p.PreScore, &p.Score} {
		scoring.Disabled = append(scoring.Disabled, config.Plugin{Name: gpuslice.Name})
	}
}

// registry holds Plimsoll's plugins and the ledger. The recorder may be nil.
func (p *Policy) registry(l *ledger, recorder verdict.Recorder) frameworkruntime.Registry {
	out := plugins.Registry(plugins.Shared{Recorder: recorder,
		Devices: &gpuslice.Shared{FirstFit: p.Quick}, Images: &archaware.Shared{Registries: anywhere{}}})
	out[ledgerName] = l.new
	return out
}
