package explain

import (
	"context"
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/dynamic-resource-allocation/resourceclaim"

	"plimsoll.dev/scheduler/internal/offline"
	"plimsoll.dev/scheduler/pkg/intent"
)

// trials asks about the pod, with one thing or another changed.
type trials struct {
	cluster *offline.Cluster
	// pod is as it is stored.
	pod     *v1.Pod
	options Options
	// grouped: plugins decide for the pod's group, so that each trial has a cluster of
	// its own, on which all of its pods that wait are changed.
	grouped bool
	// was is why each node was refused before anything was changed.
	was []string
	// stubborn are plugins that have held a pod back although they were given time:
	// they get it once only.
	stubborn []string
	// left is how many questions may still be asked.
	left, tried int
}

// pick is a change, with the amount to ask for if it has one.
type pick struct {
	change *change
	amount int64
}

// variant is a pod that is being changed.
type variant struct {
	trials *trials
	pod    *v1.Pod
	// claims are the copies of its claims that are changed, by name in the pod.
	claims map[string]*resourceapi.ResourceClaim
	err    error
}

// claim returns the pod's claim of that name in the pod, free to be changed; nil if
// there is none. The pod then refers to that copy.
func (v *variant) claim(name string) *resourceapi.ResourceClaim {
	if copied := v.claims[name]; copied != nil {
		return copied
	}
	i := slices.IndexFunc(v.pod.Spec.ResourceClaims, func(c v1.PodResourceClaim) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	claim, err := v.trials.claimOf(v.pod, &v.pod.Spec.ResourceClaims[i])
	if err != nil {
		v.err = err
	}
	if claim == nil {
		return nil
	}
	copied := &resourceapi.ResourceClaim{Spec: *claim.Spec.DeepCopy(), ObjectMeta: metav1.ObjectMeta{
		Namespace: claim.Namespace, Name: fmt.Sprintf("%s-as-if-%d", claim.Name, v.trials.tried)}}
	v.claims[name] = copied
	v.pod.Spec.ResourceClaims[i] = v1.PodResourceClaim{Name: name, ResourceClaimName: &copied.Name}
	return copied
}

// added lists the copies, sorted.
func (v *variant) added() []*resourceapi.ResourceClaim {
	var out []*resourceapi.ResourceClaim
	for _, ref := range v.pod.Spec.ResourceClaims {
		if copied := v.claims[ref.Name]; copied != nil {
			out = append(out, copied)
		}
	}
	return out
}

// claimOf returns the claim that a pod's reference stands for; nil if it is not
// there.
func (t *trials) claimOf(pod *v1.Pod, ref *v1.PodResourceClaim) (*resourceapi.ResourceClaim, error) {
	name, _, err := resourceclaim.Name(pod, ref)
	if err != nil || name == nil {
		return nil, nil // one that is yet to be made from its template
	}
	claim, err := t.cluster.Claim(pod.Namespace, *name)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return claim, err
}

// changed makes the changes to a copy of the pod.
func (t *trials) changed(pod *v1.Pod, picks []pick) (*variant, error) {
	v := &variant{trials: t, pod: pod.DeepCopy(), claims: map[string]*resourceapi.ResourceClaim{}}
	for _, p := range picks {
		p.change.edit(v, p.amount)
	}
	return v, v.err
}

// ask asks about the pod with the changes made.
func (t *trials) ask(ctx context.Context, picks ...pick) (*offline.Evaluation, error) {
	if t.left == 0 {
		return nil, errSpent
	}
	t.left--
	t.tried++
	if t.grouped {
		return t.askApart(ctx, picks)
	}
	v, err := t.changed(t.pod, picks)
	if err != nil {
		return nil, err
	}
	if err := t.cluster.AddClaims(ctx, v.added()...); err != nil {
		return nil, err
	}
	e, err := t.evaluate(ctx, t.cluster, v.pod)
	for _, claim := range v.added() {
		if gone := t.cluster.Delete(ctx, claim); gone != nil && err == nil {
			err = gone
		}
	}
	return e, err
}

// askApart does so on a cluster of its own, where all members of the pod's group
// that wait are changed.
func (t *trials) askApart(ctx context.Context, picks []pick) (*offline.Evaluation, error) {
	c, err := t.options.Again(ctx)
	if err != nil {
		return nil, fmt.Errorf("making the cluster anew: %w", err)
	}
	defer c.Close()
	members, err := t.members(ctx)
	if err != nil {
		return nil, err
	}
	for _, member := range members {
		v, err := t.changed(member, picks)
		if err != nil {
			return nil, err
		}
		if err := c.AddClaims(ctx, v.added()...); err != nil {
			return nil, err
		}
		if err := c.Apply(ctx, v.pod); err != nil {
			return nil, err
		}
	}
	return t.askIn(ctx, c)
}

// askIn asks about the pod as it is stored in a cluster that was made for that.
func (t *trials) askIn(ctx context.Context, c *offline.Cluster) (*offline.Evaluation, error) {
	pod, err := c.Pod(t.pod.Namespace, t.pod.Name)
	if err != nil {
		return nil, err
	}
	c.AskOnce(t.stubborn...)
	return t.evaluate(ctx, c, pod)
}

// evaluate asks about a pod, and notes who holds it back.
func (t *trials) evaluate(ctx context.Context, c *offline.Cluster, pod *v1.Pod) (*offline.Evaluation, error) {
	e, err := c.Evaluate(ctx, pod)
	if err == nil && e.Held && !slices.Contains(t.stubborn, e.Refused.Plugin()) {
		t.stubborn = append(t.stubborn, e.Refused.Plugin())
		c.AskOnce(t.stubborn...)
	}
	return e, err
}

// members lists the pods of the pod's group that wait, among them the pod itself;
// only that if it has none.
func (t *trials) members(ctx context.Context) ([]*v1.Pod, error) {
	if !t.grouped {
		return []*v1.Pod{t.pod}, nil
	}
	pods, err := t.cluster.Pods(ctx)
	if err != nil {
		return nil, err
	}
	group, _ := groupOf(t.pod)
	var out []*v1.Pod
	for i := range pods {
		pod := &pods[i]
		if other, found := groupOf(pod); pod.Namespace == t.pod.Namespace && pod.Name == t.pod.Name || found && other == group && pod.Spec.NodeName == "" && pod.DeletionTimestamp == nil {
			out = append(out, pod)
		}
	}
	slices.SortFunc(out, func(a, b *v1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// alone asks about the pod, with its group, on a cluster that has no pods. Its
// claims are as if they had not been allocated; those of others are as the cluster was
// made.
func (t *trials) alone(ctx context.Context, c *offline.Cluster) (*offline.Evaluation, error) {
	members, err := t.members(ctx)
	if err != nil {
		return nil, err
	}
	var objects []runtime.Object
	for _, pod := range members {
		for i := range pod.Spec.ResourceClaims {
			claim, err := t.claimOf(pod, &pod.Spec.ResourceClaims[i])
			if err != nil {
				return nil, err
			}
			if claim != nil {
				claim = claim.DeepCopy()
				claim.Status = resourceapi.ResourceClaimStatus{}
				objects = append(objects, claim)
			}
		}
		objects = append(objects, pod)
	}
	if err := c.Apply(ctx, objects...); err != nil {
		return nil, err
	}
	return t.askIn(ctx, c)
}

// grouped tells whether plugins decide for the pod's group, and remember it. An
// annotation that is not valid counts: a change may make it so.
func grouped(pod *v1.Pod) bool {
	key, found := groupOf(pod)
	if !found {
		return pod.Annotations[intent.GroupName] != ""
	}
	if key.Kind != intent.GroupByOwner {
		return true
	}
	return slices.ContainsFunc([]string{intent.GroupName, intent.GroupSize, intent.TopologyRequired, intent.TopologyPreferred},
		func(annotation string) bool { return pod.Annotations[annotation] != "" })
}

func groupOf(pod *v1.Pod) (intent.GroupKey, bool) {
	asked, _ := intent.Parse(pod) // what is wrong with it is for the scheduler to say
	group, found := intent.GroupOf(pod, &asked.Topology)
	return group.Key, found
}

// refusals says, node by node, why they were refused; in one line if the pod was
// refused as a whole.
func refusals(e *offline.Evaluation) []string {
	if e.Refused != nil {
		return []string{e.Refused.Plugin() + ": " + e.Refused.Message()}
	}
	out := make([]string, len(e.Nodes))
	for i := range e.Nodes {
		if status := e.Nodes[i].Status; status != nil {
			out[i] = status.Plugin() + ": " + status.Message()
		}
	}
	return out
}
