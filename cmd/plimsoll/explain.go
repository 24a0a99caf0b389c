package main

import (
	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"plimsoll.dev/scheduler/internal/explain"
	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/internal/simulate"
)

func newExplainCommand() *cobra.Command {
	var in input
	var format string
	o := simulate.ExplainOptions{}
	cmd := &cobra.Command{
		Use:   "explain [NAMESPACE/]POD (-f FILE | --kubeconfig FILE | --context NAME)",
		Short: "Show why a pod would go where it would go, or what would have to change",
		Long: `Asks the real scheduler about one pod of a dumped or a live cluster, which is only
read: which nodes are lost to which plugin and why, how the plugins score the others,
which devices its claims would get, and which pods it would preempt; and for a pod
that fits nowhere, what would have to change, each change tried with the scheduler.
A pod that has a node is judged as if it did not.`,
		Example: `  plimsoll explain default/train-7 -f dump.yaml
  plimsoll explain train-7 --context prod --scheduler default -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := placement.CheckFormat(format); err != nil {
				return err
			}
			var err error
			if o.Config, err = in.scheduler(); err != nil {
				return err
			}
			if o.Snapshot, err = in.read(cmd.Context(), cmd.InOrStdin(), o.Config); err != nil {
				return err
			}
			p := newProgress(cmd.ErrOrStderr(), clock.RealClock{})
			p.step("read " + o.Snapshot.Source)
			o.Pod, o.Progress = args[0], p.pods
			e, err := simulate.Explain(cmd.Context(), o)
			if err != nil {
				return err
			}
			return explain.Print(cmd.OutOrStdout(), e, format)
		},
	}
	in.addFlags(cmd.Flags())
	cmd.Flags().StringVar(&o.Scheduler, "scheduler", simulate.Plimsoll, "which scheduler to ask: plimsoll or default")
	cmd.Flags().IntVar(&o.Top, "top", 5, "how many of the best nodes to list")
	cmd.Flags().BoolVar(&o.InTurn, "in-turn", false, "place the pods first that would be tried before it")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 42, "decides among nodes that score alike, for --in-turn")
	cmd.Flags().StringVarP(&format, "output", "o", "table", "output format: table, json or yaml")
	return cmd
}
