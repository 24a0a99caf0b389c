package main

import (
	"fmt"
	"strings"

	dto "github.com/prometheus/client_model/go"
	basemetrics "k8s.io/component-base/metrics"

	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/metrics"
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
		"`plimsoll demo` and logged at `-v=3`. Plimsoll emits no events beside those of the scheduler itself.\n\n" +
		"| code | plugin | kind | text | what would change it |\n|---|---|---|---|---|\n")
	for _, e := range verdict.Table() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", e.Code, e.Plugin, e.Kind, e.Text, e.Cure)
	}
	return b.String(), nil
}

func metricsPage(string) (string, error) {
	var b strings.Builder
	b.WriteString(generated("Metrics"))
	b.WriteString("What Plimsoll adds to the scheduler's own `/metrics`. The label `profile` is the profile's `schedulerName`.\n\n" +
		"| metric | type | labels | meaning |\n|---|---|---|---|\n")
	registry := basemetrics.NewKubeRegistry()
	for _, m := range metrics.All() {
		if err := registry.Register(m); err != nil {
			return "", err
		}
	}
	// A vector without values is not gathered: give each one.
	metrics.Placements.WithLabelValues("", "")
	metrics.PlacementUtilization.WithLabelValues("")
	metrics.UsagePolls.WithLabelValues("", "")
	metrics.UsageNodes.WithLabelValues("", "")
	metrics.UsageFallbacks.WithLabelValues("", "")
	families, err := registry.Gather()
	if err != nil {
		return "", err
	}
	if len(families) != len(metrics.All()) {
		return "", fmt.Errorf("%d of %d metrics are documented: give the others a value above", len(families), len(metrics.All()))
	}
	for _, f := range families {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		help := strings.TrimPrefix(f.GetHelp(), "[ALPHA] ")
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(dto.MetricType_name[int32(f.GetType())]), strings.Join(sorted(labels), ", "), help)
	}
	return b.String(), nil
}
