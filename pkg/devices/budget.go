package devices

// What planning may cost. The allocator searches in parallel, under a timeout;
// plans are made one at a time. So they are bounded, and where a bound is reached
// the allocator decides alone.
//
// The unit is one device looked at for one slot, some 100 ns.
const (
	// nodeBudget bounds the search on one node.
	nodeBudget = 3000
	// viewBudget bounds all nodes that one pod asks about: some 300 ms. What was
	// planned is remembered, so that the next pod goes on where this one stopped.
	viewBudget = 3_000_000
	// orderBudget bounds putting all slices in order, some 100 ms: there, all nodes
	// are planned whether or not somebody asks about them.
	orderBudget = 1_000_000
	// costOfMatch is what evaluating a request's selectors on a device costs.
	costOfMatch = 100
)
