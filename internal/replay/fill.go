package replay

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"time"

	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/internal/journal"
	"plimsoll.dev/scheduler/internal/offline"
	"plimsoll.dev/scheduler/internal/openb"
	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// protected is the load up to which pods for several GPUs should all find a place.
const protected = .9

// Fill lets pods arrive one by one, by the protocol of openb.Draw: none leaves, and
// none is tried twice.
type Fill struct {
	Nodes []openb.Node
	Pods  []openb.Pod
	// Load is how often over the pods ask for the GPUs, such as 1.3. Above 0.
	Load float64
	// Seed decides the order of arrival, and among nodes that score alike.
	Seed   uint64
	Policy Policy
	// Known has the scheduler look at a sample of the list first, so that it knows
	// what kinds of pods to expect. Otherwise it learns from arrivals. It matters
	// to Plimsoll only.
	Known bool
	// Progress, if set, is told after every pod how many of all have arrived.
	Progress func(done, all int)
	// Sample, if set, is given every point of the series as soon as it is known.
	Sample func(placement.Point)
}

// Filled is what came of a Fill.
type Filled struct {
	Policy string
	GPUs   int
	// Arrived and Rejected count pods, and MultiGPURejectedBefore90 those for
	// several GPUs that were rejected before 90 % of the GPUs had been asked for.
	Arrived, Rejected, MultiGPURejectedBefore90 int
	// UnallocatedPercent is the share of the GPUs that nobody had, by the percent of
	// all GPUs that had been asked for: at "100", if the load is that much, and at
	// the end.
	UnallocatedPercent map[string]float64
	// NodesTouched is how many nodes took a pod.
	NodesTouched int
	// Seconds is how long it took, without preparations.
	Seconds float64
	// Series has the cluster at the start, at every percent of the GPUs that was
	// asked for, and at the end.
	Series []placement.Point
	// Nodes are those of the trace at the end, and Pods all that arrived.
	Nodes []placement.Node
	Pods  []placement.Pod
}

// Run replays the trace. It fails if the configuration is wrong, if no pod asks for
// a GPU, or if the context ends.
func (f *Fill) Run(ctx context.Context) (*Filled, error) {
	arrivals, err := openb.Draw(f.Pods, openb.Capacity(f.Nodes), f.Load, f.Seed)
	if err != nil {
		return nil, err
	}
	said := journal.New()
	w, err := newWorld(ctx, f.Policy, f.Nodes, f.Seed, said)
	if err != nil {
		return nil, err
	}
	defer w.close()
	if f.Known {
		if err := w.learn(ctx, f.Pods, f.Seed); err != nil {
			return nil, fmt.Errorf("showing the scheduler the mix: %w", err)
		}
	}
	r := &filling{Fill: f, world: w, said: said, percent: 1, out: &Filled{Policy: f.Policy.Name, GPUs: int(w.tally.capacity.gpu / openb.Whole),
		Arrived: len(arrivals), UnallocatedPercent: map[string]float64{}}}
	began := time.Now()
	for i, row := range arrivals {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		if err := r.next(ctx, i, &f.Pods[row]); err != nil {
			return nil, err
		}
		if f.Progress != nil {
			f.Progress(i+1, len(arrivals))
		}
	}
	r.finish()
	r.out.Seconds = time.Since(began).Seconds()
	return r.out, nil
}

// filling is a Fill under way.
type filling struct {
	*Fill
	world *world
	said  *journal.Journal
	out   *Filled
	// asked is what the pods so far asked for, in thousandths of a GPU.
	asked  int64
	placed int
	// percent of the GPUs is what has to be asked for before the next point.
	percent int
}

// next lets one more pod arrive. What it asks for counts as asked when it is tried:
// the cluster at 100 % is that before the pod which asks for more than that.
func (r *filling) next(ctx context.Context, i int, p *openb.Pod) error {
	t := r.world.tally
	asked := r.asked + p.Asks()
	if i == 0 || reaches(asked, float64(r.percent)/100, t.capacity.gpu) {
		r.sample(i)
		for reaches(asked, float64(r.percent)/100, t.capacity.gpu) {
			r.percent++
		}
	}
	if r.Load > 1 && !reaches(r.asked, 1, t.capacity.gpu) && reaches(asked, 1, t.capacity.gpu) {
		r.out.UnallocatedPercent[key(1)] = t.idlePercent()
	}
	r.asked = asked
	tenant, e, err := r.world.arrive(ctx, p, fmt.Sprintf("pod-%05d", i))
	if err != nil {
		return err
	}
	switch {
	case tenant != nil:
		r.placed++
	case p.GPUs > 1 && !reaches(asked, protected, t.capacity.gpu):
		r.out.MultiGPURejectedBefore90++
		fallthrough
	default:
		r.out.Rejected++
	}
	r.out.Pods = append(r.out.Pods, r.verdict(fmt.Sprintf("pod-%05d", i), tenant, e))
	return nil
}

// reaches tells whether more is asked for than a load.
func reaches(asked int64, load float64, capacity int64) bool {
	return float64(asked) > load*float64(capacity)
}

// key is a load as a percentage.
func key(load float64) string { return strconv.FormatFloat(100*load, 'g', 6, 64) }

func (r *filling) sample(arrived int) {
	point := r.world.tally.point(arrived, r.placed, r.asked)
	r.out.Series = append(r.out.Series, point)
	if r.Sample != nil {
		r.Sample(point)
	}
}

func (r *filling) finish() {
	r.sample(r.out.Arrived)
	t := r.world.tally
	r.out.UnallocatedPercent[key(r.Load)] = t.idlePercent()
	r.out.NodesTouched = t.touched
	r.out.Nodes = t.list()
}

// verdict is where a pod is and why.
func (r *filling) verdict(name string, t *tenant, e *offline.Evaluation) placement.Pod {
	pod := placement.Pod{Namespace: openb.Namespace, Name: name, Phase: "Pending", Devices: []string{}, Reasons: []verdict.Reason{}}
	switch {
	case t != nil:
		node := &r.Nodes[t.node]
		pod.Phase, pod.Node, pod.Arch = "Running", node.Name, nodeArch
		for _, gpu := range t.gpus {
			pod.Devices = append(pod.Devices, openb.Driver+"/"+node.Name+"/"+r.world.tally.devices[gpu])
		}
		pod.Reasons = append(pod.Reasons, r.said.Reasons(name)...)
	case e.Refused != nil:
		pod.Reasons = append(pod.Reasons, journal.Whole(e.Refused)...)
	default:
		pod.Reasons = append(pod.Reasons, journal.Count(refusals(e))...)
	}
	return pod
}

func refusals(e *offline.Evaluation) iter.Seq[*fwk.Status] {
	return func(yield func(*fwk.Status) bool) {
		for i := range e.Nodes {
			if e.Nodes[i].Status != nil && !yield(e.Nodes[i].Status) {
				return
			}
		}
	}
}

// Result is the outcome as the command line prints it.
func (f *Filled) Result() placement.SchedulerResult {
	return placement.SchedulerResult{
		Result: *placement.New(f.Policy, f.Pods, len(f.Nodes), nil), Series: f.Series, Nodes: f.Nodes,
		Trace: &placement.Trace{GPUs: f.GPUs, UnallocatedPercent: f.UnallocatedPercent, NodesTouched: f.NodesTouched,
			MultiGPURejectedBefore90: f.MultiGPURejectedBefore90, Seconds: f.Seconds},
	}
}
