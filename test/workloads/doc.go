// Package workloads runs the scheduler with upstream's alpha gates of workload
// scheduling on, which a whole process has or has not: native PodGroups, gangs and
// topology constraints (scheduling.k8s.io/v1alpha2).
package workloads
