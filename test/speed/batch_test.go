package speed

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

// stall is how long no pod may be bound; upstream's profile takes eight seconds for
// one on 400 nodes, and several times that on a busy machine.
const stall = 5 * time.Minute

// batch is one measurement: so many pods for one profile on so many nodes.
type batch struct {
	profile     profile
	nodes, pods int
	// apart: a pod is only created when the one before it is bound, so that nothing
	// else is done meanwhile.
	apart bool
}

// marks are the numbers of attempts between which "first" lies, and after which
// "last" does: a thousand pods each, or a quarter of a smaller batch. What is done
// once, such as compiling expressions, is not to hide that pods get slower.
func (b batch) marks() [3]int {
	window := min(1000, max(1, b.pods/4))
	warm := window / 10
	return [...]int{warm, warm + window, b.pods - window}
}

// result is what a batch has cost.
type result struct {
	podsPerSecond float64
	// cpuPerPod is what the scheduler's process has used of the CPU, in seconds.
	cpuPerPod float64
	// all is about the whole batch, first and last are about pods near its beginning
	// and at its end.
	all, first, last durations
	// heapBytes is the scheduler's, cachesBytes that of its informers alone.
	heapBytes, cachesBytes uint64
	// kinds are those of the informers.
	kinds []string
	// folder was the API server's.
	folder string
}

// run measures a batch in a cluster of its own, of which nothing is left afterwards.
func (b batch) run(ctx context.Context) (r result, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	api, hello, err := startChild(ctx, "api")
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, api.stop()) }()
	client, err := newClient(hello.Kubeconfig)
	if err != nil {
		return result{}, err
	}
	made, err := newCluster(ctx, client, b.nodes)
	if err != nil {
		return result{}, err
	}
	if !b.apart {
		if err := made.createPods(ctx, 0, b.pods, b.profile.schedulerName); err != nil {
			return result{}, err
		}
	}
	r.folder = filepath.Dir(hello.Kubeconfig)
	nodeOf, err := b.schedule(ctx, made, hello.Kubeconfig, &r)
	if err != nil {
		return result{}, err
	}
	if err := made.check(ctx, b.pods, nodeOf); err != nil {
		return result{}, err
	}
	caches, _, err := startChild(ctx, "caches", append([]string{hello.Kubeconfig}, r.kinds...)...)
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, caches.stop()) }()
	heap, err := caches.ask("heap")
	r.cachesBytes = heap.HeapBytes
	return r, err
}

// schedule runs the scheduler until all pods are bound, and returns their nodes by
// their names.
func (b batch) schedule(ctx context.Context, made *cluster, kubeconfig string, r *result) (nodeOf map[string]string, err error) {
	config, err := b.profile.configFile(filepath.Dir(kubeconfig), kubeconfig)
	if err != nil {
		return nil, err
	}
	args := []string{config}
	for _, mark := range b.marks() {
		args = append(args, strconv.Itoa(mark))
	}
	sched, ready, err := startChild(ctx, "scheduler", args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, sched.stop()) }()
	r.kinds = ready.Kinds
	pods, err := watchPods(ctx, made.client)
	if err != nil {
		return nil, err
	}
	defer pods.Stop()

	began := time.Now()
	started, err := sched.ask("run")
	if err != nil {
		return nil, err
	}
	nodeOf, err = b.allBound(ctx, made, pods)
	took := time.Since(began)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, &sched.log)
	}
	noted, err := sched.ask("durations")
	if err != nil {
		return nil, err
	}
	at := noted.Durations
	if want := len(b.marks()) + 1; len(at) != want {
		return nil, fmt.Errorf("durations: want %d, got %d", want, len(at))
	}
	r.podsPerSecond = float64(b.pods) / took.Seconds()
	r.cpuPerPod = (noted.CPUSeconds - started.CPUSeconds) / float64(b.pods)
	r.all, r.first, r.last = at[3], at[1].since(at[0]), at[3].since(at[2])
	heap, err := sched.ask("heap")
	r.heapBytes = heap.HeapBytes
	return nodeOf, err
}

// watchPods watches from now on, without a list.
func watchPods(ctx context.Context, client kubernetes.Interface) (watch.Interface, error) {
	now, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return nil, fmt.Errorf("listing pods: %w", err)
	}
	return watchtools.NewRetryWatcherWithContext(ctx, now.ResourceVersion, &cache.ListWatch{
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return client.CoreV1().Pods(namespace).Watch(ctx, o)
		},
	})
}

// allBound returns when all pods of the batch are bound, with their nodes.
func (b batch) allBound(ctx context.Context, made *cluster, pods watch.Interface) (map[string]string, error) {
	nodeOf := map[string]string{}
	if !b.apart {
		return nodeOf, awaitBound(pods, nodeOf, b.pods)
	}
	for i := range b.pods {
		if err := made.createPods(ctx, i, i+1, b.profile.schedulerName); err != nil {
			return nil, err
		}
		if err := awaitBound(pods, nodeOf, i+1); err != nil {
			return nil, err
		}
	}
	return nodeOf, nil
}

// awaitBound returns when so many pods are bound, and notes their nodes.
func awaitBound(pods watch.Interface, nodeOf map[string]string, want int) error {
	complaint := "none"
	limit := time.NewTimer(stall)
	defer limit.Stop()
	for len(nodeOf) < want {
		select {
		case <-limit.C:
			return fmt.Errorf("%d of %d pods bound, none for %v; last complaint: %s", len(nodeOf), want, stall, complaint)
		case event, open := <-pods.ResultChan():
			if !open {
				return fmt.Errorf("%d of %d pods bound, then the watch ended", len(nodeOf), want)
			}
			pod, isPod := event.Object.(*v1.Pod)
			if !isPod {
				return fmt.Errorf("watching pods: got %s %v", event.Type, event.Object)
			}
			if pod.Spec.NodeName == "" {
				for _, condition := range pod.Status.Conditions {
					complaint = pod.Name + ": " + condition.Message
				}
				continue
			}
			if nodeOf[pod.Name] == "" {
				nodeOf[pod.Name] = pod.Spec.NodeName
				limit.Reset(stall)
			}
		}
	}
	return nil
}
