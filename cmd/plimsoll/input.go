package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/pflag"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/clientcmd"

	"plimsoll.dev/scheduler/internal/schedconfig"
	"plimsoll.dev/scheduler/internal/snapshot"
	"plimsoll.dev/scheduler/manifests"
)

// input is the cluster that a command looks at.
type input struct {
	files       []string
	kubeconfig  string
	context     string
	add         []string
	fromScratch bool
	config      string
}

func (i *input) addFlags(flags *pflag.FlagSet) {
	flags.StringArrayVarP(&i.files, "filename", "f", nil, "a file or folder of Kubernetes YAML or JSON, - for standard input; may be repeated")
	flags.StringVar(&i.kubeconfig, "kubeconfig", "", "read a live cluster, once and without changing it, by this kubeconfig")
	flags.StringVar(&i.context, "context", "", "read a live cluster by this context of the kubeconfig")
	flags.StringArrayVar(&i.add, "add", nil, "a file or folder of objects to add to the cluster, workloads as pods; may be repeated")
	flags.BoolVar(&i.fromScratch, "from-scratch", false, "take all pods off their nodes first, but for those that come with a node and those of schedulers that are not simulated")
	flags.StringVar(&i.config, "config", "", "a KubeSchedulerConfiguration for Plimsoll in the place of the shipped one")
}

// given tells whether any source was named.
func (i *input) given() bool { return len(i.files) > 0 || i.fromCluster() }

func (i *input) fromCluster() bool { return i.kubeconfig != "" || i.context != "" }

// read reads the cluster and what is to be added to it. The configuration is that of
// scheduler.
func (i *input) read(ctx context.Context, stdin io.Reader, config []byte) (*snapshot.Snapshot, error) {
	var s *snapshot.Snapshot
	var err error
	switch {
	case len(i.files) > 0 && i.fromCluster():
		return nil, errors.New("-f names files, and --kubeconfig or --context a cluster: want one of them")
	case slices.Contains(i.files, "-") && slices.Contains(i.add, "-"):
		return nil, errors.New("-f and --add both read standard input: want one of them")
	case i.fromCluster():
		s, err = i.readCluster(ctx)
	case len(i.files) > 0:
		s, err = interruptible(ctx, func() (*snapshot.Snapshot, error) { return snapshot.Read(i.files, stdin) })
	default:
		return nil, errors.New("there is nothing to read: want -f FILE, --kubeconfig FILE or --context NAME")
	}
	if err != nil {
		return nil, err
	}
	if i.fromScratch {
		names, err := simulated(config)
		if err != nil {
			return nil, err
		}
		note := "1 pod was taken off its node, and waits for one like all others"
		if n := snapshot.Unbind(s, snapshot.StaysBeside(names)); n != 1 {
			note = fmt.Sprintf("%d pods were taken off their nodes, and wait for one like all others", n)
		}
		s.Notes = append(s.Notes, note)
	}
	if len(i.add) > 0 {
		more, err := interruptible(ctx, func() (*snapshot.Snapshot, error) { return snapshot.ReadWhatIf(i.add, stdin) })
		if err != nil {
			return nil, err
		}
		if err := s.Add(more); err != nil {
			return nil, err
		}
	}
	s.Notes = append(s.Notes, s.Gaps()...)
	return s, nil
}

// simulated are the names of the schedulers whose pods are placed anew: those of the
// profiles, and the default scheduler, whichever of them is asked for.
func simulated(config []byte) (sets.Set[string], error) {
	if len(config) == 0 {
		config = manifests.SchedulerConfig
	}
	cfg, err := schedconfig.Decode(config)
	if err != nil {
		return nil, err
	}
	names := sets.New(v1.DefaultSchedulerName)
	for i := range cfg.Profiles {
		names.Insert(cfg.Profiles[i].SchedulerName)
	}
	return names, nil
}

func (i *input) readCluster(ctx context.Context) (*snapshot.Snapshot, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = i.kubeconfig
	loaded := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: i.context})
	config, err := loaded.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	name := i.context
	if name == "" {
		raw, err := loaded.RawConfig()
		if err != nil {
			return nil, fmt.Errorf("reading the kubeconfig: %w", err)
		}
		name = raw.CurrentContext
	}
	return snapshot.FromCluster(ctx, config, name)
}

// scheduler reads the configuration that was named, nil if none was.
func (i *input) scheduler() ([]byte, error) {
	if i.config == "" {
		return nil, nil
	}
	data, err := os.ReadFile(i.config)
	if err != nil {
		return nil, fmt.Errorf("reading the scheduler's configuration: %w", err)
	}
	return data, nil
}
