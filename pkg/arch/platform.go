package arch

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	specs "github.com/opencontainers/image-spec/specs-go/v1"
)

// Platform is what an image is built for, or what a node runs. Values made by
// New are normalised as containerd does it, so that equal platforms compare
// equal.
type Platform struct {
	// OS is a GOOS: linux, windows, wasip1.
	OS string
	// Architecture is a GOARCH: amd64, arm64, wasm.
	Architecture string
	// Variant is the least level of the architecture that is needed (image) or
	// there is (node): v7 of arm, v3 of amd64. Empty is the architecture's base.
	Variant string
	// OSVersion is the build of the operating system, 10.0.20348.1 for example.
	// Windows only.
	OSVersion string
}

// New returns the normalised platform. It takes whatever an index, an image or a
// node says, and guesses nothing that is not said: containerd fills an empty OS
// with that of the process, which would be the scheduler's.
func New(os, architecture, variant, osVersion string) Platform {
	p := platforms.Normalize(specs.Platform{OS: cmp.Or(os, unknown), Architecture: architecture, Variant: variant})
	if os == "" {
		p.OS = ""
	}
	if p.OS == "wasi" {
		p.OS = "wasip1" // its name until Go 1.21 chose the other
	}
	if p.OS != windows {
		osVersion = "" // containerd looks at it for Windows only
	}
	return Platform{p.OS, p.Architecture, p.Variant, osVersion}
}

const (
	windows = "windows"
	// unknown is what build tools call the platform of an attestation.
	unknown = "unknown"
)

// Usable reports whether something could run on the platform. Attestations are
// listed as unknown/unknown, other artifacts without any platform, and a part
// that is no name, which a registry is free to send, is the name of no node.
func (p Platform) Usable() bool {
	return p.OS != unknown && p.Architecture != unknown && isName(p.OS) && isName(p.Architecture) && (p.Variant == "" || isName(p.Variant))
}

// isName reports whether the text is made of the characters, and is about as
// short, as all names of operating systems, architectures and variants are.
func isName(text string) bool {
	const longest = 63 // as of a label's value, in which nodes tell theirs
	for i := range len(text) {
		if c := text[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return text != "" && len(text) <= longest
}

// String prints the platform as container tools do: linux/amd64, linux/arm/v7,
// windows(10.0.20348)/amd64.
func (p Platform) String() string {
	text := cmp.Or(p.OS, unknown)
	if p.OSVersion != "" {
		text += "(" + p.OSVersion + ")"
	}
	text += "/" + cmp.Or(p.Architecture, unknown)
	if p.Variant != "" {
		text += "/" + p.Variant
	}
	return text
}

// spec is the platform in containerd's words.
func (p Platform) spec() specs.Platform {
	return specs.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, OSVersion: p.OSVersion}
}

// compare orders platforms as they are listed.
func compare(a, b Platform) int {
	return cmp.Or(cmp.Compare(a.OS, b.OS), cmp.Compare(a.Architecture, b.Architecture),
		cmp.Compare(a.Variant, b.Variant), cmp.Compare(a.OSVersion, b.OSVersion))
}

// systems are the operating systems that a platform can be written for.
var systems = []string{"linux", windows, "freebsd", "wasip1"}

// variants lists the variants that exist of the architectures that have levels,
// besides the base of amd64 and arm64, which is no variant.
var variants = map[string][]string{
	"amd64": {"v2", "v3", "v4"},
	"arm64": {"v8.1", "v8.2", "v8.3", "v8.4", "v8.5", "v8.6", "v8.7", "v8.8", "v8.9",
		"v9", "v9.1", "v9.2", "v9.3", "v9.4", "v9.5", "v9.6", "v9.7"},
	"arm": {"v5", "v6", "v7", "v8"},
}

// Parse reads a platform as people write it: linux/arm64, linux/arm/v7,
// windows/amd64, windows(10.0.20348)/amd64, wasip1/wasm. The usual aliases are
// understood, x86_64 and aarch64 for example; what is not known is refused, since
// a slip of the pen would match no node ever.
func Parse(text string) (Platform, error) {
	p, err := parse(text)
	if err != nil {
		return Platform{}, fmt.Errorf("platform %q: %w", text, err)
	}
	return p, nil
}

func parse(text string) (Platform, error) {
	parts := strings.Split(text, "/")
	if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
		return Platform{}, errors.New("want <os>/<architecture>, or with a variant, such as linux/arm64 or linux/arm/v7")
	}
	os, version, err := cutVersion(parts[0])
	if err != nil {
		return Platform{}, err
	}
	variant := ""
	if len(parts) == 3 {
		variant = parts[2]
	}
	p := New(os, parts[1], variant, version)
	if !slices.Contains(systems, p.OS) {
		return Platform{}, fmt.Errorf("unknown operating system %q: want one of %s", os, strings.Join(systems, ", "))
	}
	if indexOf(p.Architecture) == unlisted && p.Architecture != "wasm" {
		return Platform{}, fmt.Errorf("unknown architecture %q: want one of %s, wasm", parts[1], strings.Join(architectures[:], ", "))
	}
	if exist := variants[p.Architecture]; exist != nil && p.Variant != "" && !slices.Contains(exist, p.Variant) {
		return Platform{}, fmt.Errorf("unknown variant %q of %s: want none, or one of %s", variant, p.Architecture, strings.Join(exist, ", "))
	}
	if version != "" && p.OS != windows {
		return Platform{}, fmt.Errorf("version %q of %s: only Windows has versions that matter to images; want none", version, p.OS)
	}
	if !p.Usable() {
		return Platform{}, fmt.Errorf("variant %q: want a name such as v7", variant)
	}
	return p, nil
}

// cutVersion takes the build off windows(10.0.20348).
func cutVersion(text string) (os, version string, err error) {
	os, rest, found := strings.Cut(text, "(")
	if !found {
		return text, "", nil
	}
	version, closed := strings.CutSuffix(rest, ")")
	if !closed || windowsVersion(version) <= 0 || strings.Trim(version, "0123456789.") != "" {
		return "", "", fmt.Errorf("operating system %q: want a version such as windows(10.0.20348) or none", text)
	}
	return os, version, nil
}
