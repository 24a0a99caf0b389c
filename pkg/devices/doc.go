// Package devices is the model of what DRA drivers publish and what of it is
// allocated: every pool, device, counter and capacity, and the GPUs behind them.
// It answers which devices of a node serve a pod's claims best, without asking
// the allocator, and puts the ResourceSlices in the order in which the
// allocator, which takes the first that fits, takes just those.
//
//	ResourceSlices ──▶ pools ──▶ GPUs: a grid (pkg/mig), a share, a whole one
//	allocated state ─▶ what is free of their counters and capacities
//	claims, classes ─▶ Shape: selectors evaluated once for each device
//	                       │
//	                       ▼
//	View: per node an Answer, a Plan (devices, cost) or a Why, and the
//	      Scope: the slices that reach the node, in order
//
// Pools that several nodes share (devices on a network, say) are planned for as if they
// were a node of their own, a fabric, once for all nodes that reach the same. A claim
// may take of both.
//
// A driver is understood by the standard fields alone: counters that are units
// with a running number are a grid ("memory-slice-0" to "-7"), devices that take
// them are its placements, and whatever else they take is counted.
//
// # Exactness
//
// The allocator stays the only judge. The model says what it will say, and which
// devices it will take in the order that it is shown. Where it cannot tell, or an
// order could change the verdict, the answer is Unknown and the order natural:
//
//   - a selector that fails on some device (whether the allocator meets it
//     depends on the order)
//   - admin access; more than 32 devices; amounts that thousandths cannot hold
//   - constraints tied over a request for all devices (one that breaks them is an
//     error), and distinctAttribute over more than two devices of a request or
//     over alternatives: of each request the allocator remembers only the device
//     it added last
//   - pools that are not on one node alone and whose devices are not all for the same
//     nodes; a request that both a node's own devices and such pools could serve, or
//     that a constraint ties to requests of the other kind
//   - two drivers' pools of one name with counters on one node; a device in use by
//     shares that is not published as shared any more
//   - what a switched-off feature would decide, and attributes that may be lists
//
// In-tree quirks that no order touches: counters are kept by the name of the
// pool, not by driver; one counter below zero refuses every device of the pool
// that takes counters; a request for all devices fails while any pool that
// reaches the node, another node's counters included, is incomplete.
//
// # Cost
//
// A claim that comes or goes costs its own devices. A node is planned anew only
// when its devices, or the worth of free room, changed since the shape was last
// asked for; all else is a lookup a node. A fabric is planned anew when any of its
// pools changed.
package devices
