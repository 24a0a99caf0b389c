package main

import (
	"cmp"
	"fmt"
	"strings"

	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/verdict"
)

func annotations(string) (string, error) {
	var b strings.Builder
	b.WriteString(generated("Annotations"))
	b.WriteString("A pod opts in with `spec.schedulerName: plimsoll`; annotations are optional. " +
		"A value that is not valid, or a key under `" + intent.Prefix + "` that is not listed here, keeps the pod Pending " +
		"with a message that names the key, the value and what would be right. Correcting it is enough: the pod is tried again at once.\n\n" +
		"| annotation | value | example | meaning |\n|---|---|---|---|\n")
	for _, a := range intent.Annotations() {
		fmt.Fprintf(&b, "| `%s` | %s | `\"%s\"` | %s |\n", a.Key, strings.TrimPrefix(a.Forms, "want "), a.Example, a.Doc)
	}
	return b.String(), nil
}

func reasons(string) (string, error) {
	var b strings.Builder
	b.WriteString(generated("Reasons"))
	b.WriteString("Everything Plimsoll says about a pod or a node. Codes are stable. Reasons of kind *invalid* and *refused* reach users in the " +
		"`PodScheduled` condition and the `FailedScheduling` event, which `kubectl describe pod` shows; reasons of kind *placed* are printed by " +
		"`plimsoll demo` and logged at `-v=3`. Where the plugin is *any*, " +
		"the first plugin of the profile that reads what is wrong says it.\n\n" +
		"| code | plugin | kind | text | what would change it |\n|---|---|---|---|---|\n")
	for _, e := range verdict.Table() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", e.Code, cmp.Or(e.Plugin, "any"), e.Kind, e.Text, e.Cure)
	}
	b.WriteString("\n## Events\n\nBeside `Scheduled`, `FailedScheduling` and what else the scheduler itself emits, each of type Warning and with a reason from above as its message:\n\n" +
		"| event | plugin | at | message | when |\n|---|---|---|---|---|\n")
	for _, e := range verdict.Events() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | `%s` | %s |\n", e.Event, e.Plugin, e.On, strings.Join(codes(e.Says), "`, `"), e.When)
	}
	return b.String(), nil
}

func codes(of []verdict.Code) []string {
	var out []string
	for _, code := range of {
		out = append(out, string(code))
	}
	return out
}
