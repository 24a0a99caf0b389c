package stack

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/cmd/kube-scheduler/app"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/profile"

	"plimsoll.dev/scheduler/internal/schedconfig"
)

// podMaxInUnschedulablePodsDuration is kube-scheduler's default; it has no configuration field.
const podMaxInUnschedulablePodsDuration = 5 * time.Minute

// SchedulerOptions describe one scheduler.
type SchedulerOptions struct {
	// Config is a KubeSchedulerConfiguration in YAML, as shipped to a cluster: decoded strictly and
	// validated as kube-scheduler does. Two of its sections have no effect here: clientConnection, as the
	// scheduler gets the stack's own client, and leaderElection, as it leads from the start. Empty means
	// upstream's default configuration.
	Config []byte
	// Plugins register out-of-tree plugins, as in cmd/scheduler.
	Plugins []app.Option
	// OnFailure, when set, is called after each failed attempt to schedule a pod, when upstream is done
	// with it and the pod is back in the queue. Where no node fits, status.AsError() is a
	// *framework.FitError whose Diagnosis holds a status per node. Pod and status are read-only. Calls
	// come from several goroutines, hold up scheduling, and must not stop the scheduler; none comes after
	// Stop has returned.
	OnFailure func(pod *v1.Pod, status *fwk.Status)
	// Standby starts a replica that does not lead: it sees the cluster and queues pods, and schedules
	// none.
	Standby bool
	// AfterSetup, when set, gets the scheduler before it runs.
	AfterSetup func(sched *scheduler.Scheduler)
}

// Scheduler is a running scheduler. Upstream keeps its metrics and its configz page once per process, so
// the schedulers of a process share the former, and none serves the latter.
type Scheduler struct {
	// ctx ends when the scheduler is to stop.
	ctx    context.Context
	cancel context.CancelFunc
	// done is closed when the scheduling loop has ended and the informers are down.
	done chan struct{}
	// disown takes the scheduler off its stack's list.
	disown func()

	// reporting is held for reading during OnFailure, so that stop can wait for the calls in progress.
	reporting sync.RWMutex
}

// schedulerParts are what a scheduler consists of before it runs.
type schedulerParts struct {
	sched       *scheduler.Scheduler
	informers   informers.SharedInformerFactory
	dynamic     dynamicinformer.DynamicSharedInformerFactory
	broadcaster events.EventBroadcaster
}

// StartScheduler starts a scheduler and returns when its caches are synced and it schedules. The context
// governs the start only; the scheduler runs until its Stop or the stack's.
func (s *Stack) StartScheduler(ctx context.Context, o SchedulerOptions) (*Scheduler, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("starting scheduler: %w", context.Cause(ctx))
	}
	cfg, err := schedconfig.Decode(o.Config)
	if err != nil {
		return nil, err
	}
	registry := frameworkruntime.Registry{}
	for _, register := range o.Plugins {
		if err := register(registry); err != nil {
			return nil, fmt.Errorf("registering plugin: %w", err)
		}
	}

	sc := &Scheduler{done: make(chan struct{})}
	sc.ctx, sc.cancel = context.WithCancel(context.WithoutCancel(ctx))
	parts, err := s.newScheduler(sc.ctx, cfg, registry)
	if err != nil {
		sc.cancel()
		return nil, fmt.Errorf("setting up scheduler: %w", err)
	}
	if o.OnFailure != nil {
		sc.report(parts.sched, o.OnFailure)
	}
	if o.AfterSetup != nil {
		o.AfterSetup(parts.sched)
	}
	// From here on the stack's Stop, too, ends the start.
	err = s.adopt(sc)
	if err == nil {
		err = sc.startInformers(ctx, parts)
	}
	if err != nil {
		sc.cancel()
		parts.shutdown()
		close(sc.done)
		s.disown(sc)
		return nil, fmt.Errorf("starting scheduler: %w", err)
	}
	go func() {
		defer close(sc.done)
		if o.Standby {
			<-sc.ctx.Done()
		} else {
			parts.sched.Run(sc.ctx)
		}
		parts.shutdown()
	}()
	return sc, nil
}

// adopt puts a scheduler on the list of those to stop with the stack.
func (s *Stack) adopt(sc *Scheduler) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.schedulers == nil {
		return errors.New("the stack has been stopped")
	}
	s.schedulers[sc] = struct{}{}
	sc.disown = func() { s.disown(sc) }
	return nil
}

func (s *Stack) disown(sc *Scheduler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.schedulers, sc)
}

// newScheduler does what app.Setup does, less what a stack cannot have: app.Setup reads its client from a
// file, sets process-wide metric options, and when a plugin refuses its arguments it leaves the event
// broadcaster running with no way to reach it.
func (s *Stack) newScheduler(ctx context.Context, cfg *config.KubeSchedulerConfiguration, registry frameworkruntime.Registry) (*schedulerParts, error) {
	restConfig := s.componentConfig("scheduler")
	client, err := kubernetes.NewForConfig(restConfig)
	if err != nil {
		return nil, err
	}
	dynamicClient, err := dynamic.NewForConfig(restConfig)
	if err != nil {
		return nil, err
	}
	p := &schedulerParts{
		informers:   scheduler.NewInformerFactory(client, 0),
		dynamic:     dynamicinformer.NewFilteredDynamicSharedInformerFactory(dynamicClient, 0, metav1.NamespaceAll, nil),
		broadcaster: events.NewBroadcaster(&events.EventSinkImpl{Interface: client.EventsV1()}),
	}
	p.sched, err = scheduler.New(ctx, client, p.informers, p.dynamic, profile.NewRecorderFactory(p.broadcaster),
		scheduler.WithComponentConfigVersion(cfg.TypeMeta.APIVersion),
		scheduler.WithKubeConfig(rest.CopyConfig(restConfig)),
		scheduler.WithProfiles(cfg.Profiles...),
		scheduler.WithPercentageOfNodesToScore(cfg.PercentageOfNodesToScore),
		scheduler.WithFrameworkOutOfTreeRegistry(registry),
		scheduler.WithPodMaxBackoffSeconds(cfg.PodMaxBackoffSeconds),
		scheduler.WithPodInitialBackoffSeconds(cfg.PodInitialBackoffSeconds),
		scheduler.WithPodMaxInUnschedulablePodsDuration(podMaxInUnschedulablePodsDuration),
		scheduler.WithExtenders(cfg.Extenders...),
		scheduler.WithParallelism(cfg.Parallelism),
	)
	if err != nil {
		p.shutdown()
		return nil, err
	}
	return p, nil
}

// startInformers starts events and informers, which run until the scheduler stops, and waits until the
// scheduler has seen everything there is, or until ctx ends.
func (sc *Scheduler) startInformers(ctx context.Context, p *schedulerParts) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("not up after %v", readyTimeout))
	defer cancel()
	defer context.AfterFunc(sc.ctx, cancel)()

	p.broadcaster.StartRecordingToSink(sc.ctx.Done())
	p.informers.Start(sc.ctx.Done())
	p.dynamic.Start(sc.ctx.Done())
	p.informers.WaitForCacheSync(ctx.Done())
	p.dynamic.WaitForCacheSync(ctx.Done())
	if err := p.sched.WaitForHandlersSync(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("waiting for the first lists: %w", err)
	}
	return context.Cause(ctx)
}

// shutdown ends events and informers; their context must be done, or never have been used.
func (p *schedulerParts) shutdown() {
	p.broadcaster.Shutdown()
	p.informers.Shutdown()
	p.dynamic.Shutdown()
}

// report wraps the failure handler of a scheduler that does not run yet.
func (sc *Scheduler) report(sched *scheduler.Scheduler, onFailure func(*v1.Pod, *fwk.Status)) {
	handle := sched.FailureHandler
	sched.FailureHandler = func(ctx context.Context, f framework.Framework, podInfo *framework.QueuedPodInfo, status *fwk.Status, nominating *fwk.NominatingInfo, start time.Time) {
		pod := podInfo.Pod // afterwards podInfo belongs to the queue
		handle(ctx, f, podInfo, status, nominating, start)

		sc.reporting.RLock()
		defer sc.reporting.RUnlock()
		if sc.ctx.Err() == nil {
			onFailure(pod, status)
		}
	}
}

// Stop stops the scheduler and waits until its loop and informers have ended. A binding still in flight
// has lost its context and ends by itself. Further calls wait like the first.
func (sc *Scheduler) Stop() {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	_ = sc.stop(ctx)
	sc.disown()
}

func (sc *Scheduler) stop(ctx context.Context) error {
	sc.cancel()
	if err := await(ctx, inBackground(sc.awaitReports)); err != nil {
		return err
	}
	return await(ctx, sc.done)
}

// awaitReports returns when no OnFailure is running; with the context done, none begins after that.
func (sc *Scheduler) awaitReports() {
	sc.reporting.Lock()
	defer sc.reporting.Unlock()
}
