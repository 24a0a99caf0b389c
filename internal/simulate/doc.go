// Package simulate runs real schedulers on a copy of a cluster, and says what they
// would do with the pods that wait: where each would go and why, how the cluster
// fills meanwhile, and how it looks at the end.
//
// Two engines do that. The control plane is a real API server with a real
// scheduler; memory is the scheduler's framework alone, asked pod by pod, which is
// several times faster. They give the same verdicts and scores, and may differ
// only where upstream chooses at random.
//
// Nothing runs in a simulation and no time passes: pods that were placed stay, no
// Job ends, nobody waits in vain. Pods are submitted one after the other, those of
// higher priority first, then the oldest; at the end those without a place are
// tried again until none finds one.
package simulate
