// Package kubeversion gives binaries that embed Kubernetes components the
// version of the Kubernetes they are built from. Upstream's own build sets it
// with -ldflags; `go build`, `go run` and `go test` set nothing, and --version,
// /version and the build metrics would all show an unexpanded template. Import
// it for its effect.
package kubeversion

import (
	"runtime/debug"
	_ "unsafe" // for go:linkname

	"k8s.io/component-base/version"
)

// gitVersion is what upstream's -ldflags set.
//
//go:linkname gitVersion k8s.io/component-base/version.gitVersion
var gitVersion string

// module is the module whose version is the version of Kubernetes.
const module = "k8s.io/kubernetes"

const unset = "v0.0.0-master+$Format:%H$"

func init() {
	if gitVersion != unset {
		return // a build that knows better
	}
	gitVersion = built() + "+plimsoll"
	if err := version.SetDynamicVersion(gitVersion); err != nil {
		gitVersion = unset
	}
}

// built is the version of the module the binary was built from; without module
// information, as in some test binaries, the first of its minor.
func built() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if dep.Path == module {
				return dep.Version
			}
		}
	}
	return "v" + version.DefaultKubeBinaryVersion + ".0"
}
