package simulate

import (
	"context"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"sigs.k8s.io/scheduler-plugins/apis/scheduling/v1alpha1"

	"plimsoll.dev/scheduler/internal/journal"
	"plimsoll.dev/scheduler/internal/offline"
)

// Engine is a cluster with a scheduler to which pods are given one after the other.
// It is not safe for concurrent use.
type Engine interface {
	// Submit creates a pod and returns what came of its first attempt. Pods that
	// are placed later, because others came or went, are only seen in State.
	Submit(ctx context.Context, pod *v1.Pod) (*Attempt, error)
	// Settle returns when no pod that waits would be placed if it were tried again.
	Settle(ctx context.Context) error
	// State is the cluster as it is now.
	State(ctx context.Context) (*State, error)
	// Notes says, a line each, what of the cluster the engine does without.
	Notes() []string
	// Close stops everything, and leaves nothing behind.
	Close() error
}

// Fate is what became of a pod.
type Fate string

// The fates of a pod that was tried.
const (
	// Placed: the pod is bound to a node.
	Placed Fate = "placed"
	// Waits: it has its place, and waits there for the rest of its group.
	Waits Fate = "waits"
	// Held: a plugin keeps it from being tried.
	Held Fate = "held"
	// Refused: no node can take it.
	Refused Fate = "refused"
)

// Attempt is what came of one attempt to schedule a pod.
type Attempt struct {
	Fate Fate
	// Node is where the pod was placed or waits.
	Node string
	// Nodes holds the answers of the nodes that were asked, none if the pod was
	// refused before.
	Nodes []offline.Answer
	// Evicted are pods that had to go since the last attempt.
	Evicted []types.NamespacedName
}

// State is what there is of pods and claims.
type State struct {
	Pods   []v1.Pod
	Claims []resourceapi.ResourceClaim
}

// Cluster is what an engine begins with.
type Cluster struct {
	// Objects are all but the pods.
	Objects []runtime.Object
	// Bound are the pods that have a node.
	Bound []*v1.Pod
	// Expected are the UIDs of those that will be submitted.
	Expected sets.Set[types.UID]
	// PodGroups are those of scheduler-plugins; nil if the cluster has none.
	PodGroups []*v1alpha1.PodGroup
}

// Scheduler is what an engine runs.
type Scheduler struct {
	// Config has the profiles that the pods name, and YAML is where it is from.
	Config *config.KubeSchedulerConfiguration
	YAML   []byte
	// Images says what images run on.
	Images *Everywhere
	// Journal is told what the scheduler says of pods.
	Journal *journal.Journal
	// Seed decides among nodes that score alike, where the engine is asked.
	Seed uint64
	// EveryNode has the engine in memory show all nodes to all plugins, even where it
	// is known beforehand that some cannot win.
	EveryNode bool
}
