package gpuslice

import (
	"fmt"
	"sync"

	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/utils/lru"

	"plimsoll.dev/scheduler/pkg/devices"
	"plimsoll.dev/scheduler/pkg/gpus"
	"plimsoll.dev/scheduler/pkg/mig"
	"plimsoll.dev/scheduler/pkg/share"
)

const (
	// rememberedPods is how many pods are known to have been counted.
	rememberedPods = 8192
	// weighEvery is after how many observed requests learnt weights are drawn
	// anew, and the GPUs of the cluster counted.
	weighEvery = 128
)

// learner keeps what is known of the mix of requests, and what follows from it
// for the worth of free room.
type learner struct {
	fixed mig.Weights
	// profiles is nil unless the mix of profiles is learnt.
	profiles *mig.Mix
	tasks    *share.Mix
	models   share.Models

	mu      sync.Mutex
	seen    *lru.Cache
	count   int
	current *devices.Worth
	outlook *share.Outlook
}

func newLearner(args *Args) (*learner, error) {
	l := &learner{seen: lru.New(rememberedPods), tasks: share.NewMix(int(args.MixHalfLifeRequests), share.DefaultWeights())}
	switch args.ProfileMix {
	case Fixed:
		l.fixed = mig.Weights{}
		for name, weight := range args.ProfileWeights {
			l.fixed[name] = float64(weight)
		}
	case Learnt:
		var err error
		if l.profiles, err = mig.NewMix(int(args.MixHalfLifeRequests), mig.DefaultFloor); err != nil {
			return nil, fmt.Errorf("learning the mix of MIG profiles: %w", err)
		}
	}
	return l, nil
}

// worth is what free room is worth now.
func (l *learner) worth() *devices.Worth {
	l.mu.Lock()
	defer l.mu.Unlock()
	if outlook := l.tasks.Outlook(); l.current == nil || outlook != l.outlook {
		l.outlook = outlook
		l.current = devices.NewWorth(l.weights, outlook)
	}
	return l.current
}

func (l *learner) weights(g *mig.Geometry) mig.Weights {
	if l.profiles != nil {
		return l.profiles.Weights(g)
	}
	return l.fixed
}

// observe counts a pod's request, once. The supply is asked for now and then.
func (l *learner) observe(r *request, supply func() share.Supply) {
	task, profiles := l.taskOf(r)
	if task == nil && len(profiles) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.seen.Get(r.uid); known {
		return
	}
	l.seen.Add(r.uid, true)
	if l.count%weighEvery == 0 {
		l.tasks.SetSupply(supply())
		if l.profiles != nil {
			l.current = nil
		}
	}
	l.count++
	if task != nil {
		l.tasks.Observe(task)
	}
	if l.profiles != nil {
		for _, name := range profiles {
			l.profiles.Observe(name)
		}
	}
}

// taskOf says a request in terms of whole GPUs and shares of them, or as the
// profiles it takes. Its claims may be for other devices, beside which a device plugin
// serves GPUs.
func (l *learner) taskOf(r *request) (*share.Task, []string) {
	if r.view == nil {
		return taskOfUnits(r), nil
	}
	plan := r.view.Any()
	if plan == nil {
		return taskOfUnits(r), nil
	}
	task, profiles := taskOfPlan(plan, r.cpu)
	switch {
	case task != nil:
		for _, name := range r.view.Models() {
			task.Models = append(task.Models, l.models.Of(name))
		}
	case len(profiles) == 0:
		task = taskOfUnits(r)
	}
	return task, profiles
}

// taken is what a plan takes.
type taken uint8

const (
	noGPU      taken = iota
	wholesOnly       // whole GPUs or shares of some
	someSlices       // slices, perhaps beside whole GPUs
)

// wholesOfPlan says a plan in terms of whole GPUs and shares, if it takes only
// such.
func wholesOfPlan(plan *devices.Plan, cpu int64) (share.Task, taken) {
	task := share.Task{CPUMilli: cpu}
	for i := range plan.Chosen {
		c := &plan.Chosen[i]
		switch {
		case c.Profile != "":
			return share.Task{}, someSlices
		case c.Memory == 0 && c.Model == "":
			continue // not a GPU
		case c.Shared > 0:
			task.GPUs++
			task.GPUMilli = max(task.GPUMilli, min(c.Shared, share.Whole))
		default:
			task.GPUs++
			task.GPUMilli = share.Whole
		}
	}
	if task.GPUs == 0 {
		return share.Task{}, noGPU
	}
	return task, wholesOnly
}

// taskOfPlan is nil for a plan that takes slices, of which it returns the profiles,
// or no GPU at all.
func taskOfPlan(plan *devices.Plan, cpu int64) (*share.Task, []string) {
	task, has := wholesOfPlan(plan, cpu)
	switch has {
	case wholesOnly:
		return &task, nil
	case noGPU:
		return nil, nil
	}
	var profiles []string
	for i := range plan.Chosen {
		if name := plan.Chosen[i].Profile; name != "" {
			profiles = append(profiles, name)
		}
	}
	return nil, profiles
}

// taskOfUnits is nil unless whole GPUs of a device plugin are asked for: what a
// slice or a share is of a GPU differs from node to node.
func taskOfUnits(r *request) *share.Task {
	task := &share.Task{CPUMilli: r.cpu, GPUMilli: share.Whole}
	for _, w := range r.wants {
		if gpus.NamesWhole(w.Resource) {
			task.GPUs += int(min(w.Count, 1024))
		}
	}
	if task.GPUs == 0 {
		return nil
	}
	return task
}

// census counts the cluster's GPUs by model.
func (p *GPUSlice) census() share.Supply {
	out := share.Supply{}
	nodes, err := p.handle.SnapshotSharedLister().NodeInfos().List()
	if err != nil {
		return out
	}
	for _, node := range nodes {
		// Labels and driver tell of the same GPUs.
		hardware := p.published.of(node.Node().Name)
		if len(hardware) == 0 {
			hardware = p.gpus.Facts(node.Node()).Hardware
		}
		for _, h := range hardware {
			out[p.learner.models.Of(h.Model)] += h.MilliGPUs / gpus.MilliGPU
		}
	}
	return out
}

// cores returns what is idle and what there is of a node's CPU, in thousandths.
func cores(node fwk.NodeInfo) (idle, all int64) {
	all = node.GetAllocatable().GetMilliCPU()
	return max(0, all-node.GetRequested().GetMilliCPU()), all
}
