package main

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// metric is what is compared, in pods per second.
const metric = "SchedulingThroughput/Average"

// comparison is what the profiles of one benchmark are compared by.
type comparison struct {
	profiles []string
	// pairs are compared in this order, the first over the second.
	pairs [][2]string
}

// comparisons are told apart by whether a case has a profile that only the second
// has; the first is the rule.
var comparisons = []comparison{{
	profiles: []string{"plimsoll", "default-all", "default-sampled"},
	pairs:    [][2]string{{"plimsoll", "default-all"}, {"plimsoll", "default-sampled"}, {"default-sampled", "default-all"}},
}, {
	profiles: []string{"plimsoll", "without-topology"},
	pairs:    [][2]string{{"plimsoll", "without-topology"}},
}}

func comparisonOf(profiles map[string]samples) comparison {
	if _, found := profiles["without-topology"]; found {
		return comparisons[1]
	}
	return comparisons[0]
}

// samples are the throughputs of one profile on one case by round.
type samples map[string]float64

// results are samples by case and profile.
type results map[string]map[string]samples

type ratio struct {
	// name is "CASE OURS/THEIRS".
	name  string
	value float64
}

// failed matches what "go test" prints when anything went wrong, however deep.
var failed = regexp.MustCompile(`^(\s*--- FAIL: |FAIL(\s|$)|panic: |signal: |exit status )`)

// read reads the output of "go test -bench" with all the logs that are in it.
// Along with an error it returns the results that it could make out, nil if the
// input could not be read.
func read(in io.Reader) (results, error) {
	found := results{}
	var errs []error
	failure := ""
	lines := bufio.NewReader(in)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n') // of any length, unlike bufio.Scanner
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("reading the benchmarks' output: %w", err)
		}
		if failure == "" && failed.Match(line) {
			failure = strings.TrimSpace(string(line))
		}
		if bytes.HasPrefix(line, []byte("Benchmark")) {
			if err := found.add(line); err != nil {
				errs = append(errs, fmt.Errorf("line %d: %w", number, err))
			}
		}
		if err != nil {
			break
		}
	}
	if failure != "" {
		errs = append(errs, fmt.Errorf("a benchmark failed: %q", failure))
	}
	return found, errors.Join(errs...)
}

// add takes in one line of results. The name alone, as printed when a benchmark
// begins, is none; nor are other benchmarks' lines.
func (r results) add(line []byte) error {
	reader := benchfmt.NewReader(bytes.NewReader(line), "")
	if !reader.Scan() {
		return reader.Err()
	}
	result, ok := reader.Result().(*benchfmt.Result)
	if !ok {
		return fmt.Errorf("broken result %q", shortened(line))
	}
	where, profile, round := split(result.Name)
	if profile == "" {
		return nil
	}
	value, measured := result.Value(metric)
	if !measured || !(value > 0) {
		return fmt.Errorf("%s %s: no %s: nothing was measured, or it took too few seconds", where, profile, metric)
	}
	if r[where] == nil {
		r[where] = map[string]samples{}
	}
	if r[where][profile] == nil {
		r[where][profile] = samples{}
	}
	if _, twice := r[where][profile][round]; twice {
		return fmt.Errorf("%s %s: round %s is there twice: is this the output of one run?", where, profile, round)
	}
	r[where][profile][round] = value
	return nil
}

// split takes a name apart: "Full/CASE/WORKLOAD/round=1/profile=plimsoll/batching=off-2"
// is about CASE/WORKLOAD, and so it is with batching on, but for /batching=on.
func split(name benchfmt.Name) (where, profile, round string) {
	_, parts := name.Parts()
	var rest []string
	for _, part := range parts {
		key, value, _ := strings.Cut(strings.TrimPrefix(string(part), "/"), "=")
		switch {
		case part[0] == '-': // GOMAXPROCS
		case key == "batching" && value == "off": // as in upstream's benchmark
		case key == "profile":
			profile = value
		case key == "round":
			round = value
		default:
			rest = append(rest, string(part[1:]))
		}
	}
	return strings.Join(rest, "/"), profile, round
}

func shortened(line []byte) string {
	const long = 100
	line = bytes.TrimSpace(line)
	if len(line) > long {
		return string(line[:long]) + "…"
	}
	return string(line)
}

// ratios compares the medians of all cases. The error names what it misses.
func (r results) ratios() ([]ratio, error) {
	if len(r) == 0 {
		return nil, fmt.Errorf("no results: the input has no benchmark of a profile with %s", metric)
	}
	var ratios []ratio
	var errs []error
	for _, where := range sortedKeys(r) {
		if err := complete(where, r[where]); err != nil {
			errs = append(errs, err)
			continue
		}
		for _, pair := range comparisonOf(r[where]).pairs {
			ratios = append(ratios, ratio{
				name:  fmt.Sprintf("%s %s/%s", where, pair[0], pair[1]),
				value: r[where][pair[0]].median() / r[where][pair[1]].median(),
			})
		}
	}
	return ratios, errors.Join(errs...)
}

// complete says which profile misses which round that another one has.
func complete(where string, profiles map[string]samples) error {
	rounds := map[string]bool{}
	for _, s := range profiles {
		for round := range s {
			rounds[round] = true
		}
	}
	var errs []error
	for _, profile := range comparisonOf(profiles).profiles {
		for _, round := range sortedKeys(rounds) {
			if _, found := profiles[profile][round]; !found {
				errs = append(errs, fmt.Errorf("%s: no result of profile %s in round %s", where, profile, round))
			}
		}
	}
	return errors.Join(errs...)
}

// median of at least one sample.
func (s samples) median() float64 {
	sorted := slices.Sorted(maps.Values(s))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
