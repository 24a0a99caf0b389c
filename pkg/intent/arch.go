package intent

import (
	"strings"

	"plimsoll.dev/scheduler/pkg/arch"
)

// Annotations by which a pod says which architectures it wants.
const (
	ArchPreference = Prefix + "arch"
	ArchPolicyKey  = Prefix + "arch-policy"
)

// ArchPolicy says how far what is known of a pod's images binds it.
type ArchPolicy string

// The policies of the annotation.
const (
	// ArchDefault is that of a pod without the annotation: what is known binds,
	// and the profile says what becomes of a pod whose images are not known.
	ArchDefault ArchPolicy = ""
	// ArchStrict: only nodes that all images are known to run on.
	ArchStrict ArchPolicy = "strict"
	// ArchPrefer: such nodes come first, the others after them.
	ArchPrefer ArchPolicy = "prefer"
	// ArchOff: images do not matter.
	ArchOff ArchPolicy = "off"
)

// Arch is what a pod asks for of its nodes' architecture.
type Arch struct {
	// Preference lists the architectures it may run on; empty for any.
	Preference arch.Preference
	Policy     ArchPolicy
}

func archAnnotations() []Annotation {
	return []Annotation{{
		Key: ArchPreference,
		Forms: "want architectures from most to least wanted, such as arm64>amd64, or with weights from 1 to 100, such as arm64=80,amd64=20; " +
			"each at most once, without spaces, of " + strings.Join(arch.Architectures(), ", "),
		Example: "arm64>amd64",
		Doc: "The architectures the pod may run on, and how much it wants each. Those that are not listed are refused. " +
			"Weights count in proportion to the largest: with `arm64=80,amd64=20` an arm64 node gets 100 points and an amd64 node 25; " +
			"in an order, the first gets 100, the last 0, the others lie evenly between.",
		parse: parseArch,
	}, {
		Key:     ArchPolicyKey,
		Forms:   "want strict, prefer or off",
		Example: "strict",
		Doc: "How far the platforms of the pod's images bind it. Without it, what is known of them binds, and the profile's `whenUnknown` decides about a pod with images that cannot be inspected. " +
			"`strict`: only nodes that all images are known to run on; the pod waits until they are known. " +
			"`prefer`: such nodes come first, others after them, and the pod waits for no registry (for nodes that emulate other architectures). " +
			"`off`: images do not matter. `arch` binds in any case.",
		parse: parseArchPolicy,
	}}
}

func parseArch(value string, into *Intent) bool {
	preference, ok := arch.ParsePreference(value)
	if ok {
		into.Arch.Preference = preference
	}
	return ok
}

func parseArchPolicy(value string, into *Intent) bool {
	switch policy := ArchPolicy(value); policy {
	case ArchStrict, ArchPrefer, ArchOff:
		into.Arch.Policy = policy
		return true
	}
	return false
}
