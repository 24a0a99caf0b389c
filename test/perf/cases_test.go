package perf

// row is a workload of upstream's, which BenchmarkFull runs as it is.
type row struct {
	// folder is where its performance-config.yaml lies below scheduler_perf.
	folder, testCase, workload string
	// short overrides parameters of the workload in BenchmarkShort; nil leaves
	// the row to BenchmarkFull.
	short sizes
}

// String is CASE/WORKLOAD.
func (r row) String() string { return r.testCase + "/" + r.workload }

// sizes are values for parameters of a workload.
type sizes map[string]int

// table is all that is measured. Workloads that switch queueing hints off
// emulate Kubernetes 1.33, those named after them run as this release does.
var table = []row{
	{"misc", "SchedulingBasic", "5000Nodes_10000Pods", nil},
	{"misc", "SchedulingBasic", "5000Nodes_10000Pods_QueueingHintsEnabled", sizes{"initNodes": 1000, "initPods": 200, "measurePods": 2500}},
	{"topology_spreading", "TopologySpreading", "5000Nodes_5000Pods_QueueingHintsEnabled", sizes{"initNodes": 500, "initPods": 500, "measurePods": 1500}},
	{"affinity", "SchedulingPodAffinity", "5000Nodes_5000Pods_QueueingHintsEnabled", sizes{"initNodes": 500, "initPods": 300, "measurePods": 1000}},
	{"misc", "PreemptionAsync", "5000Nodes_QueueingHintsEnabled", sizes{"initNodes": 500, "initPods": 2000, "measurePods": 2000}},

	// Claims: GPUSlice against the in-tree plugin that it wraps.
	{"dra", "SchedulingWithResourceClaimTemplate", "2000pods_100nodes", sizes{"initPods": 300, "measurePods": 500}},
	{"dra", "SchedulingWithResourceClaimTemplate", "5000pods_500nodes_QueueingHintsEnabled", nil},
	{"dra/prioritizedlist", "FirstAvailable", "fast_QueueingHintsEnabled", sizes{"nodesWithDRA": 60, "maxClaimsPerNode": 10, "createPods.count": 400}},
	{"dra/partitionabledevices", "Partitionable", "2000pods_100nodes", sizes{"nodesWithDRA": 10, "resourceSlices": 60, "initClaims": 60, "measurePods": 60}},
	{"dra/consumablecapacity", "ConsumableCapacity", "2000pods_100nodes", sizes{"nodesWithDRA": 10, "resourceSlices": 60, "measurePods": 60}},
	{"dra/extendedresource", "ExtendedResource_25Classes", "2000pods_200nodes", sizes{"nodesWithDRA": 100, "initPods": 200, "measurePods": 400}},
	{"dra", "SchedulingWithResourceClaimTemplate", "2000pods_200nodes", nil},
	{"dra", "SteadyStateClusterResourceClaimTemplate", "empty_100nodes", nil},
	{"dra", "SteadyStateClusterResourceClaimTemplate", "empty_200nodes", nil},
	{"dra", "SteadyStateClusterResourceClaimTemplate", "empty_500nodes_QueueingHintsEnabled", nil},
	{"dra", "SteadyStateClusterResourceClaimTemplate", "half_100nodes", nil},
	{"dra", "SteadyStateClusterResourceClaimTemplate", "half_200nodes", nil},
	{"dra", "SteadyStateClusterResourceClaimTemplate", "half_500nodes_QueueingHintsEnabled", nil},
	{"dra", "SteadyStateClusterResourceClaimTemplate", "full_100nodes", nil},
	{"dra", "SteadyStateClusterResourceClaimTemplate", "full_200nodes", nil},
	{"dra", "SteadyStateClusterResourceClaimTemplate", "full_500nodes_QueueingHintsEnabled", nil},
	{"dra", "SchedulingWithResourceClaim", "2000pods_100nodes", nil},
	{"dra", "SchedulingWithResourceClaim", "2000pods_200nodes", nil},
	{"dra", "SchedulingWithResourceClaim", "5000pods_500nodes", nil},
	{"dra/devicetaints", "DeviceTaintToleration", "fast_QueueingHintsEnabled", nil},
	{"dra/partitionabledevices", "PartitionableBacktracking", "fast_QueueingHintsEnabled", nil},
	{"dra/extendedresource", "ExtendedResource_25Classes", "5000pods_500nodes", nil},
	{"dra/extendedresource", "ExtendedResource_50Classes", "2000pods_200nodes", nil},
	{"dra/extendedresource", "ExtendedResource_50Classes", "5000pods_500nodes", nil},
	{"dra/extendedresource", "ImplicitExtendedResource_25Classes", "2000pods_200nodes", nil},
	{"dra/extendedresource", "ImplicitExtendedResource_25Classes", "5000pods_500nodes", nil},
}

// stretched are sizes for BenchmarkFull of workloads, by CASE/WORKLOAD, that at upstream's
// own end before a throughput can be sampled.
var stretched = map[string]sizes{
	"FirstAvailable/fast_QueueingHintsEnabled":            {"nodesWithDRA": 200, "maxClaimsPerNode": 10, fixedPods: 1500},
	"DeviceTaintToleration/fast_QueueingHintsEnabled":     {"nodesWithDRA": 200, "maxClaimsPerNode": 10, "measurePods": 1500},
	"PartitionableBacktracking/fast_QueueingHintsEnabled": {"nodesWithDRA": 10, "resourceSlices": 400, "measurePods": 400},
}

// oursAlone are workloads, by CASE/WORKLOAD, that upstream's profiles are too slow for: of
// the first two they schedule no pod in the seconds that are measured, which scheduler_perf
// takes for a failure, and the last they do not finish in minutes.
var oursAlone = map[string]bool{
	"Partitionable/2000pods_100nodes":                     true,
	"ConsumableCapacity/2000pods_100nodes":                true,
	"PartitionableBacktracking/fast_QueueingHintsEnabled": true,
}

// unmeasured are upstream's test cases with claims that are not in the table, and why.
var unmeasured = map[string]string{
	"PublishResourceSlices":   "schedules no pods",
	"ExtendedResourceScoring": "has a scheduler configuration of its own, so there is nothing to compare",
	"ExtendedResource":        "is too short, as all that is called fast is; those with classes are longer",
}
