package topology

import (
	"fmt"
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/inventory"
	"plimsoll.dev/scheduler/pkg/metrics"
	"plimsoll.dev/scheduler/pkg/verdict"
	"plimsoll.dev/scheduler/pkg/zone"
)

// hintsEvent is the reason of the event on a Service that loses its hints.
const hintsEvent = "TopologyHintsDropped"

// readCPU reads the zones' CPU for checkHints, which runs outside of scheduling
// cycles, where the snapshot may not be read.
func (p *Topology) readCPU(r *request, nodes []fwk.NodeInfo) {
	if r.asked.MinPerZone > 0 && len(p.peers.Hinted(r.pod)) > 0 {
		r.cpu = inventory.ZoneCPU(nodes)
	}
}

// checkHints says at a Service when, now that all of the pod's replicas are
// placed, the control plane will not set same-zone hints for that many endpoints.
func (p *Topology) checkHints(r *request, pod *v1.Pod) {
	view := p.groups.View(r.group.Key)
	if len(r.cpu) < 2 || view.Placed() < r.size.Total {
		return
	}
	cpu := slices.Collect(maps.Values(r.cpu))
	for _, service := range p.peers.Hinted(pod) {
		endpoints := p.endpointsOf(service)
		if zone.HintsKept(endpoints, cpu) || !p.told.First(fmt.Sprintf("%s %d %d", klog.KObj(service), endpoints, len(cpu))) {
			continue
		}
		fewer, more := zone.NearestKept(endpoints, cpu)
		kept := fmt.Sprint(more)
		if fewer > 0 {
			kept = fmt.Sprintf("%d or %d", fewer, more)
		}
		reason := verdict.Say(verdict.HintsDropped, "service", service.Name, "endpoints", endpoints, "zones", len(cpu), "kept", kept)
		p.handle.EventRecorder().Eventf(service, pod, v1.EventTypeWarning, hintsEvent, "Scheduling", "%s", reason.Message)
		metrics.HintsDropped.WithLabelValues(p.handle.ProfileName()).Inc()
	}
}

// endpointsOf counts the pods that are or will be endpoints of the Service.
func (p *Topology) endpointsOf(service *v1.Service) int64 {
	pods, err := p.handle.SharedInformerFactory().Core().V1().Pods().Lister().Pods(service.Namespace).
		List(labels.SelectorFromSet(service.Spec.Selector))
	if err != nil {
		return 0
	}
	count := int64(0)
	for _, pod := range pods {
		if pod.DeletionTimestamp == nil && !intent.IsFinished(pod) {
			count++
		}
	}
	return count
}
