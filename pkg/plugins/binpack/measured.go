package binpack

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/utils/clock"

	"plimsoll.dev/scheduler/pkg/inventory"
	"plimsoll.dev/scheduler/pkg/load"
	"plimsoll.dev/scheduler/pkg/metrics"
	"plimsoll.dev/scheduler/pkg/usage"
)

// measured blends measured usage into what nodes are taken to use.
type measured struct {
	poller *usage.Poller
	weight int64 // percent
	// cpu and memory are the indices of these resources in the scale, -1 if
	// they are not weighed.
	cpu, memory int
}

func startMeasuring(ctx context.Context, args *UsageArgs, names []v1.ResourceName, handle fwk.Handle) (*measured, error) {
	if handle.KubeConfig() == nil {
		// Without an API server there is nobody to ask: every sample is missing,
		// and requests decide, as in a cluster without metrics.k8s.io.
		return newMeasured(args, names, &usage.Poller{Clock: clock.RealClock{}}), nil
	}
	config := rest.CopyConfig(handle.KubeConfig())
	config.ContentType, config.AcceptContentTypes = "application/json", "application/json"
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("creating the client for metrics.k8s.io: %w", err)
	}
	needs := inventory.NewMeter([]v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory})
	core, profile := handle.SharedInformerFactory().Core().V1(), handle.ProfileName()
	synced := []cache.InformerSynced{core.Nodes().Informer().HasSynced, core.Pods().Informer().HasSynced}
	m := newMeasured(args, names, &usage.Poller{
		Client: client, Nodes: core.Nodes().Lister(), Pods: core.Pods().Lister(),
		Needs: func(pod *v1.Pod) (int64, int64) {
			n := needs.Pod(pod)
			return n.Assumed[0], n.Assumed[1]
		},
		Interval: seconds(*args.PollSeconds), MaxAge: seconds(*args.MaxAgeSeconds), Clock: clock.RealClock{},
		OnPoll: func(err error, states map[usage.State]int) { countPoll(profile, err, states) },
	})
	go func() {
		// Before that, pods that are not known yet would pass for excess.
		if cache.WaitForCacheSync(ctx.Done(), synced...) {
			m.poller.Run(ctx)
		}
	}()
	return m, nil
}

func newMeasured(args *UsageArgs, names []v1.ResourceName, poller *usage.Poller) *measured {
	m := &measured{poller: poller, weight: *args.WeightPercent, cpu: -1, memory: -1}
	for i, name := range names {
		switch name {
		case v1.ResourceCPU:
			m.cpu = i
		case v1.ResourceMemory:
			m.memory = i
		}
	}
	return m
}

func countPoll(profile string, err error, states map[usage.State]int) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	metrics.UsagePolls.WithLabelValues(profile, result).Inc()
	for _, state := range usage.States() {
		metrics.UsageNodes.WithLabelValues(profile, string(state)).Set(float64(states[state]))
	}
}

// usageView is measured usage as one cycle sees it. Its zero value measures
// nothing.
type usageView struct {
	measured *measured
	table    *usage.Table
	now      time.Time
}

func (m *measured) view() usageView {
	if m == nil {
		return usageView{}
	}
	return usageView{m, m.poller.Table(), m.poller.Clock.Now()}
}

// blend moves used from requests towards usage; a node without a fresh sample
// stays at its requests.
func (v usageView) blend(node string, used *load.Vector) {
	if v.measured == nil {
		return
	}
	e, _ := v.table.Lookup(node, v.now)
	v.add(used, v.measured.cpu, e.MilliCPU, e.RequestedMilliCPU)
	v.add(used, v.measured.memory, e.Memory, e.RequestedMemory)
}

func (v usageView) add(used *load.Vector, at int, excess, requested int64) {
	if at < 0 || used[at] < requested {
		// Pods that were measured have left, and their excess with them.
		return
	}
	// Hundredths first would overflow only beyond 80 PiB.
	used[at] = max(0, used[at]+excess*v.measured.weight/100)
}

// state is what is known of a node's usage; empty if it is not measured.
func (v usageView) state(node string) usage.State {
	if v.measured == nil {
		return ""
	}
	_, state := v.table.Lookup(node, v.now)
	return state
}
