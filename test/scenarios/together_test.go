package scenarios

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"plimsoll.dev/scheduler/internal/offline"
	"plimsoll.dev/scheduler/internal/testkit"
)

// runForGroups runs the commands that stories of groups need.
func (s *story) runForGroups(t *testing.T, d *datadriven.TestData) (string, error) {
	switch d.Cmd {
	case "owners":
		owners, err := testkit.Owners(d.Input)
		return "", s.add(t, owners, err)
	case "services":
		services, err := testkit.Services(d.Input)
		return "", s.add(t, services, err)
	}
	if err := s.open(t); err != nil {
		return "", err
	}
	said := &sayings{}
	var err error
	switch d.Cmd {
	case "retry":
		err = s.try(t, said)
	case "timeout":
		var outcomes []offline.Outcome
		outcomes, err = s.cluster.TimeOut(t.Context())
		s.follow(said, outcomes, nil)
	case "join":
		err = s.join(t, d.Input)
	case "ungate":
		err = s.ungate(t, d.Input)
	case "tree":
	default:
		t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
	}
	if err != nil {
		return "", err
	}
	return s.tell(t, said)
}

// add makes objects part of the cluster, or changes them there.
func (s *story) add(t *testing.T, objects []runtime.Object, err error) error {
	if err != nil {
		return err
	}
	if s.cluster != nil {
		return s.cluster.Apply(t.Context(), objects...)
	}
	s.others = append(s.others, objects...)
	return nil
}

// join adds nodes to the running cluster.
func (s *story) join(t *testing.T, input string) error {
	nodes, err := testkit.Nodes(input)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if err := s.cluster.Apply(t.Context(), n); err != nil {
			return err
		}
	}
	s.joined = append(s.joined, nodes...)
	return nil
}

// ungate opens the gates of pods in the queue.
func (s *story) ungate(t *testing.T, input string) error {
	for _, name := range strings.Fields(input) {
		i := slices.IndexFunc(s.queue, func(p *v1.Pod) bool { return p.Name == name })
		if i < 0 {
			return fmt.Errorf("pod %s is not in the queue", name)
		}
		s.queue[i] = s.queue[i].DeepCopy()
		s.queue[i].Spec.SchedulingGates = nil
		if err := s.cluster.Apply(t.Context(), s.queue[i]); err != nil {
			return err
		}
	}
	return nil
}

// together queues pods and tries them.
func (s *story) together(t *testing.T, input string) (string, error) {
	pods, err := testkit.Pods(input)
	if err != nil {
		return "", err
	}
	if err := s.open(t); err != nil {
		return "", err
	}
	s.grouped = true
	for _, pod := range pods {
		if err := s.cluster.Apply(t.Context(), pod); err != nil {
			return "", err
		}
		s.queue = append(s.queue, pod)
	}
	said := &sayings{}
	if err := s.try(t, said); err != nil {
		return "", err
	}
	return s.tell(t, said)
}

// try tries the pods of the queue, one after the other.
func (s *story) try(t *testing.T, said *sayings) error {
	for _, pod := range slices.Clone(s.queue) {
		if s.cluster.Waits(pod.Namespace, pod.Name) {
			continue
		}
		e, err := s.cluster.Evaluate(t.Context(), pod)
		if err != nil {
			return err
		}
		best := sorted(e.Best())
		if len(best) == 0 {
			if err := s.fail(t, said, e, pod.Name); err != nil {
				return err
			}
			continue
		}
		outcomes, err := s.cluster.Put(t.Context(), e, best[0])
		if err != nil {
			return err
		}
		s.follow(said, outcomes, e)
	}
	return nil
}

// fail says why a pod goes nowhere, and what follows from it.
func (s *story) fail(t *testing.T, said *sayings, e *offline.Evaluation, pod string) error {
	why := whyNowhere(e)
	if e.Held {
		said.add(pod, why)
		return nil
	}
	status, outcomes, err := s.cluster.Fail(t.Context(), e)
	for _, reason := range status.Reasons() {
		// What preemption says of every node adds nothing here.
		if reason != "" && !strings.HasPrefix(reason, "preemption: ") {
			why += "; " + reason
		}
	}
	said.add(pod, why)
	s.follow(said, outcomes, nil)
	return err
}

// follow says what became of pods, the first of which was just evaluated.
func (s *story) follow(said *sayings, outcomes []offline.Outcome, e *offline.Evaluation) {
	for i, o := range outcomes {
		name := o.Pod.Name
		if i == 0 && e != nil {
			s.stays[name] = stay{e, o.Node}
		}
		switch {
		case o.Status.IsSuccess():
			s.queue = slices.DeleteFunc(s.queue, func(p *v1.Pod) bool { return p.Name == name })
			said.add(name, strings.Join(append([]string{"placed"}, s.placed.ofGroups[name]...), ": "))
		case o.Status.IsWait():
			said.wait(name, o.Status.Reasons()[0]) // upstream adds a reason that says nothing more
		default:
			delete(s.stays, name)
			said.add(name, fmt.Sprintf("sent back by %s: %s", o.Status.Plugin(), strings.Join(o.Status.Reasons(), "; ")))
		}
	}
}

// whyNowhere sums up why no node takes the pod, as events do.
func whyNowhere(e *offline.Evaluation) string {
	if e.Held {
		return fmt.Sprintf("held by %s: %s", e.Refused.Plugin(), strings.Join(e.Refused.Reasons(), "; "))
	}
	if e.Refused != nil {
		return fmt.Sprintf("refused by %s: %s", e.Refused.Plugin(), strings.Join(e.Refused.Reasons(), "; "))
	}
	counts := map[string]int{}
	for _, a := range e.Nodes {
		for _, reason := range a.Status.Reasons() {
			counts[reason]++
		}
	}
	var out []string
	for reason, n := range counts {
		out = append(out, fmt.Sprintf("%d %s", n, reason))
	}
	return "fits nowhere: " + strings.Join(sorted(out), ", ")
}

// tell writes what was said and draws the cluster.
func (s *story) tell(t *testing.T, said *sayings) (string, error) {
	holds := map[string][]string{}
	for _, name := range s.cluster.Nodes() {
		node, err := s.cluster.NodeInfo(t.Context(), name)
		if err != nil {
			return "", err
		}
		for _, p := range node.GetPods() {
			pod := p.GetPod()
			text := pod.Name
			if s.cluster.Waits(pod.Namespace, pod.Name) {
				text += "?"
			}
			holds[name] = append(holds[name], text)
		}
	}
	nodes := slices.Concat(s.nodes, s.joined)
	return said.String() + testkit.Tree(nodes, func(node string) []string { return holds[node] }), nil
}

// sayings gathers the pods of whom the same is said.
type sayings struct {
	order []string
	pods  map[string][]string
	// waits are pods that wait for others, and why the last of them does.
	waits []string
	why   string
}

func (s *sayings) add(pod, what string) {
	if s.pods == nil {
		s.pods = map[string][]string{}
	}
	if len(s.pods[what]) == 0 {
		s.order = append(s.order, what)
	}
	s.pods[what] = append(s.pods[what], pod)
	s.waits = slices.DeleteFunc(s.waits, func(name string) bool { return name == pod })
}

func (s *sayings) wait(pod, why string) {
	s.waits, s.why = append(s.waits, pod), why
}

func (s *sayings) String() string {
	var b strings.Builder
	for _, what := range s.order {
		fmt.Fprintf(&b, "%s %s\n", testkit.Fold(s.pods[what]), what)
	}
	if len(s.waits) > 0 {
		fmt.Fprintf(&b, "%s waiting: %s\n", testkit.Fold(s.waits), s.why)
	}
	return b.String()
}
