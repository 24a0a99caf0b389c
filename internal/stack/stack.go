package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	// readyTimeout bounds one Start; seconds are usual, minutes happen under the race detector.
	readyTimeout = 3 * time.Minute
	// stopTimeout bounds one Stop: a component that has not ended by then is reported, not awaited.
	stopTimeout = 30 * time.Second
	// pollInterval paces every wait for a state that has no event to wait on.
	pollInterval = 20 * time.Millisecond
)

// Options says what a stack consists of. The zero value is a complete stack.
type Options struct {
	// Dir is the folder in which the stack makes its own temporary folder; empty means os.TempDir().
	Dir string
	// APIServerFlags are further kube-apiserver flags, parsed after the stack's own. A flag that takes a
	// list replaces it: --disable-admission-plugins must repeat ServiceAccount and TaintNodesByCondition.
	APIServerFlags []string
	// NoFakeNodes leaves nodes and pods as they are: nothing becomes Ready, Running or Succeeded, and a
	// bound pod that is deleted stays until somebody deletes it with a grace period of 0.
	NoFakeNodes bool
	// NoControllers leaves out kube-controller-manager's part: claims are not made from templates, owned
	// objects stay when their owner goes, no workload has pods. For measuring a scheduler by itself.
	NoControllers bool
	// Progress, when set, is called from Start's goroutine with each component that has come up.
	Progress func(step string)
}

// Stack is a running control plane. Its methods may be called from any goroutine.
type Stack struct {
	dir   string
	certs *credentials
	store *datastore
	api   *apiServer
	// Fixed before Start returns; RESTConfig hands out copies.
	config  *rest.Config
	client  kubernetes.Interface
	applier *applier

	mu sync.Mutex
	// components in the order they started; stopped in reverse, so etcd comes last. Guarded by mu.
	components []component
	// schedulers still running; nil once Stop has begun. Guarded by mu.
	schedulers map[*Scheduler]struct{}

	stopOnce sync.Once
	stopErr  error
}

// component is one thing to stop; stop returns when it has ended or the context is done.
type component struct {
	name string
	stop func(ctx context.Context) error
}

// Start brings up a stack and waits until its API server is ready and holds the default and
// kube-system namespaces and the system priority classes. The context governs the start only: a running
// stack lives until Stop. On any failure, cancellation included, everything already started is stopped,
// the folder is removed, and the error names the component. Cancelling while the API server runs its
// start hooks takes effect when these are through, a second or two: upstream ends the whole process if
// the server goes away beneath a hook.
func Start(ctx context.Context, o Options) (*Stack, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("not up after %v", readyTimeout))
	defer cancel()

	s := &Stack{schedulers: map[*Scheduler]struct{}{}}
	steps := []struct {
		name string
		run  func(context.Context, Options) error
	}{
		{"folder", s.makeDir},
		{"credentials", s.makeCredentials},
		{"etcd", s.startEtcd},
		{"kube-apiserver", s.startAPIServer},
		{"controllers", s.startControllers},
		{"fake nodes", s.startFakeNodes},
	}
	for _, step := range steps {
		err := context.Cause(ctx)
		if err == nil {
			err = step.run(ctx, o)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("starting %s: %w", step.name, err), s.Stop())
		}
		if o.Progress != nil {
			o.Progress(step.name)
		}
	}
	return s, nil
}

// makeDir makes the one folder that holds every file of the stack, closed to other users.
func (s *Stack) makeDir(_ context.Context, o Options) error {
	dir, err := os.MkdirTemp(o.Dir, "plimsoll-") // mode 0700
	if err != nil {
		return err
	}
	s.dir = dir
	s.onStop("folder", func(context.Context) error { return os.RemoveAll(dir) })
	return nil
}

func (s *Stack) makeCredentials(context.Context, Options) (err error) {
	s.certs, err = newCredentials(s.dir)
	return err
}

// onStop registers what undoes a start.
func (s *Stack) onStop(name string, stop func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.components = append(s.components, component{name, stop})
}

// RESTConfig returns a fresh copy of the administrator's client configuration: no rate limit, API
// warnings dropped, all credentials inline.
func (s *Stack) RESTConfig() *rest.Config { return rest.CopyConfig(s.config) }

// Client returns the administrator's typed client.
func (s *Stack) Client() kubernetes.Interface { return s.client }

// Dir returns the folder that holds every file of the stack; Stop removes it.
func (s *Stack) Dir() string { return s.dir }

// Stop stops the schedulers that still run and then every component, last started first, and removes
// the folder. It returns within about half a minute whatever happens and reports what did not end in
// time. Further calls wait for the first and return its result.
func (s *Stack) Stop() error {
	s.stopOnce.Do(func() {
		ctx, cancel := context.WithTimeoutCause(context.Background(), stopTimeout,
			fmt.Errorf("still running after %v", stopTimeout))
		defer cancel()

		var errs []error
		for _, c := range s.takeComponents() {
			if err := c.stop(ctx); err != nil {
				errs = append(errs, fmt.Errorf("stopping %s: %w", c.name, err))
			}
		}
		s.stopErr = errors.Join(errs...)
	})
	return s.stopErr
}

// takeComponents empties the stack and returns what to stop, in order.
func (s *Stack) takeComponents() []component {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []component
	for sc := range s.schedulers {
		all = append(all, component{"scheduler", sc.stop})
	}
	slices.Reverse(s.components)
	all = append(all, s.components...)
	s.components, s.schedulers = nil, nil
	return all
}

// await returns when done is closed, or with the context's cause.
func await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// inBackground runs f and returns a channel that is closed when f has returned.
func inBackground(f func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	return done
}
