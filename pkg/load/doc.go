// Package load answers one question: how well would this node be loaded if this
// pod were placed on it? It knows vectors of amounts, a target line and the mix
// of pods a cluster sees; it knows nothing of Kubernetes.
//
// # The line
//
// A node's utilization after placement is its dominant share: the largest
// requested/allocatable over the resources that count towards the line. The
// target T says how full a node should become. A placement is on one of three
// sides of the line, and the side decides first:
//
//	Under   a node in use that stays at or under T      best
//	Opens   an empty node that stays at or under T
//	Over    any node that ends above T                  worst
//
// On one side, the curve decides. It is continuous, rises to its peak at T and
// falls behind it, so that nodes are filled to the line, and, once nothing else
// is left, loaded over it as little as possible:
//
//	1.0           ╱╲
//	            ╱    ╲            x: utilization after placement
//	          ╱        ╲
//	0.0     ╱            ╲
//	        0 %    T    100 %
//
// Sides are compared before curves because no finite slope can do both: a
// continuous curve would let a node just over the line beat one far under it.
//
// # Stranding
//
// 90 % of the cores with 10 % of the memory is worse than half of each: what is
// left fits nothing. Stranding is the expected share of a node, weighted by
// resource, that the pods this cluster really sees cannot use:
//
//	stranded = Σ over shapes m  share(m) · Σ over resources r  w(r) · (left(r) - copies(m)·need(m,r)) / allocatable(r)
//	copies(m) = how many whole pods of shape m still fit in what is left
//
// What is left counts up to the line (to the brim for a node over it, and for
// devices such as whole GPUs, which no line applies to). Part of the judgement
// is left to "any shape", which uses up whatever is left in the node's own
// proportions: all of it before the first pod is seen, half after a hundred, so
// that a handful of odd pods does not decide where everything goes. The measure is the one
// of FGD (Weng et al., "Beware of Fragmentation", USENIX ATC'23, section 4),
// generalised from one copy of a task to as many as fit. A placement pays for
// what is stranded afterwards and, more, for what it adds:
//
//	value = curve - 1.25·stranded(after) - 6·(stranded(after) - stranded(before))
//
// The factors are the best of a sweep over homogeneous and mixed node pools;
// test/compaction compares the outcome with MostAllocated and the default profile.
package load
