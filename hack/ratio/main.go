// Command ratio reads the output of the throughput benchmarks (test/perf) and
// prints how our scheduler compares with upstream's, one line for every case
// and pair of profiles:
//
//	ratio: SchedulingBasic/5000Nodes_10000Pods plimsoll/default-all 1.07
//
// The first profile's pods per second over the second's, each the median of its
// rounds: higher is better for the first. What it reads is passed on to standard
// error, or to a file with -log. With -min 'NAME=X', which may be repeated, it
// fails if the ratio of that name is below X. It fails as well, and says why, if
// a benchmark failed or anything that a ratio is made of is missing.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
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
	minimums := minimums{}
	flags := flag.NewFlagSet("ratio", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.Var(minimums, "min", "fail if the ratio `NAME=X` is below X; may be repeated")
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
	ratios, missing := results.ratios()
	for _, r := range ratios {
		if _, err := fmt.Fprintf(out, "ratio: %s %.2f\n", r.name, r.value); err != nil {
			return err
		}
	}
	return errors.Join(err, missing, minimums.check(ratios))
}

// minimums are the least ratios by name. It is a flag.Value.
type minimums map[string]float64

// String implements flag.Value.
func (m minimums) String() string { return fmt.Sprint(map[string]float64(m)) }

// Set implements flag.Value.
func (m minimums) Set(s string) error {
	at := strings.LastIndex(s, "=")
	if at < 1 {
		return errors.New("want NAME=X")
	}
	least, err := strconv.ParseFloat(s[at+1:], 64)
	if err != nil || !(least > 0) { // NaN is not above 0 either
		return fmt.Errorf("want a number above 0, got %q", s[at+1:])
	}
	m[s[:at]] = least
	return nil
}

// check says which ratios are below their minimum or not there at all.
func (m minimums) check(ratios []ratio) error {
	values := map[string]float64{}
	for _, r := range ratios {
		values[r.name] = r.value
	}
	var errs []error
	for _, name := range sortedKeys(m) {
		value, found := values[name]
		switch {
		case !found:
			errs = append(errs, fmt.Errorf("%s: wanted at least %g, but there is no such ratio", name, m[name]))
		case value < m[name]:
			errs = append(errs, fmt.Errorf("%s: %.4f is below the minimum of %g", name, value, m[name]))
		}
	}
	return errors.Join(errs...)
}
