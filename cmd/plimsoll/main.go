// Command plimsoll is the command line: it shows what the scheduler does without
// a cluster. It also works as a kubectl plugin.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"plimsoll.dev/scheduler/internal/stack"
)

func main() {
	ctx, stop := untilSignal(context.Background())
	stack.Quiet()
	err := newCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "plimsoll:", err)
		os.Exit(1)
	}
}

// untilSignal ends the context at the first signal, so that what is under way can be
// cleaned up. A second one ends the process as if nobody listened.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// interruptible returns what do does, or why the context ended before that: reading
// knows of no context, and goes on in vain until the process ends.
func interruptible[T any](ctx context.Context, do func() (T, error)) (T, error) {
	var out T
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		out, err = do()
	}()
	select {
	case <-done:
		return out, err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "plimsoll",
		Short:         "Load Kubernetes nodes to the line, and see why",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newDemoCommand(), newSimulateCommand(), newExplainCommand())
	return root
}
