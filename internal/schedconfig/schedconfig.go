// Package schedconfig reads scheduler configurations as kube-scheduler's
// --config does.
package schedconfig

import (
	"errors"
	"fmt"

	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/latest"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/validation"
	"sigs.k8s.io/yaml"
)

// Decode decodes strictly, defaults and validates a KubeSchedulerConfiguration
// in YAML or JSON. Empty data is upstream's default configuration.
func Decode(data []byte) (*config.KubeSchedulerConfiguration, error) {
	if len(data) == 0 {
		return latest.Default()
	}
	obj, gvk, err := scheme.Codecs.UniversalDecoder().Decode(data, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("decoding scheduler configuration: %w", err)
	}
	cfg, ok := obj.(*config.KubeSchedulerConfiguration)
	if !ok {
		return nil, fmt.Errorf("decoding scheduler configuration: want a KubeSchedulerConfiguration, got %s", gvk)
	}
	// Conversion drops it, and plugins are told which version their arguments came in.
	cfg.TypeMeta.APIVersion = gvk.GroupVersion().String()
	if err := validation.ValidateKubeSchedulerConfiguration(cfg); err != nil {
		return nil, fmt.Errorf("validating scheduler configuration: %w", err)
	}
	return cfg, nil
}

// WithArgs returns the configuration, in YAML, with these arguments for a plugin
// in every profile, in the place of what it had.
func WithArgs(data []byte, plugin string, args any) ([]byte, error) {
	var cfg map[string]any
	if err := yaml.Unmarshal(data, &cfg); err != nil {
		return nil, fmt.Errorf("reading scheduler configuration: %w", err)
	}
	profiles, ok := cfg["profiles"].([]any)
	if !ok || len(profiles) == 0 {
		return nil, errors.New("reading scheduler configuration: profiles: want at least one")
	}
	for i := range profiles {
		profile, ok := profiles[i].(map[string]any)
		if !ok {
			return nil, fmt.Errorf("reading scheduler configuration: profiles[%d]: want a map", i)
		}
		kept := []any{map[string]any{"name": plugin, "args": args}}
		given, _ := profile["pluginConfig"].([]any)
		for _, entry := range given {
			if one, ok := entry.(map[string]any); !ok || one["name"] != plugin {
				kept = append(kept, entry)
			}
		}
		profile["pluginConfig"] = kept
	}
	return yaml.Marshal(cfg)
}
