package worlds

import (
	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/sets"
)

// Divergence is a way in which the cluster-wide allocator differs from the one
// that is given a node's scope.
type Divergence string

// The known divergences.
const (
	// Same: none.
	Same Divergence = "the same"
	// OthersUnusable: counters belong to a pool wherever it is, so that each pool
	// with counters is looked at on every node. A request for all devices fails
	// while any of them is incomplete or invalid, and where nothing is found an
	// invalid one turns that into an error.
	OthersUnusable Divergence = "another node's pool is incomplete or invalid"
	// CountersByName: what is left of counters is kept by the name of the pool, so
	// that another driver's pool of that name, on a node that was looked at
	// before, decides.
	CountersByName Divergence = "counters of another driver's pool with the same name"
	// Outdated: whether a newer generation exists is not looked up if a node has
	// all slices of an older one, as when a pool's name moved to another node.
	Outdated Divergence = "an outdated generation that is complete on its node"
	// Several of them at once.
	Several Divergence = "several of these at once"
	// Unexplained is none of them.
	Unexplained Divergence = ""
)

// Divergences lists the known ones.
func Divergences() []Divergence {
	return []Divergence{OthersUnusable, CountersByName, Outdated, Several}
}

// diverges finds the cause of a cluster-wide verdict other than the scope's: the
// one without which they are the same.
func (c *cluster) diverges(n *v1.Node, reach sets.Set[poolID], want verdict) (Divergence, error) {
	usable := c.withoutOthersUnusable(reach)
	current := newestOnly(c.Slices)
	sameName := c.countersShareNames()
	for _, try := range []struct {
		why       Divergence
		possible  bool
		published []*resourceapi.ResourceSlice
		before    []*v1.Node
	}{
		{OthersUnusable, len(usable) < len(c.Slices), usable, c.before},
		{Outdated, len(current) < len(c.Slices), current, c.before},
		{CountersByName, sameName, c.Slices, nil},
		{Several, true, newestOnly(usable), nil},
	} {
		if !try.possible {
			continue
		}
		o, err := c.celOf.oracle(c.Case, try.published, c.Allocated)
		if err != nil {
			return Unexplained, err
		}
		for _, n := range try.before {
			o.ask(n)
		}
		if o.ask(n).verdict == want {
			return try.why, nil
		}
	}
	return Unexplained, nil
}

// withoutOthersUnusable leaves out the pools with counters that do not reach the
// node and that the allocator would not take anything from.
func (c *cluster) withoutOthersUnusable(reach sets.Set[poolID]) []*resourceapi.ResourceSlice {
	byPool := map[poolID][]*resourceapi.ResourceSlice{}
	newest := newestOf(c.Slices)
	counters := sets.New[poolID]()
	for _, s := range c.Slices {
		id := poolOf(s)
		if s.Spec.Pool.Generation == newest[id] {
			byPool[id] = append(byPool[id], s)
		}
		if len(s.Spec.SharedCounters) > 0 {
			counters.Insert(id)
		}
	}
	keep := sets.New[poolID]()
	for id, list := range byPool {
		if reach.Has(id) || !counters.Has(id) || usable(list) {
			keep.Insert(id)
		}
	}
	return within(c.Slices, keep)
}

// usable tells whether a pool's slices, all of one generation, are complete and
// valid.
func usable(list []*resourceapi.ResourceSlice) bool {
	known := sets.New[[2]string]()
	found, names := sets.New[string](), sets.New[string]()
	for _, s := range list {
		if int64(len(list)) != s.Spec.Pool.ResourceSliceCount {
			return false
		}
		for i := range s.Spec.SharedCounters {
			set := &s.Spec.SharedCounters[i]
			if found.Has(set.Name) {
				return false
			}
			found.Insert(set.Name)
			for name := range set.Counters {
				known.Insert([2]string{set.Name, name})
			}
		}
	}
	for _, s := range list {
		for i := range s.Spec.Devices {
			d := &s.Spec.Devices[i]
			if names.Has(d.Name) {
				return false
			}
			names.Insert(d.Name)
			for _, consumes := range d.ConsumesCounters {
				if !found.Has(consumes.CounterSet) {
					return false
				}
				for name := range consumes.Counters {
					if !known.Has([2]string{consumes.CounterSet, name}) {
						return false
					}
				}
			}
		}
	}
	return true
}

func newestOnly(published []*resourceapi.ResourceSlice) []*resourceapi.ResourceSlice {
	newest := newestOf(published)
	out := make([]*resourceapi.ResourceSlice, 0, len(published))
	for _, s := range published {
		if s.Spec.Pool.Generation == newest[poolOf(s)] {
			out = append(out, s)
		}
	}
	return out
}

// countersShareNames tells whether two drivers have pools of one name with counters.
func (c *cluster) countersShareNames() bool {
	driver := map[string]string{}
	for _, s := range c.Slices {
		if len(s.Spec.SharedCounters) == 0 {
			continue
		}
		if known, found := driver[s.Spec.Pool.Name]; found && known != s.Spec.Driver {
			return true
		}
		driver[s.Spec.Pool.Name] = s.Spec.Driver
	}
	return false
}
