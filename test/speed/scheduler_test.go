package speed

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"

	"github.com/spf13/pflag"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // as in cmd/scheduler
	"k8s.io/kubernetes/cmd/kube-scheduler/app"
	"k8s.io/kubernetes/cmd/kube-scheduler/app/options"
	"k8s.io/kubernetes/pkg/scheduler"
	"sigs.k8s.io/yaml"

	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/manifests"
	"plimsoll.dev/scheduler/pkg/plugins"
	"plimsoll.dev/scheduler/pkg/plugins/archaware"
)

// profile is a scheduler configuration that is measured.
type profile struct {
	name string
	// config is a KubeSchedulerConfiguration in YAML.
	config []byte
	// schedulerName is what pods name to be scheduled by it.
	schedulerName string
}

var (
	ours   = profile{"plimsoll", manifests.SchedulerConfig, "plimsoll"}
	theirs = profile{"default", []byte("{apiVersion: kubescheduler.config.k8s.io/v1, kind: KubeSchedulerConfiguration}"), v1.DefaultSchedulerName}
)

// configFile writes the configuration with a client of the kubeconfig and without a lease
// into a folder. Where the configuration says nothing of rates, as the default one, the
// client is not held back by any.
func (p profile) configFile(folder, kubeconfig string) (string, error) {
	var config map[string]any
	if err := yaml.Unmarshal(p.config, &config); err != nil {
		return "", fmt.Errorf("profile %s: %w", p.name, err)
	}
	connection, _ := config["clientConnection"].(map[string]any)
	if connection == nil {
		connection = map[string]any{"qps": -1}
	}
	connection["kubeconfig"] = kubeconfig
	config["clientConnection"] = connection
	config["leaderElection"] = map[string]any{"leaderElect": false}
	text, err := yaml.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("profile %s: %w", p.name, err)
	}
	path := filepath.Join(folder, p.name+".yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return "", fmt.Errorf("profile %s: %w", p.name, err)
	}
	return path, nil
}

// schedule is the role of the scheduler. It is set up as the command does from the
// configuration file that is its first argument, but for the endpoints; the loop
// starts when it is told to run. The other arguments are numbers of attempts after
// which to note the durations.
func schedule(q questions) error {
	opts := options.NewOptions()
	flags := pflag.NewFlagSet("scheduler", pflag.ContinueOnError)
	for _, set := range opts.Flags.FlagSets {
		flags.AddFlagSet(set)
	}
	if err := flags.Parse([]string{"--config=" + q.args[0], "--secure-port=0"}); err != nil {
		return err
	}
	if err := opts.ComponentGlobalsRegistry.Set(); err != nil {
		return err
	}
	// Images are beside the point: they are known without asking a registry outside.
	shared := plugins.Shared{Images: &archaware.Shared{Registries: &testkit.Depot{}}}
	cc, sched, err := app.Setup(q.ctx, opts, plugins.Options(shared)...)
	if err != nil {
		return err
	}
	marks, err := numbers(q.args[1:])
	if err != nil {
		return err
	}
	m, err := newMeter(marks)
	if err != nil {
		return err
	}
	m.attend(sched)
	cc.EventBroadcaster.StartRecordingToSink(q.ctx.Done())
	cc.InformerFactory.Start(q.ctx.Done())
	cc.DynInformerFactory.Start(q.ctx.Done())
	kinds, err := kindsOf(cc.InformerFactory.WaitForCacheSync(q.ctx.Done()))
	if err != nil {
		return err
	}
	cc.DynInformerFactory.WaitForCacheSync(q.ctx.Done())
	if err := sched.WaitForHandlersSync(q.ctx); err != nil {
		return fmt.Errorf("waiting for the first lists: %w", err)
	}
	stopProfile := func() error { return nil }
	return q.serve(map[string]func() (answer, error){
		"ready": func() (answer, error) { return answer{Kinds: kinds}, nil },
		"run": func() (_ answer, err error) {
			if stopProfile, err = startProfile(); err != nil {
				return answer{}, err
			}
			used, err := cpuSeconds()
			go sched.Run(q.ctx)
			return answer{CPUSeconds: used}, err
		},
		"durations": func() (answer, error) {
			used, err := cpuSeconds()
			if err != nil {
				return answer{}, err
			}
			d, err := m.all()
			return answer{Durations: d, CPUSeconds: used}, err
		},
		"heap": func() (answer, error) {
			err := stopProfile()
			heap := settledHeap()
			runtime.KeepAlive(sched)
			return answer{HeapBytes: heap}, err
		},
	})
}

func numbers(texts []string) ([]int, error) {
	var out []int
	for _, text := range texts {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("reading the number of attempts: %w", err)
		}
		out = append(out, n)
	}
	return out, nil
}

// startProfile starts a profile of the CPU where the environment names a folder
// for it.
func startProfile() (stop func() error, err error) {
	folder := os.Getenv("PLIMSOLL_SPEED_CPUPROFILE")
	if folder == "" {
		return func() error { return nil }, nil
	}
	file, err := os.Create(filepath.Join(folder, fmt.Sprintf("scheduler-%d.pprof", os.Getpid())))
	if err != nil {
		return nil, fmt.Errorf("creating the profile: %w", err)
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, fmt.Errorf("starting the profile: %w", err)
	}
	return func() error { pprof.StopCPUProfile(); return file.Close() }, nil
}

// fillCaches is the role of a process that runs informers and nothing else. Its
// arguments are the kubeconfig and the kinds.
func fillCaches(q questions) error {
	client, err := newClient(q.args[0])
	if err != nil {
		return err
	}
	factory := scheduler.NewInformerFactory(client, 0)
	for _, kind := range q.args[1:] {
		resource, _ := schema.ParseResourceArg(kind)
		if resource == nil {
			return fmt.Errorf("informer of %q: want RESOURCE.VERSION.GROUP", kind)
		}
		generic, err := factory.ForResource(*resource)
		if err != nil {
			return fmt.Errorf("informer of %s: %w", kind, err)
		}
		generic.Informer() // which has the factory start it
	}
	factory.Start(q.ctx.Done())
	kinds, err := kindsOf(factory.WaitForCacheSync(q.ctx.Done()))
	if err != nil {
		return err
	}
	return q.serve(map[string]func() (answer, error){
		"ready": func() (answer, error) { return answer{Kinds: kinds}, nil },
		"heap": func() (answer, error) {
			heap := settledHeap()
			runtime.KeepAlive(factory)
			return answer{HeapBytes: heap}, nil
		},
	})
}

// kindsOf are the resources, such as "pods.v1.", that informers are for, in order.
func kindsOf(synced map[reflect.Type]bool) ([]string, error) {
	kinds := []string{}
	for t, ok := range synced {
		if !ok {
			return nil, fmt.Errorf("informer of %v: stopped before its first list", t)
		}
		object, isObject := reflect.New(t.Elem()).Interface().(apiruntime.Object)
		if !isObject {
			return nil, fmt.Errorf("informer of %v: want an API type", t)
		}
		known, _, err := clientscheme.Scheme.ObjectKinds(object)
		if err != nil {
			return nil, fmt.Errorf("informer of %v: %w", t, err)
		}
		resource, _ := meta.UnsafeGuessKindToResource(known[0])
		kinds = append(kinds, fmt.Sprintf("%s.%s.%s", resource.Resource, resource.Version, resource.Group))
	}
	slices.Sort(kinds)
	return kinds, nil
}
