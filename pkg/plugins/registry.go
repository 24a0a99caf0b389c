// Package plugins is the one list of Plimsoll's plugins; the scheduler command,
// the demo and all tests register them from here.
package plugins

import (
	"k8s.io/kubernetes/cmd/kube-scheduler/app"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"plimsoll.dev/scheduler/pkg/plugins/archaware"
	"plimsoll.dev/scheduler/pkg/plugins/binpack"
	"plimsoll.dev/scheduler/pkg/plugins/claimgate"
	"plimsoll.dev/scheduler/pkg/plugins/gpuslice"
	"plimsoll.dev/scheduler/pkg/plugins/topology"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// Shared is what the plugins of all profiles of one process share. The zero
// value works.
type Shared struct {
	// Recorder is told why pods were placed; nil if nobody asks.
	Recorder verdict.Recorder
	// Devices is the device model; nil for one of this registry's own. Profiles
	// must share one, to see each other's allocations in flight.
	Devices *gpuslice.Shared
	// Images is what is known of images; nil for what real registries say.
	Images *archaware.Shared
	// Groups is what is known of groups; nil for this registry's own. Profiles
	// must share one, to leave the room that others hold for groups.
	Groups *topology.Shared
}

// Registry returns the plugins' factories by name.
func Registry(shared Shared) frameworkruntime.Registry {
	if shared.Devices == nil {
		shared.Devices = &gpuslice.Shared{}
	}
	if shared.Images == nil {
		shared.Images = &archaware.Shared{}
	}
	if shared.Groups == nil {
		shared.Groups = &topology.Shared{}
	}
	return frameworkruntime.Registry{
		topology.Name:  topology.New(shared.Groups, shared.Recorder),
		archaware.Name: archaware.New(shared.Images, shared.Recorder),
		gpuslice.Name:  gpuslice.New(shared.Devices, shared.Recorder),
		binpack.Name:   binpack.New(shared.Recorder),
		claimgate.Name: claimgate.New,
	}
}

// Options registers the plugins with the upstream scheduler command.
func Options(shared Shared) []app.Option {
	registry := Registry(shared)
	options := make([]app.Option, 0, len(registry))
	for name, factory := range registry {
		options = append(options, app.WithPlugin(name, factory))
	}
	return options
}
