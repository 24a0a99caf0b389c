package arch

import "slices"

// Failed tells whether any of the pod's images failed somewhere for its
// architecture.
func (p *Pod) Failed() bool {
	return slices.ContainsFunc(p.Images, func(i Image) bool { return i.Disproved.Len() > 0 })
}

// Doubt drops what failed on nodes of an operating system if that leaves the pod
// none of its hosts there. What fails wherever it can go fails for another reason: a
// script without a shebang does so in the same words. The hosts are those of
// nodes that could hold the pod.
func (p *Pod) Doubt(hosts []*Host) {
	for _, os := range p.failedUnder() {
		some := slices.ContainsFunc(hosts, func(h *Host) bool { return h.Platform().OS == os && p.Judge(h).Cause == Fine })
		if some {
			continue
		}
		for i := range p.Images {
			p.Images[i].Disproved = p.Images[i].Disproved.withoutOS(os)
		}
	}
}

// failedUnder lists the operating systems of nodes on which images failed.
func (p *Pod) failedUnder() (out []string) {
	for i := range p.Images {
		for _, platform := range p.Images[i].Disproved.Platforms() {
			if !slices.Contains(out, platform.OS) {
				out = append(out, platform.OS)
			}
		}
	}
	return out
}

func (s Set) withoutOS(os string) Set {
	return NewSet(slices.DeleteFunc(slices.Clone(s.Platforms()), func(p Platform) bool { return p.OS == os })...)
}
