package arch

// Image is what is known of one of a pod's images.
type Image struct {
	// Name as the pod has it.
	Name string
	// Known: Platforms are all that the image has.
	Known     bool
	Platforms Set
	// Anywhere: the image does not run by itself, it binds the pod to nothing.
	Anywhere bool
	// Proven and Disproved are platforms of nodes on which it ran, or failed to
	// for its architecture.
	Proven, Disproved Set
	// Why it is not Known.
	Why string
}

// Pod is what decides which nodes' platforms can run a pod.
type Pod struct {
	Images []Image
	// Beside is what its RuntimeClass runs beside the node's own platform; nil
	// if it has none such.
	Beside *Host
	// Preference of the pod itself; only what it lists is allowed, and an image
	// that is not known is taken to be built for all of that, unless Closed.
	Preference Preference
	// OS is what the pod says it is for; empty if it does not say.
	OS string
	// Closed: an image that is not known binds the pod to where it ran. Otherwise
	// it binds to that and to Assumed, or to nothing if Assumed is empty.
	Closed  bool
	Assumed Set
}

// Cause is why a platform cannot run a pod.
type Cause uint8

// The causes there are. Those of images come last.
const (
	// Fine: it can.
	Fine Cause = iota
	// Untold: the node does not say what it runs, and the pod insists.
	Untold
	// OtherOS: the pod says it is for another operating system.
	OtherOS
	// NotListed: the pod's preference does not list the architecture.
	NotListed
	// Lacks: the image is not built for it.
	Lacks
	// FailsOn: the image failed on such a node.
	FailsOn
	// NotAssumed: nothing is known of the image, and it is assumed to be built
	// for others.
	NotAssumed
	// Unproven: nothing is known of the image, and it ran on others only.
	Unproven
)

// OfImages tells whether the pod's images are the cause.
func (c Cause) OfImages() bool { return c >= Lacks }

// Verdict says whether a platform can run a pod.
type Verdict struct {
	// Fit is NoFit exactly if there is a Cause.
	Fit   Fit
	Cause Cause
	// Image is the index of the image that is the cause, or the worst fit; -1 if
	// it is none.
	Image int
}

// Judge says whether nodes of this platform can run the pod.
func (p *Pod) Judge(h *Host) Verdict {
	platform := h.Platform()
	switch {
	case platform == Platform{} && p.choosy():
		return Verdict{NoFit, Untold, -1}
	case platform == Platform{}:
		return Verdict{Fallback, Fine, -1} // nothing speaks against it, nor for it
	case p.OS != "" && p.OS != platform.OS:
		return Verdict{NoFit, OtherOS, -1}
	case !p.Preference.Allows(platform.Architecture):
		return Verdict{NoFit, NotListed, -1}
	}
	worst := Verdict{Native, Fine, -1}
	for i := range p.Images {
		if fit, cause := p.image(&p.Images[i], h); fit < worst.Fit {
			worst = Verdict{fit, cause, i}
		}
	}
	return worst
}

// choosy tells whether the pod insists on a platform that it or its images name.
func (p *Pod) choosy() bool { return p.Closed || !p.Preference.Empty() || p.OS != "" }

func (p *Pod) image(image *Image, h *Host) (Fit, Cause) {
	if image.Anywhere {
		return Native, Fine
	}
	fit, cause := Native, Fine
	switch {
	case image.Known:
		fit, cause = p.fit(image.Platforms, h), Lacks
	case image.Proven.proves(h.platform):
	case p.Closed:
		return NoFit, Unproven
	case !p.Preference.Empty(): // Judge has seen that it lists the host's
	default:
		// What failed already is assumed no longer.
		assumed := image.Proven.Union(image.without(p.Assumed))
		if assumed.Len() > 0 {
			fit, cause = p.fit(assumed, h), NotAssumed
		}
	}
	switch {
	case fit == NoFit:
		return NoFit, cause
	case image.Disproved.disproves(h.platform):
		return NoFit, FailsOn
	}
	return fit, Fine
}

// fit takes the better of what the node runs by itself and what the pod's
// RuntimeClass adds.
func (p *Pod) fit(s Set, h *Host) Fit {
	fit := h.Fit(s)
	if p.Beside != nil {
		fit = max(fit, p.Beside.Fit(s))
	}
	return fit
}

// without leaves out the architectures on which the image failed.
func (i *Image) without(s Set) Set {
	if i.Disproved.Len() == 0 {
		return s
	}
	var left []Platform
	for _, p := range s.Platforms() {
		if !i.Disproved.disproves(p) {
			left = append(left, p)
		}
	}
	return NewSet(left...)
}
