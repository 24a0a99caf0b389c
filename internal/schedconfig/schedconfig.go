// Package schedconfig reads scheduler configurations as kube-scheduler's
// --config does.
package schedconfig

import (
	"fmt"

	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/latest"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/validation"
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
