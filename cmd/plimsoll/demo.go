package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"plimsoll.dev/scheduler/internal/demo"
	"plimsoll.dev/scheduler/internal/fleet"
	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/internal/snapshot"
	"plimsoll.dev/scheduler/internal/stack"
)

// errUnexpected makes the exit code tell; what was unexpected has been printed.
var errUnexpected = errors.New("not every pod ended as its example says")

func newDemoCommand() *cobra.Command {
	var format, dump string
	var keep bool
	o := demo.Options{Settle: time.Minute}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Schedule the shipped examples on a control plane in this process",
		Long: `Starts etcd and kube-apiserver in this process, a mixed cluster of fake nodes
(three zones, amd64 and arm64 pools, MIG and shared GPUs) and the scheduler with
the shipped profile; applies the shipped examples and prints where each pod went
and why. Needs no cluster, no Docker and no root, and leaves nothing behind.

The exit code is 0 only if every pod ended as its example says.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := placement.CheckFormat(format); err != nil {
				return err
			}
			began := time.Now()
			o.Progress = func(line string) {
				fmt.Fprintf(cmd.ErrOrStderr(), "%5.1fs %s\n", time.Since(began).Seconds(), line)
			}
			o.AfterStart = func(ctx context.Context, s *stack.Stack, result *placement.Result) error {
				err := result.Print(cmd.OutOrStdout(), format)
				if err == nil && dump != "" {
					err = writeDump(ctx, dump, s)
				}
				if err != nil || !keep {
					return err
				}
				return stay(ctx, cmd.ErrOrStderr(), s)
			}
			result, err := demo.Run(cmd.Context(), o)
			if err == nil && len(result.Summary.Unexpected) > 0 {
				err = errUnexpected
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", "table", "output format: table, json or yaml")
	cmd.Flags().IntVar(&o.Nodes, "nodes", fleet.MinNodes, fmt.Sprintf("nodes in the cluster, at least %d", fleet.MinNodes))
	cmd.Flags().StringVar(&dump, "dump", "", "write the cluster as it is at the end to this file, for simulate and explain")
	cmd.Flags().BoolVar(&keep, "keep", false, "keep the cluster running afterwards, and print a KUBECONFIG for kubectl")
	return cmd
}

// writeDump writes the cluster as kubectl would print it.
func writeDump(ctx context.Context, path string, s *stack.Stack) error {
	cluster, err := snapshot.FromCluster(ctx, s.RESTConfig(), "demo")
	if err != nil {
		return err
	}
	file, err := openOutput(path)
	if err != nil {
		return err
	}
	return file.close(file.write(cluster.Write))
}

// stay leaves the control plane up until the user interrupts.
func stay(ctx context.Context, out io.Writer, s *stack.Stack) error {
	path := filepath.Join(s.Dir(), "kubeconfig")
	if err := s.WriteKubeconfig(path); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nThe cluster stays up until you press Ctrl-C. In another terminal:\n\n  export KUBECONFIG=%s\n  kubectl get pods -o wide\n\n", path)
	<-ctx.Done()
	return nil
}
