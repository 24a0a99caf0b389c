package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"plimsoll.dev/scheduler/internal/fakeregistry"
	"plimsoll.dev/scheduler/internal/schedconfig"
	"plimsoll.dev/scheduler/manifests"
	"plimsoll.dev/scheduler/pkg/plugins/archaware"
)

// missing are the images of the examples that no registry has.
var missing = []string{"registry.example/private/billing:7"}

// single are those that are built for one platform. All others are built for
// amd64 and arm64.
func single() map[string]string {
	return map[string]string{
		"mcr.microsoft.com/mssql/server:2022-latest": "linux/amd64",
		"docker.io/arm64v8/redis:7":                  "linux/arm64",
	}
}

// startRegistry starts a registry in this process with the images of the
// examples, and returns the shipped configuration with it as the mirror of all
// registries: the demo inspects images as a cluster would, and asks nobody
// outside.
func startRegistry(ctx context.Context, dir string) (*fakeregistry.Registry, []byte, error) {
	r, err := fakeregistry.Start(dir, nil)
	if err != nil {
		return nil, nil, err
	}
	config, err := fill(ctx, r)
	if err != nil {
		_ = r.Close() // the other error says more
		return nil, nil, err
	}
	return r, config, nil
}

func fill(ctx context.Context, r *fakeregistry.Registry) ([]byte, error) {
	images, err := exampleImages()
	if err != nil {
		return nil, err
	}
	for _, image := range images {
		platforms := []string{"linux/amd64", "linux/arm64"}
		switch one, found := single()[image]; {
		case slices.Contains(missing, image):
			continue
		case found:
			platforms = []string{one}
		}
		if err := r.Push(ctx, image, platforms...); err != nil {
			return nil, err
		}
	}
	args := archaware.DefaultArgs()
	args.Registries = []archaware.RegistryArgs{
		{Name: "*", Mirrors: []string{r.Host}, MirrorsOnly: true},
		{Name: r.Host, CAFile: r.CAFile},
	}
	args.AllowedNetworks = []string{"127.0.0.0/8"}
	return schedconfig.WithArgs(manifests.SchedulerConfig, archaware.Name, args)
}

// exampleImages lists the images that the examples name.
func exampleImages() ([]string, error) {
	examples, err := manifests.Examples()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range examples {
		for line := range strings.Lines(string(e.YAML)) {
			if image, found := strings.CutPrefix(strings.TrimSpace(line), "image: "); found && !slices.Contains(out, image) {
				out = append(out, image)
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("none of %d examples names an image", len(examples))
	}
	return out, nil
}
