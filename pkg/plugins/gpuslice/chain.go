package gpuslice

import (
	"context"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"

	"plimsoll.dev/scheduler/internal/adapt"
)

// chain is what has to be known of the profile's other plugins.
type chain struct {
	once sync.Once
	// framework is nil if there are no shortlists.
	framework adapt.Framework
	// scores are the weights of what scores.
	scores map[string]int64
	// fit: NodeResourcesFit filters.
	fit bool
}

// Plugins of Plimsoll that are accounted for by name.
const (
	archAware = "ArchAware"
	binPack   = "BinPack"
	claimGate = "ClaimGate"
	topology  = "Topology"
)

// understood are plugins that a Probe may ask: upstream's change nothing but the state,
// and ours, where they do, look at IsProbe first.
var understood = sets.New(archAware, binPack, topology, Name,
	names.InterPodAffinity, names.NodeAffinity, names.NodeDeclaredFeatures, names.NodeName, names.NodePorts,
	names.NodeResourcesFit, names.NodeUnschedulable, names.NodeVolumeLimits, names.PodTopologySpread,
	names.TaintToleration, names.VolumeBinding, names.VolumeRestrictions, names.VolumeZone)

// of reads the profile when the first pod is looked at: before, not all plugins are
// there.
func (c *chain) of(ctx context.Context, handle fwk.Handle) *chain {
	c.once.Do(func() {
		if unfit := c.read(handle); unfit != "" {
			c.framework = nil
			klog.FromContext(ctx).Info("For pods with claims all nodes are looked at, where the best for their devices would do; that is slower in large clusters",
				"profile", handle.ProfileName(), "why", unfit)
		}
	})
	return c
}

// read says why there are no shortlists, "" if there are.
func (c *chain) read(handle fwk.Handle) string {
	framework, is := handle.(interface {
		adapt.Framework
		ListPlugins() *config.Plugins
	})
	if !is {
		return "the profile's plugins cannot be listed"
	}
	c.framework = framework
	c.scores = map[string]int64{}
	plugins := framework.ListPlugins()
	for _, scorer := range plugins.Score.Enabled {
		c.scores[scorer.Name] = int64(scorer.Weight)
	}
	c.fit = slices.ContainsFunc(plugins.Filter.Enabled, func(p config.Plugin) bool { return p.Name == names.NodeResourcesFit })
	var strange []string
	for _, asked := range [][]config.Plugin{plugins.PreFilter.Enabled, plugins.Filter.Enabled, plugins.PreScore.Enabled} {
		for _, plugin := range asked {
			if !understood.Has(plugin.Name) && !slices.Contains(strange, plugin.Name) {
				strange = append(strange, plugin.Name)
			}
		}
	}
	var late []string
	ours := slices.IndexFunc(plugins.PreFilter.Enabled, func(p config.Plugin) bool { return p.Name == Name })
	for _, plugin := range plugins.PreFilter.Enabled[ours+1:] {
		if plugin.Name == archAware || plugin.Name == topology {
			late = append(late, plugin.Name)
		}
	}
	switch {
	case len(handle.Extenders()) > 0:
		return "there are extenders"
	case len(strange) > 0:
		return "it is not known what else these plugins do: " + strings.Join(strange, ", ")
	case len(late) > 0:
		return "these plugins want to be enabled before " + Name + ": " + strings.Join(late, ", ")
	case !first(plugins.PostFilter.Enabled):
		return Name + " wants to be enabled in postFilter, before " + names.DefaultPreemption
	case !c.decides(sets.New(names.InterPodAffinity, names.NodeAffinity, names.PodTopologySpread, topology, names.VolumeBinding)):
		return "the scores of other plugins outweigh that of " + Name
	}
	return ""
}

// decides tells whether a better place in GPUSlice's order outweighs all that the
// plugins can give that are not silent. What ArchAware and TaintToleration give is
// the same for all nodes of a part.
func (c *chain) decides(silent sets.Set[string]) bool { return c.scores[Name] > c.others(silent) }

// others is the most that the plugins can give a node that are not silent, without what
// is the same for all nodes of a part.
func (c *chain) others(silent sets.Set[string]) int64 {
	var others int64
	for name, weight := range c.scores {
		switch name {
		case Name, archAware, names.TaintToleration:
		default:
			if !silent.Has(name) {
				others += weight * fwk.MaxScore
			}
		}
	}
	return others
}

// apart tells whether what differs between parts is either nothing or more than all that
// the plugins can give that are not silent: then these decide within a part only, and
// do not notice that some nodes are not shown to them.
func (c *chain) apart(silent sets.Set[string]) bool {
	step := int64(0)
	for _, name := range []string{Name, archAware, names.TaintToleration} {
		if silent.Has(name) && name != Name {
			continue
		}
		for weight := c.scores[name]; weight != 0; { // Euclid's algorithm
			step, weight = weight, step%weight
		}
	}
	return step > c.others(silent)
}

// first tells whether GPUSlice comes before preemption, which is not to evict anybody
// for a pod that has only been shown some nodes.
func first(postFilters []config.Plugin) bool {
	at := func(name string) int {
		return slices.IndexFunc(postFilters, func(p config.Plugin) bool { return p.Name == name })
	}
	ours, preemption := at(Name), at(names.DefaultPreemption)
	return ours >= 0 && (preemption < 0 || ours < preemption)
}

// full tells of a node that NodeResourcesFit will refuse for the sake of cores, memory
// or the number of pods: where GPUs are left over because these are not, asking about
// every node would take long.
func (c *chain) full(r *request, node fwk.NodeInfo) bool {
	if !c.fit {
		return false
	}
	there, used := node.GetAllocatable(), node.GetRequested()
	return r.cpu > 0 && r.cpu > there.GetMilliCPU()-used.GetMilliCPU() ||
		r.memory > 0 && r.memory > there.GetMemory()-used.GetMemory() ||
		len(node.GetPods())+1 > there.GetAllowedPodNumber()
}
