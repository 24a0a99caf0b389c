package usage

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"plimsoll.dev/scheduler/pkg/intent"
)

var nodeMetrics = schema.GroupVersionResource{Group: "metrics.k8s.io", Version: "v1beta1", Resource: "nodes"}

// Needs reads what a pod requests, in millicores and bytes, the way the caller
// counts it on nodes.
type Needs func(*v1.Pod) (milliCPU, memory int64)

// Poller reads metrics.k8s.io at an interval and keeps the last table.
type Poller struct {
	Client   dynamic.Interface
	Nodes    corelisters.NodeLister
	Pods     corelisters.PodLister
	Needs    Needs
	Interval time.Duration
	// MaxAge is how old a sample may be to be used.
	MaxAge time.Duration
	Clock  clock.WithTicker
	// OnPoll is told of each read and what is known after it.
	OnPoll func(err error, states map[State]int)

	table atomic.Pointer[Table]
}

// Table returns the result of the last successful read; nil before the first.
func (p *Poller) Table() *Table { return p.table.Load() }

// SetTable takes the place of a read; for those who know usage from elsewhere.
func (p *Poller) SetTable(t *Table) { p.table.Store(t) }

// Run polls until the context ends. A failed read keeps the last table, whose
// samples then grow stale.
func (p *Poller) Run(ctx context.Context) {
	wait.BackoffUntil(func() { p.poll(ctx) }, constantBackoff{p.Interval, p.Clock}, true, ctx.Done())
}

// longestRead is how long a server may take to answer, however rarely it is asked.
const longestRead = 30 * time.Second

type constantBackoff struct {
	interval time.Duration
	clock    clock.Clock
}

func (b constantBackoff) Backoff() clock.Timer { return b.clock.NewTimer(b.interval) }

func (p *Poller) poll(ctx context.Context) {
	// A read that takes longer than the interval is worth nothing any more.
	readCtx, cancel := context.WithTimeout(ctx, min(p.Interval, longestRead))
	defer cancel()
	samples, err := p.read(readCtx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		klog.FromContext(ctx).Error(err, "Could not read node usage, nodes are judged by requests when their last sample is stale")
	} else {
		p.table.Store(NewTable(samples, p.MaxAge))
	}
	p.OnPoll(err, p.states())
}

// states counts the cluster's nodes by what is known of them now.
func (p *Poller) states() map[State]int {
	counts := map[State]int{}
	nodes, err := p.Nodes.List(labels.Everything())
	if err != nil {
		return counts
	}
	now := p.Clock.Now()
	for _, node := range nodes {
		_, state := p.Table().Lookup(node.Name, now)
		counts[state]++
	}
	return counts
}

func (p *Poller) read(ctx context.Context) (map[string]Sample, error) {
	// Items are read one by one from the untyped list: one that does not
	// decode must not cost the others.
	list, err := p.Client.Resource(nodeMetrics).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", nodeMetrics.GroupResource(), err)
	}
	requested, err := p.requestedBefore(list)
	if err != nil {
		return nil, err
	}
	samples := make(map[string]Sample, len(list.Items))
	for i := range list.Items {
		item := &list.Items[i]
		node, err := p.Nodes.Get(item.GetName())
		if err != nil {
			continue // gone, or not ours to see
		}
		measured, at, err := parse(item)
		s := Sample{At: at, Valid: err == nil}
		if err != nil {
			klog.FromContext(ctx).Error(err, "Ignoring a usage sample", "node", item.GetName())
		} else {
			s.Excess = excess(node, measured, requested[node.Name])
		}
		samples[node.Name] = s
	}
	return samples, nil
}

type amounts struct{ milliCPU, memory int64 }

// excess compares what the node's pods use with what they request. Usage is
// measured for the whole node; what is reserved for the system is not the
// pods', and a node cannot use more than it has.
func excess(node *v1.Node, measured, requested amounts) Excess {
	capacity, allocatable := node.Status.Capacity, node.Status.Allocatable
	return Excess{
		MilliCPU:          byPods(measured.milliCPU, capacity.Cpu().MilliValue(), allocatable.Cpu().MilliValue()) - requested.milliCPU,
		Memory:            byPods(measured.memory, capacity.Memory().Value(), allocatable.Memory().Value()) - requested.memory,
		RequestedMilliCPU: requested.milliCPU, RequestedMemory: requested.memory,
	}
}

func byPods(measured, capacity, allocatable int64) int64 {
	reserved := max(capacity-allocatable, 0)
	return max(min(measured, max(capacity, allocatable))-reserved, 0)
}

// requestedBefore sums, per node, the requests of the pods that ran for the
// whole window of the node's sample.
func (p *Poller) requestedBefore(list *unstructured.UnstructuredList) (map[string]amounts, error) {
	begin := make(map[string]time.Time, len(list.Items))
	for i := range list.Items {
		if _, at, err := parse(&list.Items[i]); err == nil {
			begin[list.Items[i].GetName()] = at.Add(-window(&list.Items[i]))
		}
	}
	pods, err := p.Pods.List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("listing pods: %w", err)
	}
	sums := make(map[string]amounts, len(begin))
	for _, pod := range pods {
		since, found := begin[pod.Spec.NodeName]
		started := pod.Status.StartTime
		if !found || started == nil || started.Time.After(since) || intent.IsFinished(pod) {
			continue
		}
		cpu, memory := p.Needs(pod)
		sum := sums[pod.Spec.NodeName]
		sums[pod.Spec.NodeName] = amounts{sum.milliCPU + cpu, sum.memory + memory}
	}
	return sums, nil
}

// parse reads one NodeMetrics object and refuses what cannot be true.
func parse(item *unstructured.Unstructured) (amounts, time.Time, error) {
	text, _, _ := unstructured.NestedString(item.Object, "timestamp")
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return amounts{}, time.Time{}, fmt.Errorf("node %s: timestamp %q: want RFC 3339", item.GetName(), text)
	}
	cpu, err := quantity(item, "cpu", (*resource.Quantity).MilliValue)
	if err != nil {
		return amounts{}, at, err
	}
	memory, err := quantity(item, "memory", (*resource.Quantity).Value)
	return amounts{cpu, memory}, at, err
}

func quantity(item *unstructured.Unstructured, name string, read func(*resource.Quantity) int64) (int64, error) {
	text, _, _ := unstructured.NestedString(item.Object, "usage", name)
	q, err := resource.ParseQuantity(text)
	if err != nil {
		return 0, fmt.Errorf("node %s: usage.%s %q: %w", item.GetName(), name, text, err)
	}
	// Quantities saturate: the largest value is what does not fit.
	if amount := read(&q); amount >= 0 && amount < math.MaxInt64 {
		return amount, nil
	}
	return 0, fmt.Errorf("node %s: usage.%s %q: want 0 or more", item.GetName(), name, text)
}

func window(item *unstructured.Unstructured) time.Duration {
	text, _, _ := unstructured.NestedString(item.Object, "window")
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return d
	}
	return 0
}
