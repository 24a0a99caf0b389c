package placement

import "plimsoll.dev/scheduler/pkg/verdict"

// Explanation is why one pod is, or would be, where it is. Its JSON form is a
// stable contract, as that of Result.
type Explanation struct {
	SchemaVersion int    `json:"schemaVersion"`
	Scheduler     string `json:"scheduler"`
	Namespace     string `json:"namespace"`
	Name          string `json:"name"`
	// Node is the one that was chosen; empty if none could take the pod.
	Node string `json:"node"`
	// Preempts lists the pods of lower priority that would have to make room first, as
	// namespace/name, sorted. No node can take the pod as things are then; Node is the
	// one that can when they are gone, and what is said of it is said of that time.
	Preempts []string `json:"preempts,omitempty"`
	// Refused is why the pod as a whole was refused before any node was looked at, or,
	// with code Error, the error of a plugin, perhaps about one node, with which the
	// scheduler ends the attempt; nil if neither.
	Refused *verdict.Reason `json:"refused,omitempty"`
	// Held: the pod is kept back in the queue and not tried at all; Refused says why.
	Held bool `json:"held,omitempty"`
	// Waits is why the pod, though it fits, would keep its place without being bound:
	// for the others of its group.
	Waits *verdict.Reason `json:"waits,omitempty"`
	// Nodes is how many there are, and Feasible how many could take the pod.
	Nodes    int `json:"nodes"`
	Feasible int `json:"feasible"`
	// Ties is how many nodes share the best score: the scheduler chooses one of them
	// at random, and Node is the first.
	Ties int `json:"ties"`
	// IfEmpty is how many nodes could take the pod if no other pod ran anywhere; nil
	// if that was not tried, or if it is not for want of room that it is refused.
	IfEmpty *int `json:"ifEmpty,omitempty"`
	// Lost counts the nodes that were lost, by plugin and reason, most first.
	Lost []Loss `json:"lost"`
	// Top are the best nodes, best first.
	Top []Score `json:"top"`
	// Devices lists what its claims would be allocated, as driver/pool/device.
	Devices []string `json:"devices"`
	// Reasons is what plugins say of the choice.
	Reasons []verdict.Reason `json:"reasons"`
	// Changes are what would let a pod that fits nowhere fit, each tried.
	Changes []Change `json:"changes"`
	// Tried is how often the scheduler was asked to find them. Untried is how many
	// changes there was no time for: more than Changes may help.
	Tried   int `json:"tried"`
	Untried int `json:"untried,omitempty"`
}

// Loss counts nodes that a plugin refused for one reason.
type Loss struct {
	verdict.Reason `json:",inline"`
	Nodes          int `json:"nodes"`
	// Examples are up to three of them.
	Examples []string `json:"examples"`
}

// Score is what the plugins say of a node that could take the pod.
type Score struct {
	Node  string `json:"node"`
	Total int64  `json:"total"`
	// Plugins holds those that scored, in the order of the profile.
	Plugins []PluginScore `json:"plugins"`
}

// PluginScore is what one plugin says of a node: 0 to 100, and that times its
// weight.
type PluginScore struct {
	Plugin   string `json:"plugin"`
	Raw      int64  `json:"raw"`
	Weighted int64  `json:"weighted"`
}

// Change is something that would let the pod fit, tried with the real scheduler.
type Change struct {
	// What says it in words: "tolerate dedicated=ml:NoSchedule".
	What string `json:"what"`
	// Nodes is how many nodes could take the pod then, and Examples up to three.
	Nodes    int      `json:"nodes"`
	Examples []string `json:"examples"`
}
