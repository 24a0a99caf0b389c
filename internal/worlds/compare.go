package worlds

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/structured"

	"plimsoll.dev/scheduler/pkg/devices"
)

// Kind names what of a world is not as it must be. A case that is made smaller
// keeps its kind.
type Kind string

// The kinds of disagreement.
const (
	// WrongFit: the model says that it fits, the allocator does not.
	WrongFit Kind = "the model fits, the allocator does not"
	// WrongRefusal is the other way round.
	WrongRefusal Kind = "the model refuses, the allocator fits or fails"
	// NotAlike: what holds of one node does not hold of another.
	NotAlike Kind = "nodes are taken for alike, and are not"
	// OrderMatters: the allocator says something else in the model's order.
	OrderMatters Kind = "the model's order changes the verdict"
	// OtherDevices: the allocator does not take what is planned.
	OtherDevices Kind = "the allocator takes other devices than are planned"
	// OtherUse: what is in use of the node's pools is not what the scope says.
	OtherUse Kind = "the scope's allocated state is not complete"
	// ScopeMatters: with all that is published the allocator says something else.
	ScopeMatters Kind = "the whole cluster changes the verdict"
	// Broken: the world cannot be judged.
	Broken Kind = "no answer"
)

// Disagreement is a world in which something does not hold.
type Disagreement struct {
	Kind   Kind
	Node   string
	Detail string
}

// Error says what does not hold, and where.
func (d *Disagreement) Error() string {
	return fmt.Sprintf("%s: node %s: %s", d.Kind, d.Node, d.Detail)
}

// Judge compares worlds one after the other. It is not safe for concurrent use.
type Judge struct {
	celOf  expressions
	models map[structured.Features]*devices.Model
	worth  *devices.Worth
	tally  *Tally
}

// NewJudge returns a judge that counts in a tally of its own.
func NewJudge() *Judge {
	return &Judge{celOf: expressions{}, models: map[structured.Features]*devices.Model{}, worth: devices.NewWorth(nil, nil), tally: newTally()}
}

// Afresh makes the judge forget its models: what they say of the next world does
// not depend on worlds before.
func (j *Judge) Afresh() {
	clear(j.models)
	j.worth = devices.NewWorth(nil, nil) // knows every grid that was drawn
}

// Tally is what was counted so far.
func (j *Judge) Tally() *Tally { return j.tally }

func (j *Judge) model(f structured.Features) *devices.Model {
	m := j.models[f]
	if m == nil {
		m = devices.NewModel(f, celFeatures(f))
		j.models[f] = m
	}
	return m
}

// cluster is a world with what is known of it as a whole.
type cluster struct {
	*Judge
	*Case
	shape  *devices.Shape
	view   *devices.View
	oracle *oracle
	before []*v1.Node // those that the oracle was asked about, in this order
	// alike is the verdict on nodes that the model takes for alike.
	alike map[string]verdict
}

// Compare judges every node of a world. It returns the first disagreement.
func (j *Judge) Compare(w *Case) *Disagreement {
	j.tally.Cases++
	c := &cluster{Judge: j, Case: w, alike: map[string]verdict{}}
	model := j.model(w.Features)
	var err error
	if c.shape, err = model.Shape(asksOf(w), w.Limits, lister(w.Classes)); err != nil {
		return &Disagreement{Kind: Broken, Detail: err.Error()}
	}
	model.Adopt(w.Allocated)
	model.Refresh(w.Slices)
	c.view = model.View(c.shape, j.worth)
	if c.oracle, err = j.celOf.oracle(w, w.Slices, w.Allocated); err != nil {
		return &Disagreement{Kind: Broken, Detail: err.Error()}
	}
	for _, n := range w.Nodes {
		if d := c.judge(n); d != nil {
			d.Node = n.Name
			return d
		}
		c.before = append(c.before, n)
	}
	return nil
}

func asksOf(w *Case) []devices.Ask {
	var out []devices.Ask
	for _, c := range w.Claims {
		out = append(out, devices.Ask{Name: c.Name, Spec: &c.Spec})
	}
	return out
}

// judge compares one node's answers.
func (c *cluster) judge(n *v1.Node) *Disagreement {
	answer := c.view.Answer(n)
	scope := c.view.Scope(n)
	reach := reachOf(c.Slices, n)
	published, used := within(c.Slices, reach), usedWithin(c.Allocated, reach)
	// A scope may hold more pools than it must, and of those that nodes share only what is
	// planned: it has what is in use of them.
	shown := poolsOf(scope.Slices)
	for _, s := range published {
		if id := poolOf(s); !shown.Has(id) && (scope.Plan == nil || s.Spec.NodeName != nil || asksForAll(c.Case)) {
			return disagree(OtherUse, "pool %v is not shown", id)
		}
	}
	if want := usedWithin(c.Allocated, shown); !sameState(scope.Allocated, want) {
		return disagree(OtherUse, "%v, want %v", scope.Allocated, want)
	}
	natural, err := c.ask(n, published, used)
	if err != nil {
		return disagree(Broken, "%v", err)
	}
	c.count(n, answer, natural)
	if natural.verdict == endless {
		return nil
	}
	if d := c.judgeOrder(n, answer, scope, published, natural); d != nil {
		return d
	}
	return c.judgeScope(n, answer, reach, natural)
}

func disagree(kind Kind, format string, args ...any) *Disagreement {
	return &Disagreement{Kind: kind, Detail: fmt.Sprintf(format, args...)}
}

// ask asks the allocator about a node and nothing else.
func (c *cluster) ask(n *v1.Node, published []*resourceapi.ResourceSlice, used *structured.AllocatedState) (judgement, error) {
	o, err := c.celOf.oracle(c.Case, published, used)
	if err != nil {
		return judgement{}, err
	}
	return o.ask(n), nil
}

// excused tells whether the model may refuse a node at which the allocator fails. It
// refuses what asks for all devices beside a pool of which not all are known; the
// allocator ends the pod's whole cycle there, and with it all other nodes.
func (c *cluster) excused(n *v1.Node, natural judgement) bool {
	return errors.Is(natural.err, structured.ErrFailedAllocationOnNode) ||
		natural.verdict != fits && asksForAll(c.Case) && c.view.Why(n).Kind == devices.PoolUnusable
}

// judgeAlike compares what the allocator says of nodes that the model takes for
// alike.
func (c *cluster) judgeAlike(n *v1.Node, natural judgement) *Disagreement {
	key, alike := c.view.Alike(n)
	if !alike {
		return nil
	}
	if former, found := c.alike[key]; found && former != natural.verdict && former != endless && natural.verdict != endless {
		return disagree(NotAlike, "it %s here, and it %s on a node with the key %s", natural.verdict, former, key)
	}
	c.alike[key] = natural.verdict
	return nil
}

// judgeOrder compares the model's answer with the allocator's, in the published
// order and in the model's.
func (c *cluster) judgeOrder(n *v1.Node, answer devices.Answer, scope *devices.Scope, published []*resourceapi.ResourceSlice, natural judgement) *Disagreement {
	switch {
	case answer == devices.Fits && natural.verdict != fits:
		return disagree(WrongFit, "it %s %v; planned %v", natural.verdict, natural.err, plannedOf(scope.Plan))
	case answer == devices.Refused && natural.verdict != nothing && !c.excused(n, natural):
		return disagree(WrongRefusal, "it %s %v, %v; the model says %+v", natural.verdict, natural.taken, natural.err, c.view.Why(n))
	}
	if d := c.judgeAlike(n, natural); d != nil {
		return d
	}
	ours := natural
	if !sameSlices(scope.Slices, published) {
		var err error
		if ours, err = c.ask(n, scope.Slices, scope.Allocated); err != nil {
			return disagree(Broken, "%v", err)
		}
	}
	if ours.verdict != natural.verdict && ours.verdict != endless && !c.random(n, answer) {
		return disagree(OrderMatters, "it %s %v, as published it %s %v", ours.verdict, ours.err, natural.verdict, natural.err)
	}
	if answer != devices.Fits || ours.verdict == endless {
		return nil
	}
	planned := plannedOf(scope.Plan)
	if asksForAll(c.Case) {
		for _, list := range [][]structured.DeviceID{planned, natural.taken, ours.taken} {
			slices.SortFunc(list, compareIDs)
		}
	}
	if !slices.Equal(planned, natural.taken) {
		c.tally.Otherwise++
	}
	if !slices.Equal(planned, ours.taken) && !c.unordered() {
		return disagree(OtherDevices, "it takes %v, planned %v", ours.taken, planned)
	}
	return nil
}

func plannedOf(p *devices.Plan) []structured.DeviceID {
	if p == nil {
		return nil
	}
	var out []structured.DeviceID
	for _, d := range p.Chosen {
		out = append(out, structured.MakeDeviceID(d.Driver, d.Pool, d.Device))
	}
	return out
}

func poolsOf(published []*resourceapi.ResourceSlice) sets.Set[poolID] {
	out := sets.New[poolID]()
	for _, s := range published {
		out.Insert(poolOf(s))
	}
	return out
}

// sameSlices tells whether both are the same objects, in whatever order of pools:
// the allocator sorts them.
func sameSlices(a, b []*resourceapi.ResourceSlice) bool {
	return len(a) == len(b) && sets.New(a...).HasAll(b...)
}

// unordered: the oldest of the three in-tree allocators, which serves where neither
// of the newer features is on, walks pools as a Go map has them.
func (c *cluster) unordered() bool {
	f := &c.Features
	return !f.ConsumableCapacity && !f.DeviceBindingAndStatus && !f.ListTypeAttributes
}

// random: the order of slices, or of pools, decides the verdict: which slice is asked
// how many there are, or whether of all the devices that are tied by a constraint one
// is met first that is in use or one that differs, for both of which the model must not
// answer; or whether a device is met on which a selector fails.
func (c *cluster) random(n *v1.Node, answer devices.Answer) bool {
	return c.unordered() && (c.selectorFails(n) || answer == devices.Unknown && c.tiesAll()) ||
		answer == devices.Unknown && c.countsDiffer(reachOf(c.Slices, n))
}

// tiesAll tells whether some claim asks for all devices under a constraint.
func (c *cluster) tiesAll() bool {
	return slices.ContainsFunc(c.Claims, func(claim *resourceapi.ResourceClaim) bool {
		return len(claim.Spec.Devices.Constraints) > 0 && asksForAll(&Case{Claims: []*resourceapi.ResourceClaim{claim}})
	})
}

// judgeScope compares the verdict within the scope with that of the whole cluster.
func (c *cluster) judgeScope(n *v1.Node, answer devices.Answer, reach sets.Set[poolID], natural judgement) *Disagreement {
	if len(c.Nodes) == 1 && len(within(c.Slices, reach)) == len(c.Slices) {
		c.tally.Scopes[Same]++
		return nil // nothing was left out
	}
	whole := c.oracle.ask(n)
	if whole.verdict == natural.verdict || whole.verdict == endless || c.random(n, answer) {
		c.tally.Scopes[Same]++
		return nil
	}
	why, err := c.diverges(n, reach, natural.verdict)
	switch {
	case err != nil:
		return disagree(Broken, "%v", err)
	case why == Unexplained:
		return disagree(ScopeMatters, "it %s %v, within the scope it %s %v", whole.verdict, whole.err, natural.verdict, natural.err)
	}
	c.tally.Scopes[why]++
	return nil
}

// compare orders what is counted: the most first.
func compareCounts[K ~string](a, b counted[K]) int {
	return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.what, b.what))
}
