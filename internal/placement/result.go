// Package placement is what Plimsoll's command line says about pods: where each
// went and why, as a table, JSON or YAML. The JSON form is a stable contract.
package placement

import (
	"cmp"
	"slices"

	"plimsoll.dev/scheduler/pkg/verdict"
)

// SchemaVersion is the version of the JSON form. Fields may be added to a
// version; anything else makes a new one.
const SchemaVersion = 1

// Result is the outcome of a run.
type Result struct {
	SchemaVersion int     `json:"schemaVersion"`
	Scheduler     string  `json:"scheduler"`
	Pods          []Pod   `json:"pods"`
	Summary       Summary `json:"summary"`
	// Pictures are lines that stand below the table. They are for people, and no
	// part of the contract.
	Pictures []string `json:"-"`
}

// Pod is where one pod ended and why.
type Pod struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Phase is the pod's status.phase.
	Phase string `json:"phase"`
	// Node, Zone and Arch are empty while the pod is not scheduled.
	Node string `json:"node"`
	Zone string `json:"zone"`
	Arch string `json:"arch"`
	// Devices lists what its claims were allocated, as driver/pool/device.
	Devices []string         `json:"devices"`
	Reasons []verdict.Reason `json:"reasons"`
}

// Preempted is the phase of pods that had to make room for others, as a simulation
// tells it. Kubernetes has no such phase: these pods are gone.
const Preempted = "Preempted"

// Summary counts the run.
type Summary struct {
	Pods    int `json:"pods"`
	Running int `json:"running"`
	Pending int `json:"pending"`
	// Preempted is how many had to make room for others.
	Preempted int `json:"preempted"`
	Nodes     int `json:"nodes"`
	// NodesInUse is how many nodes carry at least one of the pods. In a simulation pods
	// that ran before count too, and those of DaemonSets and of the node itself do not.
	NodesInUse int `json:"nodesInUse"`
	// Unexpected says, one line each, what did not end as it should have.
	Unexpected []string `json:"unexpected"`
}

// New returns a result over the pods, sorted by namespace and name, on a cluster
// of so many nodes.
func New(scheduler string, pods []Pod, nodes int, unexpected []string) *Result {
	slices.SortFunc(pods, func(a, b Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	r := &Result{SchemaVersion: SchemaVersion, Scheduler: scheduler, Pods: pods}
	r.Summary = Summary{Pods: len(pods), Nodes: nodes, Unexpected: unexpected}
	inUse := map[string]bool{}
	for i := range pods {
		p := &pods[i]
		switch p.Phase {
		case "Running":
			r.Summary.Running++
		case "Pending":
			r.Summary.Pending++
		case Preempted:
			r.Summary.Preempted++
		}
		if p.Node != "" {
			inUse[p.Node] = true
		}
		// Empty lists print as [], not as null.
		p.Devices = append([]string{}, p.Devices...)
		p.Reasons = append([]verdict.Reason{}, p.Reasons...)
	}
	r.Pods = append([]Pod{}, pods...)
	r.Summary.NodesInUse = len(inUse)
	r.Summary.Unexpected = append([]string{}, unexpected...)
	return r
}
