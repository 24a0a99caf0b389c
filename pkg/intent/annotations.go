// Package intent turns a pod into what it asks of Plimsoll. It is the sole
// reader of our annotations and of a pod's resource requests; every annotation
// is declared, documented, parsed and validated here.
package intent

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// Prefix is what all our annotations begin with. It is ours alone: an
// annotation under it that this version does not know is an error, so that a
// typing mistake or a constraint of a newer version is never silently dropped.
const Prefix = "plimsoll.dev/"

// TargetUtilization is the annotation that sets a pod's own packing target.
const TargetUtilization = Prefix + "target-utilization"

// Annotation documents one annotation.
type Annotation struct {
	Key string
	// Forms says which values are valid, as a reason prints it.
	Forms   string
	Example string
	Doc     string
	// Needs is the annotation without which this one means nothing; "" if none.
	Needs string
	parse func(value string, into *Intent) bool
}

// Annotations lists every annotation that this version knows.
func Annotations() []Annotation {
	return append([]Annotation{{
		Key:     TargetUtilization,
		Forms:   "want a whole number of percent from 1 to 100",
		Example: "65",
		Doc: "The utilization to which nodes are filled when this pod is placed, in percent of allocatable. " +
			"It takes the place of the profile's and the pool's target for this pod only.",
		parse: parseTarget,
	}}, slices.Concat(gpuAnnotations(), archAnnotations(), topologyAnnotations())...)
}

// Intent is what one pod asks for. The zero value asks for nothing beyond the
// profile's defaults.
type Intent struct {
	// TargetPercent is the pod's own packing target, 1 to 100; 0 if it has none.
	TargetPercent int64
	// GPU is what the pod asks of its GPUs.
	GPU GPU
	// Arch is what the pod asks of its nodes' architecture.
	Arch Arch
	// Topology is what the pod asks of its place.
	Topology Topology
}

// AnnotationError says which annotation of a pod is wrong and what would be
// right.
type AnnotationError struct {
	Key, Value, Want string
}

// Error implements error.
func (e *AnnotationError) Error() string {
	return fmt.Sprintf("annotation %s: %q is not valid: %s", e.Key, e.Value, e.Want)
}

// Parse reads the pod's annotations. All that is wrong with them comes back as
// one error that joins an *AnnotationError for each, in the order of the keys.
func Parse(pod *v1.Pod) (Intent, error) {
	var out Intent
	var keys []string
	for key := range pod.Annotations {
		if strings.HasPrefix(key, Prefix) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return out, nil
	}
	slices.Sort(keys)
	var errs []error
	known := Annotations()
	for _, key := range keys {
		value := pod.Annotations[key]
		i := slices.IndexFunc(known, func(a Annotation) bool { return a.Key == key })
		with := out // nothing of what is refused stays
		switch {
		case i < 0:
			errs = append(errs, &AnnotationError{key, value, "this version of Plimsoll knows only " + knownKeys(known)})
		case !known[i].parse(value, &with):
			errs = append(errs, &AnnotationError{key, value, known[i].Forms})
		case known[i].Needs != "" && !slices.Contains(keys, known[i].Needs):
			errs = append(errs, &AnnotationError{key, value, "want " + known[i].Needs + " as well: it means nothing without"})
		default:
			out = with
		}
	}
	return out, errors.Join(errs...)
}

// Given returns all that Parse reads, for comparing pods.
func Given(pod *v1.Pod) map[string]string {
	var out map[string]string
	for key, value := range pod.Annotations {
		if strings.HasPrefix(key, Prefix) {
			if out == nil {
				out = map[string]string{}
			}
			out[key] = value
		}
	}
	return out
}

// Changed reports whether anything that Parse reads differs between the pods.
func Changed(before, after *v1.Pod) bool {
	return !maps.Equal(Given(before), Given(after))
}

func knownKeys(known []Annotation) string {
	names := make([]string, len(known))
	for i, a := range known {
		names[i] = a.Key
	}
	return strings.Join(names, ", ")
}

func parseTarget(value string, into *Intent) bool {
	return parseWhole(value, 100, &into.TargetPercent)
}

// parseWhole reads a number from 1 to most in its shortest form.
func parseWhole(value string, most int64, into *int64) bool {
	number, err := strconv.ParseInt(value, 10, 64)
	if err != nil || number < 1 || number > most || strconv.FormatInt(number, 10) != value {
		return false
	}
	*into = number
	return true
}
