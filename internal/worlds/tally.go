package worlds

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"
	"k8s.io/utils/ptr"

	"plimsoll.dev/scheduler/pkg/devices"
)

// Tally counts what was compared.
type Tally struct {
	// Cases is how many worlds, the others count their nodes.
	Cases uint64
	// Answers are the model's, by what the allocator says.
	Answers map[string]uint64
	// Unknown is why the model did not answer.
	Unknown map[string]uint64
	// Scopes is how the cluster-wide allocator's verdicts compare.
	Scopes map[Divergence]uint64
	// Otherwise are the plans that are not what the allocator takes by itself.
	Otherwise uint64
}

func newTally() *Tally {
	return &Tally{Answers: map[string]uint64{}, Unknown: map[string]uint64{}, Scopes: map[Divergence]uint64{}}
}

// Add counts what another tally counted, too.
func (t *Tally) Add(u *Tally) {
	t.Cases += u.Cases
	addAll(t.Answers, u.Answers)
	addAll(t.Unknown, u.Unknown)
	addAll(t.Scopes, u.Scopes)
	t.Otherwise += u.Otherwise
}

func addAll[K comparable](to, from map[K]uint64) {
	for k, n := range from {
		to[k] += n
	}
}

// Nodes is how many nodes were judged.
func (t *Tally) Nodes() uint64 { return sum(t.Answers) }

// UnknownShare is the part of the nodes for which the model gave no answer, 0 to 1.
func (t *Tally) UnknownShare() float64 {
	if t.Nodes() == 0 {
		return 0
	}
	return float64(sum(t.Unknown)) / float64(t.Nodes())
}

func sum[K comparable](counts map[K]uint64) (n uint64) {
	for _, v := range counts {
		n += v
	}
	return n
}

type counted[K ~string] struct {
	what K
	n    uint64
}

// Print writes the counts, the largest of each sort first.
func (t *Tally) Print(out io.Writer) {
	fmt.Fprintf(out, "%d cases, %d nodes, %.2f %% of them unknown to the model\n", t.Cases, t.Nodes(), 100*t.UnknownShare())
	printCounts(out, "answers", t.Answers)
	fmt.Fprintf(out, "%d plans are not what the allocator takes by itself\n", t.Otherwise)
	printCounts(out, "unknown because", t.Unknown)
	printCounts(out, "cluster-wide, the allocator says", t.Scopes)
}

func printCounts[K ~string](out io.Writer, title string, counts map[K]uint64) {
	fmt.Fprintf(out, "%s:\n", title)
	var list []counted[K]
	for what, n := range counts {
		list = append(list, counted[K]{what, n})
	}
	slices.SortFunc(list, compareCounts[K])
	for _, c := range list {
		fmt.Fprintf(out, "  %10d  %6.2f %%  %s\n", c.n, 100*float64(c.n)/float64(sum(counts)), c.what)
	}
}

// count notes a node's answers.
func (c *cluster) count(n *v1.Node, answer devices.Answer, natural judgement) {
	word := [...]string{"unknown", "fits", "refused"}[answer]
	c.tally.Answers[word+", the allocator "+natural.String()]++
	if answer == devices.Unknown {
		c.tally.Unknown[c.whyUnknown(n)]++
	}
}

// whyUnknown finds out why the model does not answer, from the world alone.
func (c *cluster) whyUnknown(n *v1.Node) string {
	reach := reachOf(c.Slices, n)
	switch why := c.shape.Opaque(); {
	case why != "":
		return opaque(why)
	case c.selectorFails(n):
		return "a selector fails on some device"
	}
	for _, s := range c.Slices {
		if reach.Has(poolOf(s)) && !ownedBy(s, n) {
			return "a pool that is not on this node alone"
		}
	}
	if why := c.mixedUp(reach); why != "" {
		return why
	}
	if c.countsDiffer(reach) {
		return "slices that disagree on how many there are"
	}
	for _, s := range c.Slices {
		if reach.Has(poolOf(s)) && oddAmounts(s) {
			return "amounts that thousandths cannot hold"
		}
	}
	if !c.Features.PartitionableDevices {
		return "partitionable devices are switched off"
	}
	for _, claim := range c.Claims {
		for i := range claim.Spec.Devices.Constraints {
			if claim.Spec.Devices.Constraints[i].DistinctAttribute != nil {
				return "distinct attributes"
			}
		}
	}
	return "the search ends early"
}

// countsDiffer tells whether slices of one generation of a pool say differently how
// many there are.
func (c *cluster) countsDiffer(reach sets.Set[poolID]) bool {
	type generation struct {
		poolID
		number int64
	}
	counts := map[generation]int64{}
	for _, s := range within(c.Slices, reach) {
		of := generation{poolOf(s), s.Spec.Pool.Generation}
		if known, found := counts[of]; found && known != s.Spec.Pool.ResourceSliceCount {
			return true
		}
		counts[of] = s.Spec.Pool.ResourceSliceCount
	}
	return false
}

// mixedUp tells of pools whose state has two meanings: counters kept by a name
// that two drivers use, and devices that are in use as what they are not.
func (c *cluster) mixedUp(reach sets.Set[poolID]) string {
	drivers := map[string]string{}
	shared := sets.New[structured.DeviceID]()
	for id := range c.Allocated.AggregatedCapacity {
		shared.Insert(id)
	}
	for share := range c.Allocated.AllocatedSharedDeviceIDs {
		shared.Insert(share.GetDeviceID())
	}
	for _, s := range within(c.Slices, reach) {
		if len(s.Spec.SharedCounters) > 0 {
			if known, found := drivers[s.Spec.Pool.Name]; found && known != s.Spec.Driver {
				return "counters of two drivers' pools with one name"
			}
			drivers[s.Spec.Pool.Name] = s.Spec.Driver
		}
		for i := range s.Spec.Devices {
			d := &s.Spec.Devices[i]
			multi := c.Features.ConsumableCapacity && ptr.Deref(d.AllowMultipleAllocations, false)
			if !multi && shared.Has(structured.MakeDeviceID(s.Spec.Driver, s.Spec.Pool.Name, d.Name)) {
				return "a device in use by shares that is not published as shared"
			}
		}
	}
	return ""
}

// opaque strips a shape's reason of names and numbers.
func opaque(why string) string {
	parts := strings.Split(strings.TrimSuffix(why, ": left to the allocator"), ": ")
	words := strings.Fields(parts[len(parts)-1])
	for i, word := range words {
		if strings.ContainsAny(word, "0123456789/") {
			words[i] = "_"
		}
	}
	return strings.Join(words, " ")
}

func ownedBy(s *resourceapi.ResourceSlice, n *v1.Node) bool {
	return ptr.Deref(s.Spec.NodeName, "") == n.Name
}

func oddAmounts(s *resourceapi.ResourceSlice) bool {
	odd := false
	for i := range s.Spec.SharedCounters {
		for _, v := range s.Spec.SharedCounters[i].Counters {
			odd = odd || v.Value.MilliValue() < 0 || v.Value.Value() > 1e15
		}
	}
	for i := range s.Spec.Devices {
		for _, consumes := range s.Spec.Devices[i].ConsumesCounters {
			for _, v := range consumes.Counters {
				odd = odd || v.Value.MilliValue() < 0 || v.Value.Value() > 1e15 || v.Value.String() == "100u"
			}
		}
		for _, v := range s.Spec.Devices[i].Capacity {
			odd = odd || v.Value.Value() > 1e15 || v.Value.String() == "100u"
		}
	}
	return odd
}

// selectorFails tells whether some selector fails on a device that a node reaches.
func (c *cluster) selectorFails(n *v1.Node) bool {
	for _, s := range within(c.Slices, reachOf(c.Slices, n)) {
		for i := range s.Spec.Devices {
			if c.failsOn(s.Spec.Driver, &s.Spec.Devices[i]) {
				return true
			}
		}
	}
	return false
}

func (c *cluster) failsOn(driver string, d *resourceapi.Device) bool {
	for _, claim := range c.Claims {
		for i := range claim.Spec.Devices.Requests {
			r := &claim.Spec.Devices.Requests[i]
			if r.Exactly != nil && c.rejects(driver, d, r.Exactly.DeviceClassName, r.Exactly.Selectors) {
				return true
			}
			for k := range r.FirstAvailable {
				if sub := &r.FirstAvailable[k]; c.rejects(driver, d, sub.DeviceClassName, sub.Selectors) {
					return true
				}
			}
		}
	}
	return false
}

// rejects tells whether the first selector that does not hold fails.
func (c *cluster) rejects(driver string, d *resourceapi.Device, className string, own []resourceapi.DeviceSelector) bool {
	class, err := lister(c.Classes).Get(className)
	if err != nil {
		return false
	}
	shareable := d.AllowMultipleAllocations
	if c.unordered() {
		shareable = nil // it is not told
	}
	for _, s := range slices.Concat(class.Spec.Selectors, own) {
		expression := c.celOf.of(c.Features).GetOrCompile(s.CEL.Expression)
		if expression.Error != nil {
			return true
		}
		ok, _, err := expression.DeviceMatches(context.Background(), cel.Device{Driver: driver,
			AllowMultipleAllocations: shareable, Attributes: d.Attributes, Capacity: d.Capacity})
		if err != nil || !ok {
			return err != nil
		}
	}
	return false
}
