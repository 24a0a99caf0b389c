package testkit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"plimsoll.dev/scheduler/pkg/arch"
	"plimsoll.dev/scheduler/pkg/registry"
)

// Depot is a registry in memory, for tests in which images are beside the point
// or drawn: it answers at once. An image that was not added is built for amd64
// and arm64.
type Depot struct {
	mu     sync.Mutex
	images map[string][]arch.Platform
}

// Add adds an image with its platforms, such as linux/amd64. Without any, the
// registry answers that there is no such image.
func (d *Depot) Add(image string, platforms ...string) error {
	ref, err := registry.Parse(image)
	if err != nil {
		return err
	}
	parsed := []arch.Platform{}
	for _, text := range platforms {
		p, err := arch.Parse(text)
		if err != nil {
			return fmt.Errorf("image %s: %w", image, err)
		}
		parsed = append(parsed, p)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.images == nil {
		d.images = map[string][]arch.Platform{}
	}
	d.images[ref.String()] = parsed
	return nil
}

// Resolve implements images.Resolver.
func (d *Depot) Resolve(_ context.Context, ref registry.Reference, _ *registry.Credential, _ func(string) (registry.Manifest, bool)) (registry.Manifest, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	platforms, found := d.images[ref.String()]
	switch {
	case !found:
		platforms = []arch.Platform{arch.New("linux", "amd64", "", ""), arch.New("linux", "arm64", "", "")}
	case len(platforms) == 0:
		return registry.Manifest{}, &registry.Error{Image: ref.String(), Problem: registry.NotFound, Err: errors.New("no such image")}
	}
	digest := sha256.Sum256([]byte(ref.String() + fmt.Sprint(platforms)))
	return registry.Manifest{Digest: fmt.Sprintf("sha256:%x", digest), Kind: registry.Index, Platforms: arch.NewSet(platforms...)}, nil
}

// Images reads one image per line, its name and then its platforms.
func Images(text string) (*Depot, error) {
	d := &Depot{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		platforms := slices.DeleteFunc(words[1:], func(w string) bool { return w == "none" })
		if err := d.Add(words[0], platforms...); err != nil {
			return nil, err
		}
	}
	return d, nil
}
