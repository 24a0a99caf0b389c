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

// figures are the units of what is reported as it is, of benchmarks that measure any
// of it; throughput is then reported, too.
var figures = []string{"p99-ms", "mean-ms", "reserve-ms", "cpu-ms", "last/first", "megabytes-above-caches", "us/node", "busy-us/node"}

// comparison is what the profiles of one benchmark are compared by.
type comparison struct {
	profiles []string
	// pairs are compared in this order, the first over the second.
	pairs [][2]string
}

// comparisons are told apart by whether a case has a profile that only one of the
// others has; the first is the rule.
var comparisons = []comparison{{
	profiles: []string{"plimsoll", "default-all", "default-sampled"},
	pairs:    [][2]string{{"plimsoll", "default-all"}, {"plimsoll", "default-sampled"}, {"default-sampled", "default-all"}},
}, {
	profiles: []string{"plimsoll", "without-topology"},
	pairs:    [][2]string{{"plimsoll", "without-topology"}},
}, {
	profiles: []string{"plimsoll", "default"},
	pairs:    [][2]string{{"plimsoll", "default"}},
}}

// alone is for a case that was measured of ours only.
var alone = comparison{profiles: []string{"plimsoll"}}

// comparisonOf tells how a case is compared. One with figures may be measured of ours
// alone, any other only if it is said to be.
func comparisonOf(profiles map[string]values, saidAlone bool) comparison {
	for _, c := range comparisons[1:] {
		if _, found := profiles[c.profiles[1]]; found {
			return c
		}
	}
	if ours := profiles["plimsoll"]; len(profiles) == 1 && (saidAlone || ours.haveFigures()) {
		return alone
	}
	return comparisons[0]
}

// samples are the values of one unit by round.
type samples map[string]float64

// values are what was measured of one profile on one case, by unit.
type values map[string]samples

func (v values) haveFigures() bool {
	return slices.ContainsFunc(figures, func(unit string) bool { return v[unit] != nil })
}

// results are values by case and profile.
type results map[string]map[string]values

// named is a number that is printed.
type named struct {
	// name is "CASE OURS/THEIRS", or "CASE PROFILE UNIT" of a figure.
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
	found := map[string]float64{}
	for _, unit := range append([]string{metric}, figures...) {
		if value, measured := result.Value(unit); measured {
			found[unit] = value
		}
	}
	throughput, measured := found[metric]
	if len(found) == 0 || measured && !(throughput > 0) {
		return fmt.Errorf("%s %s: no %s: nothing was measured, or it took too few seconds", where, profile, metric)
	}
	return r.put(where, profile, round, found)
}

// put takes in what was found in one round, by unit.
func (r results) put(where, profile, round string, found map[string]float64) error {
	if r[where] == nil {
		r[where] = map[string]values{}
	}
	if r[where][profile] == nil {
		r[where][profile] = values{}
	}
	into := r[where][profile]
	for _, unit := range sortedKeys(found) {
		if into[unit] == nil {
			into[unit] = samples{}
		}
		if _, twice := into[unit][round]; twice {
			return fmt.Errorf("%s %s: round %s is there twice: is this the output of one run?", where, profile, round)
		}
		into[unit][round] = found[unit]
	}
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
func (r results) ratios(saidAlone cases) ([]named, error) {
	if len(r) == 0 {
		return nil, fmt.Errorf("no results: the input has no benchmark of a profile with %s", metric)
	}
	var ratios []named
	var errs []error
	for _, where := range sortedKeys(r) {
		how := comparisonOf(r[where], saidAlone[where])
		if err := complete(where, r[where], how.profiles); err != nil {
			errs = append(errs, err)
			continue
		}
		for _, pair := range how.pairs {
			ratios = append(ratios, named{
				name:  fmt.Sprintf("%s %s/%s", where, pair[0], pair[1]),
				value: r[where][pair[0]][metric].median() / r[where][pair[1]][metric].median(),
			})
		}
	}
	return ratios, errors.Join(errs...)
}

// figures returns the medians of all figures, case by case.
func (r results) figures(saidAlone cases) []named {
	var out []named
	for _, where := range sortedKeys(r) {
		for _, profile := range sortedKeys(r[where]) {
			v := r[where][profile]
			if !v.haveFigures() && !saidAlone[where] {
				continue
			}
			name := where + " " + profile + " "
			if v[metric] != nil {
				out = append(out, named{name + "pods/s", v[metric].median()})
			}
			for _, unit := range figures {
				if v[unit] != nil {
					out = append(out, named{name + unit, v[unit].median()})
				}
			}
		}
	}
	return out
}

// complete says which of the profiles that are compared misses which round that another
// one has.
func complete(where string, profiles map[string]values, compared []string) error {
	rounds := map[string]bool{}
	for _, v := range profiles {
		for round := range v[metric] {
			rounds[round] = true
		}
	}
	var errs []error
	for _, profile := range compared {
		for _, round := range sortedKeys(rounds) {
			if _, found := profiles[profile][metric][round]; !found {
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
