package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// line is what "go test -bench" prints for one run.
func line(round int, profile, throughput string) string {
	return fmt.Sprintf("BenchmarkFull/Basic/9Nodes/round=%d/profile=%s/batching=off-2 \t 1\t 7.5 runtime_seconds\t %s SchedulingThroughput/Average\n", round, profile, throughput)
}

// round is one run of every profile.
func round(n int, all, ours, sampled string) string {
	return line(n, "default-all", all) + line(n, "plimsoll", ours) + line(n, "default-sampled", sampled)
}

const ratiosOf200And300And400 = `ratio: Basic/9Nodes plimsoll/default-all 1.50
ratio: Basic/9Nodes plimsoll/default-sampled 0.75
ratio: Basic/9Nodes default-sampled/default-all 2.00
`

// figuresLine is what "go test -bench" prints for one run of a benchmark that measures
// more than throughput.
func figuresLine(nodes, round int, profile, throughput, p99, heap string) string {
	return fmt.Sprintf("BenchmarkFull/MIG/%dNodes/round=%d/profile=%s-2 \t 1\t %s megabytes-above-caches\t %s SchedulingThroughput/Average\t %s p99-ms\n",
		nodes, round, profile, heap, throughput, p99)
}

func TestFigures(t *testing.T) {
	in := figuresLine(9, 1, "default", "2", "900", "1.5") + figuresLine(9, 1, "plimsoll", "100", "7", "20") +
		figuresLine(9, 2, "plimsoll", "300", "9", "30") + figuresLine(9, 2, "default", "2", "700", "2.5") +
		"BenchmarkFull/MIG/Slope/round=1/profile=plimsoll-2 \t 1\t -0.25 us/node\n" +
		figuresLine(99, 1, "plimsoll", "50", "80", "100")
	const out = `ratio: MIG/9Nodes plimsoll/default 100.00
figure: MIG/99Nodes plimsoll pods/s 50.00
figure: MIG/99Nodes plimsoll p99-ms 80.00
figure: MIG/99Nodes plimsoll megabytes-above-caches 100.00
figure: MIG/9Nodes default pods/s 2.00
figure: MIG/9Nodes default p99-ms 800.00
figure: MIG/9Nodes default megabytes-above-caches 2.00
figure: MIG/9Nodes plimsoll pods/s 200.00
figure: MIG/9Nodes plimsoll p99-ms 8.00
figure: MIG/9Nodes plimsoll megabytes-above-caches 25.00
figure: MIG/Slope plimsoll us/node -0.25
`
	for _, c := range []struct {
		name, in string
		args     []string
		out, err string
	}{
		{name: "of several profiles, of ours alone, and without throughput", in: in, out: out},
		{
			name: "within their limits", in: in, out: out,
			args: []string{"-min", "MIG/9Nodes plimsoll/default=100", "-min", "MIG/99Nodes plimsoll pods/s=50", "-max", "MIG/99Nodes plimsoll p99-ms=80", "-max", "MIG/Slope plimsoll us/node=2"},
		},
		{name: "below a minimum", in: in, args: []string{"-min", "MIG/99Nodes plimsoll pods/s=60"}, out: out, err: "MIG/99Nodes plimsoll pods/s: 50.0000 is below the minimum of 60"},
		{name: "above a maximum", in: in, args: []string{"-max", "MIG/99Nodes plimsoll p99-ms=79.9"}, out: out, err: "MIG/99Nodes plimsoll p99-ms: 80.0000 is above the maximum of 79.9"},
		{name: "a maximum of nothing", in: in, args: []string{"-max", "MIG/1Nodes plimsoll p99-ms=1"}, out: out, err: "there is no such ratio or figure"},
		{
			name: "a figure that is no number keeps no limit", in: figuresLine(1, 1, "plimsoll", "1", "NaN", "1"), args: []string{"-max", "MIG/1Nodes plimsoll p99-ms=1"},
			out: "figure: MIG/1Nodes plimsoll pods/s 1.00\nfigure: MIG/1Nodes plimsoll p99-ms NaN\nfigure: MIG/1Nodes plimsoll megabytes-above-caches 1.00\n",
			err: "NaN is above the maximum of 1",
		},
		{
			name: "theirs is missing in one round", in: strings.Replace(in, figuresLine(9, 1, "default", "2", "900", "1.5"), "", 1),
			out: strings.NewReplacer("ratio: MIG/9Nodes plimsoll/default 100.00\n", "", "800.00", "700.00", "default megabytes-above-caches 2.00", "default megabytes-above-caches 2.50").Replace(out),
			err: "MIG/9Nodes: no result of profile default in round 1",
		},
		{name: "two runs in one input", in: in + in, out: out, err: "round 1 is there twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, echo strings.Builder
			err := run(c.args, strings.NewReader(c.in), &out, &echo)
			if diff := cmp.Diff(c.out, out.String()); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("want error %q, got %v", c.err, err)
			}
		})
	}
}

func TestRatios(t *testing.T) {
	good := round(1, "200.0", "300.0", "400")
	for _, c := range []struct {
		name, in string
		args     []string
		out, err string
	}{
		{name: "one round", in: good, out: ratiosOf200And300And400},
		{
			name: "the middle one of three rounds, whatever their order",
			in:   round(2, "1", "9999", "1") + round(1, "200", "300", "400") + round(3, "9999", "1", "9999"),
			out:  ratiosOf200And300And400,
		},
		{name: "halfway between two rounds", in: round(1, "100", "200", "300") + round(2, "300", "400", "500"), out: ratiosOf200And300And400},
		{
			name: "logs, names without results and other benchmarks around it",
			in: "goos: linux\nI1120 17:44:41.8 etcd.go:197] output\nBenchmarkFull\nBenchmarkMicro-2 \t 9\t 12 ns/op\n" + good +
				"--- BENCH: BenchmarkFull/Basic\n    executor.go:532: creating 600 pods\nPASS\nok  \tplimsoll.dev/scheduler/test/perf\t7.9s\n",
			out: ratiosOf200And300And400,
		},
		{name: "a log line longer than any buffer", in: strings.Repeat("x", 1<<20) + "\n" + good, out: ratiosOf200And300And400},
		{name: "no newline at the end", in: strings.TrimSuffix(good, "\n"), out: ratiosOf200And300And400},
		{
			name: "cases in alphabetical order, slashes in a workload's name kept",
			in:   good + strings.NewReplacer("Basic", "Affinity", "9Nodes", "5k/1k").Replace(good),
			out:  strings.ReplaceAll(ratiosOf200And300And400, "Basic/9Nodes", "Affinity/5k/1k") + ratiosOf200And300And400,
		},

		{
			name: "with batching it is another case",
			in:   good + strings.NewReplacer("=off", "=on", "300.0", "800").Replace(good),
			out: ratiosOf200And300And400 + `ratio: Basic/9Nodes/batching=on plimsoll/default-all 4.00
ratio: Basic/9Nodes/batching=on plimsoll/default-sampled 2.00
ratio: Basic/9Nodes/batching=on default-sampled/default-all 2.00
`,
		},

		{
			name: "ours alone, if that is said", in: good + strings.ReplaceAll(line(1, "plimsoll", "61"), "Basic", "Slow"),
			args: []string{"-alone", "Slow/9Nodes", "-min", "Slow/9Nodes plimsoll pods/s=60"},
			out:  ratiosOf200And300And400 + "figure: Slow/9Nodes plimsoll pods/s 61.00\n",
		},
		{name: "ours alone, but others are there", in: line(1, "plimsoll", "1") + line(1, "default-all", "1"), args: []string{"-alone", "Basic/9Nodes"},
			out: "figure: Basic/9Nodes default-all pods/s 1.00\nfigure: Basic/9Nodes plimsoll pods/s 1.00\n", err: "no result of profile default-sampled in round 1"},

		{name: "nothing", err: "no results"},
		{name: "no scheduling benchmark", in: "BenchmarkMicro-2 \t 9\t 12 ns/op\nPASS\n", err: "no results"},
		{name: "a profile is missing", in: line(1, "plimsoll", "1") + line(1, "default-all", "1"), err: "Basic/9Nodes: no result of profile default-sampled in round 1"},
		{name: "a round of a profile is missing", in: good + line(2, "default-all", "1"), err: "no result of profile plimsoll in round 2"},
		{
			name: "one case is missing something, the other one not",
			in:   good + strings.ReplaceAll(line(1, "plimsoll", "1"), "Basic", "Other"),
			out:  ratiosOf200And300And400, err: "Other/9Nodes: no result of profile default-all in round 1",
		},
		{
			name: "too short to measure",
			in:   strings.Replace(good, "300.0 SchedulingThroughput/Average", "2.1 SchedulingDuration/Duration", 1),
			err:  "line 2: Basic/9Nodes plimsoll: no SchedulingThroughput/Average",
		},
		{name: "no pods a second", in: round(1, "0", "1", "1"), err: "line 1: Basic/9Nodes default-all: no SchedulingThroughput/Average"},
		{name: "not a number", in: round(1, "NaN", "1", "1"), err: "default-all: no SchedulingThroughput/Average"},
		{
			name: "a log in the middle of a result",
			in:   good + "BenchmarkFull/Basic/9Nodes/round=2/profile=plimsoll/batching=off-2 \t I1120 17:44 etcd.go\n",
			out:  ratiosOf200And300And400, err: "line 4: broken result",
		},
		{name: "two runs in one input", in: good + good, out: ratiosOf200And300And400, err: "round 1 is there twice"},
		{name: "a benchmark failed", in: good + "--- FAIL: BenchmarkFull/Other\n", out: ratiosOf200And300And400, err: `a benchmark failed: "--- FAIL: BenchmarkFull/Other"`},
		{name: "the package failed", in: good + "FAIL\n", out: ratiosOf200And300And400, err: "a benchmark failed"},
		{name: "timed out", in: good + "panic: test timed out after 10m0s\n", out: ratiosOf200And300And400, err: "timed out"},

		{name: "above the minimum", in: good, args: []string{"-min", "Basic/9Nodes plimsoll/default-all=1.5"}, out: ratiosOf200And300And400},
		{
			name: "below two minimums", in: good,
			args: []string{"-min", "Basic/9Nodes plimsoll/default-all=1.6", "-min=Basic/9Nodes plimsoll/default-sampled=1"},
			out:  ratiosOf200And300And400, err: "plimsoll/default-all: 1.5000 is below the minimum of 1.6\nBasic/9Nodes plimsoll/default-sampled: 0.7500 is below the minimum of 1",
		},
		{
			name: "a ratio that rounds to the minimum", in: round(1, "1000", "996", "1000"),
			args: []string{"-min", "Basic/9Nodes plimsoll/default-all=1"},
			out:  "ratio: Basic/9Nodes plimsoll/default-all 1.00\nratio: Basic/9Nodes plimsoll/default-sampled 1.00\nratio: Basic/9Nodes default-sampled/default-all 1.00\n",
			err:  "0.9960 is below the minimum of 1",
		},
		{name: "a minimum of nothing", in: good, args: []string{"-min", "Basic plimsoll/default-all=1"}, out: ratiosOf200And300And400, err: "there is no such ratio"},
		{name: "a minimum without a number", args: []string{"-min", "Basic"}, err: "want NAME=X"},
		{name: "a minimum that is no number", args: []string{"-min", "Basic=NaN"}, err: "want a number above 0"},
		{name: "an argument", args: []string{"bench.log"}, err: `unexpected argument "bench.log"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, echo strings.Builder
			err := run(c.args, strings.NewReader(c.in), &out, &echo)
			if out.String() != c.out {
				t.Errorf("want output\n%sgot\n%s", c.out, out.String())
			}
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("want error %q, got %v", c.err, err)
			}
			if c.args == nil && echo.String() != c.in {
				t.Errorf("not all of the input was passed on: %q", echo.String())
			}
		})
	}
}

func TestTheInputGoesToTheLog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bench.log")
	in := "I1120 a log\n" + round(1, "200", "300", "400")
	var out, echo strings.Builder
	if err := run([]string{"-log", file}, strings.NewReader(in), &out, &echo); err != nil {
		t.Fatal(err)
	}
	if log, err := os.ReadFile(file); err != nil || string(log) != in {
		t.Errorf("want the input, got %q, %v", log, err)
	}
	if out.String() != ratiosOf200And300And400 || echo.String() != "" {
		t.Errorf("want nothing but ratios, got %q and %q", out.String(), echo.String())
	}
	if err := run([]string{"-log", filepath.Join(file, "bench.log")}, strings.NewReader(in), &out, &echo); err == nil {
		t.Error("want an error for a log that cannot be written")
	}
}

func TestAnInputThatBreaksOff(t *testing.T) {
	err := run(nil, iotest.ErrReader(errors.New("broken pipe")), &strings.Builder{}, &strings.Builder{})
	if err == nil || !strings.Contains(err.Error(), "reading the benchmarks' output: broken pipe") {
		t.Errorf("want the read error, got %v", err)
	}
}
