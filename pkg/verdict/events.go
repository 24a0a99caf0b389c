package verdict

import "slices"

// Event names an event that plugins emit beside those of the scheduler itself.
type Event string

// Every such event there is. All are warnings.
const (
	ImagePlatformsAssumed   Event = "ImagePlatformsAssumed"
	ImagePlatformsOverruled Event = "ImagePlatformsOverruled"
	GroupHeldBack           Event = "GroupHeldBack"
	TopologyHintsDropped    Event = "TopologyHintsDropped"
)

// EventEntry documents one.
type EventEntry struct {
	Event  Event
	Plugin string
	// On is the kind of the object that it is about.
	On string
	// Says names the reasons that may be its message.
	Says []Code
	// When it is emitted, and how often at most.
	When string
}

var eventTable = []EventEntry{
	{ImagePlatformsAssumed, archAware, "Pod", []Code{ArchAssumed},
		"a pod was bound although it is not known what one of its images is built for; once an hour for an image in a namespace"},
	{ImagePlatformsOverruled, archAware, "Pod", []Code{ArchAgainstImages},
		"a pod was bound where its own selector sent it, and one of its images is not built for that; once an hour for an image in a namespace"},
	{GroupHeldBack, topology, "Pod", []Code{GroupUnknown, GroupIncomplete, GroupBacksOff},
		"a group is held back out of the queue, where pods get no condition; at one of its pods, once, after 10 seconds"},
	{TopologyHintsDropped, topology, "Service", []Code{HintsDropped},
		"a Service that pods of the profile serve has kept a number of ready endpoints for which the control plane drops same-zone hints; once an hour for each such number"},
}

// Events returns the table.
func Events() []EventEntry { return slices.Clone(eventTable) }
