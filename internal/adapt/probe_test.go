package adapt

import (
	"context"
	"errors"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// fakeFramework has one plugin, which refuses nodes by name. It notes with what state
// it is called.
type fakeFramework struct {
	fwk.Handle
	narrowed  *fwk.PreFilterResult
	refuses   *fwk.Status
	broken    string
	full      string
	inProbe   []bool
	skipScore sets.Set[string]
}

type note string

func (n note) Clone() fwk.StateData { return n }

func (f *fakeFramework) RunPreFilterPlugins(_ context.Context, state fwk.CycleState, _ *v1.Pod) (*fwk.PreFilterResult, *fwk.Status, sets.Set[string]) {
	f.inProbe = append(f.inProbe, IsProbe(state))
	state.Write("plugin", note("read twice"))
	state.SetSkipFilterPlugins(sets.New("Other"))
	return f.narrowed, f.refuses, nil
}

func (f *fakeFramework) RunFilterPluginsWithNominatedPods(_ context.Context, state fwk.CycleState, _ *v1.Pod, info fwk.NodeInfo) *fwk.Status {
	f.inProbe = append(f.inProbe, IsProbe(state), IsProbe(state.Clone()), state.GetSkipFilterPlugins().Has("Other"), !state.ShouldRecordPluginMetrics())
	switch info.Node().Name {
	case f.broken:
		return fwk.AsStatus(errors.New("lost state"))
	case f.full:
		return fwk.NewStatus(fwk.Unschedulable, "full")
	}
	return nil
}

func (f *fakeFramework) RunPreScorePlugins(_ context.Context, state fwk.CycleState, _ *v1.Pod, _ []fwk.NodeInfo) *fwk.Status {
	f.inProbe = append(f.inProbe, IsProbe(state))
	state.SetSkipScorePlugins(f.skipScore)
	return nil
}

// TestAProbeAsksWithoutATrace: it hears what the filters say, and leaves nothing in
// the cycle's own state.
func TestAProbeAsksWithoutATrace(t *testing.T) {
	state := framework.NewCycleState()
	state.SetRecordPluginMetrics(true)
	state.Write("plugin", note("read once"))
	f := &fakeFramework{full: "b", broken: "c", narrowed: &fwk.PreFilterResult{NodeNames: sets.New("a", "b", "c")}, skipScore: sets.New("Quiet")}
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p"}}
	p, err := NewProbe(t.Context(), f, state, pod)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"a": true, "b": false, "elsewhere": false} {
		if got, err := p.Fits(t.Context(), infoOf(name)); got != want || err != nil {
			t.Errorf("node %s: got %v, %v, want %v", name, got, err, want)
		}
	}
	if got, err := p.Fits(t.Context(), infoOf("c")); got || err == nil {
		t.Errorf("a filter that fails: got %v, %v, want an error", got, err)
	}
	if silent, err := p.Silent(t.Context(), nil); err != nil || !silent.Equal(f.skipScore) {
		t.Errorf("silent: got %v, %v, want %v", silent, err, f.skipScore)
	}
	for i, yes := range f.inProbe {
		if !yes {
			t.Errorf("call %d was not told that it is a probe, or lost what was skipped", i)
		}
	}
	if kept, err := State[note](state, "plugin"); err != nil || kept != "read once" {
		t.Errorf("the cycle's state has %q, %v", kept, err)
	}
	if IsProbe(state) || state.GetSkipFilterPlugins().Len() > 0 || state.GetSkipScorePlugins().Len() > 0 {
		t.Errorf("the cycle's state has changed: skips %v and %v", state.GetSkipFilterPlugins(), state.GetSkipScorePlugins())
	}
	f.refuses = fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "never")
	if _, err := NewProbe(t.Context(), f, state, pod); err == nil {
		t.Error("want an error for a pod that is refused")
	}
}

func infoOf(name string) fwk.NodeInfo {
	info := framework.NewNodeInfo()
	info.SetNode(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
	return info
}
