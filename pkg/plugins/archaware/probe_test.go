package archaware

import (
	"context"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"plimsoll.dev/scheduler/internal/adapt"
)

// twice reads a pod a second time, as a probe has the framework do.
type twice struct {
	fwk.Handle
	f      *fixture
	status *fwk.Status
}

func (t *twice) RunPreFilterPlugins(ctx context.Context, state fwk.CycleState, pod *v1.Pod) (*fwk.PreFilterResult, *fwk.Status, sets.Set[string]) {
	_, t.status = t.f.PreFilter(ctx, state, pod, t.f.nodes())
	return nil, nil, nil
}

// TestAProbeAsksForNoImage: it hears what the pod's own cycle found.
func TestAProbeAsksForNoImage(t *testing.T) {
	k := knows(t, "web linux/arm64")
	f := build(t, "{}", "a arch=arm64\nb arch=amd64", k)
	for line, skips := range map[string]bool{"p image=web": false, "agent image=web owner=DaemonSet": true} {
		pod, state := f.pod(line), framework.NewCycleState()
		if _, status := f.PreFilter(t.Context(), state, pod, f.nodes()); status.IsSkip() != skips {
			t.Fatalf("%s: PreFilter says %v", line, status)
		}
		asked := len(k.wanted)
		again := &twice{f: f}
		if _, err := adapt.NewProbe(t.Context(), again, state, pod); err != nil {
			t.Fatal(err)
		}
		if again.status.IsSkip() != skips || !again.status.IsSuccess() && !skips {
			t.Errorf("%s: the probe hears %v, want to be skipped: %v", line, again.status, skips)
		}
		if len(k.wanted) != asked {
			t.Errorf("%s: the probe asked for %v", line, k.wanted[asked:])
		}
	}
	if len(k.wanted) == 0 {
		t.Error("no image was asked for at all")
	}
}
