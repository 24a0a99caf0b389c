package arch

// Implies tells whether what runs on nodes of one platform runs on those of the
// other: it does if they share the instruction set, and for Windows only if the
// other takes all builds of images that the first takes. So a proof on the first
// counts for the other, and a failure on the other for the first. Variants do not
// matter: whether something runs at all is a matter of the instruction set.
func (p Platform) Implies(other Platform) bool {
	if p.OS != other.OS || p.Architecture != other.Architecture {
		return false
	}
	if p.OS != "windows" || p.OSVersion == other.OSVersion || p.OSVersion == "" || other.OSVersion == "" {
		return true // a node that does not say its build is taken for any
	}
	a, b := NewHost(p, false), NewHost(other, false)
	return b.least <= a.least && a.most <= b.most
}

// proves reports whether something that ran on nodes of one of the platforms
// runs on those of p.
func (s Set) proves(p Platform) bool {
	for _, q := range s.Platforms() {
		if q.Implies(p) {
			return true
		}
	}
	return false
}

// disproves reports whether something that failed for its architecture on nodes
// of one of the platforms fails on those of p.
func (s Set) disproves(p Platform) bool {
	for _, q := range s.Platforms() {
		if p.Implies(q) {
			return true
		}
	}
	return false
}
