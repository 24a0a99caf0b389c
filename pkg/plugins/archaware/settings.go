package archaware

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"plimsoll.dev/scheduler/internal/adapt"
	"plimsoll.dev/scheduler/pkg/arch"
	"plimsoll.dev/scheduler/pkg/registry"
)

func (a *Args) validate(path *field.Path) field.ErrorList {
	errs := adapt.Within(path.Child("deadlineSeconds"), a.DeadlineSeconds, 1, 600)
	errs = append(errs, adapt.Within(path.Child("timeoutSeconds"), a.TimeoutSeconds, 1, 60)...)
	errs = append(errs, adapt.Within(path.Child("tagTTLSeconds"), a.TagTTLSeconds, 10, 86400)...)
	errs = append(errs, adapt.Within(path.Child("inspectionsPerSecond"), a.InspectionsPerSecond, 1, 1000)...)
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
		InspectionsPerSecond: float64(a.InspectionsPerSecond), Burst: 5 * int(a.InspectionsPerSecond),
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

// atOnce is how many images a registry may be asked about at a time: as many as
// keep the rate if each takes half a second, within bounds that neither starve
// slow registries nor flood fast ones.
func (a *Args) atOnce() int {
	return int(min(max(a.InspectionsPerSecond/2, 4), 64))
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
		a.DeadlineSeconds, a.TimeoutSeconds, a.TagTTLSeconds, a.InspectionsPerSecond, a.CacheMiB,
	})
	if err != nil {
		return fmt.Sprintf("%p", a) // shared with nobody
	}
	return string(text)
}
