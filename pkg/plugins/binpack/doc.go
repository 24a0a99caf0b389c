// Package binpack is the BinPack plugin: it fills nodes to a target utilization
// and no further, and empties the rest.
//
// It decides which of the nodes that can take a pod should, by asking pkg/load
// how well each would be loaded afterwards:
//
//	node        cpu before → after    side    rank
//	eu-a-01     60 % → 72 %           under   100   closest to the line
//	eu-a-02     20 % → 32 %           under    99
//	eu-b-07      0 % → 12 %           opens    98   empty: better left empty
//	eu-a-03     75 % → 87 %           over     97   past the target of 80 %
//
// Inputs: requested and allocatable resources of nodes as the framework counts
// them; the pod's requests and its plimsoll.dev/target-utilization; node labels,
// for per-pool targets; the shapes of recent pods, from the pod informer; and,
// if switched on, measured usage from metrics.k8s.io.
//
// Reasons: AnnotationInvalid refuses a pod as a whole, OverCeiling a node.
// PackedUnderTarget, OpenedEmptyNode, PackedOverTarget and PackingOutweighed say
// why a pod is where it is; NotPacked that packing had no say in it.
//
// Filter does nothing unless a ceiling is set, and then judges by requests
// alone, as every component that sizes a cluster does. Pods that come with their
// node (DaemonSets) are not held to it.
package binpack
