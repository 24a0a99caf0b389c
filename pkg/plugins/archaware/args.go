package archaware

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"plimsoll.dev/scheduler/internal/adapt"
)

// WhenUnknown says what becomes of a pod with an image that cannot be inspected.
type WhenUnknown string

const (
	// Open schedules the pod on assumedPlatforms, and on those that its images
	// have been seen to run on; an event says so.
	Open WhenUnknown = "Open"
	// Closed keeps the pod waiting, unless its images have been seen to run.
	Closed WhenUnknown = "Closed"
)

// Args configures ArchAware.
type Args struct {
	adapt.TypeMeta `json:",inline"`
	// Inspect asks registries for which platforms images are built. Without it,
	// only what was observed on nodes is known of an image. Default true.
	Inspect *bool `json:"inspect,omitempty"`
	// Registries are settings of single registries and mirrors. Default: none.
	Registries []RegistryArgs `json:"registries,omitempty"`
	// AllowedRegistries are the only ones that are asked: hosts with their port,
	// if they have one, or *.example.com. Images of others are unknown. Default:
	// all.
	AllowedRegistries []string `json:"allowedRegistries,omitempty"`
	// AllowedNetworks are exceptions, as CIDRs, to the addresses that are never
	// dialled: loopback, link-local, multicast and those of cloud metadata.
	// Default: none.
	AllowedNetworks []string `json:"allowedNetworks,omitempty"`
	// UsePullSecrets reads the imagePullSecrets of pods whose images are not
	// public. The scheduler then needs get on secrets. Default false.
	UsePullSecrets bool `json:"usePullSecrets,omitempty"`
	// DeadlineSeconds is how long a pod is held back at most until its images
	// are inspected, 1 to 600. Default 20.
	DeadlineSeconds int64 `json:"deadlineSeconds"`
	// TimeoutSeconds bounds one inspection, 1 to 60. Default 10.
	TimeoutSeconds int64 `json:"timeoutSeconds"`
	// TagTTLSeconds is how long a tag is taken to name the same image, 10 to
	// 86400. Default 600.
	TagTTLSeconds int64 `json:"tagTTLSeconds"`
	// InspectionsPerSecond bounds how many images each registry is asked about,
	// 1 to 1000; each takes three to five requests, and five times as many may
	// come after a pause. Half as many, 4 to 64, are asked about at a time. Default
	// 20.
	InspectionsPerSecond int64 `json:"inspectionsPerSecond"`
	// CacheMiB bounds what is remembered of images, 1 to 1024. Default 32.
	CacheMiB int64 `json:"cacheMiB"`
	// WhenUnknown says what becomes of a pod with an image that cannot be
	// inspected. Default Open.
	WhenUnknown WhenUnknown `json:"whenUnknown"`
	// AssumedPlatforms are what an image that cannot be inspected is taken to be
	// built for, such as linux/amd64, as long as the cluster has nodes of them.
	// An empty list: any platform. Default: linux/amd64.
	AssumedPlatforms []string `json:"assumedPlatforms"`
	// Use32Bit lets images that are 32-bit only (linux/386, linux/arm) run on
	// 64-bit nodes, after all others. Many arm64 CPUs cannot. Default true.
	Use32Bit *bool `json:"use32Bit,omitempty"`
	// PreferredArchitectures come first, in this order, for pods that can run
	// on several and do not say themselves what they prefer: cheaper ones, for
	// example. Default: none.
	PreferredArchitectures []string `json:"preferredArchitectures,omitempty"`
	// Flexibility leaves the architecture that is scarce to pods that cannot
	// run elsewhere, where neither pod nor profile prefer one. Default true.
	Flexibility *bool `json:"flexibility,omitempty"`
	// DemandHalfLifePods is after how many further pods a pod counts half in
	// what is expected of pods that cannot choose, 1 to 1000000. Default 1000.
	DemandHalfLifePods int64 `json:"demandHalfLifePods"`
	// RuntimeClasses are those that run another platform than their node's.
	// Default: none.
	RuntimeClasses []RuntimeClassArgs `json:"runtimeClasses,omitempty"`
}

// RegistryArgs are the settings of one registry or mirror.
type RegistryArgs struct {
	// Name is its host, with the port if it has one, such as docker.io; or * for
	// the mirrors of all that are not listed.
	Name string `json:"name"`
	// Mirrors are hosts that are asked first, in this order. Pull secrets are
	// never shown to them. Default: none.
	Mirrors []string `json:"mirrors,omitempty"`
	// MirrorsOnly asks nobody but the mirrors. Default false.
	MirrorsOnly bool `json:"mirrorsOnly,omitempty"`
	// PlainHTTP allows to ask this host without TLS. Default false.
	PlainHTTP bool `json:"plainHTTP,omitempty"`
	// CAFile holds, as PEM, certificates to trust beside the system's. It is
	// read at start-up. Default: none.
	CAFile string `json:"caFile,omitempty"`
	// Sparse says that this host may lack some of the platforms that its indexes
	// list, as partial mirrors do: each is checked. Default false.
	Sparse bool `json:"sparse,omitempty"`
}

// RuntimeClassArgs maps a RuntimeClass to what it runs.
type RuntimeClassArgs struct {
	// Name is that of the RuntimeClass.
	Name string `json:"name"`
	// Platform is what it runs beside the node's own, such as wasip1/wasm.
	// Required.
	Platform string `json:"platform"`
}

// DefaultArgs returns the arguments that apply where none are given.
func DefaultArgs() Args {
	return Args{
		DeadlineSeconds: 20, TimeoutSeconds: 10, TagTTLSeconds: 600, InspectionsPerSecond: 20, CacheMiB: 32,
		WhenUnknown: Open, DemandHalfLifePods: 1000,
	}
}

// DecodeArgs decodes, defaults and validates the plugin's arguments. Its error
// names every wrong field by its path.
func DecodeArgs(raw runtime.Object) (Args, error) {
	args := DefaultArgs()
	path := field.NewPath("pluginConfig").Key(Name).Child("args")
	if err := adapt.DecodeArgs(raw, &args); err != nil {
		return args, fmt.Errorf("%s: %w", path, err)
	}
	args.setDefaults()
	if err := args.Validate(Name); err != nil {
		return args, fmt.Errorf("%s: %w", path, err)
	}
	return args, args.validate(path).ToAggregate()
}

func (a *Args) setDefaults() {
	if a.AssumedPlatforms == nil {
		a.AssumedPlatforms = []string{"linux/amd64"}
	}
	yes := true
	for _, flag := range []**bool{&a.Inspect, &a.Use32Bit, &a.Flexibility} {
		if *flag == nil {
			*flag = &yes
		}
	}
}
