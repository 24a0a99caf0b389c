package zone

import (
	"strconv"
	"strings"
)

// mostDrawn is how many nodes of one domain a picture lists by name.
const mostDrawn = 6

// String draws the tree, one line per domain with the nodes that lie in no
// narrower one.
func (t *Tree) String() string { return t.draw(nil, nil) }

// Picture draws the tree with a remark on each domain, "" for none.
func (t *Tree) Picture(remark func(DomainID) string) string { return t.draw(remark, nil) }

// String draws the tree with the room of each domain and node.
func (r *Room) String() string {
	return r.tree.draw(
		func(d DomainID) string { return strconv.FormatInt(r.In(d), 10) },
		func(n NodeID) string { return ":" + strconv.FormatInt(r.On(n), 10) })
}

// draw puts onDomain behind a domain and onNode behind a node's name.
func (t *Tree) draw(onDomain func(DomainID) string, onNode func(NodeID) string) string {
	var b strings.Builder
	t.drawDomain(&b, Root, cluster, "", onDomain, onNode)
	return b.String()
}

func (t *Tree) drawDomain(b *strings.Builder, d DomainID, line, indent string, onDomain func(DomainID) string, onNode func(NodeID) string) {
	b.WriteString(line)
	if onDomain != nil {
		if remark := onDomain(d); remark != "" {
			b.WriteString("  " + remark)
		}
	}
	direct := t.order[t.domains[d].first:t.rest(d)]
	listed := len(direct)
	if listed > mostDrawn+1 { // to leave out a single one would save nothing
		listed = mostDrawn
	}
	for i, n := range direct[:listed] {
		b.WriteString([]string{" ", "  "}[max(0, 1-i)] + t.nodes[n])
		if onNode != nil {
			b.WriteString(onNode(n))
		}
	}
	if listed < len(direct) {
		b.WriteString(" … " + strconv.Itoa(len(direct)-listed) + " more")
	}
	b.WriteByte('\n')
	for c := d + 1; c < t.domains[d].end; c = t.domains[c].end {
		branch, below := "├─ ", "│  "
		if t.domains[c].end == t.domains[d].end {
			branch, below = "└─ ", "   "
		}
		t.drawDomain(b, c, indent+branch+t.segment(c), indent+below, onDomain, onNode)
	}
}
