// Package samples holds what DRA drivers and device plugins publish, as the API
// server accepts it: ResourceSlices, DeviceClasses, claims and nodes of several
// vendors and GPUs. Names, UUIDs and PCI addresses are made up; structure,
// profiles and amounts are those of the drivers. Tests of several packages run
// over them.
package samples

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kubernetes/pkg/api/legacyscheme"

	// What the API server fills in where a field is left out.
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/resource/install"
)

//go:embed gpu/*.yaml
var files embed.FS

// Read returns a file as it is: "resourceslices-a30-2x-dynamic-mig".
func Read(name string) ([]byte, error) {
	return files.ReadFile("gpu/" + name + ".yaml")
}

// Objects decodes a file strictly, in its order.
func Objects(name string) ([]runtime.Object, error) {
	raw, err := Read(name)
	if err != nil {
		return nil, err
	}
	decoder := legacyscheme.Codecs.UniversalDeserializer()
	var out []runtime.Object
	for i, document := range strings.Split(string(raw), "\n---\n") {
		if !strings.Contains(document, "kind:") {
			continue // comments alone
		}
		object, _, err := decoder.Decode([]byte(document), nil, nil)
		if err != nil {
			return nil, fmt.Errorf("%s, document %d: %w", name, i+1, err)
		}
		legacyscheme.Scheme.Default(object)
		out = append(out, object)
	}
	return out, nil
}

// Of decodes a file and returns the objects of one type.
func Of[T runtime.Object](name string) ([]T, error) {
	all, err := Objects(name)
	if err != nil {
		return nil, err
	}
	var out []T
	for _, object := range all {
		if typed, ok := object.(T); ok {
			out = append(out, typed)
		}
	}
	return out, nil
}

// SliceFiles lists the files with ResourceSlices.
func SliceFiles() []string {
	var out []string
	_ = fs.WalkDir(files, "gpu", func(path string, _ fs.DirEntry, _ error) error {
		name := strings.TrimSuffix(strings.TrimPrefix(path, "gpu/"), ".yaml")
		if strings.HasPrefix(name, "resourceslices-") {
			out = append(out, name)
		}
		return nil
	})
	return out
}
