package topology

import (
	"fmt"
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/klog/v2"

	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/inventory"
	"plimsoll.dev/scheduler/pkg/metrics"
	"plimsoll.dev/scheduler/pkg/verdict"
	"plimsoll.dev/scheduler/pkg/zone"
)

// checkHints says at Services that ask for same-zone hints, and have pods of ours,
// when the control plane does not set them for as many endpoints as they have. A
// count must stand for a while first: Services that grow pass through others.
func (p *Topology) checkHints() {
	services := p.peers.Hinting()
	if len(services) == 0 || !p.shared.leads.Load() {
		return
	}
	nodes, err := p.handle.SharedInformerFactory().Core().V1().Nodes().Lister().List(labels.Everything())
	if err != nil {
		return
	}
	cpu := slices.Sorted(maps.Values(inventory.ZoneCPU(nodes)))
	before := p.endpoints
	p.endpoints = map[string]int64{}
	for _, service := range services {
		name, count := klog.KObj(service).String(), p.readyOf(service)
		p.endpoints[name] = count
		if len(cpu) < 2 || count == 0 || before[name] != count || zone.HintsKept(count, cpu) || !p.serves(service) {
			continue
		}
		if p.told.First(fmt.Sprintf("%s %d %d", name, count, len(cpu))) {
			p.tellHints(service, count, cpu)
		}
	}
}

func (p *Topology) tellHints(service *v1.Service, endpoints int64, cpu []int64) {
	fewer, more := zone.NearestKept(endpoints, cpu)
	kept := fmt.Sprint(more)
	if fewer > 0 {
		kept = fmt.Sprintf("%d or %d", fewer, more)
	}
	reason := verdict.Say(verdict.HintsDropped, "service", service.Name, "endpoints", endpoints, "zones", len(cpu), "kept", kept)
	p.handle.EventRecorder().Eventf(service, nil, v1.EventTypeWarning, string(verdict.TopologyHintsDropped), "Scheduling", "%s", reason.Message)
	metrics.HintsDropped.WithLabelValues(p.handle.ProfileName()).Inc()
}

// readyOf counts the ready endpoints of the Service.
func (p *Topology) readyOf(service *v1.Service) int64 {
	byZone, _ := p.peers.Ready(service.Namespace, service.Name)
	sum := int64(0)
	for _, count := range byZone {
		sum += count
	}
	return sum
}

// serves tells whether any pod of this profile is behind the Service.
func (p *Topology) serves(service *v1.Service) bool {
	if len(service.Spec.Selector) == 0 {
		return false
	}
	pods, err := p.handle.SharedInformerFactory().Core().V1().Pods().Lister().Pods(service.Namespace).
		List(labels.SelectorFromSet(service.Spec.Selector))
	return err == nil && slices.ContainsFunc(pods, func(pod *v1.Pod) bool {
		return pod.Spec.SchedulerName == p.handle.ProfileName() && !intent.IsFinished(pod)
	})
}
