package binpack

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"plimsoll.dev/scheduler/internal/adapt"
	"plimsoll.dev/scheduler/pkg/load"
)

// Args configures BinPack.
type Args struct {
	adapt.TypeMeta `json:",inline"`
	// TargetPercent is the utilization nodes are filled to, 1 to 100 percent of
	// allocatable. Default 80.
	TargetPercent int64 `json:"targetPercent"`
	// CeilingPercent refuses nodes that a pod would load above it, 1 to 100
	// percent of allocatable, not below the target. Default: no ceiling.
	CeilingPercent *int64 `json:"ceilingPercent,omitempty"`
	// Resources are weighed against the line. Default: cpu and memory of
	// weight 1, nvidia.com/gpu and amd.com/gpu as devices of weight 4 (they are
	// most of what such a node costs).
	Resources []ResourceArgs `json:"resources,omitempty"`
	// Pools have targets of their own. The first whose labels a node has wins, so
	// one with more labels comes before one with some of these. Default: none.
	Pools []PoolArgs `json:"pools,omitempty"`
	// ShapeHalfLifePods is after how many further pods a pod counts half in the
	// mix that stranding is judged by. At least 1. Default 1000.
	ShapeHalfLifePods int64 `json:"shapeHalfLifePods"`
	// MeasuredUsage blends in what nodes really use of cpu and memory: one of these
	// has to be among the resources. Default: off.
	MeasuredUsage *UsageArgs `json:"measuredUsage,omitempty"`
}

// ResourceArgs is one weighed resource.
type ResourceArgs struct {
	// Name is a resource name such as cpu, memory, ephemeral-storage, pods or
	// an extended resource.
	Name string `json:"name"`
	// Weight is what stranding a node's worth of it costs relative to the
	// other resources, 1 to 100. Default 1.
	Weight *int64 `json:"weight,omitempty"`
	// Device exempts the resource from target and ceiling: it counts only as
	// stranded. Default false.
	Device bool `json:"device,omitempty"`
}

// PoolArgs is the target of one node pool.
type PoolArgs struct {
	// MatchLabels selects the pool's nodes: they carry all of these labels.
	MatchLabels map[string]string `json:"matchLabels"`
	// TargetPercent takes the place of the profile's. Default: the profile's.
	TargetPercent *int64 `json:"targetPercent,omitempty"`
	// CeilingPercent takes the place of the profile's. Default: the profile's.
	CeilingPercent *int64 `json:"ceilingPercent,omitempty"`
}

// UsageArgs configures measured usage.
type UsageArgs struct {
	// WeightPercent is how far the measurement counts: at 0 a node is as full
	// as its requests, at 100 as its usage. 1 to 100. Default 50.
	WeightPercent *int64 `json:"weightPercent,omitempty"`
	// PollSeconds is the time between reads of metrics.k8s.io, 5 to 3600.
	// Default 30.
	PollSeconds *int64 `json:"pollSeconds,omitempty"`
	// MaxAgeSeconds is how old a sample may be to count, twice pollSeconds to
	// 86400. Default 180.
	MaxAgeSeconds *int64 `json:"maxAgeSeconds,omitempty"`
}

// DefaultArgs returns the arguments that apply where none are given.
func DefaultArgs() Args {
	return Args{TargetPercent: 80, ShapeHalfLifePods: 1000}
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
	if a.Resources == nil {
		gpuWeight := int64(4)
		a.Resources = []ResourceArgs{
			{Name: "cpu"}, {Name: "memory"},
			{Name: "nvidia.com/gpu", Weight: &gpuWeight, Device: true}, {Name: "amd.com/gpu", Weight: &gpuWeight, Device: true},
		}
	}
	for i := range a.Resources {
		setDefault(&a.Resources[i].Weight, 1)
	}
	if u := a.MeasuredUsage; u != nil {
		setDefault(&u.WeightPercent, 50)
		setDefault(&u.PollSeconds, 30)
		setDefault(&u.MaxAgeSeconds, 180)
	}
}

// setDefault fills in what was left out; a 0 that was written is not.
func setDefault(value **int64, to int64) {
	if *value == nil {
		*value = &to
	}
}

func (a *Args) validate(path *field.Path) field.ErrorList {
	errs := adapt.Within(path.Child("targetPercent"), a.TargetPercent, 1, 100)
	errs = append(errs, ceiling(path, a.CeilingPercent, a.TargetPercent)...)
	errs = append(errs, adapt.Within(path.Child("shapeHalfLifePods"), a.ShapeHalfLifePods, 1, 1_000_000)...)
	errs = append(errs, validateResources(path.Child("resources"), a.Resources)...)
	for i := range a.Pools {
		errs = append(errs, a.validatePool(path.Child("pools"), i)...)
	}
	if a.MeasuredUsage != nil {
		errs = append(errs, a.validateUsage(path.Child("measuredUsage"))...)
	}
	return errs
}

func (a *Args) validatePool(pools *field.Path, i int) field.ErrorList {
	pool, at := a.Pools[i], pools.Index(i)
	errs := validateLabels(at.Child("matchLabels"), pool.MatchLabels)
	for j, earlier := range a.Pools[:i] {
		if len(earlier.MatchLabels) > 0 && within(earlier.MatchLabels, pool.MatchLabels) {
			errs = append(errs, field.Invalid(at.Child("matchLabels"), pool.MatchLabels,
				fmt.Sprintf("no node gets here: all that have these labels belong to %s, want this pool before that", pools.Index(j))))
			break
		}
	}
	target, limit := a.TargetPercent, pool.CeilingPercent
	if pool.TargetPercent != nil {
		target = *pool.TargetPercent
		errs = append(errs, adapt.Within(at.Child("targetPercent"), target, 1, 100)...)
	}
	if limit == nil {
		limit = a.CeilingPercent
	}
	return append(errs, ceiling(at, limit, target)...)
}

// validateLabels holds a pool to labels that a node can have.
func validateLabels(path *field.Path, labels map[string]string) field.ErrorList {
	if len(labels) == 0 {
		return field.ErrorList{field.Required(path, "a pool is selected by at least one node label")}
	}
	var errs field.ErrorList
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		for _, problem := range validation.IsQualifiedName(key) {
			errs = append(errs, field.Invalid(path, key, "no node has such a label: "+problem))
		}
		for _, problem := range validation.IsValidLabelValue(labels[key]) {
			errs = append(errs, field.Invalid(path.Key(key), labels[key], "no node has a label of this value: "+problem))
		}
	}
	return errs
}

// within tells whether all of these labels are among the others, with the same values.
func within(labels, others map[string]string) bool {
	for key, value := range labels {
		if other, found := others[key]; !found || other != value {
			return false
		}
	}
	return true
}

func (a *Args) validateUsage(path *field.Path) field.ErrorList {
	u := a.MeasuredUsage
	errs := adapt.Within(path.Child("weightPercent"), *u.WeightPercent, 1, 100)
	errs = append(errs, adapt.Within(path.Child("pollSeconds"), *u.PollSeconds, 5, 3600)...)
	// A sample is as old as a poll when the next one comes, and that takes a while.
	errs = append(errs, adapt.Within(path.Child("maxAgeSeconds"), *u.MaxAgeSeconds, 2**u.PollSeconds, 86400)...)
	if !slices.ContainsFunc(a.Resources, func(r ResourceArgs) bool {
		return r.Name == string(v1.ResourceCPU) || r.Name == string(v1.ResourceMemory)
	}) {
		errs = append(errs, field.Forbidden(path, "only cpu and memory are measured: want one of them among the resources, or no measured usage"))
	}
	return errs
}

func validateResources(path *field.Path, resources []ResourceArgs) field.ErrorList {
	var errs field.ErrorList
	if len(resources) > load.MaxResources {
		errs = append(errs, field.TooMany(path, len(resources), load.MaxResources))
	}
	seen, lined := map[string]bool{}, false
	for i, r := range resources {
		at := path.Index(i)
		errs = append(errs, validateName(at.Child("name"), r.Name)...)
		if seen[r.Name] {
			errs = append(errs, field.Duplicate(at.Child("name"), r.Name))
		}
		seen[r.Name] = true
		lined = lined || !r.Device
		errs = append(errs, adapt.Within(at.Child("weight"), *r.Weight, 1, 100)...)
	}
	if !lined {
		errs = append(errs, field.Invalid(path, resources, "want at least one resource that is not a device"))
	}
	return errs
}

// validateName holds names without a domain to those that Kubernetes itself
// knows: a misspelt one would be weighed as a resource that no node has.
func validateName(path *field.Path, name string) field.ErrorList {
	if strings.Contains(name, "/") {
		var errs field.ErrorList
		for _, problem := range validation.IsQualifiedName(name) {
			errs = append(errs, field.Invalid(path, name, problem))
		}
		return errs
	}
	native := []string{string(v1.ResourceCPU), string(v1.ResourceMemory), string(v1.ResourceEphemeralStorage), string(v1.ResourcePods)}
	if slices.Contains(native, name) || strings.HasPrefix(name, v1.ResourceHugePagesPrefix) {
		return nil
	}
	return field.ErrorList{field.NotSupported(path, name, append(native, "hugepages-<size>", "<domain>/<name>"))}
}

func ceiling(path *field.Path, value *int64, target int64) field.ErrorList {
	if value == nil {
		return nil
	}
	if *value > 100 || *value < max(target, 1) {
		return field.ErrorList{field.Invalid(path.Child("ceilingPercent"), *value,
			fmt.Sprintf("want the target, %d, to 100", target))}
	}
	return nil
}

func (a *Args) scale() (*load.Scale, []v1.ResourceName, error) {
	names := make([]v1.ResourceName, len(a.Resources))
	resources := make([]load.Resource, len(a.Resources))
	for i, r := range a.Resources {
		names[i] = v1.ResourceName(r.Name)
		resources[i] = load.Resource{Name: r.Name, Weight: *r.Weight, Device: r.Device}
	}
	scale, err := load.NewScale(resources)
	return scale, names, err
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }
