package zone

import "strings"

// cluster is what Path calls Root.
const cluster = "the cluster"

// Path names a domain for users: zone=eu-1a/rack=r7. A level goes by its alias,
// or by its key if it has none or the alias could be misread. Root is "the
// cluster", None is "no domain".
func (t *Tree) Path(d DomainID) string {
	switch {
	case d < 0:
		return "no domain"
	case d == Root:
		return cluster
	}
	var way [MaxLevels]DomainID
	length := 0
	for ; d != Root; d = t.domains[d].parent {
		way[length] = d
		length++
	}
	var b strings.Builder
	for length--; length >= 0; length-- {
		b.WriteString(t.segment(way[length]))
		if length > 0 {
			b.WriteByte('/')
		}
	}
	return b.String()
}

// segment is a domain's own part of its path.
func (t *Tree) segment(d DomainID) string {
	return t.names[t.domains[d].level] + "=" + t.domains[d].value
}

// Find is the inverse of Path. It also takes the other name of a level where only
// one domain can be meant, so that a path kept from an earlier tree, which perhaps
// went by the alias, still leads to its domain. Keys may contain a slash, which is
// no obstacle: label values contain neither "/" nor "=", and names of levels no "=".
func (t *Tree) Find(path string) (DomainID, bool) {
	if path == cluster {
		return Root, true
	}
	at := Root
	for more := true; more; {
		name, after, ok := strings.Cut(path, "=")
		if !ok {
			return None, false
		}
		var value string
		value, path, more = strings.Cut(after, "/")
		if at = t.child(at, name, value); at == None {
			return None, false
		}
	}
	return at, true
}

// child finds a domain right inside d: the one that goes by the name, or else the
// only one that could.
func (t *Tree) child(d DomainID, name, value string) DomainID {
	found, more := None, false
	for c := d + 1; c < t.domains[d].end; c = t.domains[c].end {
		if t.domains[c].value != value {
			continue
		}
		level := t.domains[c].level
		if t.names[level] == name {
			return c
		}
		if name != "" && (t.levels[level].Key == name || t.levels[level].Alias == name) {
			found, more = c, found != None
		}
	}
	if more {
		return None
	}
	return found
}

// nameLevels decides what Path calls each level: by its alias unless that is also
// the key of another level, or is shared with a level from which it could not be
// told apart in this tree.
func (t *Tree) nameLevels() {
	var used, byKey Ref
	for d := range t.domains {
		used |= t.domains[d].levels
	}
	for i, l := range t.levels {
		if l.Alias == "" || strings.Contains(l.Alias, "=") {
			byKey |= 1 << i
			continue
		}
		shared := Ref(0)
		for j, other := range t.levels {
			switch {
			case i == j || used>>j&1 == 0:
			case other.Key == l.Alias:
				byKey |= 1 << i
			case other.Alias == l.Alias:
				shared |= 1 << j
			}
		}
		if shared != 0 && used>>i&1 != 0 && t.confusable(i, shared) {
			byKey |= 1 << i
		}
	}
	t.names = make([]string, len(t.levels))
	for i, l := range t.levels {
		if t.names[i] = l.Alias; byKey>>i&1 != 0 {
			t.names[i] = l.Key
		}
	}
}

// confusable tells whether a domain of the level and one of the others lie on one
// path, where the alias would not say which is meant, or are alike but for their
// level, where it could mean either.
func (t *Tree) confusable(level int, others Ref) bool {
	type place struct {
		parent DomainID
		value  string
	}
	own := make(map[place]bool)
	for i := range t.domains {
		d := &t.domains[i]
		if d.levels>>level&1 != 0 && d.levels&others != 0 {
			return true
		}
		if int(d.level) == level {
			own[place{d.parent, d.value}] = true
		}
	}
	for i := range t.domains[1:] {
		d := &t.domains[i+1]
		if others>>d.level&1 != 0 && own[place{d.parent, d.value}] {
			return true
		}
	}
	return false
}
