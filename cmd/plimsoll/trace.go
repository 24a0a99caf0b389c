package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"

	"plimsoll.dev/scheduler/internal/openb"
	"plimsoll.dev/scheduler/internal/simulate"
)

// openbTrace is the name of the one format of traces there is.
const openbTrace = "openb"

// traceFlags name a trace.
type traceFlags struct {
	name, nodes, pods string
	load              float64
	known             bool
}

func (t *traceFlags) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&t.name, "trace", "", "replay a trace; openb is the format of Alibaba's GPU cluster trace 2023")
	flags.StringVar(&t.nodes, "nodes", "", "the trace's list of nodes in CSV; without it, the published one")
	flags.StringVar(&t.pods, "pods", "", "the trace's list of pods in CSV; without it, the published default list")
	flags.Float64Var(&t.load, "load", 1.3, "how often over the trace's pods ask for all GPUs")
	flags.BoolVar(&t.known, "known-mix", false, "let Plimsoll see a sample of the trace's pods first, as if it had been running for long")
}

// unused refuses flags of a trace where there is none.
func (t *traceFlags) unused(flags *pflag.FlagSet) error {
	for _, name := range []string{"nodes", "pods", "load", "known-mix"} {
		if flags.Changed(name) {
			return fmt.Errorf("--%s is for traces: want --trace %s with it", name, openbTrace)
		}
	}
	return nil
}

// read reads the lists.
func (t *traceFlags) read() (simulate.ReplayOptions, error) {
	out := simulate.ReplayOptions{Load: t.load, Known: t.known}
	switch {
	case t.name != openbTrace:
		return out, fmt.Errorf("--trace %q: want %s", t.name, openbTrace)
	case (t.nodes == "") != (t.pods == ""):
		return out, errors.New("--nodes and --pods belong together: want both or neither")
	case !(t.load > 0) || t.load > 10:
		return out, fmt.Errorf("--load %v: want a number above 0, 10 at most", t.load)
	}
	var err error
	if t.nodes == "" {
		if out.Nodes, err = openb.Nodes(); err == nil {
			out.Pods, err = openb.Pods()
		}
		return out, err
	}
	if out.Nodes, err = readList(t.nodes, openb.ReadNodes); err == nil {
		out.Pods, err = readList(t.pods, openb.ReadPods)
	}
	return out, err
}

func readList[T any](path string, read func(string, io.Reader) ([]T, error)) (_ []T, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return read(path, file)
}
