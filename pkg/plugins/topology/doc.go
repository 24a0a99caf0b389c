// Package topology puts the pods of a group into one domain, spreads replicas
// over zones so that each zone can serve its own callers, and puts pods near the
// Services they talk to.
//
// # What it knows
//
// The domains are read from node labels, by path (pkg/zone). A pod's group is
// named by its annotation, its PodGroup or its owner (pkg/intent), its size comes
// from the same places (pkg/podgroups). Who of a group exists and has a place,
// and for whom room is held, is in a book that all profiles share (pkg/gang).
// Where a Service's endpoints are, EndpointSlices say (pkg/peers).
//
// # What it decides
//
// A group with a required domain is placed whole or not at all:
//
//	PreEnqueue  holds members back until as many exist as the group has
//	PreFilter   picks the tightest domain that holds all, has room held there,
//	            and narrows the nodes down to it
//	Filter      keeps other pods, of equal or lower priority, off that room
//	Permit      has members wait until enough of them have a place
//	PostFilter  if one finds none in the domain, gives it up for another one
//
// Then the group has started: members that come later, or again, go where the
// others are and wait for nobody.
//
//	zone=eu-1a                zone=eu-1b
//	├─ rack=r1  room for 20   ├─ rack=r1  room for 17  ◀─ the 16 pods of train-42
//	└─ rack=r2  room for 9    └─ rack=r2  room for 40
//
// A preferred domain is the same without waiting, holding or refusing, unless the
// group's size is written for scheduling: the narrowest level at which a domain
// holds the group, up to the whole cluster.
//
// The score puts closeness to the group's domain before the order of zones, and
// in that the spread of replicas before nearness.
//
// Reasons: the Group…, Level…, Room…, Outside…, Spread… and Peers… codes of
// pkg/verdict, HintsDropped, and AnnotationInvalid.
package topology
