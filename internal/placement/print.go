package placement

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"sigs.k8s.io/yaml"

	"plimsoll.dev/scheduler/pkg/verdict"
)

// Formats lists what Print understands.
func Formats() []string { return []string{"table", "json", "yaml"} }

// CheckFormat refuses a format that Print does not understand.
func CheckFormat(format string) error {
	if !slices.Contains(Formats(), format) {
		return fmt.Errorf("output format %q: want one of %s", format, strings.Join(Formats(), ", "))
	}
	return nil
}

// Print writes the result in one of the Formats.
func (r *Result) Print(w io.Writer, format string) error {
	switch format {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(r)
	case "yaml":
		text, err := yaml.Marshal(r)
		if err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	case "table":
		return r.printTable(w)
	}
	return CheckFormat(format)
}

func (r *Result) printTable(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "POD\tPHASE\tNODE\tZONE\tARCH\tWHY")
	for _, p := range r.Pods {
		why := p.why()
		if len(why) == 0 {
			why = []string{""}
		}
		fmt.Fprintf(tw, "%s/%s\t%s\t%s\t%s\t%s\t%s\n", p.Namespace, p.Name, p.Phase, dash(p.Node), dash(p.Zone), dash(p.Arch), why[0])
		for _, more := range why[1:] {
			fmt.Fprintf(tw, "\t\t\t\t\t%s\n", more)
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if len(r.Pictures) > 0 {
		fmt.Fprintf(w, "\n%s\n", strings.Join(r.Pictures, "\n"))
	}
	s := r.Summary
	preempted := ""
	if s.Preempted > 0 {
		preempted = fmt.Sprintf(", %d preempted", s.Preempted)
	}
	_, err := fmt.Fprintf(w, "\n%d pods: %d running on %d of %d nodes, %d pending%s\n", s.Pods, s.Running, s.NodesInUse, s.Nodes, s.Pending, preempted)
	for _, line := range s.Unexpected {
		if err == nil {
			_, err = fmt.Fprintf(w, "not as expected: %s\n", line)
		}
	}
	return err
}

// why lists a pod's reasons, and its devices that none of them names, one line
// each.
func (p *Pod) why() []string {
	var lines []string
	for _, r := range p.Reasons {
		lines = append(lines, fmt.Sprintf("%s: %s", r.Plugin, r.Message))
	}
	for _, d := range p.Devices {
		name := d[strings.LastIndexByte(d, '/')+1:]
		if !slices.ContainsFunc(p.Reasons, func(r verdict.Reason) bool { return strings.Contains(r.Message, name) }) {
			lines = append(lines, "device "+d)
		}
	}
	return lines
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
