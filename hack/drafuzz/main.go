// Command drafuzz compares the device model with the in-tree allocator on random
// worlds (internal/worlds), prints what it counted, and stops at the first
// disagreement, of which it prints the smallest world it finds as YAML:
//
//	go run ./hack/drafuzz -n 1000000
//	go run ./hack/drafuzz -seed 7000 -for 25m -workers 1
//	go run ./hack/drafuzz -replay case.yaml
//
// Worlds are numbered: -seed 7000 -n 100 judges the worlds 7000 to 7099, on
// whatever machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"runtime/debug"
	"time"

	"plimsoll.dev/scheduler/internal/worlds"
	"plimsoll.dev/scheduler/pkg/devices"
)

// moreGarbage lets the heap grow to so many percent of what is in use before it is
// collected: worlds are small and short-lived.
const moreGarbage = 1500

func main() {
	debug.SetGCPercent(moreGarbage)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "drafuzz:", err)
		os.Exit(1)
	}
}

var errDisagree = errors.New("the model and the allocator disagree")

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("drafuzz", flag.ContinueOnError)
	seed := flags.Uint64("seed", 0, "first world")
	n := flags.Uint64("n", 200_000, "how many worlds, unless -for is given")
	lasting := flags.Duration("for", 0, "judge worlds for so long")
	replay := flags.String("replay", "", "judge the world in this `file` instead")
	workers := flags.Int("workers", 2, "how many goroutines judge")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case *workers < 1:
		return fmt.Errorf("-workers %d, want at least 1", *workers)
	case *lasting < 0:
		return fmt.Errorf("-for %s, want no less than 0s", *lasting)
	case *replay != "":
		return again(*replay, out)
	}
	if *lasting > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *lasting)
		defer cancel()
		*n = math.MaxUint64 / 2
	}
	return fuzz(ctx, out, *seed, *n, *workers)
}

// fuzz judges worlds and says how it goes every minute.
func fuzz(ctx context.Context, out io.Writer, seed, n uint64, workers int) error {
	generator, err := worlds.NewGenerator()
	if err != nil {
		return err
	}
	began := time.Now()
	said := began
	rate := func(t *worlds.Tally) float64 { return float64(t.Cases) / time.Since(began).Seconds() }
	runner := worlds.Runner{Generator: generator, Workers: workers, Progress: func(t *worlds.Tally) {
		if time.Since(said) > time.Minute {
			said = time.Now()
			fmt.Fprintf(out, "%d cases, %.0f per second\n", t.Cases, rate(t))
		}
	}}
	tally, found := runner.Run(ctx, seed, n)
	fmt.Fprintf(out, "seed %d: %.0f cases per second in %s\n", seed, rate(tally), time.Since(began).Round(time.Second))
	tally.Print(out)
	if found == nil {
		fmt.Fprintln(out, "no disagreement")
		return nil
	}
	fmt.Fprintf(out, "seed %d: %v\nmaking it smaller ...\n", found.Seed, found.Disagreement)
	text, err := found.Smallest().YAML()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "---\n%s", text)
	return errDisagree
}

// again judges one world from a file.
func again(file string, out io.Writer) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	w, err := devices.ReadReproducer(text)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	judge := worlds.NewJudge()
	found := judge.Compare(w)
	judge.Tally().Print(out)
	if found != nil {
		fmt.Fprintln(out, found)
		return errDisagree
	}
	fmt.Fprintln(out, "no disagreement")
	return nil
}
