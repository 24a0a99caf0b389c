package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/internal/report"
	"plimsoll.dev/scheduler/internal/simulate"
)

// simulateFlags are those of plimsoll simulate beside its input.
type simulateFlags struct {
	input     input
	trace     traceFlags
	scheduler string
	engine    string
	seed      uint64
	format    string
	report    string
}

func newSimulateCommand() *cobra.Command {
	f := &simulateFlags{}
	cmd := &cobra.Command{
		Use:   "simulate (-f FILE | --kubeconfig FILE | --context NAME | --trace openb)",
		Short: "Show what schedulers would do with the pods of a cluster or a trace",
		Long: `Runs the real scheduler on a copy of a cluster: everything that was dumped with

  kubectl get nodes,pods,resourceslices,resourceclaims,deviceclasses,... -A -o yaml

or a live cluster, which is only read, or Alibaba's GPU trace. Prints where each
pod that waits for a node would go and why, beside what the default scheduler makes
of the same input. Pods that have a node stay there unless --from-scratch takes them
off; --add tries what is not there yet. Needs no Docker and no root, and asks no
registry: images are taken to run on every architecture of the cluster.`,
		Example: `  plimsoll simulate -f dump.yaml --report report.html
  plimsoll simulate --context prod --from-scratch --scheduler both
  plimsoll simulate -f dump/ --add deployment.yaml -o json
  plimsoll simulate --trace openb --seed 42`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.input.addFlags(cmd.Flags())
	f.trace.addFlags(cmd.Flags())
	cmd.Flags().StringVar(&f.scheduler, "scheduler", simulate.Both, "which scheduler to run: plimsoll, default or both")
	cmd.Flags().StringVar(&f.engine, "engine", simulate.Auto, "control-plane (a real API server and scheduler), memory (the scheduler alone, faster) or auto (by the size of the cluster)")
	cmd.Flags().Uint64Var(&f.seed, "seed", 42, "decides among nodes that score alike, with --engine memory only (a control plane chooses at random), and in which order a trace arrives")
	cmd.Flags().StringVarP(&f.format, "output", "o", "table", "output format: table, json or yaml")
	cmd.Flags().StringVar(&f.report, "report", "", "write a report with pictures to this file, a page without scripts or images from elsewhere")
	return cmd
}

func (f *simulateFlags) run(cmd *cobra.Command) (err error) {
	if err := placement.CheckFormat(f.format); err != nil {
		return err
	}
	config, err := f.input.scheduler()
	if err != nil {
		return err
	}
	var page *output
	if f.report != "" {
		// Now, since a run may take minutes.
		if page, err = openOutput(f.report); err != nil {
			return fmt.Errorf("--report: %w", err)
		}
		defer func() { err = page.close(err) }()
	}
	p := newProgress(cmd.ErrOrStderr(), clock.RealClock{})
	var s *placement.Simulation
	if f.trace.name != "" {
		s, err = f.replay(cmd.Context(), p, config)
	} else {
		s, err = f.simulate(cmd, p, config)
	}
	if err != nil {
		return err
	}
	if err := s.Print(cmd.OutOrStdout(), f.format); err != nil || f.report == "" {
		return err
	}
	if err := page.write(func(w io.Writer) error { return report.Write(w, s) }); err != nil {
		return err
	}
	p.step("wrote " + f.report)
	return nil
}

func (f *simulateFlags) simulate(cmd *cobra.Command, p *progress, config []byte) (*placement.Simulation, error) {
	if err := f.trace.unused(cmd.Flags()); err != nil {
		return nil, err
	}
	s, err := f.input.read(cmd.Context(), cmd.InOrStdin(), config)
	if err != nil {
		return nil, err
	}
	p.step("read " + s.Source)
	out, err := simulate.Run(cmd.Context(), simulate.Options{Snapshot: s, Scheduler: f.scheduler, Config: config, Engine: f.engine, Seed: f.seed,
		Step: p.step, Progress: p.pods})
	if err == nil && !out.SeedDecides() && cmd.Flags().Changed("seed") {
		out.Notes = append(out.Notes, "--seed decided nothing: a control plane chooses at random among nodes that score alike; want --engine memory with it")
	}
	return out, err
}

// replay runs a trace.
func (f *simulateFlags) replay(ctx context.Context, p *progress, config []byte) (*placement.Simulation, error) {
	switch {
	case f.input.given() || len(f.input.add) > 0 || f.input.fromScratch:
		return nil, errors.New("--trace brings a cluster and pods of its own: want neither -f, --kubeconfig, --context, --add nor --from-scratch with it")
	case f.engine == simulate.InControlPlane:
		return nil, fmt.Errorf("--engine %s: a trace is replayed in memory", f.engine)
	}
	t, err := f.trace.read()
	if err != nil {
		return nil, err
	}
	t.Scheduler, t.Config, t.Seed, t.Step, t.Progress = f.scheduler, config, f.seed, p.step, p.pods
	return simulate.Replay(ctx, t)
}
