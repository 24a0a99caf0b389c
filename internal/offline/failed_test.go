package offline

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"plimsoll.dev/scheduler/internal/schedconfig"
	"plimsoll.dev/scheduler/internal/testkit"
)

// faulty is a plugin that fails where it is told to: in PreFilter, on a node, or in
// PreScore.
type faulty struct{ where string }

var errFaulty = errors.New("out of order")

func (*faulty) Name() string { return "Faulty" }

func (f *faulty) PreFilter(context.Context, fwk.CycleState, *v1.Pod, []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	if f.where == "PreFilter" {
		return nil, fwk.AsStatus(errFaulty)
	}
	return nil, nil
}

func (*faulty) PreFilterExtensions() fwk.PreFilterExtensions { return nil }

func (f *faulty) Filter(_ context.Context, _ fwk.CycleState, _ *v1.Pod, node fwk.NodeInfo) *fwk.Status {
	if f.where == node.Node().Name {
		return fwk.AsStatus(errFaulty)
	}
	return nil
}

func (f *faulty) PreScore(context.Context, fwk.CycleState, *v1.Pod, []fwk.NodeInfo) *fwk.Status {
	if f.where == "PreScore" {
		return fwk.AsStatus(errFaulty)
	}
	return nil
}

// TestAnErrorEndsTheAttempt: as upstream's, see findNodesThatPassFilters and
// schedulePod there.
func TestAnErrorEndsTheAttempt(t *testing.T) {
	for name, test := range map[string]struct{ where, pod, want string }{
		"of no plugin":                   {"", "p cpu=1", "on [n-1 n-2]"},
		"before nodes are looked at":     {"PreFilter", "p cpu=1", `failed by Faulty: running PreFilter plugin "Faulty": out of order`},
		"about one node":                 {"n-2", "p cpu=1", `failed by Faulty: running "Faulty" filter plugin: out of order`},
		"about a node that is ruled out": {"n-2", "p cpu=1 selector:kubernetes.io/hostname=n-1", "on [n-1]"},
		"of scores":                      {"PreScore", "p cpu=1", `failed by : running PreScore plugin "Faulty": out of order`},
		"of scores that nobody needs":    {"PreScore", "p cpu=1 selector:kubernetes.io/hostname=n-1", "on [n-1]"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := schedconfig.Decode([]byte(`
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: plimsoll
  plugins: {multiPoint: {enabled: [{name: Faulty}]}}
`))
			if err != nil {
				t.Fatal(err)
			}
			registry := frameworkruntime.Registry{"Faulty": func(context.Context, runtime.Object, fwk.Handle) (fwk.Plugin, error) {
				return &faulty{test.where}, nil
			}}
			nodes, err := testkit.Nodes("n-[1-2] cpu=4 memory=16Gi")
			if err != nil {
				t.Fatal(err)
			}
			c, err := New(t.Context(), cfg, registry, nodes[0], nodes[1])
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			e, err := c.Evaluate(t.Context(), apply(t, c, test.pod)[0])
			if err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprintf("on %v", e.Best())
			if e.Failed {
				got = fmt.Sprintf("failed by %s: %s", e.Refused.Plugin(), e.Refused.Message())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestAnInterruptionIsNoAnswer: what plugins return then is not about the pod.
func TestAnInterruptionIsNoAnswer(t *testing.T) {
	c := gpuCluster(t)
	pod := apply(t, c, "p cpu=1")[0]
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errFaulty)
	if e, err := c.Evaluate(ctx, pod); !errors.Is(err, errFaulty) {
		t.Errorf("%+v, error %v; want %v", e, err, errFaulty)
	}
}
