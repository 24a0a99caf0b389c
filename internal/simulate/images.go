package simulate

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"plimsoll.dev/scheduler/pkg/arch"
	"plimsoll.dev/scheduler/pkg/registry"
)

// Everywhere stands in for registries, which a simulation does not ask: every image
// is taken to be built for all platforms that the cluster has.
type Everywhere struct {
	platforms []arch.Platform
	digest    string
}

// NewEverywhere returns images for the platforms of the nodes.
func NewEverywhere(nodes []*v1.Node) *Everywhere {
	e := &Everywhere{}
	for _, node := range nodes {
		info := &node.Status.NodeInfo
		p := arch.New(info.OperatingSystem, info.Architecture, "", "")
		if info.Architecture != "" && !slices.Contains(e.platforms, p) {
			e.platforms = append(e.platforms, p)
		}
	}
	if len(e.platforms) == 0 {
		e.platforms = []arch.Platform{arch.New("linux", "amd64", "", ""), arch.New("linux", "arm64", "", "")}
	}
	slices.SortFunc(e.platforms, func(a, b arch.Platform) int { return strings.Compare(a.String(), b.String()) })
	e.digest = fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(fmt.Sprint(e.platforms))))
	return e
}

// Resolve implements images.Resolver.
func (e *Everywhere) Resolve(context.Context, registry.Reference, *registry.Credential, func(string) (registry.Manifest, bool)) (registry.Manifest, error) {
	return registry.Manifest{Digest: e.digest, Kind: registry.Index, Platforms: arch.NewSet(e.platforms...)}, nil
}
