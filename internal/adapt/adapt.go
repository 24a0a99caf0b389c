// Package adapt holds what every plugin needs between the scheduling framework
// and its own model: strict decoding of arguments, typed cycle state, and the
// scaling of scores.
package adapt

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// APIVersion is the version of all our plugins' arguments.
const APIVersion = "plimsoll.dev/v1alpha1"

// TypeMeta may head a plugin's arguments; both fields are optional.
type TypeMeta struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind,omitempty"`
}

// Validate checks what is set of the type against the plugin's name.
func (t TypeMeta) Validate(plugin string) error {
	if t.APIVersion != "" && t.APIVersion != APIVersion {
		return fmt.Errorf("apiVersion: %q is not supported, want %q", t.APIVersion, APIVersion)
	}
	if want := plugin + "Args"; t.Kind != "" && t.Kind != want {
		return fmt.Errorf("kind: %q does not fit plugin %s, want %q", t.Kind, plugin, want)
	}
	return nil
}

// DecodeArgs decodes a plugin's arguments into a struct that already holds the
// defaults. A field that the struct does not have, a duplicate or a value of
// the wrong type is an error that names the field.
func DecodeArgs(args runtime.Object, into any) error {
	if args == nil {
		return nil
	}
	unknown, ok := args.(*runtime.Unknown)
	if !ok {
		return fmt.Errorf("want arguments as runtime.Unknown, got %T", args)
	}
	if len(unknown.Raw) == 0 {
		return nil
	}
	// YAML is a superset of JSON: one path serves both content types.
	raw, err := yaml.YAMLToJSONStrict(unknown.Raw)
	if err != nil {
		return fmt.Errorf("decoding arguments: %w", err)
	}
	strict, err := json.UnmarshalStrict(raw, into)
	if err != nil {
		return fmt.Errorf("decoding arguments: %w", err)
	}
	return errors.Join(strict...)
}

// State reads what the plugin wrote under the key earlier in this cycle.
func State[T fwk.StateData](state fwk.CycleState, key fwk.StateKey) (T, error) {
	var zero T
	data, err := state.Read(key)
	if err != nil {
		return zero, fmt.Errorf("reading %s from cycle state: %w", key, err)
	}
	typed, ok := data.(T)
	if !ok {
		return zero, fmt.Errorf("cycle state %s holds a %T, want %T", key, data, zero)
	}
	return typed, nil
}
