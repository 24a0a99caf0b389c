package arch

import (
	"slices"
	"sort"
	"strconv"
	"strings"
	"unique"

	"github.com/containerd/platforms"
)

// Fit says how well a node suits an image.
type Fit int8

// The fits, from worst to best.
const (
	// NoFit: containerd would not run, or not even pull, the image.
	NoFit Fit = iota
	// Fallback: containerd would run a 32-bit build of the image on a 64-bit
	// node, which works where the CPU can still do it.
	Fallback
	// Native: a build for the node's own architecture, of its level or below.
	Native
)

// String is the fit in a word.
func (f Fit) String() string {
	switch f {
	case NoFit:
		return "no fit"
	case Fallback:
		return "fallback"
	case Native:
		return "native"
	}
	return "Fit(" + strconv.Itoa(int(f)) + ")"
}

// Host is one distinct platform of nodes, compiled for matching images against
// it as containerd would do on the node. It never changes and is safe for
// concurrent use.
type Host struct {
	platform Platform
	accepts  []accepted
	// least and most bound the Windows versions of images, both inclusive; an
	// image that does not say its version passes.
	least, most int64
}

// accepted is a build that runs on the host.
type accepted struct {
	build unique.Handle[Platform]
	fit   Fit
}

// fallback32 names the 32-bit architecture that a 64-bit one can run.
var fallback32 = map[string]string{"amd64": "386", "arm64": "arm"}

// NewHost compiles a node's platform. Without allow32, a 64-bit node takes no
// 32-bit images: some arm64 cores cannot run them. Nothing fits a node whose
// platform is not Usable.
func NewHost(node Platform, allow32 bool) *Host {
	node = New(node.OS, node.Architecture, node.Variant, node.OSVersion)
	h := &Host{platform: node, most: versionMost}
	if !node.Usable() {
		return h
	}
	matcher := matcherOf(node)
	for _, p := range candidates(node) {
		fit := Native
		if p.Architecture != node.Architecture {
			fit = Fallback
		}
		if matcher.Match(p.spec()) && (fit == Native || allow32) {
			h.accepts = append(h.accepts, accepted{buildOf(p), fit})
		}
	}
	if version := windowsVersion(node.OSVersion); version > 0 {
		h.least, h.most = leastVersion(version, node, matcher), version
	}
	return h
}

// matcherOf is containerd's matcher for a node. It counts down from the number in
// the node's variant, so that one far above all that exist is not left to it.
func matcherOf(node Platform) platforms.Matcher {
	const most = 1000
	if n, err := strconv.Atoi(strings.TrimPrefix(node.Variant, "v")); err == nil && n > most {
		return platforms.OnlyStrict(node.spec())
	}
	return platforms.Only(node.spec())
}

// candidates lists what could be accepted by a node: itself, its architecture in
// all variants, and the 32-bit one in all of its. Versions are left out.
func candidates(node Platform) []Platform {
	out := []Platform{New(node.OS, node.Architecture, node.Variant, "")}
	for _, architecture := range []string{node.Architecture, fallback32[node.Architecture]} {
		for _, variant := range append([]string{""}, variants[architecture]...) {
			if p := New(node.OS, architecture, variant, ""); p.Usable() && !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out
}

// leastVersion finds the oldest Windows build whose images containerd runs on
// the node's: which releases reach back how far is for containerd to know. All
// builds from there up to the node's own are accepted.
func leastVersion(version int64, node Platform, matcher platforms.Matcher) int64 {
	first := version - version%buildsPerVersion
	prefix := strconv.FormatInt(version>>24, 10) + "." + strconv.FormatInt(version>>16&0xff, 10) + "."
	image := node.spec()
	return first + int64(sort.Search(int(version-first), func(build int) bool {
		image.OSVersion = prefix + strconv.Itoa(build)
		return matcher.Match(image)
	}))
}

// Platform is that of the nodes.
func (h *Host) Platform() Platform { return h.platform }

// Fit says how well an image of these platforms runs on the nodes: as its best
// platform does. An empty set fits nowhere.
func (h *Host) Fit(s Set) Fit {
	if s.all == nil {
		return NoFit
	}
	best := NoFit
	for i := range s.all.entries {
		e := &s.all.entries[i]
		if e.version != versionUnsaid && (e.version < h.least || e.version > h.most) {
			continue
		}
		for j := range h.accepts {
			if h.accepts[j].build == e.build {
				best = max(best, h.accepts[j].fit)
				break
			}
		}
		if best == Native {
			break
		}
	}
	return best
}

// String shows what the host takes:
//
//	linux/arm64: native linux/arm64; fallback linux/arm/v5, linux/arm/v6, linux/arm/v7, linux/arm/v8
func (h *Host) String() string {
	var names [Native + 1][]string
	for _, a := range h.accepts {
		names[a.fit] = append(names[a.fit], a.build.Value().String())
	}
	var parts []string
	for fit := Native; fit > NoFit; fit-- {
		if len(names[fit]) > 0 {
			parts = append(parts, fit.String()+" "+strings.Join(names[fit], ", "))
		}
	}
	if parts == nil {
		parts = []string{"nothing"}
	}
	return h.platform.String() + ": " + strings.Join(parts, "; ")
}
