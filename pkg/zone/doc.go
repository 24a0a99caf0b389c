// Package zone answers where the pods of a group go: into which zone, block or
// rack, and on which nodes of it. It knows a tree of domains and how many pods
// fit where; it knows nothing of Kubernetes.
//
// # The tree
//
// Nodes have labels, one for each level of the topology, from broad to narrow. A
// domain is the path of the values down to it, never one value: rack r1 of one
// zone is not rack r1 of another.
//
//	the cluster
//	├─ zone=eu-1a
//	│  ├─ rack=r1  a-01 a-02
//	│  └─ rack=r2  a-03
//	└─ zone=eu-1b  b-02         b-02 has no rack
//	   └─ rack=r1  b-01
//
// A level that a node has no label for is skipped in its path. A node that has
// lost the label of its zone but not that of its rack is put where the others of
// its rack are, if there is only one such place. The tree follows from the nodes'
// labels alone, not from their order. It is immutable and shared; what changes
// from cycle to cycle, a Room, is one number per node, summed up along the tree's
// order, so that any domain's room is a single subtraction.
//
// # Together
//
// Choose finds the tightest domain for a group: of the narrowest level at which
// any holds all of its pods, the one with the least room, so that the roomy ones
// stay whole for the groups that need them. A preferred level is climbed away
// from, a required one is not:
//
//	rooms      zone a 29: block 1: r1 8, r2 5   block 2: r3 16
//	           zone b 18: block 3: r1 6, r2 6   block 4: r5 3, r6 3
//	4 pods     rack required         zone=a/block=1/rack=r2, with 5
//	12 pods    rack preferred        zone=a/block=2/rack=r3, with 16
//	17 pods    rack preferred        zone=b, with 18: no rack, no block holds them
//	17 pods    rack required         nowhere: rack=r3 has 16, the most
//
// Plan then says which nodes, by the same rule all the way down.
//
// # Apart
//
// Spread divides replicas over zones so that traffic can stay in them, which
// takes enough endpoints in every zone in use:
//
//	zones = clamp(replicas / per zone, min zones, zones there are)
//
//	3 per zone, at least 2 of 3 zones
//	replicas   1     2      4      6      7      8      9        11
//	ends       1     1/1    2/2    3/3    4/3    4/4    3/3/3    4/4/3
//
// A zone that cannot take the floor is begun only where too few zones are in use
// otherwise. What is in a zone that is full stays there, and the rest is divided
// over the others, as many as the rest is enough for.
//
// # Near
//
// RankNear puts callers where the endpoints of their Services are, in proportion
// to these or, with prices, where the traffic is cheapest. HintsKept tells when
// the control plane gives up routing within zones, and NearestKept which number of
// endpoints would do.
//
// # Measured
//
// 5,000 nodes with 12 levels, 3 zones and 100 racks, on a shared core of an EPYC:
// Build 4 ms; how many pods fit on every node and Choose 0.1 ms; a node's domain
// 5 ns, whether a domain contains a node 2 ns; Rank of 3 zones 0.14 µs.
package zone
