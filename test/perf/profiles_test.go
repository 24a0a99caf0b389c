package perf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"sigs.k8s.io/yaml"

	"plimsoll.dev/scheduler/pkg/plugins/topology"
)

// profile is one of the scheduler configurations that are compared.
type profile struct {
	name string
	// config is the configuration as YAML; nil is upstream's as it comes.
	config func() ([]byte, error)
}

var profiles = []profile{
	{"default-all", upstreamAllNodes},
	{"plimsoll", func() ([]byte, error) { return shipped(shippedFile) }},
	{"default-sampled", nil},
}

// topologyProfiles show what Topology costs.
var topologyProfiles = []profile{
	{"plimsoll", func() ([]byte, error) { return shipped(shippedFile) }},
	{"without-topology", withoutTopology},
}

const (
	shippedFile    = "../../manifests/base/scheduler-config.yaml"
	shippedProfile = "plimsoll"
	// upstreamProfile is the scheduler that the pods of upstream's workloads ask for.
	upstreamProfile = "default-scheduler"
)

func upstreamAllNodes() ([]byte, error) {
	return yaml.Marshal(object{
		"apiVersion":               "kubescheduler.config.k8s.io/v1",
		"kind":                     "KubeSchedulerConfiguration",
		"percentageOfNodesToScore": 100,
	})
}

// shipped is the configuration in the file, except that its profile takes over
// upstream's pods.
func shipped(file string) ([]byte, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the shipped configuration: %w", err)
	}
	var config object
	if err := yaml.UnmarshalStrict(raw, &config); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", file, err)
	}
	renamed := 0
	list, _ := config["profiles"].([]any)
	for _, entry := range list {
		if p, _ := entry.(object); p["schedulerName"] == shippedProfile {
			p["schedulerName"] = upstreamProfile
			renamed++
		}
	}
	if renamed != 1 {
		return nil, fmt.Errorf("%s: want one profile named %s, got %d", file, shippedProfile, renamed)
	}
	return yaml.Marshal(config)
}

// withoutTopology is the shipped configuration but for that plugin.
func withoutTopology() ([]byte, error) {
	raw, err := shipped(shippedFile)
	if err != nil {
		return nil, err
	}
	var config object
	if err := yaml.Unmarshal(raw, &config); err != nil {
		return nil, err
	}
	removed := 0
	list, _ := config["profiles"].([]any)
	for _, entry := range list {
		p, _ := entry.(object)
		plugins, _ := p["plugins"].(object)
		multiPoint, _ := plugins["multiPoint"].(object)
		enabled, _ := multiPoint["enabled"].([]any)
		multiPoint["enabled"] = slices.DeleteFunc(enabled, func(e any) bool {
			is := e.(object)["name"] == topology.Name
			if is {
				removed++
			}
			return is
		})
	}
	if removed != 1 {
		return nil, fmt.Errorf("%s: want one profile with %s, got %d", shippedFile, topology.Name, removed)
	}
	return yaml.Marshal(config)
}

// writeConfigs writes the configurations into the folder and returns their
// paths by profile; upstream's own has none.
func writeConfigs(folder string, profiles []profile) (map[string]string, error) {
	paths := map[string]string{}
	var errs []error
	for _, p := range profiles {
		if p.config == nil {
			continue
		}
		config, err := p.config()
		if err != nil {
			errs = append(errs, fmt.Errorf("profile %s: %w", p.name, err))
			continue
		}
		paths[p.name] = filepath.Join(folder, p.name+".yaml")
		errs = append(errs, os.WriteFile(paths[p.name], config, 0o600))
	}
	return paths, errors.Join(errs...)
}
