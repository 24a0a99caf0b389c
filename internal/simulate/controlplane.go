package simulate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"

	"plimsoll.dev/scheduler/internal/journal"
	"plimsoll.dev/scheduler/internal/stack"
	"plimsoll.dev/scheduler/pkg/plugins"
	"plimsoll.dev/scheduler/pkg/plugins/archaware"
	"plimsoll.dev/scheduler/pkg/plugins/topology"
	"plimsoll.dev/scheduler/pkg/verdict"
)

const (
	// look is how often the queue is asked, and patience how long a pod may take to
	// be tried, and all of them to come to rest.
	look     = 5 * time.Millisecond
	patience = 2 * time.Minute
	// calmLooks is for how many looks in a row nothing may be under way at the end,
	// and heldFor for how long a plugin must hold a pod back: what it waits for may
	// be on its way to it.
	calmLooks = 20
	heldFor   = 100 * time.Millisecond
	// roomPatience is how long others may take to make room for a pod.
	roomPatience = 3 * time.Second
	// backOffPatience is for how long groups that back off are awaited, and
	// backOffLook how often memory looks.
	backOffPatience = 8 * time.Second
	backOffLook     = 100 * time.Millisecond
)

// ControlPlane is an engine with a real API server, etcd and scheduler in this
// process. No kubelet runs and no controller: they would act upon the copy, end its
// Jobs and replace the pods that it lacks. Pods that are preempted go at once.
type ControlPlane struct {
	stack     *stack.Stack
	copier    *copier
	client    kubernetes.Interface
	scheduler *scheduler.Scheduler
	journal   *journal.Journal
	stopWatch func()

	mu sync.Mutex
	// cycles are the attempts under way, and fates those that are through and were
	// not asked for yet.
	cycles map[types.UID]*Attempt
	fates  map[types.UID]*Attempt
	// busy counts the pods that have a place and are not bound yet.
	busy map[types.UID]bool
	// waiting are the pods that Permit holds.
	waiting map[types.UID]bool
	// nominated are the pods of the cycle under way for which others have to make
	// room, and making are those that are about to be tried again for it.
	nominated map[types.UID]bool
	making    map[types.UID]making
	// attempts counts those that are through, but for those in vain.
	attempts int
	retries  retries
	// evicted are the pods that went since the last attempt, and rejected those that
	// the API server did not take.
	evicted  []types.NamespacedName
	rejected []v1.Pod
	change   chan struct{}
	// failed is what went wrong in the background.
	failed error
}

// apiServerFlags switch off what would refuse or change the copy of a cluster for
// what the copy lacks: service accounts, runtime classes, limits, priority classes.
var apiServerFlags = []string{"--disable-admission-plugins=ServiceAccount,TaintNodesByCondition,RuntimeClass,LimitRanger,ResourceQuota,Priority," +
	"DefaultTolerationSeconds,StorageObjectInUseProtection,PodSecurity,DefaultStorageClass"}

// notStarted are parts of a control plane that a simulation does without.
var notStarted = []string{"controllers", "fake nodes"}

// NewControlPlane starts a control plane, copies the cluster into it, and starts the
// scheduler. Its files are in dir, empty for the system's folder.
func NewControlPlane(ctx context.Context, c *Cluster, s *Scheduler, dir string, progress func(string)) (_ *ControlPlane, err error) {
	st, err := stack.Start(ctx, stack.Options{Dir: dir, NoFakeNodes: true, NoControllers: true, APIServerFlags: slices.Clone(apiServerFlags), Progress: func(part string) {
		if progress != nil && !slices.Contains(notStarted, part) {
			progress(part)
		}
	}})
	if err != nil {
		return nil, err
	}
	e := &ControlPlane{stack: st, client: st.Client(), journal: s.Journal, stopWatch: func() {},
		cycles: map[types.UID]*Attempt{}, fates: map[types.UID]*Attempt{}, busy: map[types.UID]bool{}, waiting: map[types.UID]bool{},
		nominated: map[types.UID]bool{}, making: map[types.UID]making{}, retries: newRetries(), change: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	if e.copier, err = newCopier(st.RESTConfig()); err != nil {
		return nil, err
	}
	if err := e.copier.copy(ctx, c); err != nil {
		return nil, err
	}
	for _, lack := range e.copier.lacks() {
		if progress != nil {
			progress(lack)
		}
	}
	if err := e.playKubelet(ctx); err != nil {
		return nil, err
	}
	if _, err = st.StartScheduler(ctx, stack.SchedulerOptions{
		Config: s.YAML,
		Plugins: plugins.Options(plugins.Shared{Recorder: s.Journal, Groups: &topology.Shared{PodGroups: c.PodGroups},
			Images: &archaware.Shared{Registries: s.Images}}),
		OnFailure:  e.onFailure,
		AfterSetup: e.listen,
	}); err != nil {
		return e, err
	}
	for _, fw := range e.scheduler.Profiles {
		e.copier.seen = seenBy(fw.SharedInformerFactory()) // the same for all
	}
	return e, nil
}

// listen has the engine hear what the framework answers.
func (e *ControlPlane) listen(sched *scheduler.Scheduler) {
	e.scheduler = sched
	for name, fw := range sched.Profiles {
		sched.Profiles[name] = &listener{Framework: fw, engine: e}
	}
}

// playKubelet ends bound pods that are being deleted, but for those that were so in
// what was copied: they have a finalizer.
func (e *ControlPlane) playKubelet(start context.Context) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(start))
	factory := informers.NewSharedInformerFactory(e.client, 0)
	if err := e.playProvisioner(ctx, factory); err != nil {
		cancel()
		return err
	}
	_, err := factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(_, obj any) {
			if pod, ok := obj.(*v1.Pod); ok && pod.DeletionTimestamp != nil && len(pod.Finalizers) == 0 {
				if err := e.end(ctx, pod); err != nil && ctx.Err() == nil {
					e.fail(err)
				}
			}
		},
	})
	if err != nil {
		cancel()
		return fmt.Errorf("watching pods: %w", err)
	}
	e.stopWatch = func() { cancel(); factory.Shutdown() }
	factory.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(start.Done()) {
		if !synced {
			return fmt.Errorf("waiting for the first list of %v: %w", kind, context.Cause(start))
		}
	}
	return nil
}

// end removes a pod and gives back what it has of claims.
func (e *ControlPlane) end(ctx context.Context, pod *v1.Pod) error {
	// Noted first: the scheduler may see that it is gone, and place the pod that waits
	// for its room, before Delete returns.
	e.mu.Lock()
	e.evicted = append(e.evicted, nameOf(pod))
	e.mu.Unlock()
	err := e.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, *metav1.NewDeleteOptions(0))
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("ending pod %s: %w", klog.KObj(pod), err)
	}
	defer e.moved() // when its claims are given back
	if extended := pod.Status.ExtendedResourceClaimStatus; extended != nil {
		if err := releaseClaim(ctx, e.client, pod, extended.ResourceClaimName); err != nil {
			return err
		}
	}
	for i := range pod.Status.ResourceClaimStatuses {
		if name := pod.Status.ResourceClaimStatuses[i].ResourceClaimName; name != nil {
			if err := releaseClaim(ctx, e.client, pod, *name); err != nil {
				return err
			}
		}
	}
	for i := range pod.Spec.ResourceClaims {
		if name := pod.Spec.ResourceClaims[i].ResourceClaimName; name != nil {
			if err := releaseClaim(ctx, e.client, pod, *name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *ControlPlane) fail(err error) {
	e.mu.Lock()
	e.failed = errors.Join(e.failed, err)
	e.mu.Unlock()
	e.tell()
}

func (e *ControlPlane) tell() {
	select {
	case e.change <- struct{}{}:
	default: // somebody will look anyway
	}
}

// onFailure hears of every attempt that came to nothing.
func (e *ControlPlane) onFailure(pod *v1.Pod, status *fwk.Status) {
	e.journal.Failed(pod, status)
	e.mu.Lock()
	a := e.cycle(pod.UID)
	a.Fate, a.Node = Refused, ""
	e.retries.end(pod.UID, !status.IsRejected())
	if !e.retries.inVain(pod.UID) {
		e.attempts++
	}
	if e.nominated[pod.UID] {
		delete(e.nominated, pod.UID)
		e.making[pod.UID] = making{a, time.Now()}
	} else {
		e.fates[pod.UID] = a
	}
	delete(e.cycles, pod.UID)
	delete(e.busy, pod.UID)
	delete(e.waiting, pod.UID)
	e.mu.Unlock()
	e.tell()
}

// making is an attempt after which others make room, and since when they do.
type making struct {
	attempt *Attempt
	since   time.Time
}

// under tells whether it may still be under way. Nobody may be left to go.
func (m *making) under() bool { return time.Since(m.since) < roomPatience }

// cycle is the attempt under way for a pod. The lock is held.
func (e *ControlPlane) cycle(uid types.UID) *Attempt {
	if e.cycles[uid] == nil {
		e.cycles[uid] = &Attempt{}
	}
	return e.cycles[uid]
}

// Submit implements Engine.
func (e *ControlPlane) Submit(ctx context.Context, pod *v1.Pod) (*Attempt, error) {
	created, err := e.copier.pod(ctx, pod)
	if refuses(err) {
		e.reject(pod, err)
		return &Attempt{Fate: Refused}, nil
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("pod %s was not tried within %v", klog.KObj(pod), patience))
	defer cancel()
	for held := time.Now(); ; {
		if a, err := e.fateOf(created.UID); a != nil || err != nil {
			return a, err
		}
		if status := e.heldBack(ctx, created); status == nil {
			held = time.Now()
		} else if time.Since(held) > heldFor {
			e.journal.Note(created.UID, journal.Whole(status)...)
			return &Attempt{Fate: Held, Evicted: e.takeEvicted()}, nil
		}
		select {
		case <-e.change:
		case <-time.After(look):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// fateOf is what became of a pod, nil if that is not known yet.
func (e *ControlPlane) fateOf(uid types.UID) (*Attempt, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	a := e.fates[uid]
	delete(e.fates, uid)
	if room, waits := e.making[uid]; a == nil && waits && !room.under() {
		delete(e.making, uid)
		a = room.attempt
	}
	if a != nil {
		a.Evicted, e.evicted = e.evicted, nil
	}
	return a, e.failed
}

func (e *ControlPlane) takeEvicted() []types.NamespacedName {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.evicted
	e.evicted = nil
	return out
}

// reject notes a pod that the API server does not take: no scheduler will see it.
func (e *ControlPlane) reject(pod *v1.Pod, err error) {
	e.journal.Note(pod.UID, verdict.Reason{Plugin: "kube-apiserver", Code: "Rejected", Message: err.Error()})
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rejected = append(e.rejected, *pod)
}

// heldBack is why plugins keep a pod out of the queue, nil if they do not.
func (e *ControlPlane) heldBack(ctx context.Context, pod *v1.Pod) *fwk.Status {
	if !slices.ContainsFunc(e.scheduler.SchedulingQueue.UnschedulablePods(), func(p *v1.Pod) bool { return p.UID == pod.UID }) {
		return nil
	}
	fw := e.scheduler.Profiles[pod.Spec.SchedulerName]
	if fw == nil {
		return nil
	}
	for _, plugin := range fw.PreEnqueuePlugins() {
		if plugin.Name() == names.DefaultPreemption {
			continue // it lets go when others have made room
		}
		if status := plugin.PreEnqueue(ctx, pod); !status.IsSuccess() {
			return status.WithPlugin(plugin.Name())
		}
	}
	return nil
}

// State implements Engine.
func (e *ControlPlane) State(ctx context.Context) (*State, error) {
	pods, err := e.client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing pods: %w", err)
	}
	claims, err := e.client.ResourceV1().ResourceClaims(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing claims: %w", err)
	}
	return &State{append(pods.Items, e.rejected...), claims.Items}, nil
}

// Notes implements Engine.
func (e *ControlPlane) Notes() []string {
	var out []string
	for _, lack := range e.copier.lacks() {
		out = append(out, "the control plane is "+lack)
	}
	return out
}

// Close implements Engine.
func (e *ControlPlane) Close() error {
	e.stopWatch()
	return e.stack.Stop()
}

var _ Engine = (*ControlPlane)(nil)
