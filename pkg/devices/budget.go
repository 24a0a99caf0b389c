package devices

// What planning may cost. The allocator searches in parallel, under a timeout,
// and only on nodes that every other filter accepts; a plan is made for all nodes
// in the one goroutine that schedules. So it is bounded, and where the bound is
// reached the natural order is kept: the allocator then decides alone.
//
// The unit is one device looked at for one slot, some 100 ns.
const (
	// nodeBudget bounds the search on one node.
	nodeBudget = 3000
	// viewBudget bounds all nodes of one view: some 100 ms. What was planned is
	// remembered, so that the next view goes on where this one stopped.
	viewBudget = 1_000_000
	// costOfMatch is what evaluating a request's selectors on a device costs.
	costOfMatch = 100
)
