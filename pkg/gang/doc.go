// Package gang is the model of pods that are placed together: who belongs to a
// group, who of them has a place, whether the group has started, what room is
// held for those that are still to come, and when a group that failed tries
// again.
//
//	         Observe          Assume            Start           Observe(node)
//	absent ─────────▶ pending ──────▶ assumed ─────────▶ started ───────────▶ bound
//	                     ▲               │ Fail: all assumed members of a group
//	                     └───────────────┘ that has not started give way at once
//
// A group starts when enough of its members have a place; from then on its
// members come and go one by one, until none of them has a place any more.
//
// Room for members without a place is a Hold: a number of pods on each of some
// nodes. It is charged to other pods (Charges), shrinks as members take their
// places, and expires when nothing happened for a while.
//
// The package knows neither pods nor nodes, only their names, and no clock: its
// callers tell it the time.
package gang
