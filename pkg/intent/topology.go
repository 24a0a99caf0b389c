package intent

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Annotations by which a pod says where it wants to be.
const (
	TopologyRequired  = Prefix + "topology-required"
	TopologyPreferred = Prefix + "topology-preferred"
	GroupName         = Prefix + "group"
	GroupSize         = Prefix + "group-size"
	MinPerZone        = Prefix + "min-per-zone"
	MinZones          = Prefix + "min-zones"
	Near              = Prefix + "near"
)

// Bounds of what the annotations may say.
const (
	mostGroupSize  = 100_000
	mostMinPerZone = 10_000
	mostMinZones   = 100
	mostPeers      = 16
	mostPeerWeight = 100
)

// Topology is what a pod asks of its place.
type Topology struct {
	// Required and Preferred are levels: an alias or a node label key; "" if not
	// asked. Whether the profile has such a level is not known here.
	Required, Preferred string
	// Group is the name of the pod's group, "" if the annotation is not there.
	Group string
	// GroupSize is how many pods the group has; 0 if not said.
	GroupSize int64
	// MinPerZone is how many replicas a used zone should hold; 0 if not asked.
	MinPerZone int64
	// MinZones is how many zones to use at least; 0 if not said (2 applies).
	MinZones int64
	// Near are the Services it talks to, in the order given.
	Near []Peer
}

// Peer is a Service of the pod's namespace that it talks to.
type Peer struct {
	Service string
	// Weight is its share of the pod's traffic relative to the others', 1 to
	// 100; 1 for each if the pod gives none.
	Weight int64
}

// Gathers tells whether the pod asks for one domain with its group.
func (t *Topology) Gathers() bool { return t.Required != "" || t.Preferred != "" }

func topologyAnnotations() []Annotation {
	const levels = "want a level of the profile: an alias such as rack, or the key of a node label such as topology.kubernetes.io/zone"
	return []Annotation{{
		Key:     GroupName,
		Forms:   "want a name of at most 63 lower-case letters, digits, - and ., that begins and ends with a letter or digit",
		Example: "train-42",
		Doc: "The group that the pod belongs to, within its namespace and among the pods of its scheduler. " +
			"It takes the place of a PodGroup of scheduler-plugins that the pod names, and of the owner whose pods are a group otherwise; a native PodGroup (`spec.schedulingGroup`) comes before it.",
		parse: parseGroup,
	}, {
		Key:     GroupSize,
		Forms:   "want a whole number of pods from 1 to 100000",
		Example: "8",
		Doc:     "How many pods the pod's group has, whatever makes it one; something must, or the pod is refused. It takes the place of `minMember` and of the owner's replicas, parallelism or completions.",
		parse: func(value string, into *Intent) bool {
			return parseWhole(value, mostGroupSize, &into.Topology.GroupSize)
		},
	}, {
		Key:     MinPerZone,
		Forms:   "want a whole number of replicas from 1 to 10000",
		Example: "3",
		Doc:     "How many replicas each used zone should hold, so that each can serve its own callers: as many zones are used as that leaves, but never fewer than `min-zones` as long as there are so many.",
		parse: func(value string, into *Intent) bool {
			return parseWhole(value, mostMinPerZone, &into.Topology.MinPerZone)
		},
	}, {
		Key:     MinZones,
		Forms:   "want a whole number of zones from 1 to 100",
		Example: "2",
		Needs:   MinPerZone,
		Doc:     "How many zones to use at least, even if they then hold fewer replicas than `min-per-zone` asks for; 2 if not said: availability comes first.",
		parse: func(value string, into *Intent) bool {
			return parseWhole(value, mostMinZones, &into.Topology.MinZones)
		},
	}, {
		Key:     Near,
		Forms:   "want names of Services of the pod's namespace, each at most once and 16 at most, without spaces, such as cart,db, or all with weights from 1 to 100, such as cart=80,db=20",
		Example: "cart=80,db=20",
		Doc:     "The Services that the pod talks to. Zones that hold more of their ready endpoints are preferred; weights say how much of the pod's traffic goes to each Service.",
		parse:   parseNear,
	}, {
		Key:     TopologyPreferred,
		Forms:   levels,
		Example: "rack",
		Doc:     "The level of which the group's pods should share one domain. If no domain of it holds the group, the next broader level is tried, up to the whole cluster or the level that `topology-required` names.",
		parse: func(value string, into *Intent) bool {
			return parseLevel(value, &into.Topology.Preferred)
		},
	}, {
		Key:     TopologyRequired,
		Forms:   levels,
		Example: "topology.kubernetes.io/zone",
		Doc:     "The level of which the group's pods must share one domain. A group with a size is placed whole or not at all.",
		parse: func(value string, into *Intent) bool {
			return parseLevel(value, &into.Topology.Required)
		},
	}}
}

// parseLevel accepts the keys of labels. Aliases are labels of DNS (RFC 1123),
// each of which is a valid key as well.
func parseLevel(value string, into *string) bool {
	if len(validation.IsQualifiedName(value)) > 0 {
		return false
	}
	*into = value
	return true
}

// parseGroup accepts what is both a name of an object and the value of a label.
func parseGroup(value string, into *Intent) bool {
	if len(value) > validation.LabelValueMaxLength || len(validation.IsDNS1123Subdomain(value)) > 0 {
		return false
	}
	into.Topology.Group = value
	return true
}

func parseNear(value string, into *Intent) bool {
	// Longer than any valid one, and not worth splitting.
	const longest = mostPeers * (validation.DNS1123LabelMaxLength + len("=100,"))
	if len(value) > longest {
		return false
	}
	items := strings.Split(value, ",")
	if len(items) > mostPeers {
		return false
	}
	weighed := strings.Contains(items[0], "=")
	peers := make([]Peer, 0, len(items))
	for _, item := range items {
		name, weight, hasWeight := strings.Cut(item, "=")
		peer := Peer{Service: name, Weight: 1}
		twice := slices.ContainsFunc(peers, func(p Peer) bool { return p.Service == name })
		if hasWeight != weighed || twice || len(validation.IsDNS1123Label(name)) > 0 {
			return false
		}
		if hasWeight && !parseWhole(weight, mostPeerWeight, &peer.Weight) {
			return false
		}
		peers = append(peers, peer)
	}
	into.Topology.Near = peers
	return true
}
