package topology

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"plimsoll.dev/scheduler/internal/adapt"
)

// Args configures Topology.
type Args struct {
	adapt.TypeMeta `json:",inline"`
	// Levels are the node labels that make up the topology, from broad to narrow;
	// a domain is the path of a node's values, so that rack r1 of one zone is not
	// rack r1 of another. Default: region, zone, block, rack, clique and host from
	// the labels of Kubernetes, EKS, GKE and NVIDIA, see the guide.
	Levels []LevelArgs `json:"levels,omitempty"`
	// GroupTimeoutSeconds is how long the members of a group that is placed whole
	// or not at all wait for each other, 1 to 600, unless their PodGroup says
	// otherwise. Then all of them give their places up and try again. Default 60.
	GroupTimeoutSeconds int64 `json:"groupTimeoutSeconds"`
	// ReservationSeconds is how long room stays reserved for members of a group
	// that do not come, counted from the last one that did, 1 to 3600. Default 60.
	ReservationSeconds int64 `json:"reservationSeconds"`
	// PodGroupPollSeconds is how often the API server is asked whether it serves
	// the PodGroups of scheduler-plugins, 1 to 3600. Default 10.
	PodGroupPollSeconds int64 `json:"podGroupPollSeconds"`
	// Prices are what traffic costs between zones, for pods with the annotation
	// near: they then go where their traffic is cheapest. Default: none, and such
	// pods are spread in proportion to the endpoints.
	Prices []PriceArgs `json:"prices,omitempty"`
	// PricePerGBElsewhere is what traffic costs between two zones that prices do
	// not list, in the same currency, 0 to 1000000. Default 0.
	PricePerGBElsewhere float64 `json:"pricePerGBElsewhere,omitempty"`
}

// LevelArgs is one level of the topology.
type LevelArgs struct {
	// Key is the node label that names a node's domain. Required.
	Key string `json:"key"`
	// Alias is what annotations may call it: a lower-case word. Several levels may
	// share an alias; a node's first label of them counts. The alias zone says
	// which level replicas and traffic are spread over. Default: none.
	Alias string `json:"alias,omitempty"`
}

// PriceArgs is what traffic costs from one zone to another, and back unless that
// has a price of its own.
type PriceArgs struct {
	// From is the zone of the caller. Required.
	From string `json:"from"`
	// To is the zone of the endpoint. Required.
	To string `json:"to"`
	// PerGB is the price of a gigabyte, in any currency, 0 to 1000000. Required.
	PerGB float64 `json:"perGB"`
}

// DefaultArgs returns the arguments that apply where none are given.
func DefaultArgs() Args {
	return Args{GroupTimeoutSeconds: 60, ReservationSeconds: 60, PodGroupPollSeconds: 10}
}

// DefaultLevels are the levels that apply where none are given. The order within
// a zone is that of the providers' own documentation: EKS counts its network
// nodes from the broadest, GKE has blocks of sub-blocks of hosts, and an NVLink
// clique lies within a rack.
func DefaultLevels() []LevelArgs {
	return []LevelArgs{
		{Key: "topology.kubernetes.io/region", Alias: "region"},
		{Key: "topology.kubernetes.io/zone", Alias: "zone"},
		{Key: "topology.k8s.aws/network-node-layer-1"},
		{Key: "topology.kubernetes.io/block", Alias: "block"},
		{Key: "cloud.google.com/gce-topology-block", Alias: "block"},
		{Key: "topology.k8s.aws/network-node-layer-2", Alias: "block"},
		{Key: "topology.kubernetes.io/rack", Alias: "rack"},
		{Key: "cloud.google.com/gce-topology-subblock", Alias: "rack"},
		{Key: "topology.k8s.aws/network-node-layer-3", Alias: "rack"},
		{Key: "topology.k8s.aws/network-node-layer-4"},
		{Key: "nvidia.com/gpu.clique", Alias: "clique"},
		{Key: "cloud.google.com/gce-topology-host"},
		{Key: "kubernetes.io/hostname", Alias: "host"},
	}
}

// DecodeArgs decodes, defaults and validates the plugin's arguments. Its error
// names every wrong field by its path.
func DecodeArgs(raw runtime.Object) (Args, error) {
	args := DefaultArgs()
	path := field.NewPath("pluginConfig").Key(Name).Child("args")
	if err := adapt.DecodeArgs(raw, &args); err != nil {
		return args, fmt.Errorf("%s: %w", path, err)
	}
	if args.Levels == nil {
		args.Levels = DefaultLevels()
	}
	if err := args.Validate(Name); err != nil {
		return args, fmt.Errorf("%s: %w", path, err)
	}
	return args, args.validate(path).ToAggregate()
}
