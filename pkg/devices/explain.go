package devices

import (
	"fmt"
	"strings"
)

// Kind says how far a node's devices are from serving a request.
type Kind uint8

// The kinds, from the farthest to the nearest.
const (
	// Served: there is nothing to explain.
	Served Kind = iota
	// NothingPublished: the node has no devices.
	NothingPublished
	// PoolUnusable: Detail says what is wrong with what its driver publishes.
	PoolUnusable
	// NoneOfClass: no device is of class Detail.
	NoneOfClass
	// NoneSelected: no device of class Detail matches the selectors.
	NoneSelected
	// NoneLarge: none that matches has the capacity asked for.
	NoneLarge
	// AgainstAnnotations: none that matches meets the pod's annotations; Detail
	// says what they have.
	AgainstAnnotations
	// AllTainted: all that match carry a taint, Detail, that is not tolerated.
	AllTainted
	// AllTaken: fewer are free than are asked for. Detail counts.
	AllTaken
	// TooLittleLeft: some are free, but their GPUs have too little of Detail left.
	TooLittleLeft
	// NotTogether: each request could be served alone, but not all with the
	// claim's constraints.
	NotTogether
	// NotAtOnce: the same, without any constraint: too little is left for all.
	NotAtOnce
	// Untold: whether the devices meet the pod's annotations cannot be told;
	// Detail says why.
	Untold
)

// Why says why a node cannot serve a shape: the request that comes farthest from
// it, of the claim as the pod calls it.
type Why struct {
	Kind           Kind
	Claim, Request string
	Detail         string
}

// explain finds the request that stands in the way. It is only asked once
// nothing was found, and its answer is kept with the plan.
func (q *search) explain() Why {
	q.reset()
	for i := range q.shape.claims {
		c := &q.shape.claims[i]
		for j := range c.requests {
			if q.part&c.requests[j].bit == 0 {
				continue
			}
			var nearest Why
			served := false
			for k := range c.requests[j].alternatives {
				// Of alternatives, the nearest to being served tells most.
				why := q.explainAlone(slot{claim: i, request: j, alternative: k, fixed: -1})
				served = served || why.Kind == Served
				if why.Kind > nearest.Kind {
					nearest = why
				}
			}
			if !served {
				nearest.Claim, nearest.Request = c.name, c.requests[j].name
				return nearest
			}
		}
	}
	for i := range q.shape.claims {
		if len(q.shape.claims[i].constraints) > 0 {
			return Why{Kind: NotTogether, Claim: q.shape.claims[i].name}
		}
	}
	return Why{Kind: NotAtOnce, Claim: q.shape.claims[0].name}
}

// alone says why a node's own devices do not serve a request that they leave to others;
// nothing if they have changed since they were planned.
func (v *View) alone(node string, own *planned, of *Why) Why {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	n := v.nodes[v.index[node]]
	if n.version != own.version {
		return Why{}
	}
	var part requests
	for i := range v.shape.claims {
		for j := range v.shape.claims[i].requests {
			if r := &v.shape.claims[i].requests[j]; v.shape.claims[i].name == of.Claim && r.name == of.Request {
				part = r.bit
			}
		}
	}
	if own.alone == nil {
		own.alone = map[requests]Why{}
	}
	known, found := own.alone[part]
	if !found {
		q := &search{m: v.m, n: n, shape: v.shape, worth: v.worth, part: part, steps: nodeBudget}
		known = q.explain()
		own.alone[part] = known
	}
	return known
}

// reset forgets what the search chose.
func (q *search) reset() {
	q.slots, q.chosen = nil, nil
	q.prepare()
}

// explainAlone judges one alternative on its own, without constraints.
func (q *search) explainAlone(s slot) Why {
	a := q.alternativeOf(&s)
	why := q.unusablePool()
	if why.Kind == Served {
		why = Why{Kind: NoneOfClass, Detail: a.selector.class}
	}
	free, fitting := 0, 0
	for p := range q.n.pools {
		if q.n.pools[p].unusable != "" {
			continue
		}
		s.pool = p
		found := q.m.match(q.n.pools[p], a.selector)
		for d := range q.n.pools[p].devices {
			here := q.judge(&s, d, found)
			if here.Kind >= AllTaken || here.Kind == Served {
				fitting++
			}
			if here.Kind == Served {
				free++
			} else if here.Kind > why.Kind {
				why = here
			}
		}
	}
	switch {
	case a.all && fitting > 0 && free == fitting, !a.all && free >= a.count:
		return Why{}
	case free > 0 || why.Kind == AllTaken:
		return Why{Kind: AllTaken, Detail: fmt.Sprintf("%d asked for, %d of %d free", max(a.count, 1), free, fitting)}
	}
	return why
}

// judge tells what stands between one device and one request.
func (q *search) judge(s *slot, device int, found *match) Why {
	a := q.alternativeOf(s)
	p := q.n.pools[s.pool]
	d := &p.devices[device]
	switch {
	case !found.is(device, ofClass):
		return Why{Kind: NoneOfClass, Detail: a.selector.class}
	case !found.is(device, selected):
		return Why{Kind: NoneSelected, Detail: a.selector.class}
	case !found.is(device, fits):
		return Why{Kind: NoneLarge, Detail: a.selector.class}
	case !q.shape.limits.accept(d, found.needs(device)):
		return Why{Kind: AgainstAnnotations, Detail: d.has(found.needs(device))}
	case !found.is(device, open):
		return Why{Kind: AllTainted, Detail: taintsOf(d)}
	case d.allocated || !d.hasRoom(found.needs(device), nil):
		return Why{Kind: AllTaken}
	}
	if !q.countsCounters(s.pool, device) {
		return Why{}
	}
	short := ""
	for _, t := range d.takes {
		if p.free[t.counter] < t.milli {
			name := p.counters[t.counter]
			if short == "" || family(name) != name {
				short = family(name) // one of many alike says more: memory slices
			}
		}
	}
	if short != "" {
		return Why{Kind: TooLittleLeft, Detail: short}
	}
	if p.overdrawn {
		return Why{Kind: PoolUnusable, Detail: "more of its counters is allocated than it has"}
	}
	return Why{}
}

// has is what a claim gets of a device, in words.
func (d *device) has(needs []int64) string {
	return fmt.Sprintf("%dMi, %s", gets(d, needs)>>20, d.isolation())
}

func taintsOf(d *device) string {
	var out []string
	for _, t := range d.spec.Taints {
		out = append(out, t.Key)
	}
	return strings.Join(out, ", ")
}

// family names a counter without its running number.
func family(counter string) string {
	return strings.TrimRight(counter, "-0123456789")
}

// unusablePool says what is wrong with the first pool that is not usable.
func (q *search) unusablePool() Why {
	for _, p := range q.n.pools {
		if p.unusable != "" {
			return Why{Kind: PoolUnusable, Detail: fmt.Sprintf("pool %s of driver %s: %s", p.id.name, p.id.driver, p.unusable)}
		}
	}
	return Why{}
}
