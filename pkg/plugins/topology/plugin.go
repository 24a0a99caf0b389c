package topology

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/utils/clock"

	"plimsoll.dev/scheduler/internal/adapt"
	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/inventory"
	"plimsoll.dev/scheduler/pkg/metrics"
	"plimsoll.dev/scheduler/pkg/peers"
	"plimsoll.dev/scheduler/pkg/podgroups"
	"plimsoll.dev/scheduler/pkg/verdict"
	"plimsoll.dev/scheduler/pkg/zone"
)

// Name is the plugin's name in scheduler configurations.
const Name = "Topology"

const requestKey fwk.StateKey = Name + "/request"

var (
	_ fwk.PreEnqueuePlugin         = (*Topology)(nil)
	_ fwk.PreFilterPlugin          = (*Topology)(nil)
	_ fwk.PreFilterExtensions      = (*Topology)(nil)
	_ fwk.FilterPlugin             = (*Topology)(nil)
	_ fwk.PostFilterPlugin         = (*Topology)(nil)
	_ fwk.PreScorePlugin           = (*Topology)(nil)
	_ fwk.ScorePlugin              = (*Topology)(nil)
	_ fwk.ScoreExtensions          = (*Topology)(nil)
	_ fwk.ReservePlugin            = (*Topology)(nil)
	_ fwk.PermitPlugin             = (*Topology)(nil)
	_ fwk.PostBindPlugin           = (*Topology)(nil)
	_ fwk.PlacementScorePlugin     = (*Topology)(nil)
	_ fwk.PlacementScoreExtensions = (*Topology)(nil)
	_ fwk.SignPlugin               = (*Topology)(nil)
	_ fwk.EnqueueExtensions        = (*Topology)(nil)
)

// Topology is the plugin of one profile. What is not safe for concurrent use is
// touched in scheduling cycles only, of which there is one at a time.
type Topology struct {
	ctx      context.Context // ends with the scheduler; for its own goroutines
	handle   fwk.Handle
	recorder verdict.Recorder
	clock    clock.WithTicker

	levels []zone.Level
	words  string
	prices *zone.Prices
	// timeout is how long members wait for each other, keep how long room is held.
	timeout, keep time.Duration
	// operators: taints and tolerations may compare numbers.
	operators bool

	groups  *book
	sizes   *podgroups.Sizes
	peers   *peers.Book
	members *members
	wakes   *wakes
	told    *adapt.Told

	// zones and names belong to the scheduling cycle, as does restored: whether
	// room was held again for groups that a restart interrupted.
	zones    *inventory.Zones
	names    nameSets
	restored bool
	podsSeen cache.ResourceEventHandlerRegistration
	// shared finds the groups of other profiles' pods.
	shared *Shared
	// endpoints is how many each Service had at the last sweep, for that alone.
	endpoints map[string]int64
}

// New returns the plugin's factory. All profiles of a process share what they
// know of groups. The recorder, which may be nil, is told why pods were placed.
func New(shared *Shared, recorder verdict.Recorder) func(context.Context, runtime.Object, fwk.Handle) (fwk.Plugin, error) {
	return func(ctx context.Context, raw runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
		p, err := newPlugin(ctx, shared, recorder, raw, handle, clock.RealClock{})
		if err != nil {
			return nil, err
		}
		go p.run(ctx)
		return p, nil
	}
}

func newPlugin(ctx context.Context, shared *Shared, recorder verdict.Recorder, raw runtime.Object, handle fwk.Handle, c clock.WithTicker) (*Topology, error) {
	args, err := DecodeArgs(raw)
	if err != nil {
		return nil, err
	}
	p := &Topology{
		ctx: ctx, handle: handle, recorder: recorder, clock: c, shared: shared,
		levels: args.levels(), words: args.words(), prices: args.prices(), timeout: args.groupTimeout(), keep: args.reservation(),
		operators: utilfeature.DefaultFeatureGate.Enabled(features.TaintTolerationComparisonOperators),
		wakes:     newWakes(), told: adapt.NewTold(c),
	}
	p.zones = inventory.NewZones(p.levels)
	metrics.Register()
	start, err := shared.join(p, &args, handle)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Name, err)
	}
	if err := p.watch(); err != nil {
		return nil, fmt.Errorf("%s: %w", Name, err)
	}
	start()
	return p, nil
}

// Name implements fwk.Plugin.
func (p *Topology) Name() string { return Name }

// PreEnqueue holds members of a group back until all of it is there. It runs
// under the queue's lock: it only looks into memory.
func (p *Topology) PreEnqueue(_ context.Context, pod *v1.Pod) *fwk.Status {
	asked, err := intent.Parse(pod)
	if err != nil {
		return nil // PreFilter says what is wrong
	}
	r := p.read(pod, &asked.Topology)
	if !r.member {
		return nil
	}
	if p.exists(klog.KObj(pod).String(), pod.UID) {
		p.members.note(pod, r) // the queue may be behind: not one that is gone
	}
	reason, held := p.heldBack(r)
	if held {
		p.park(r, reason)
		if p.wakes.scouts(pod.UID) && !p.shared.leads.Load() {
			return nil // PreFilter says it again
		}
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, reason.Message)
	}
	if p.groups.View(r.group.Key).Parked > 0 {
		p.wakes.group(r.group.Key)
	}
	return nil
}

// PreFilter reads the pod, decides where its group goes, and narrows the nodes to
// that domain.
func (p *Topology) PreFilter(_ context.Context, state fwk.CycleState, pod *v1.Pod, nodes []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	if adapt.IsProbe(state) { // what was decided stands
		if r, err := adapt.State[*request](state, requestKey); err != nil || !r.asks() && r.charges == nil {
			return nil, fwk.NewStatus(fwk.Skip)
		}
		return nil, nil
	}
	if !state.IsPodGroupSchedulingCycle() { // of which each sees some nodes only
		p.restore(nodes)
	}
	p.shared.leads.Store(true)
	asked, err := intent.Parse(pod)
	if err != nil {
		return nil, adapt.Refuse(err)
	}
	r := p.read(pod, &asked.Topology)
	if err := r.sizeOfNothing(); err != nil {
		return nil, adapt.Refuse(err)
	}
	r.freed = p.wakes.frees()
	r.charges = p.chargesFor(r)
	if !r.asks() && r.charges == nil {
		if r.member {
			state.Write(requestKey, r)
		}
		return nil, fwk.NewStatus(fwk.Skip)
	}
	state.Write(requestKey, r)
	if r.asks() {
		if refused := p.place(state, r, nodes); refused != nil {
			return nil, refused
		}
	}
	if r.bound == zone.Root {
		return nil, nil
	}
	return &fwk.PreFilterResult{NodeNames: p.names.of(r.tree, r.bound)}, nil
}

// PreFilterExtensions returns the plugin itself.
func (p *Topology) PreFilterExtensions() fwk.PreFilterExtensions { return p }

// AddPod notes a member that counts on the node although room is held for it
// there: it must not be charged twice.
func (p *Topology) AddPod(_ context.Context, state fwk.CycleState, _ *v1.Pod, added fwk.PodInfo, info fwk.NodeInfo) *fwk.Status {
	p.credit(state, added.GetPod(), info.Node(), 1)
	return nil
}

// RemovePod takes such a note back.
func (p *Topology) RemovePod(_ context.Context, state fwk.CycleState, _ *v1.Pod, removed fwk.PodInfo, info fwk.NodeInfo) *fwk.Status {
	p.credit(state, removed.GetPod(), info.Node(), -1)
	return nil
}

// Filter refuses nodes whose free room is held for another group, and those
// outside the group's domain: upstream asks for the node that a pod is nominated
// to before it narrows the nodes down.
func (p *Topology) Filter(_ context.Context, state fwk.CycleState, _ *v1.Pod, info fwk.NodeInfo) *fwk.Status {
	r, err := adapt.State[*request](state, requestKey)
	if err != nil {
		return fwk.AsStatus(err)
	}
	if r.bound > zone.Root {
		if n, found := r.tree.Node(info.Node().Name); !found || !r.tree.Contains(r.bound, n) {
			reason := verdict.Say(verdict.OutsideDomain, "domain", r.tree.Path(r.bound), "group", r.group.Name)
			return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, reason.Message)
		}
	}
	if r.lone != 0 {
		if n, found := r.tree.Node(info.Node().Name); !found || r.tree.DomainOf(n, r.lone) == zone.None {
			reason := verdict.Say(verdict.LevelMissing, "level", r.asked.Required, "labels", p.labelsOf(r.asked.Required))
			return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, reason.Message)
		}
	}
	if r.charges == nil {
		return nil
	}
	charged, found := r.charges[info.Node().Name]
	if !found {
		return nil
	}
	if reason, kept := r.keptFor(charged, info); kept {
		return fwk.NewStatus(fwk.Unschedulable, reason.Message)
	}
	return nil
}

// PostFilter ends the attempt of a group of which a member finds no node in the
// chosen domain, and says to which domain a pod is bound.
func (p *Topology) PostFilter(_ context.Context, state fwk.CycleState, pod *v1.Pod, statuses fwk.NodeToStatusReader) (*fwk.PostFilterResult, *fwk.Status) {
	r, err := adapt.State[*request](state, requestKey)
	if err != nil { // nothing asked, or refused before it was read
		return nil, fwk.NewStatus(fwk.Unschedulable)
	}
	return nil, p.failed(r, statuses)
}

// PreScore ranks the domains and zones that the pod's nodes are in.
func (p *Topology) PreScore(_ context.Context, state fwk.CycleState, _ *v1.Pod, nodes []fwk.NodeInfo) *fwk.Status {
	r, err := adapt.State[*request](state, requestKey)
	if err != nil || !r.asks() || !p.rank(r, nodes) {
		return fwk.NewStatus(fwk.Skip)
	}
	return nil
}

// Score is the node's place in the order of domains, then zones.
func (p *Topology) Score(_ context.Context, state fwk.CycleState, _ *v1.Pod, info fwk.NodeInfo) (int64, *fwk.Status) {
	r, err := adapt.State[*request](state, requestKey)
	if err != nil {
		return 0, fwk.AsStatus(err)
	}
	return r.score(info.Node().Name), nil
}

// ScoreExtensions returns the plugin itself.
func (p *Topology) ScoreExtensions() fwk.ScoreExtensions { return p }

// NormalizeScore maps the places in order to 0..100, as far apart as they can be.
func (p *Topology) NormalizeScore(_ context.Context, _ fwk.CycleState, _ *v1.Pod, scores fwk.NodeScoreList) *fwk.Status {
	apart(scores)
	return nil
}

// Reserve notes that the member has a place.
func (p *Topology) Reserve(_ context.Context, state fwk.CycleState, pod *v1.Pod, nodeName string) *fwk.Status {
	if r := p.memberIn(state); r != nil {
		p.wakes.forgive(pod.UID)
		p.groups.Assume(r.group.Key, string(pod.UID), nodeName, p.clock.Now())
	}
	return nil
}

// Unreserve notes that it has none after all. If it has waited for others, they
// all give way.
func (p *Topology) Unreserve(_ context.Context, state fwk.CycleState, pod *v1.Pod, _ string) {
	r := p.memberIn(state)
	if r == nil {
		return
	}
	p.groups.Forget(r.group.Key, string(pod.UID))
	if r.waited {
		p.giveWay(r.group.Key, "", r.attempt)
	}
}

// Permit has the members of a group wait for each other.
func (p *Topology) Permit(_ context.Context, state fwk.CycleState, pod *v1.Pod, _ string) (*fwk.Status, time.Duration) {
	r := p.memberIn(state)
	if r == nil || r.gang <= 1 || native(pod) {
		return nil, 0
	}
	return p.permit(state, r, pod)
}

// PostBind reports the placement.
func (p *Topology) PostBind(ctx context.Context, state fwk.CycleState, pod *v1.Pod, nodeName string) {
	if r, err := adapt.State[*request](state, requestKey); err == nil && r.asks() {
		p.report(ctx, r, pod, nodeName)
	}
}

// SignPod declines for pods whose place depends on that of others.
func (p *Topology) SignPod(_ context.Context, pod *v1.Pod) ([]fwk.SignFragment, *fwk.Status) {
	asked, err := intent.Parse(pod)
	if err != nil {
		return nil, nil // its annotations are part of other fragments
	}
	if r := p.read(pod, &asked.Topology); r.asks() {
		return nil, fwk.NewStatus(fwk.Unschedulable, "where the pod goes depends on its group or its Services")
	}
	return nil, nil
}
