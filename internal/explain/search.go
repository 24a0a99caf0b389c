package explain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"plimsoll.dev/scheduler/internal/offline"
	"plimsoll.dev/scheduler/internal/placement"
)

// How many questions are asked at most, see the package.
const (
	mostSingles, mostPairs               = 400, 200
	mostSinglesOfGroup, mostPairsOfGroup = 60, 20
	// mostFound is how many pairs are reported.
	mostFound = 10
)

// change is one thing that may be changed about the pod.
type change struct {
	// family is what it is about. Two of one family are not tried together unless
	// they are mixed: one of them is broad, and is as good.
	family string
	mixed  bool
	// broad: it does what narrower ones of its family do, and more; it is reported
	// only if it gains more nodes than each of them.
	broad bool
	// least and most bound the amount that is asked for; both are 0 for a change
	// without one. Less is never harder to place.
	least, most int64
	words       func(amount int64) string
	edit        func(v *variant, amount int64)
}

// found is a change, or two, that helps.
type found struct {
	placement.Change
	family string
	broad  bool
}

// changes tries what might help the pod.
func (t *trials) changes(ctx context.Context, out *placement.Explanation) error {
	if t.grouped && t.options.Again == nil {
		return nil
	}
	all, err := t.candidates(ctx)
	if err != nil {
		return err
	}
	singles, pairs := mostSingles, mostPairs
	if t.grouped {
		singles, pairs = mostSinglesOfGroup, mostPairsOfGroup
	}
	t.left = singles
	helps, moved, err := t.singles(ctx, all, out)
	if err == nil && len(helps) == 0 {
		t.left = pairs
		helps, err = t.pairs(ctx, all, moved, out)
	}
	if err != nil {
		return err
	}
	slices.SortStableFunc(helps, func(a, b found) int { return cmp.Compare(b.Nodes, a.Nodes) })
	for _, f := range helps {
		out.Changes = append(out.Changes, f.Change)
	}
	out.Tried = t.tried
	return t.ofGroup(ctx, out)
}

// ofGroup says that changes are those of the whole group.
func (t *trials) ofGroup(ctx context.Context, out *placement.Explanation) error {
	members, err := t.members(ctx)
	if err != nil || len(members) < 2 {
		return err
	}
	for i := range out.Changes {
		out.Changes[i].What += fmt.Sprintf(" in all %d pods of its group", len(members))
	}
	return nil
}

// singles tries each change by itself. It returns those that help, and which
// others at least change what is said of the nodes.
func (t *trials) singles(ctx context.Context, all []*change, into *placement.Explanation) ([]found, []bool, error) {
	var helps []found
	moved := make([]bool, len(all))
	for i, one := range all {
		e, err := t.ask(ctx, pick{one, one.least})
		if errors.Is(err, errSpent) {
			into.Untried += len(all) - i
			break
		}
		if err != nil {
			return nil, nil, fmt.Errorf("trying to %s: %w", one.words(one.least), err)
		}
		if len(feasible(e)) == 0 {
			moved[i] = !slices.Equal(refusals(e), t.was)
			continue
		}
		picks := []pick{{one, one.least}}
		if e, err = t.most(ctx, e, picks, 0, into); err != nil {
			return nil, nil, err
		}
		helps = append(helps, found{changeOf(e, one.words(picks[0].amount)), one.family, one.broad})
	}
	var out []found
	for _, f := range helps {
		if !f.broad || !coveredBy(f, helps) {
			out = append(out, f)
		}
	}
	return out, moved, nil
}

// coveredBy tells whether something narrower gains as many nodes.
func coveredBy(broad found, helps []found) bool {
	return slices.ContainsFunc(helps, func(f found) bool {
		return !f.broad && f.family == broad.family && f.Nodes >= broad.Nodes
	})
}

// pairs tries two changes at a time. What stops a node at first must be cured by
// one of them, so at least one must have changed something by itself; those that
// both did are tried first.
func (t *trials) pairs(ctx context.Context, all []*change, moved []bool, out *placement.Explanation) ([]found, error) {
	var both, one [][]pick
	for i := range all {
		for j := i + 1; j < len(all); j++ {
			a, b := all[i], all[j]
			if a.family == b.family && (!a.mixed || !b.mixed) {
				continue
			}
			picks := []pick{{a, a.least}, {b, b.least}}
			switch {
			case moved[i] && moved[j]:
				both = append(both, picks)
			case moved[i] || moved[j]:
				one = append(one, picks)
			}
		}
	}
	var helps []found
	todo := slices.Concat(both, one)
	for i, picks := range todo {
		e, err := t.ask(ctx, picks...)
		if errors.Is(err, errSpent) || len(helps) == mostFound {
			out.Untried += len(todo) - i
			break
		}
		if err != nil {
			return nil, err
		}
		if len(feasible(e)) == 0 {
			continue
		}
		for _, at := range []int{1, 0} {
			if e, err = t.most(ctx, e, picks, at, out); err != nil {
				return nil, err
			}
		}
		what := picks[0].change.words(picks[0].amount) + ", and " + picks[1].change.words(picks[1].amount)
		helps = append(helps, found{Change: changeOf(e, what)})
	}
	return helps, nil
}

// most raises the amount of one of the picks as far as some node still takes the
// pod, and returns what is said then. The evaluation is that of the least.
func (t *trials) most(ctx context.Context, e *offline.Evaluation, picks []pick, at int, out *placement.Explanation) (*offline.Evaluation, error) {
	p := &picks[at]
	low, high := p.amount, p.change.most // low is known to fit
	for low < high {
		p.amount = low + (high-low+1)/2
		tried, err := t.ask(ctx, picks...)
		switch {
		case errors.Is(err, errSpent):
			out.Untried++
			high = low
		case err != nil:
			return nil, err
		case len(feasible(tried)) > 0:
			low, e = p.amount, tried
		default:
			high = p.amount - 1
		}
	}
	p.amount = low
	return e, nil
}

func changeOf(e *offline.Evaluation, what string) placement.Change {
	fits := feasible(e)
	return placement.Change{What: what, Nodes: len(fits), Examples: fits[:min(examples, len(fits))]}
}

// always is the words of a change without an amount.
func always(format string, args ...any) func(int64) string {
	words := fmt.Sprintf(format, args...)
	return func(int64) string { return words }
}
