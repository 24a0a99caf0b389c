// Package metrics declares every metric that Plimsoll adds to the scheduler's
// own endpoint. The reference page is generated from it.
package metrics

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

const (
	namespace = "plimsoll"
	archAware = "archaware"
	binPack   = "binpack"
	gpuSlice  = "gpuslice"
	topology  = "topology"
)

// The metrics live as long as the process, like those of the scheduler itself,
// whose registry they join; plugins of all profiles share them.
var (
	// Placements counts pods by the side of the line their node ended on.
	Placements = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: namespace, Subsystem: binPack, Name: "placements_total",
		Help:           "Pods bound in profiles that have BinPack score, by where their node ended relative to its target: under, opens (an empty node), over.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"profile", "side"})

	// PlacementUtilization shows how close to the target nodes are filled.
	PlacementUtilization = metrics.NewHistogramVec(&metrics.HistogramOpts{
		Namespace: namespace, Subsystem: binPack, Name: "placement_utilization_ratio",
		Help:           "Dominant utilization of the node after each of these placements, as a share of its target: 1 is exactly on the line.",
		Buckets:        []float64{.1, .2, .3, .4, .5, .6, .7, .8, .9, 1, 1.1, 1.25},
		StabilityLevel: metrics.ALPHA,
	}, []string{"profile"})

	// UsagePolls counts reads of measured usage.
	UsagePolls = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: namespace, Subsystem: binPack, Name: "usage_polls_total",
		Help:           "Reads of node usage from metrics.k8s.io, by result: ok, error.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"profile", "result"})

	// UsageNodes shows how many nodes are judged by measured usage and how
	// many fell back to requests, and why.
	UsageNodes = metrics.NewGaugeVec(&metrics.GaugeOpts{
		Namespace: namespace, Subsystem: binPack, Name: "usage_nodes",
		Help:           "Nodes by the state of their usage sample: fresh ones are blended in; stale, missing and invalid ones fall back to requests.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"profile", "state"})

	// UsageFallbacks counts the pods that were placed without full usage data.
	UsageFallbacks = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: namespace, Subsystem: binPack, Name: "usage_fallbacks_total",
		Help:           "Pods bound to a node that was judged by requests although measured usage is on, by the state of its sample: stale, missing, invalid.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"profile", "state"})

	// Inspections counts what registries were asked, and what came of it.
	Inspections = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: namespace, Subsystem: archAware, Name: "image_inspections_total",
		Help: "Inspections of images, by registry (beyond the first 32: other) and result: ok, not_found, unauthorized, rate_limited, timeout, " +
			"unreachable, server_error, forbidden, too_large, malformed.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"registry", "result"})

	// InspectionSeconds shows how long registries take.
	InspectionSeconds = metrics.NewHistogramVec(&metrics.HistogramOpts{
		Namespace: namespace, Subsystem: archAware, Name: "image_inspection_duration_seconds",
		Help:           "Time that one inspection of an image took, by registry (beyond the first 32: other).",
		Buckets:        []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20},
		StabilityLevel: metrics.ALPHA,
	}, []string{"registry"})

	// ImageLookups shows how often an image is known already when a pod comes.
	ImageLookups = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: namespace, Subsystem: archAware, Name: "image_lookups_total",
		Help: "Images of pods that entered the queue, by what was known of them then: known, stale (the registry did not answer since), " +
			"waiting (being inspected: the pod is parked), unknown (cannot be inspected).",
		StabilityLevel: metrics.ALPHA,
	}, []string{"profile", "state"})

	// ParkedPods shows how many pods wait for a registry.
	ParkedPods = metrics.NewGaugeVec(&metrics.GaugeOpts{
		Namespace: namespace, Subsystem: archAware, Name: "parked_pods",
		Help:           "Pods held back until their images are inspected, at most until their deadline.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"profile"})

	// ArchPlacements counts pods by the architecture they went to and why.
	ArchPlacements = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: namespace, Subsystem: archAware, Name: "placements_total",
		Help: "Pods bound, by the architecture of their node and what left them no choice or decided it: images, preferred, not_first, flexible, assumed, " +
			"against_images (the pod's own selector), none (nothing to choose).",
		StabilityLevel: metrics.ALPHA,
	}, []string{"profile", "architecture", "decided_by"})

	// DisprovedPlatforms counts images that failed where they should have run.
	DisprovedPlatforms = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: namespace, Subsystem: archAware, Name: "disproved_platforms_total",
		Help: "Containers seen to fail for their architecture, by the architecture of their node: nothing for it in the index, or exec format error, " +
			"which is only seen as an error of the start or with terminationMessagePolicy FallbackToLogsOnError.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"profile", "architecture"})

	// Groups counts the attempts at groups that are placed whole or not at all.
	Groups = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: namespace, Subsystem: topology, Name: "groups_total",
		Help: "Attempts at groups that are placed whole or not at all, by result: placed, gave_up (a pod found no node in the chosen domain), " +
			"timed_out (not all pods had a place in time).",
		StabilityLevel: metrics.ALPHA,
	}, []string{"profile", "result"})

	// GroupWait shows how long members wait for each other.
	GroupWait = metrics.NewHistogramVec(&metrics.HistogramOpts{
		Namespace: namespace, Subsystem: topology, Name: "group_wait_duration_seconds",
		Help:           "Time from the first member of a group having a place until enough have one for the group to start.",
		Buckets:        []float64{.01, .05, .1, .5, 1, 2.5, 5, 10, 30, 60, 120, 300},
		StabilityLevel: metrics.ALPHA,
	}, []string{"profile"})

	// ReservedPods shows how much room waits for members of groups.
	ReservedPods = metrics.NewGaugeVec(&metrics.GaugeOpts{
		Namespace: namespace, Subsystem: topology, Name: "reserved_pods",
		Help:           "Pods of groups for which room is reserved that they have not taken yet.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"profile"})

	// TopologyPlacements counts pods by what decided their domain.
	TopologyPlacements = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: namespace, Subsystem: topology, Name: "placements_total",
		Help: "Pods bound that asked for a place in the topology, by what came of it: together (in their group's domain), climbed (in a broader one than " +
			"preferred), apart (outside it), spread (by min-per-zone), left_to_constraints (the pod's own topologySpreadConstraints), near and far " +
			"(in a zone with and without ready endpoints of its Services), none (nothing to decide).",
		StabilityLevel: metrics.ALPHA,
	}, []string{"profile", "result"})

	// HintsDropped counts Services that lose their hints.
	HintsDropped = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: namespace, Subsystem: topology, Name: "hints_dropped_total",
		Help:           "Events about Services whose number of endpoints makes the control plane drop same-zone hints.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"profile"})

	// Plans shows whether the allocator takes what was planned.
	Plans = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: namespace, Subsystem: gpuSlice, Name: "plans_total",
		Help: "Pods whose claims were allocated, by what became of the plan for them: followed, differed (the allocator took other devices), " +
			"none (the allocator chose alone: the model does not plan for such requests).",
		StabilityLevel: metrics.ALPHA,
	}, []string{"profile", "result"})

	// DeviceAnswers shows how much of the work the device model takes over.
	DeviceAnswers = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: namespace, Subsystem: gpuSlice, Name: "answers_total",
		Help: "Attempts to schedule a pod with claims, by who told which nodes can serve them: model (the device model alone), " +
			"allocator (for some nodes the in-tree allocator, with what reaches that node), " +
			"cluster (the in-tree plugin over the whole cluster, as for claims that are allocated already).",
		StabilityLevel: metrics.ALPHA,
	}, []string{"profile", "by"})

	// Searches shows how often GPUSlice spares the other plugins most nodes.
	Searches = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: namespace, Subsystem: gpuSlice, Name: "searches_total",
		Help: "Attempts to schedule a pod with claims for which the device model answers, by the nodes that the other plugins were shown: " +
			"shortlist (the best for its devices of which some node passes all filters), all.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"profile", "nodes"})

	// Disagreements should stay at zero.
	Disagreements = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: namespace, Subsystem: gpuSlice, Name: "disagreements_total",
		Help: "Pods for which the device model found devices on a node that the in-tree allocator then refused, though nothing had changed. " +
			"The pod is tried again without the model; the log has what it takes to reproduce it.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"profile"})
)

var register sync.Once

// Register adds all metrics to the scheduler's registry, once per process.
func Register() {
	register.Do(func() {
		for _, m := range All() {
			legacyregistry.MustRegister(m)
		}
		legacyregistry.CustomMustRegister(GPUStock)
	})
}

// All lists the metrics that are kept up to date, in the order of the reference
// page; see Described for those that are computed when they are scraped.
func All() []metrics.Registerable {
	return []metrics.Registerable{
		Placements, PlacementUtilization, UsagePolls, UsageNodes, UsageFallbacks, Plans, DeviceAnswers, Searches, Disagreements,
		Inspections, InspectionSeconds, ImageLookups, ParkedPods, ArchPlacements, DisprovedPlatforms,
		Groups, GroupWait, ReservedPods, TopologyPlacements, HintsDropped,
	}
}
