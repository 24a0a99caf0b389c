package archaware

import (
	"context"

	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"

	"plimsoll.dev/scheduler/pkg/arch"
	"plimsoll.dev/scheduler/pkg/metrics"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// report counts the placement and says what decided the architecture, unless the
// cluster has only one.
func (p *ArchAware) report(ctx context.Context, r *request, pod *v1.Pod, nodeName string) {
	kind, found := p.platforms.KindOf(nodeName)
	if !found || kind >= len(r.judged) {
		return // the node has left, or was not there when the pod was judged
	}
	architecture := p.platforms.Kinds()[kind].Architecture
	by, about, reason := p.decided(r, kind, architecture)
	metrics.ArchPlacements.WithLabelValues(p.handle.ProfileName(), architecture, by).Inc()
	if reason.Message == "" {
		return
	}
	klog.FromContext(ctx).V(3).Info("Chose architecture", "pod", klog.KObj(pod), "node", nodeName, "reason", reason.Message)
	if event := map[verdict.Code]verdict.Event{verdict.ArchAssumed: verdict.ImagePlatformsAssumed, verdict.ArchAgainstImages: verdict.ImagePlatformsOverruled}[reason.Code]; event != "" &&
		p.told.First(pod.Namespace+" "+string(event)+" "+about) {
		p.handle.EventRecorder().Eventf(pod, nil, v1.EventTypeWarning, string(event), "Scheduling", "%s", reason.Message)
	}
	if p.recorder != nil {
		p.recorder.Placed(pod.Namespace, pod.Name, string(pod.UID), nodeName, reason)
	}
}

// decided says what decided the architecture, as a metric's label and in words,
// and which image they are about; without words if nothing had to be decided.
func (p *ArchAware) decided(r *request, kind int, architecture string) (label, about string, reason verdict.Reason) {
	j := &r.judged[kind]
	if j.against {
		image := r.pod.Images[j.Image]
		return "against_images", image.Name, verdict.Say(verdict.ArchAgainstImages, "architecture", architecture,
			"image", verdict.Quote(image.Name), "platforms", image.Platforms)
	}
	if !r.choice {
		return "none", "", verdict.Reason{}
	}
	if image := r.unknown(); image != nil && r.pod.Assumed.Len() > 0 {
		return "assumed", image.Name, verdict.Say(verdict.ArchAssumed, "architecture", architecture,
			"image", verdict.Quote(image.Name), "why", image.Why, "platforms", r.pod.Assumed.Union(image.Proven))
	}
	if image := r.binding(); image != nil {
		return "images", image.Name, verdict.Say(verdict.ArchOfImages, "architecture", architecture,
			"image", verdict.Quote(image.Name), "platforms", image.Platforms)
	}
	label, reason = p.preferredOrFlexible(r, kind, architecture)
	return label, "", reason
}

func (p *ArchAware) preferredOrFlexible(r *request, kind int, architecture string) (string, verdict.Reason) {
	order := p.preferred
	if !r.asked.Preference.Empty() {
		order = r.asked.Preference
	}
	switch {
	case r.ownAffinity && r.asked.Preference.Empty():
		return "none", verdict.Reason{}
	case !order.Empty() && r.judged[kind].score == r.bestScore():
		return "preferred", verdict.Say(verdict.ArchPreferred, "architecture", architecture, "order", order)
	case !order.Empty():
		return "not_first", verdict.Say(verdict.ArchNotFirst, "architecture", architecture, "order", order)
	}
	if scarce := r.places.scarcest(); scarce != "" && scarce != architecture {
		return "flexible", verdict.Say(verdict.ArchLeftToOthers, "architecture", architecture, "scarce", scarce)
	}
	return "none", verdict.Reason{}
}

// unknown is an image for which the registry does not speak; nil if there is
// none.
func (r *request) unknown() *arch.Image {
	for i := range r.pod.Images {
		if image := &r.pod.Images[i]; !image.Known && !image.Anywhere {
			return image
		}
	}
	return nil
}

// binding is an image that rules some platform of the cluster out; nil if there
// is none.
func (r *request) binding() *arch.Image {
	for kind := range r.judged {
		if j := &r.judged[kind]; j.Cause.OfImages() && r.present[kind] {
			return &r.pod.Images[j.Image]
		}
	}
	return nil
}

func (r *request) bestScore() int64 {
	best := int64(0)
	for kind := range r.judged {
		if r.judged[kind].refusal == "" && r.present[kind] {
			best = max(best, r.judged[kind].score)
		}
	}
	return best
}
