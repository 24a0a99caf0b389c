// Package manifests embeds what a user applies, so that the command line and the
// tests run what ships and not a copy of it.
package manifests

import (
	"embed"
	"io/fs"
	"path"
	"slices"
)

// SchedulerConfig is the shipped scheduler configuration, base/scheduler-config.yaml.
//
//go:embed base/scheduler-config.yaml
var SchedulerConfig []byte

//go:embed examples/*.yaml
var examples embed.FS

// Example is one file of examples/.
type Example struct {
	Name string
	YAML []byte
}

// Examples returns the examples in the order of their names.
func Examples() ([]Example, error) {
	files, err := fs.Glob(examples, "examples/*.yaml")
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	var out []Example
	for _, file := range files {
		data, err := examples.ReadFile(file)
		if err != nil {
			return nil, err
		}
		out = append(out, Example{path.Base(file), data})
	}
	return out, nil
}
