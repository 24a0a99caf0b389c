package load

import (
	"fmt"
	"math"
)

// MaxResources is how many resources one Scale can weigh. Vectors are arrays of
// this length so that scoring a node allocates nothing.
const MaxResources = 8

// Vector holds one amount per resource of a Scale, in the Scale's order and in
// each resource's own unit (millicores, bytes, devices).
type Vector [MaxResources]int64

// Plus returns the sum of both, at most the largest amount there is.
func (v *Vector) Plus(other *Vector) Vector {
	out := *v
	for i, amount := range other {
		if out[i] += amount; amount > 0 && out[i] < v[i] {
			out[i] = math.MaxInt64
		}
	}
	return out
}

// Resource is one dimension of a Scale.
type Resource struct {
	// Name is what reasons call it, for example "cpu".
	Name string
	// Weight is the cost of stranding one whole node's worth of it, relative
	// to the other resources of the Scale. At least 1.
	Weight int64
	// Device marks a resource that no line applies to: a node whose GPUs are
	// all in use is not over its target. It still counts as stranded.
	Device bool
}

// Scale is the list of resources that are weighed together. It is immutable.
type Scale struct {
	resources []Resource
	// cost is Weight as a float, so that the hot path does not convert.
	cost [MaxResources]float64
	n    int
}

// NewScale returns a Scale over the given resources. It fails for none or more
// than MaxResources of them, for a weight below 1, and when no resource counts
// towards the line.
func NewScale(resources []Resource) (*Scale, error) {
	if len(resources) == 0 || len(resources) > MaxResources {
		return nil, fmt.Errorf("a scale weighs 1 to %d resources, got %d", MaxResources, len(resources))
	}
	s := &Scale{resources: append([]Resource(nil), resources...), n: len(resources)}
	lined := false
	for i, r := range resources {
		if r.Weight < 1 {
			return nil, fmt.Errorf("resource %q: weight %d is below 1", r.Name, r.Weight)
		}
		lined = lined || !r.Device
		s.cost[i] = float64(r.Weight)
	}
	if !lined {
		return nil, fmt.Errorf("no resource counts towards the line: all %d are devices", len(resources))
	}
	return s, nil
}

// Len is the number of resources of the Scale.
func (s *Scale) Len() int { return s.n }

// Resource returns the i-th resource of the Scale.
func (s *Scale) Resource(i int) Resource { return s.resources[i] }

// BasisPoints is a utilization: 10,000 are 100 % of a node's allocatable.
type BasisPoints int64

// Full is 100 %.
const Full BasisPoints = 10_000

// Percent converts whole percents.
func Percent(p int64) BasisPoints { return BasisPoints(p) * 100 }

// String prints a utilization the way a person reads it: 80%, 79.5%.
func (b BasisPoints) String() string {
	if b%100 == 0 {
		return fmt.Sprintf("%d%%", b/100)
	}
	return fmt.Sprintf("%.1f%%", math.Ceil(float64(b)/10)/10)
}

// Share is used/allocatable in basis points, rounded up so that a node a
// fraction above its line reads as above it. A node without the resource is
// full as soon as anything of it is used.
func Share(used, allocatable int64) BasisPoints {
	if used <= 0 {
		return 0
	}
	if allocatable <= 0 {
		return math.MaxInt32
	}
	whole, rest := used/allocatable, used%allocatable
	if whole >= math.MaxInt32/int64(Full) {
		return math.MaxInt32
	}
	// rest/allocatable is below 1: exact in integers, but for amounts in the
	// petabytes, where the float's error is far below a basis point.
	var part int64
	if rest <= (math.MaxInt64-allocatable)/int64(Full) {
		part = (rest*int64(Full) + allocatable - 1) / allocatable
	} else {
		part = int64(math.Ceil(float64(rest) / float64(allocatable) * float64(Full)))
	}
	return BasisPoints(whole*int64(Full) + part)
}
