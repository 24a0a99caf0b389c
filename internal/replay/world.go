package replay

import (
	"context"
	"fmt"
	"math/rand/v2"

	v1 "k8s.io/api/core/v1"

	"plimsoll.dev/scheduler/internal/offline"
	"plimsoll.dev/scheduler/internal/openb"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// The streams of random numbers that one seed gives; openb has 0 and 3.
const (
	streamTies  = 1
	streamMix   = 2
	streamNodes = 4
)

func random(seed, stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, stream)) }

// world is a cluster under one policy, and what the pods of a trace take of it.
type world struct {
	cluster   *offline.Cluster
	scheduler string
	ledger    *ledger
	ties      *rand.Rand
	tally     *tally
}

// tenant is a pod that was bound.
type tenant struct {
	pod  *openb.Pod
	name string
	// node is an index of the nodes, and gpus are those of the node.
	node int
	gpus []int
}

func newWorld(ctx context.Context, policy Policy, nodes []openb.Node, seed uint64, recorder verdict.Recorder) (*world, error) {
	cfg, err := policy.configuration()
	if err != nil {
		return nil, err
	}
	w := &world{scheduler: cfg.Profiles[0].SchedulerName, ledger: &ledger{}, ties: random(seed, streamTies), tally: newTally(nodes)}
	w.cluster, err = offline.New(ctx, cfg, policy.registry(w.ledger, recorder), openb.Cluster(nodes)...)
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", policy.Name, err)
	}
	w.cluster.WriteClaims()
	return w, nil
}

func (w *world) close() { w.cluster.Close() }

// arrive creates a pod and tries it once. The tenant is nil if it fits nowhere; the
// evaluation then tells why.
func (w *world) arrive(ctx context.Context, p *openb.Pod, name string) (*tenant, *offline.Evaluation, error) {
	pod, claim := p.Objects(name, w.scheduler)
	if claim != nil {
		if err := w.cluster.AddClaims(ctx, claim); err != nil {
			return nil, nil, err
		}
	}
	if err := w.cluster.Apply(ctx, pod); err != nil {
		return nil, nil, err
	}
	e, err := w.evaluate(ctx, pod)
	if err != nil {
		return nil, nil, err
	}
	best := e.Best()
	if len(best) == 0 {
		return nil, e, nil
	}
	node := best[w.ties.IntN(len(best))]
	if err := w.cluster.Place(ctx, e, node); err != nil {
		return nil, nil, err
	}
	t := &tenant{pod: p, name: name, node: w.tally.index[node]}
	if t.gpus, err = w.tally.gpusOf(t.node, w.ledger); err != nil {
		return nil, nil, fmt.Errorf("pod %s on node %s: %w", name, node, err)
	}
	w.tally.change(t, 1)
	return t, e, nil
}

// evaluate asks about a pod. That a plugin fails must not pass for a refusal: it ends
// the replay.
func (w *world) evaluate(ctx context.Context, pod *v1.Pod) (*offline.Evaluation, error) {
	e, err := w.cluster.Evaluate(ctx, pod)
	if err == nil && e.Failed {
		err = fmt.Errorf("scheduling pod %s: %w", pod.Name, e.Refused.AsError())
	}
	return e, err
}

// remove deletes a pod that has run, or was lost, with its claim.
func (w *world) remove(ctx context.Context, p *openb.Pod, name string) error {
	pod, claim := p.Objects(name, w.scheduler)
	if claim != nil {
		if err := w.cluster.Delete(ctx, claim); err != nil {
			return fmt.Errorf("deleting claim %s: %w", name, err)
		}
	}
	if err := w.cluster.Delete(ctx, pod); err != nil {
		return fmt.Errorf("deleting pod %s: %w", name, err)
	}
	return nil
}

// leave ends a tenant's life.
func (w *world) leave(ctx context.Context, t *tenant) error {
	w.tally.change(t, -1)
	return w.remove(ctx, t.pod, t.name)
}

// sampled is how many pods make a mix known. Plimsoll forgets: after 1000 requests
// one counts half.
const sampled = 3000

// learn has the scheduler look at a sample of the list, placing none of it, as if it
// had run for long and seen such pods before. Pods without GPUs teach it nothing.
func (w *world) learn(ctx context.Context, pods []openb.Pod, seed uint64) error {
	left := sampled
	for i, row := range random(seed, streamMix).Perm(len(pods)) {
		if left == 0 {
			return nil
		}
		p := &pods[row]
		if p.GPUs == 0 {
			continue
		}
		left--
		pod, claim := p.Objects(fmt.Sprintf("mix-%05d", i), w.scheduler)
		if err := w.cluster.AddClaims(ctx, claim); err != nil {
			return err
		}
		if _, err := w.evaluate(ctx, pod); err != nil {
			return err
		}
		if err := w.cluster.Delete(ctx, claim); err != nil {
			return err
		}
	}
	return nil
}
