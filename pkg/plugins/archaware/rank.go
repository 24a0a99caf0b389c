package archaware

import (
	"slices"
	"sync"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/utils/lru"

	"plimsoll.dev/scheduler/pkg/arch"
	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/inventory"
)

// rank scores every kind: by the pod's own annotation, else by the profile's
// order, else by how scarce each architecture is. Only the pod's own weights count in
// size, beside its other preferences; of the others the order does: one point
// of the profile's weight is what the next one is behind. Platforms that run
// the pod as 32-bit code, or against what is known of its images, come last.
func (p *ArchAware) rank(r *request, pod *v1.Pod, nodes []fwk.NodeInfo, census *inventory.PlatformCensus, known []*arch.Host, selection *intent.Selection) {
	points := func(string) int64 { return fwk.MaxScore }
	switch {
	case !r.choice:
	case !r.asked.Preference.Empty():
		points = r.asked.Preference.Score
	default:
		open := r.open(census, known, selection)
		if p.scarcity != nil {
			p.scarcity.see(pod, open)
		}
		switch {
		case len(open) < 2 || selection.Prefers: // NodeAffinity scores what it prefers
		case !p.preferred.Empty():
			points = p.order(open)
		case p.scarcity != nil:
			r.places = p.scarcity.places(nodes, p.platforms, known, open)
			points = r.places.points
		}
	}
	for kind, host := range known {
		j := &r.judged[kind]
		if j.Fit == arch.Native || j.against {
			j.score = max(1, points(host.Platform().Architecture))
		}
	}
}

// open lists the architectures of the cluster that the pod can go to, by name.
func (r *request) open(census *inventory.PlatformCensus, known []*arch.Host, selection *intent.Selection) []string {
	var out []string
	for kind, host := range known {
		name := host.Platform().Architecture
		if name != "" && census.Present(kind) && r.judged[kind].refusal == "" && selection.Allows(name) && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// order gives the profile's preferred architectures the first places, and all
// others the next.
func (p *ArchAware) order(open []string) func(string) int64 {
	listed := slices.Clone(open)
	slices.SortStableFunc(listed, func(a, b string) int { return int(p.preferred.Score(b) - p.preferred.Score(a)) })
	return func(name string) int64 {
		place := slices.Index(listed, name)
		if place < 0 || !p.preferred.Allows(name) {
			place = slices.IndexFunc(listed, func(other string) bool { return !p.preferred.Allows(other) })
		}
		return fwk.MaxScore - int64(max(place, 0))
	}
}

// scarcity leaves the architecture that is scarce to pods that cannot run
// elsewhere.
type scarcity struct {
	demand *arch.Demand
	// seen are pods that were counted: one that is tried again is not new demand.
	seen *lru.Cache

	mu       sync.Mutex // of what follows
	supplies []arch.Supply
	// nodes that were there, and pods that asked, when it was last added up.
	nodes, asked int
}

// rememberedPods bounds the pods that are known to have been counted.
const rememberedPods = 8192

func newScarcity(halfLifePods int64) *scarcity {
	return &scarcity{demand: arch.NewDemand(halfLifePods), seen: lru.New(rememberedPods)}
}

// see counts a pod the first time it is tried.
func (s *scarcity) see(pod *v1.Pod, open []string) {
	if len(open) == 0 {
		return
	}
	if _, found := s.seen.Get(pod.UID); found {
		return
	}
	s.seen.Add(pod.UID, nil)
	only := ""
	if len(open) == 1 {
		only = open[0]
	}
	amounts := (&framework.PodInfo{Pod: pod}).CalculateResource()
	s.demand.See(only, arch.Amount{MilliCPU: amounts.Non0CPU, MemoryBytes: amounts.Non0Mem})
}

// places are those of the architectures a pod can choose from.
type places struct {
	names []string
	place []int
}

// points turns an architecture's place into a score: the best places get all, and
// all others one point less. How much scarcer one is does not matter, so that
// flexibility never outweighs a place in the order of GPUs.
func (p *places) points(name string) int64 {
	i := slices.Index(p.names, name)
	if i < 0 || p.place[i] == slices.Min(p.place) {
		return fwk.MaxScore
	}
	return fwk.MaxScore - 1
}

// scarcest is the architecture with the last place; empty if all are alike.
func (p *places) scarcest() string {
	if p == nil || len(p.place) == 0 {
		return ""
	}
	at := slices.Index(p.place, slices.Max(p.place))
	if p.place[at] == slices.Min(p.place) {
		return ""
	}
	return p.names[at]
}

// places asks the model about the architectures in open.
func (s *scarcity) places(nodes []fwk.NodeInfo, platforms *inventory.Platforms, known []*arch.Host, open []string) *places {
	all := s.supply(nodes, platforms, known)
	of := make([]arch.Supply, len(open))
	for i, name := range open {
		of[i].Architecture = name
		if at := slices.IndexFunc(all, func(s arch.Supply) bool { return s.Architecture == name }); at >= 0 {
			of[i] = all[at]
		}
	}
	return &places{open, s.demand.Mix().Places(of, nil)}
}

// supply is what is free on the nodes of each architecture. Places change with
// factors of two, so on a large cluster it is added up again only once in a
// while: after one pod for every ten nodes, which could not take up much of it.
func (s *scarcity) supply(nodes []fwk.NodeInfo, platforms *inventory.Platforms, known []*arch.Host) []arch.Supply {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if len(nodes) == s.nodes && s.asked <= len(nodes)/10 {
		return s.supplies
	}
	s.nodes, s.asked = len(nodes), 0
	byKind := make([]arch.Amount, len(known))
	for _, info := range nodes {
		if kind := platforms.Kind(info.Node()); kind < len(byKind) && inventory.TakesPods(info.Node()) {
			free := inventory.Free(info)
			byKind[kind].MilliCPU += free.MilliCPU
			byKind[kind].MemoryBytes += free.MemoryBytes
		}
	}
	s.supplies = nil
	for kind, free := range byKind {
		name := known[kind].Platform().Architecture
		at := slices.IndexFunc(s.supplies, func(o arch.Supply) bool { return o.Architecture == name })
		if at < 0 {
			at = len(s.supplies)
			s.supplies = append(s.supplies, arch.Supply{Architecture: name})
		}
		s.supplies[at].Free.MilliCPU += free.MilliCPU
		s.supplies[at].Free.MemoryBytes += free.MemoryBytes
	}
	return s.supplies
}
