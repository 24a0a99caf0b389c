package worlds

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/go-logr/logr"
	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"
	"k8s.io/klog/v2"
)

// verdict is what the in-tree allocator says of one node.
type verdict uint8

const (
	nothing verdict = iota // it finds no devices
	fits
	failed // it gives up on the claim, on whatever node
	// endless: it searched for longer than anybody waits. That says nothing.
	endless
)

func (v verdict) String() string {
	return [...]string{"finds nothing", "fits", "fails", "does not end"}[v]
}

// judgement is a verdict with what was taken, or why it failed.
type judgement struct {
	verdict
	taken   []structured.DeviceID // in the order in which they are asked for
	results []resourceapi.DeviceRequestAllocationResult
	err     error
}

// mostSteps bounds how many devices the allocator tries one after the other: its
// search is exhaustive.
const mostSteps = 2000

var errEndless = errors.New("too many steps")

// steps is a context that ends after so many looks at it. The allocator looks
// once for every device it places.
type steps struct {
	context.Context
	left int
}

// Err is nil until the steps are used up.
func (s *steps) Err() error {
	if s.left--; s.left < 0 {
		return errEndless
	}
	return nil
}

// celFeatures are those that go with the allocator's, as the in-tree plugin sets
// them.
func celFeatures(f structured.Features) cel.Features {
	return cel.Features{EnableConsumableCapacity: f.ConsumableCapacity, EnableListTypeAttributes: f.ListTypeAttributes}
}

// expressions are compiled once for all worlds.
type expressions map[cel.Features]*cel.Cache

func (e expressions) of(f structured.Features) *cel.Cache {
	known := e[celFeatures(f)]
	if known == nil {
		known = cel.NewCache(500, celFeatures(f))
		e[celFeatures(f)] = known
	}
	return known
}

// oracle is the in-tree allocator over some slices. It keeps what it computed from
// node to node, as in a scheduling cycle.
type oracle struct {
	structured.Allocator
	claims []*resourceapi.ResourceClaim
}

func (e expressions) oracle(w *Case, published []*resourceapi.ResourceSlice, state *structured.AllocatedState) (*oracle, error) {
	a, err := structured.NewAllocator(context.Background(), w.Features, *state, lister(w.Classes), published, e.of(w.Features))
	return &oracle{a, w.Claims}, err
}

func (o *oracle) ask(node *v1.Node) judgement {
	ctx := &steps{klog.NewContext(context.Background(), logr.Discard()), mostSteps}
	results, err := o.Allocate(ctx, node, o.claims)
	switch {
	case ctx.left < 0:
		return judgement{verdict: endless}
	case errors.Is(err, structured.ErrFailedAllocationOnNode):
		return judgement{err: err}
	case err != nil:
		return judgement{verdict: failed, err: err}
	case len(results) != len(o.claims):
		return judgement{}
	}
	out := judgement{verdict: fits}
	for i := range results {
		for _, d := range results[i].Devices.Results {
			out.taken, out.results = append(out.taken, structured.MakeDeviceID(d.Driver, d.Pool, d.Device)), append(out.results, d)
		}
	}
	return out
}

// asksForAll tells whether some request asks for all devices: in what order the
// allocator lists those says nothing.
func asksForAll(w *Case) bool {
	const all = resourceapi.DeviceAllocationModeAll
	for _, c := range w.Claims {
		for i := range c.Spec.Devices.Requests {
			r := &c.Spec.Devices.Requests[i]
			if r.Exactly != nil && r.Exactly.AllocationMode == all ||
				slices.ContainsFunc(r.FirstAvailable, func(s resourceapi.DeviceSubRequest) bool { return s.AllocationMode == all }) {
				return true
			}
		}
	}
	return false
}

func compareIDs(a, b structured.DeviceID) int {
	return cmp.Or(cmp.Compare(a.Driver.String(), b.Driver.String()), cmp.Compare(a.Pool.String(), b.Pool.String()), cmp.Compare(a.Device.String(), b.Device.String()))
}
