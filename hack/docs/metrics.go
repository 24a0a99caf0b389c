package main

import (
	"fmt"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	basemetrics "k8s.io/component-base/metrics"

	"plimsoll.dev/scheduler/pkg/metrics"
)

// metricsPage documents every metric of pkg/metrics. A metric that is listed
// there needs nothing here.
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
		// A vector without values is not gathered: give each one.
		if err := sample(m); err != nil {
			return "", fmt.Errorf("%s: %w", m.FQName(), err)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		return "", err
	}
	if len(families) != len(metrics.All()) {
		return "", fmt.Errorf("%d of %d metrics have a value: sample does not know the type of the others", len(families), len(metrics.All()))
	}
	row := func(name, kind string, labels []string, help string) {
		for i := range labels {
			labels[i] = "`" + labels[i] + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, kind, strings.Join(labels, ", "), help)
	}
	for _, f := range families {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		row(f.GetName(), strings.ToLower(dto.MetricType_name[int32(f.GetType())]), sorted(labels), strings.TrimPrefix(f.GetHelp(), "[ALPHA] "))
	}
	for _, d := range metrics.Described() {
		row(d.Name, d.Type(), slices.Clone(d.Labels), d.Help)
	}
	return b.String(), nil
}

// sample gives a vector one value, whatever its labels; other metrics have one.
func sample(m basemetrics.Registerable) error {
	switch m := m.(type) {
	case *basemetrics.CounterVec:
		return anyLabels(m.CounterVec.GetMetricWithLabelValues)
	case *basemetrics.GaugeVec:
		return anyLabels(m.GaugeVec.GetMetricWithLabelValues)
	case *basemetrics.HistogramVec:
		return anyLabels(m.HistogramVec.GetMetricWithLabelValues)
	}
	return nil
}

// anyLabels asks with more and more labels until there are as many as the
// vector has: it does not say how many.
func anyLabels[T any](with func(...string) (T, error)) error {
	const most = 8
	var err error
	for n := range most {
		if _, err = with(make([]string, n)...); err == nil {
			return nil
		}
	}
	return err
}
