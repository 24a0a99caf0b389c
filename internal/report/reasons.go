package report

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// topReasons is how many reasons are seen at once.
const topReasons = 12

// reason is something that several pods wait for.
type reason struct {
	Plugin, Text string
	Count        string
	// Width is how long its bar is, in percent of the longest.
	Width string
	pods  int
}

// number matches what counts or measures, and not the digits of a name.
var number = regexp.MustCompile(`(^|[\s(])(\d+)($|[\s,;:)%])`)

// alikeReasons are reasons that differ in their numbers only.
type alikeReasons struct {
	plugin string
	// texts stand between the numbers, whose least and most are known.
	texts       []string
	least, most []int
	pods        int
}

func newWaiting(r *run) waiting {
	w := waiting{By: r.scheduler}
	groups := map[string]*alikeReasons{}
	pods := 0
	for i := range r.Pods {
		p := &r.Pods[i]
		if !waits(p) {
			continue
		}
		pods++
		seen := map[*alikeReasons]bool{}
		for _, reason := range p.Reasons {
			if g := gather(groups, reason.Plugin, reason.Message); !seen[g] {
				seen[g] = true
				g.pods++
			}
		}
		if len(p.Reasons) == 0 {
			gather(groups, "", "no reason given").pods++
		}
	}
	w.Pods = counted(pods, "pod")
	all := listed(groups)
	w.Reasons = all
	// One that is alone behind the fold is shown.
	if len(all) > topReasons+1 {
		w.Reasons, w.More = all[:topReasons], all[topReasons:]
		w.Hidden = counted(len(w.More), "rarer reason")
	}
	return w
}

// gather finds, or opens, the group that a message belongs to.
func gather(groups map[string]*alikeReasons, plugin, message string) *alikeReasons {
	texts, numbers := split(message)
	key := plugin + "\x00" + strings.Join(texts, "\x00")
	g := groups[key]
	if g == nil {
		g = &alikeReasons{plugin: plugin, texts: texts, least: slices.Clone(numbers), most: slices.Clone(numbers)}
		groups[key] = g
	}
	for i, n := range numbers {
		g.least[i], g.most[i] = min(g.least[i], n), max(g.most[i], n)
	}
	return g
}

// split takes the numbers out of a message; there is one text more than numbers.
func split(message string) (texts []string, numbers []int) {
	from, last := 0, 0
	for from < len(message) {
		m := number.FindStringSubmatchIndex(message[from:])
		if m == nil {
			break
		}
		begin, end := from+m[4], from+m[5]
		from = end
		n, err := strconv.Atoi(message[begin:end])
		if err != nil || strconv.Itoa(n) != message[begin:end] {
			continue // too long for a number, or written like a name
		}
		texts, numbers = append(texts, message[last:begin]), append(numbers, n)
		last = end
	}
	return append(texts, message[last:]), numbers
}

// text is the message, with ranges where numbers differ.
func (g *alikeReasons) text() string {
	var b strings.Builder
	for i, t := range g.texts {
		b.WriteString(t)
		switch {
		case i == len(g.least):
		case g.least[i] == g.most[i]:
			b.WriteString(strconv.Itoa(g.least[i]))
		default:
			fmt.Fprintf(&b, "%d–%d", g.least[i], g.most[i])
		}
	}
	return b.String()
}

// listed orders the groups, most pods first.
func listed(groups map[string]*alikeReasons) []reason {
	var out []reason
	most := 0
	for _, g := range groups {
		out = append(out, reason{Plugin: g.plugin, Text: g.text(), Count: count(g.pods), pods: g.pods})
		most = max(most, g.pods)
	}
	slices.SortFunc(out, func(a, b reason) int {
		return cmp.Or(cmp.Compare(b.pods, a.pods), cmp.Compare(a.Plugin, b.Plugin), cmp.Compare(a.Text, b.Text))
	})
	for i := range out {
		out[i].Width = decimal(ratio(float64(out[i].pods), float64(most)))
	}
	return out
}
