package gpuslice

import (
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	configv1 "k8s.io/kube-scheduler/config/v1"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"

	"plimsoll.dev/scheduler/internal/adapt"
	"plimsoll.dev/scheduler/pkg/mig"
)

// ProfileMix says how much each MIG profile counts in the worth of what a GPU
// has left.
type ProfileMix string

// The ways to weigh profiles.
const (
	// Uniform counts all profiles of a GPU alike, whatever is asked for.
	Uniform ProfileMix = "Uniform"
	// Learnt counts them as they were asked for lately, each at least seven
	// tenths of an equal share.
	Learnt ProfileMix = "Learnt"
	// Fixed counts them by profileWeights.
	Fixed ProfileMix = "Fixed"
)

// Args configures GPUSlice.
type Args struct {
	adapt.TypeMeta `json:",inline"`
	// ProfileMix says how MIG profiles are weighed against each other when the
	// worth of a GPU's free slices is judged: Uniform, Learnt or Fixed. Default
	// Uniform, which is about as good as the true mix and cannot be wrong.
	ProfileMix ProfileMix `json:"profileMix"`
	// ProfileWeights are the weights of a Fixed mix by profile name, such as
	// 3g.40gb, 0 to 1000000. Profiles that are not listed count nothing.
	// Default: none.
	ProfileWeights map[string]int64 `json:"profileWeights,omitempty"`
	// MixHalfLifeRequests is after how many further requests a request counts
	// half in what is learnt of them. At least 1. Default 1000.
	MixHalfLifeRequests int64 `json:"mixHalfLifeRequests"`
	// SpareGPUNodes scores pods that ask for no GPU away from nodes that have
	// some. Default true.
	SpareGPUNodes *bool `json:"spareGPUNodes,omitempty"`
	// PoolLabel is the key of the node label by whose values metrics sum up what
	// GPUs have left; nodes without it are the pool "". With several profiles,
	// that of the last one counts. Default node.kubernetes.io/instance-type.
	PoolLabel string `json:"poolLabel"`
	// FilterTimeoutSeconds bounds the allocator's search on one node, 0 to 3600;
	// 0 is no bound. Default: that of DynamicResources, 10.
	FilterTimeoutSeconds *int64 `json:"filterTimeoutSeconds,omitempty"`
	// BindingTimeoutSeconds is how long a pod waits for its devices' binding
	// conditions, 1 to 86400. Default: that of DynamicResources, 600.
	BindingTimeoutSeconds *int64 `json:"bindingTimeoutSeconds,omitempty"`
}

// DefaultArgs returns the arguments that apply where none are given.
func DefaultArgs() Args {
	spare := true
	return Args{ProfileMix: Uniform, MixHalfLifeRequests: 1000, SpareGPUNodes: &spare, PoolLabel: v1.LabelInstanceTypeStable}
}

// DecodeArgs decodes, defaults and validates the plugin's arguments. Its error
// names every wrong field by its path.
func DecodeArgs(raw runtime.Object) (Args, error) {
	args := DefaultArgs()
	path := field.NewPath("pluginConfig").Key(Name).Child("args")
	if err := adapt.DecodeArgs(raw, &args); err != nil {
		return args, fmt.Errorf("%s: %w", path, err)
	}
	if args.SpareGPUNodes == nil {
		args.SpareGPUNodes = DefaultArgs().SpareGPUNodes
	}
	if err := args.Validate(Name); err != nil {
		return args, fmt.Errorf("%s: %w", path, err)
	}
	return args, args.validate(path).ToAggregate()
}

func (a *Args) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if mixes := []ProfileMix{Uniform, Learnt, Fixed}; !slices.Contains(mixes, a.ProfileMix) {
		errs = append(errs, field.NotSupported(path.Child("profileMix"), a.ProfileMix, mixes))
	}
	weights := path.Child("profileWeights")
	switch {
	case a.ProfileMix == Fixed && len(a.ProfileWeights) == 0:
		errs = append(errs, field.Required(weights, "a Fixed mix needs a weight for at least one profile"))
	case a.ProfileMix != Fixed && len(a.ProfileWeights) > 0:
		errs = append(errs, field.Forbidden(weights, fmt.Sprintf("only a Fixed mix has weights, profileMix is %s", a.ProfileMix)))
	}
	var sum int64
	for name, weight := range a.ProfileWeights {
		if _, _, _, err := mig.ParseProfile(name); err != nil {
			errs = append(errs, field.Invalid(weights.Key(name), name, err.Error()))
		}
		errs = append(errs, adapt.Within(weights.Key(name), weight, 0, 1_000_000)...)
		sum += weight
	}
	if len(errs) == 0 && a.ProfileMix == Fixed && sum == 0 {
		errs = append(errs, field.Invalid(weights, a.ProfileWeights, "want a weight above 0 for at least one profile"))
	}
	for _, problem := range validation.IsQualifiedName(a.PoolLabel) {
		errs = append(errs, field.Invalid(path.Child("poolLabel"), a.PoolLabel, problem))
	}
	errs = append(errs, adapt.Within(path.Child("mixHalfLifeRequests"), a.MixHalfLifeRequests, 1, 1_000_000)...)
	if t := a.FilterTimeoutSeconds; t != nil {
		errs = append(errs, adapt.Within(path.Child("filterTimeoutSeconds"), *t, 0, 3600)...)
	}
	if t := a.BindingTimeoutSeconds; t != nil {
		errs = append(errs, adapt.Within(path.Child("bindingTimeoutSeconds"), *t, 1, 86400)...)
	}
	return errs
}

// dynamicResources are the arguments of the wrapped plugin: upstream's defaults,
// with what is set here. Left empty they would switch the timeouts off.
func (a *Args) dynamicResources() (*config.DynamicResourcesArgs, error) {
	versioned := &configv1.DynamicResourcesArgs{}
	scheme.Scheme.Default(versioned)
	out := &config.DynamicResourcesArgs{}
	if err := scheme.Scheme.Convert(versioned, out, nil); err != nil {
		return nil, fmt.Errorf("defaulting the arguments of DynamicResources: %w", err)
	}
	if a.FilterTimeoutSeconds != nil {
		out.FilterTimeout = seconds(*a.FilterTimeoutSeconds)
	}
	if a.BindingTimeoutSeconds != nil {
		out.BindingTimeout = seconds(*a.BindingTimeoutSeconds)
	}
	return out, nil
}

func seconds(n int64) *metav1.Duration {
	return &metav1.Duration{Duration: time.Duration(n) * time.Second}
}
