package verdict

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Tally counts reasons over nodes.
type Tally struct {
	counts map[Reason]int
}

// Add counts a reason for n nodes.
func (t *Tally) Add(r Reason, n int) {
	if t.counts == nil {
		t.counts = map[Reason]int{}
	}
	t.counts[r] += n
}

// Counted is a reason and the nodes it was given for.
type Counted struct {
	Reason
	Nodes int
}

// Counts lists the reasons, the most frequent first, then by plugin, text and code.
func (t *Tally) Counts() []Counted {
	out := make([]Counted, 0, len(t.counts))
	for r, n := range t.counts {
		out = append(out, Counted{r, n})
	}
	slices.SortFunc(out, func(a, b Counted) int {
		return cmp.Or(cmp.Compare(b.Nodes, a.Nodes), cmp.Compare(a.Plugin, b.Plugin), cmp.Compare(a.Message, b.Message), cmp.Compare(a.Code, b.Code))
	})
	return out
}

// Sentence prefixes the reason with its count, as the scheduler itself does.
func (c Counted) Sentence() string {
	return fmt.Sprintf("%d %s", c.Nodes, c.Message)
}

// String joins the sentences.
func (t *Tally) String() string {
	var parts []string
	for _, c := range t.Counts() {
		parts = append(parts, c.Sentence())
	}
	return strings.Join(parts, ", ")
}
