package archaware

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"plimsoll.dev/scheduler/internal/adapt"
	"plimsoll.dev/scheduler/pkg/arch"
	"plimsoll.dev/scheduler/pkg/registry"
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
	// RequestsPerSecond bounds what each registry is asked, 1 to 1000. Default
	// 10.
	RequestsPerSecond int64 `json:"requestsPerSecond"`
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
		DeadlineSeconds: 20, TimeoutSeconds: 10, TagTTLSeconds: 600, RequestsPerSecond: 10, CacheMiB: 32,
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

func (a *Args) validate(path *field.Path) field.ErrorList {
	errs := adapt.Within(path.Child("deadlineSeconds"), a.DeadlineSeconds, 1, 600)
	errs = append(errs, adapt.Within(path.Child("timeoutSeconds"), a.TimeoutSeconds, 1, 60)...)
	errs = append(errs, adapt.Within(path.Child("tagTTLSeconds"), a.TagTTLSeconds, 10, 86400)...)
	errs = append(errs, adapt.Within(path.Child("requestsPerSecond"), a.RequestsPerSecond, 1, 1000)...)
	errs = append(errs, adapt.Within(path.Child("cacheMiB"), a.CacheMiB, 1, 1024)...)
	errs = append(errs, adapt.Within(path.Child("demandHalfLifePods"), a.DemandHalfLifePods, 1, 1_000_000)...)
	if a.WhenUnknown != Open && a.WhenUnknown != Closed {
		errs = append(errs, field.NotSupported(path.Child("whenUnknown"), a.WhenUnknown, []WhenUnknown{Open, Closed}))
	}
	for i, text := range a.AssumedPlatforms {
		errs = append(errs, platform(path.Child("assumedPlatforms").Index(i), text)...)
	}
	if _, err := arch.FromOrder(a.PreferredArchitectures); err != nil {
		errs = append(errs, field.Invalid(path.Child("preferredArchitectures"), a.PreferredArchitectures, err.Error()))
	}
	for i, text := range a.AllowedNetworks {
		if _, err := netip.ParsePrefix(text); err != nil {
			errs = append(errs, field.Invalid(path.Child("allowedNetworks").Index(i), text, "want a CIDR such as 10.0.0.0/8 or fd00::/8"))
		}
	}
	seen := map[string]bool{}
	for i, class := range a.RuntimeClasses {
		at := path.Child("runtimeClasses").Index(i)
		switch {
		case class.Name == "":
			errs = append(errs, field.Required(at.Child("name"), "the name of a RuntimeClass"))
		case seen[class.Name]:
			errs = append(errs, field.Duplicate(at.Child("name"), class.Name))
		}
		seen[class.Name] = true
		errs = append(errs, platform(at.Child("platform"), class.Platform)...)
	}
	return append(errs, a.validateRegistries(path)...)
}

func platform(path *field.Path, text string) field.ErrorList {
	if _, err := arch.Parse(text); err != nil {
		return field.ErrorList{field.Invalid(path, text, err.Error())}
	}
	return nil
}

// validateRegistries has the client judge what is meant for it.
func (a *Args) validateRegistries(path *field.Path) field.ErrorList {
	options, errs := a.registries(path)
	if len(errs) == 0 {
		if _, err := registry.NewClient(options); err != nil {
			errs = append(errs, field.Invalid(path.Child("registries"), "", err.Error()))
		}
	}
	return errs
}

// registries are the client's options.
func (a *Args) registries(path *field.Path) (registry.Options, field.ErrorList) {
	var errs field.ErrorList
	out := registry.Options{
		Timeout: time.Duration(a.TimeoutSeconds) * time.Second, Allowed: a.AllowedRegistries,
		RequestsPerSecond: float64(a.RequestsPerSecond), Burst: 2 * int(a.RequestsPerSecond),
	}
	for _, text := range a.AllowedNetworks {
		if prefix, err := netip.ParsePrefix(text); err == nil {
			out.AllowedNetworks = append(out.AllowedNetworks, prefix)
		}
	}
	for i, r := range a.Registries {
		host := registry.Host{Name: r.Name, Mirrors: r.Mirrors, MirrorsOnly: r.MirrorsOnly, PlainHTTP: r.PlainHTTP, Sparse: r.Sparse}
		if r.CAFile != "" {
			pem, err := os.ReadFile(r.CAFile)
			if err != nil {
				errs = append(errs, field.Invalid(path.Child("registries").Index(i).Child("caFile"), r.CAFile, err.Error()))
			}
			host.CA = pem
		}
		out.Hosts = append(out.Hosts, host)
	}
	return out, errs
}

func (a *Args) deadline() time.Duration { return time.Duration(a.DeadlineSeconds) * time.Second }

// assumed is the set of assumedPlatforms.
func (a *Args) assumed() arch.Set {
	var all []arch.Platform
	for _, text := range a.AssumedPlatforms {
		if p, err := arch.Parse(text); err == nil {
			all = append(all, p)
		}
	}
	return arch.NewSet(all...)
}

// key is the same for profiles that can share what they know of images.
func (a *Args) key() string {
	text, err := json.Marshal([]any{
		a.Inspect, a.Registries, a.AllowedRegistries, a.AllowedNetworks, a.UsePullSecrets,
		a.DeadlineSeconds, a.TimeoutSeconds, a.TagTTLSeconds, a.RequestsPerSecond, a.CacheMiB,
	})
	if err != nil {
		return fmt.Sprintf("%p", a) // shared with nobody
	}
	return string(text)
}
