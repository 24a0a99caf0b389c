package explain

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
	"sigs.k8s.io/yaml"

	"plimsoll.dev/scheduler/internal/placement"
)

// Print writes an explanation in one of placement's formats: as text for a terminal
// of 100 columns, as JSON or as YAML.
func Print(w io.Writer, e *placement.Explanation, format string) error {
	switch format {
	case "json":
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(e)
	case "yaml":
		text, err := yaml.Marshal(e)
		if err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	case "table":
		_, err := io.WriteString(w, text(e))
		return err
	}
	return placement.CheckFormat(format)
}

func text(e *placement.Explanation) string {
	var b strings.Builder
	fate := "pending"
	switch {
	case len(e.Preempts) > 0:
		fate = "pending at first, then goes to " + e.Node
	case e.Node != "":
		fate = "goes to " + e.Node
	}
	fmt.Fprintf(&b, "%s/%s under %s: %s\n", e.Namespace, e.Name, e.Scheduler, fate)
	summary(&b, e)
	if len(e.Reasons) > 0 {
		t := table{heads: []string{"WHY", ""}, widths: []int{24, 74}}
		for _, r := range e.Reasons {
			t.add(r.Plugin, r.Message)
		}
		t.write(&b)
	}
	if len(e.Devices) > 0 {
		t := table{heads: []string{"DEVICES"}, widths: []int{100}}
		for _, d := range e.Devices {
			t.add(d)
		}
		t.write(&b)
	}
	best(&b, e.Top)
	if len(e.Lost) > 0 {
		such := 24
		for i := range e.Lost {
			for _, node := range e.Lost[i].Examples {
				such = min(max(such, len(node)+1), 40)
			}
		}
		t := table{heads: []string{"NODES LOST", "PLUGIN", "REASON", "SUCH AS"}, widths: []int{10, 18, 66 - such, such}, right: true}
		for i := range e.Lost {
			l := &e.Lost[i]
			t.add(fmt.Sprint(l.Nodes), dash(l.Plugin), messageOf(l), list(l.Examples, l.Nodes))
		}
		t.write(&b)
	}
	if e.Node == "" {
		whatHelps(&b, e)
	}
	return b.String()
}

// summary says how many nodes can take the pod, and what is to be said of it as a
// whole.
func summary(b *strings.Builder, e *placement.Explanation) {
	switch {
	case e.Held && e.Refused != nil:
		paragraph(b, fmt.Sprintf("kept back in the queue by %s: %s", e.Refused.Plugin, e.Refused.Message))
	case e.Refused != nil && string(e.Refused.Code) == fwk.Error.String():
		paragraph(b, "the scheduler ends the attempt with an error, whatever other nodes say, and tries again later: "+e.Refused.Message)
	case e.Refused != nil:
		paragraph(b, fmt.Sprintf("refused as a whole by %s: %s", dash(e.Refused.Plugin), e.Refused.Message))
	default:
		line := fmt.Sprintf("%d of %s can take it", e.Feasible, nodes(e.Nodes))
		if e.Ties > 1 && len(e.Preempts) == 0 {
			line += fmt.Sprintf("; %d of them are equally good, and the scheduler chooses one at random", e.Ties)
		}
		paragraph(b, line)
	}
	if n := len(e.Preempts); n > 0 {
		counted := "1 pod"
		if n > 1 {
			counted = fmt.Sprintf("%d pods", n)
		}
		paragraph(b, fmt.Sprintf("%s of lower priority would be preempted on %s: %s", counted, e.Node, strings.Join(e.Preempts, ", ")))
	}
	if e.Waits != nil {
		paragraph(b, fmt.Sprintf("keeps its place there, but is not bound yet: %s: %s", e.Waits.Plugin, e.Waits.Message))
	}
	switch {
	case e.IfEmpty == nil:
	case *e.IfEmpty == 0:
		paragraph(b, "not even if no other pod ran anywhere")
	default:
		paragraph(b, fmt.Sprintf("if no other pod ran anywhere, %d could", *e.IfEmpty))
	}
}

// messageOf says what upstream says in a status code only: that a request exceeds
// all that the node has.
func messageOf(l *placement.Loss) string {
	if l.Plugin == names.NodeResourcesFit && string(l.Code) == fwk.UnschedulableAndUnresolvable.String() {
		return l.Message + ", even on the empty node"
	}
	return l.Message
}

// best lists the best nodes. Plugins that tell none of them from another are said
// once; the others have a column each, in as many tables as they need.
func best(b *strings.Builder, top []placement.Score) {
	if len(top) == 0 {
		return
	}
	var columns []int
	var same []string
	for i, p := range top[0].Plugins {
		if len(top) > 1 && agree(top, i) {
			same = append(same, p.Plugin+" "+cell(p))
			continue
		}
		columns = append(columns, i)
	}
	const perTable = 3
	for first := true; first || len(columns) > 0; first = false {
		now := columns[:min(perTable, len(columns))]
		t := table{heads: []string{"BEST NODES", "TOTAL"}, widths: []int{88 - 19*len(now), 8}}
		columns = columns[len(now):]
		for _, i := range now {
			t.heads, t.widths = append(t.heads, top[0].Plugins[i].Plugin), append(t.widths, 17)
		}
		for j := range top {
			row := []string{top[j].Node, fmt.Sprint(top[j].Total)}
			for _, i := range now {
				row = append(row, cell(top[j].Plugins[i]))
			}
			t.add(row...)
		}
		t.write(b)
	}
	if len(same) > 0 {
		paragraph(b, "the same for all of them: "+strings.Join(same, ", "))
	}
}

// agree tells whether the plugin scores all listed nodes alike. All have the same
// plugins in the same order.
func agree(top []placement.Score, i int) bool {
	for j := range top {
		if top[j].Plugins[i] != top[0].Plugins[i] {
			return false
		}
	}
	return true
}

// cell is what a plugin gave: points times weight.
func cell(p placement.PluginScore) string {
	if p.Raw == 0 || p.Weighted == p.Raw {
		return fmt.Sprint(p.Weighted)
	}
	return fmt.Sprintf("%d x%d=%d", p.Raw, p.Weighted/p.Raw, p.Weighted)
}

// whatHelps lists the changes, or says that none helps.
func whatHelps(b *strings.Builder, e *placement.Explanation) {
	if len(e.Changes) > 0 {
		t := table{heads: []string{"WHAT WOULD LET IT FIT (each tried)", ""}, widths: []int{60, 38}}
		for i := range e.Changes {
			c := &e.Changes[i]
			t.add(c.What, fmt.Sprintf("%s, such as %s", nodes(c.Nodes), list(c.Examples, c.Nodes)))
		}
		t.write(b)
	}
	switch {
	case len(e.Changes) == 0 && e.Tried == 0:
		fmt.Fprint(b, "\nNo change was tried.\n")
	case len(e.Changes) == 0 && e.Untried == 0:
		fmt.Fprintf(b, "\nNo change that was tried helps, nor do any two of them (%s): look at the reasons above.\n", tries(e.Tried))
	case e.Untried > 0:
		fmt.Fprintf(b, "\nNot all is told: after %s, %d more were left out.\n", tries(e.Tried), e.Untried)
	}
}

func nodes(n int) string {
	if n == 1 {
		return "1 node"
	}
	return fmt.Sprintf("%d nodes", n)
}

func tries(n int) string {
	if n == 1 {
		return "1 try"
	}
	return fmt.Sprintf("%d tries", n)
}

// list names some of so many.
func list(some []string, of int) string {
	out := strings.Join(some, ", ")
	if of > len(some) {
		out += ", ..."
	}
	return out
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
