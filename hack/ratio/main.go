// Command ratio reads the output of the throughput benchmarks (test/perf and
// test/speed) and prints how our scheduler compares with upstream's, one line for
// every case and pair of profiles:
//
//	ratio: SchedulingBasic/5000Nodes_10000Pods plimsoll/default-all 1.07
//
// The first profile's pods per second over the second's, each the median of its
// rounds: higher is better for the first. Where a benchmark measures more than that,
// the medians are printed, too:
//
//	figure: PartitionableMIG/1000Nodes plimsoll p99-ms 12.30
//
// What it reads is passed on to standard error, or to a file with -log. With -min
// 'NAME=X', which may be repeated, it fails if the ratio or figure of that name is
// below X, with -max if it is above. It fails as well, and says why, if a benchmark
// failed or anything that a ratio is made of is missing. A case that -alone names has no
// ratio: it is one that upstream's profiles are too slow for, and ours is a figure.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "ratio:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out, errOut io.Writer) (err error) {
	minimums, maximums, alone := limits{}, limits{}, cases{}
	flags := flag.NewFlagSet("ratio", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.Var(minimums, "min", "fail if the ratio or figure `NAME=X` is below X; may be repeated")
	flags.Var(maximums, "max", "fail if the ratio or figure `NAME=X` is above X; may be repeated")
	flags.Var(alone, "alone", "the `CASE` was measured of ours only; may be repeated")
	logFile := flags.String("log", "", "pass the input on to this `file` instead of standard error")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: the benchmarks' output is read from standard input", flags.Arg(0))
	}
	log := errOut
	if *logFile != "" {
		file, createErr := os.Create(*logFile)
		if createErr != nil {
			return fmt.Errorf("creating the log: %w", createErr)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		log = file
	}
	results, err := read(io.TeeReader(in, log))
	if results == nil {
		return err
	}
	ratios, missing := results.ratios(alone)
	figures := results.figures(alone)
	if err := errors.Join(show(out, "ratio", ratios), show(out, "figure", figures)); err != nil {
		return err
	}
	all := slices.Concat(ratios, figures)
	return errors.Join(err, missing,
		minimums.check(all, "below the minimum", func(value, least float64) bool { return value >= least }),
		maximums.check(all, "above the maximum", func(value, most float64) bool { return value <= most }))
}

// show prints a line for each of them.
func show(out io.Writer, kind string, all []named) error {
	for _, r := range all {
		if _, err := fmt.Fprintf(out, "%s: %s %.2f\n", kind, r.name, r.value); err != nil {
			return err
		}
	}
	return nil
}

// cases is a set of names of cases. It is a flag.Value.
type cases map[string]bool

// String implements flag.Value.
func (c cases) String() string { return strings.Join(sortedKeys(c), ", ") }

// Set implements flag.Value.
func (c cases) Set(s string) error {
	c[s] = true
	return nil
}

// limits are numbers by the name of the ratio or figure they are for. It is a
// flag.Value.
type limits map[string]float64

// String implements flag.Value.
func (l limits) String() string { return fmt.Sprint(map[string]float64(l)) }

// Set implements flag.Value.
func (l limits) Set(s string) error {
	at := strings.LastIndex(s, "=")
	if at < 1 {
		return errors.New("want NAME=X")
	}
	limit, err := strconv.ParseFloat(s[at+1:], 64)
	if err != nil || !(limit > 0) { // NaN is not above 0 either
		return fmt.Errorf("want a number above 0, got %q", s[at+1:])
	}
	l[s[:at]] = limit
	return nil
}

// check says which ratios or figures do not keep their limit, where they are instead,
// or that they are not there at all.
func (l limits) check(all []named, where string, keeps func(value, limit float64) bool) error {
	values := map[string]float64{}
	for _, r := range all {
		values[r.name] = r.value
	}
	var errs []error
	for _, name := range sortedKeys(l) {
		value, found := values[name]
		switch {
		case !found:
			errs = append(errs, fmt.Errorf("%s: has a limit of %g, but there is no such ratio or figure", name, l[name]))
		case !keeps(value, l[name]):
			errs = append(errs, fmt.Errorf("%s: %.4f is %s of %g", name, value, where, l[name]))
		}
	}
	return errors.Join(errs...)
}
