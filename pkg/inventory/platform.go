package inventory

import (
	"strings"
	"sync"
	"sync/atomic"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/pkg/arch"
)

// featurePrefix heads the labels in which Node Feature Discovery lists what a
// node's CPU can do.
const featurePrefix = "feature.node.kubernetes.io/cpu-cpuid."

// levels are the amd64 levels above the first, highest first, and the CPU
// features by which we know them: of each level's own, those that Node Feature
// Discovery labels unless told otherwise. No CPU has these without the rest of
// its level.
// https://gitlab.com/x86-psABIs/x86-64-ABI, section 3.1.1
var levels = []struct {
	variant  string
	features []string
}{
	{"v4", []string{"AVX512F", "AVX512BW", "AVX512CD", "AVX512DQ", "AVX512VL"}},
	{"v3", []string{"AVX2", "FMA3"}},
	{"v2", []string{"AVX"}},
}

// PlatformOf reads what a node runs: its architecture and operating system
// labels, else its status, and the level of its CPU and the build of its Windows
// if labels tell them. The platform is empty if the node does not say.
func PlatformOf(node *v1.Node) arch.Platform {
	info := &node.Status.NodeInfo
	architecture, os := node.Labels[v1.LabelArchStable], node.Labels[v1.LabelOSStable]
	if architecture == "" {
		architecture = info.Architecture
	}
	if os == "" {
		os = info.OperatingSystem
	}
	if architecture == "" {
		return arch.Platform{}
	}
	if os == "" {
		os = "linux"
	}
	variant, version := "", ""
	if architecture == "amd64" {
		variant = levelOf(node)
	}
	if os == "windows" {
		version = node.Labels[v1.LabelWindowsBuild]
	}
	return arch.New(os, architecture, variant, version)
}

func levelOf(node *v1.Node) string {
levels:
	for _, level := range levels {
		for _, feature := range level.features {
			if node.Labels[featurePrefix+feature] != "true" {
				continue levels
			}
		}
		return level.variant
	}
	return ""
}

// ArchTaint finds the taint by which a provider keeps pods off nodes of an
// unusual architecture, kubernetes.io/arch=arm64:NoSchedule on GKE; nil if there
// is none.
func ArchTaint(node *v1.Node) *v1.Taint {
	for i := range node.Spec.Taints {
		if t := &node.Spec.Taints[i]; t.Key == v1.LabelArchStable && t.Effect != v1.TaintEffectPreferNoSchedule {
			return t
		}
	}
	return nil
}

// Platforms knows which platforms the nodes of the cluster run. Each has a kind,
// a small number that stays the same as long as the process lives, so that a
// scheduling cycle looks a node's verdict up in a list. It is safe for
// concurrent use.
//
// Whoever makes one calls Observe for every node that is added or changed and
// Forget for every one that is deleted, from an informer.
type Platforms struct {
	known sync.Map // node name -> *knownPlatform

	mu    sync.Mutex // of what follows, and of writing kinds
	index map[arch.Platform]int
	nodes map[string]*knownPlatform

	kinds  atomic.Pointer[[]arch.Platform]
	census atomic.Pointer[PlatformCensus]
}

// PlatformCensus counts the nodes that were observed. It never changes.
type PlatformCensus struct {
	// Nodes by kind.
	Nodes []int
	// Total is their sum, and Tainted how many of them carry an ArchTaint.
	Total, Tainted int
}

// knownPlatform is the kind of one state of a node.
type knownPlatform struct {
	uid     types.UID
	version string
	node    *v1.Node
	kind    int
	tainted bool
}

func (k *knownPlatform) of(node *v1.Node) bool {
	return k.node == node || k.version != "" && k.version == node.ResourceVersion && k.uid == node.UID
}

// NewPlatforms returns an inventory that knows no node.
func NewPlatforms() *Platforms {
	p := &Platforms{index: map[arch.Platform]int{}, nodes: map[string]*knownPlatform{}}
	p.kinds.Store(&[]arch.Platform{})
	p.census.Store(&PlatformCensus{})
	return p
}

// Kind returns the node's kind, an index into Kinds. It allocates nothing for a
// node that was observed in this state.
func (p *Platforms) Kind(node *v1.Node) int {
	if kept, found := p.known.Load(node.Name); found {
		if k := kept.(*knownPlatform); k.of(node) {
			return k.kind
		}
	}
	return p.kindOf(PlatformOf(node))
}

// KindOf returns the kind of the node of that name as it was observed last;
// false if it was not.
func (p *Platforms) KindOf(name string) (int, bool) {
	kept, found := p.known.Load(name)
	if !found {
		return 0, false
	}
	return kept.(*knownPlatform).kind, true
}

// Kinds lists the platforms by kind. It must not be changed.
func (p *Platforms) Kinds() []arch.Platform { return *p.kinds.Load() }

// Census counts the nodes that were observed.
func (p *Platforms) Census() *PlatformCensus { return p.census.Load() }

// CensusOf is the census if as many nodes were observed as the snapshot has, and
// else counts those. It can be some moments behind the snapshot.
func (p *Platforms) CensusOf(nodes []fwk.NodeInfo) *PlatformCensus {
	if known := p.Census(); known.Total == len(nodes) {
		return known
	}
	return p.Count(nodes)
}

// Count counts the nodes of a snapshot one by one.
func (p *Platforms) Count(nodes []fwk.NodeInfo) *PlatformCensus {
	out := &PlatformCensus{}
	for _, info := range nodes {
		kind := p.Kind(info.Node())
		for len(out.Nodes) <= kind {
			out.Nodes = append(out.Nodes, 0)
		}
		out.add(&knownPlatform{kind: kind, tainted: ArchTaint(info.Node()) != nil}, 1)
	}
	return out
}

// kindOf finds or makes the kind of a platform.
func (p *Platforms) kindOf(platform arch.Platform) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	kind, found := p.index[platform]
	if !found {
		platform = clone(platform)
		kinds := append([]arch.Platform(nil), p.Kinds()...)
		kind = len(kinds)
		kinds = append(kinds, platform)
		p.index[platform] = kind
		p.kinds.Store(&kinds)
	}
	return kind
}

// clone keeps a platform from holding on to a node's labels.
func clone(p arch.Platform) arch.Platform {
	return arch.Platform{OS: strings.Clone(p.OS), Architecture: strings.Clone(p.Architecture),
		Variant: strings.Clone(p.Variant), OSVersion: strings.Clone(p.OSVersion)}
}

// Observe keeps the kind of a node that was added or changed.
func (p *Platforms) Observe(node *v1.Node) {
	k := &knownPlatform{uid: node.UID, version: node.ResourceVersion, node: node,
		kind: p.kindOf(PlatformOf(node)), tainted: ArchTaint(node) != nil}
	p.known.Store(node.Name, k)
	p.count(node.Name, k)
}

// Forget drops a node that was deleted.
func (p *Platforms) Forget(name string) {
	p.known.Delete(name)
	p.count(name, nil)
}

func (p *Platforms) count(name string, is *knownPlatform) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.nodes[name]
	if was != nil && is != nil && was.kind == is.kind && was.tainted == is.tainted {
		p.nodes[name] = is
		return // a heartbeat
	}
	next := &PlatformCensus{Nodes: make([]int, len(p.Kinds())), Total: p.Census().Total, Tainted: p.Census().Tainted}
	copy(next.Nodes, p.Census().Nodes)
	next.add(was, -1)
	next.add(is, 1)
	if p.nodes[name] = is; is == nil {
		delete(p.nodes, name)
	}
	p.census.Store(next)
}

func (c *PlatformCensus) add(k *knownPlatform, n int) {
	if k == nil {
		return
	}
	c.Nodes[k.kind] += n
	c.Total += n
	if k.tainted {
		c.Tainted += n
	}
}

// Present reports whether the cluster has nodes of the kind.
func (c *PlatformCensus) Present(kind int) bool { return kind < len(c.Nodes) && c.Nodes[kind] > 0 }

// TakesPods reports whether ordinary pods go to the node: it is not cordoned,
// and no taint keeps pods off it other than for its architecture.
func TakesPods(node *v1.Node) bool {
	if node.Spec.Unschedulable {
		return false
	}
	for i := range node.Spec.Taints {
		if t := &node.Spec.Taints[i]; t.Effect != v1.TaintEffectPreferNoSchedule && t.Key != v1.LabelArchStable {
			return false
		}
	}
	return true
}

// Free is what pods have not requested of the node.
func Free(info fwk.NodeInfo) arch.Amount {
	all, asked := info.GetAllocatable(), info.GetRequested()
	return arch.Amount{
		MilliCPU:    max(0, all.GetMilliCPU()-asked.GetMilliCPU()),
		MemoryBytes: max(0, all.GetMemory()-asked.GetMemory()),
	}
}
