// Command evidence runs the experiments on the GPU trace and writes what they came
// to, docs/evidence/results.json, and the page for readers, docs/evidence.md:
//
//	go run ./hack/evidence
//
// It goes on where it stopped: what is there is not run again, unless it was made
// from another configuration or trace. All of it takes some two hours on two cores;
// -only picks experiments by name, such as -only fill/default/plimsoll/known/42 or
// -only churn/, and -list prints the names. Run it from the root of the repository.
//
// The other five lists of pods of the trace are not shipped. -lists DIR names a
// folder with openb_pod_list_NAME.csv; what came of those is kept all the same.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"time"

	"k8s.io/klog/v2"

	"plimsoll.dev/scheduler/internal/replay/evidence"
)

const pagePath = "docs/evidence.md"

func main() {
	// What the framework says of itself is not news; errors still reach standard error.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "evidence:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("evidence", flag.ContinueOnError)
	fresh := flags.Bool("fresh", false, "run what is there already, too")
	only := flags.String("only", "", "run only experiments whose name matches this regular `expression`")
	lists := flags.String("lists", "", "a `folder` with other lists of pods")
	list := flags.Bool("list", false, "print the experiments' names and which are there, and run none")
	every := flags.Int("every", 1, "scale: every `n`-th node and pod of the trace; nothing is kept")
	if err := flags.Parse(args); err != nil {
		return err
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if *every < 1 || flags.NArg() > 0 {
		return fmt.Errorf("-every %d %q: want a scale of 1 or more, and no arguments", *every, flags.Args())
	}
	experiments, err := plan(".", *lists)
	if err != nil {
		return err
	}
	results, err := evidence.Read(evidence.Path)
	if err != nil {
		return err
	}
	for i := range experiments {
		x := &experiments[i]
		there := results.Find(x.key)
		done := there != nil && there.Inputs == x.inputs() && !*fresh
		switch {
		case !pattern.MatchString(x.key.String()):
		case *list:
			fmt.Fprintf(out, "%-45s %s\n", x.key, map[bool]string{true: "there", false: "to be run"}[done])
		case done && *every == 1:
		default:
			result, err := x.run(ctx, *every, progress(x.key.String(), out))
			if err != nil {
				return fmt.Errorf("%s: %w", x.key, err)
			}
			fmt.Fprintf(out, "%s: %s, %.0f s\n", x.key, summary(result), result.Seconds)
			if *every > 1 {
				continue
			}
			results = results.With(result)
			if err := keep(results); err != nil {
				return err
			}
		}
	}
	if *list || *every > 1 {
		return nil
	}
	return keep(results)
}

// keep writes the results and the page.
func keep(results evidence.Results) error {
	if err := os.MkdirAll(filepath.Dir(evidence.Path), 0o755); err != nil {
		return err
	}
	if err := results.Write(evidence.Path); err != nil {
		return err
	}
	text, err := page(results)
	if err != nil {
		return err
	}
	return os.WriteFile(pagePath, []byte(text), 0o644)
}

// progress says now and then how far a run is and how long it will take.
func progress(name string, out io.Writer) func(done, all int) {
	const interval = 30 * time.Second
	var began, last time.Time
	return func(done, all int) {
		now := time.Now()
		if began.IsZero() { // preparations do not count
			began, last = now, now
		}
		if now.Sub(last) < interval {
			return
		}
		last = now
		left := time.Duration(float64(now.Sub(began)) * float64(all-done) / float64(done))
		fmt.Fprintf(out, "%s: %d of %d, about %v left\n", name, done, all, left.Round(time.Second))
	}
}

// machine is what a result notes of where it was made.
func machine(r *evidence.Result) { r.Arch, r.Cores = runtime.GOARCH, runtime.NumCPU() }

// summary is the outcome in a few words.
func summary(r *evidence.Result) string {
	switch {
	case r.Fill != nil:
		return fmt.Sprintf("unallocated %.2f %% at 100 %%, %.2f %% at 130 %%; %d pods for several GPUs rejected early",
			r.Fill.UnallocatedPercent["100"], r.Fill.UnallocatedPercent["130"], r.Fill.MultiGPURejectedBefore90)
	case r.Churn != nil:
		return fmt.Sprintf("accepted %.2f %% of the GPU, %.1f %% of the pods for several", r.Churn.GPUAcceptedPercent, r.Churn.MultiGPUAcceptedPercent)
	case r.Compact != nil && r.Compact.Unplaced > 0:
		return fmt.Sprintf("%d of %d pods fit on none of all nodes", r.Compact.Unplaced, r.Compact.Pods)
	case r.Compact != nil:
		return fmt.Sprintf("%d nodes suffice, at least %d are needed; %d touched when all are offered", r.Compact.Fewest, r.Compact.Bound, r.Compact.Touched)
	}
	return "nothing"
}
