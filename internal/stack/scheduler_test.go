package stack

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/cmd/kube-scheduler/app"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// picky is an out-of-tree plugin that takes no node but "large", and no arguments at all.
type picky struct{}

const pickyName = "Picky"

func (picky) Name() string { return pickyName }

func (picky) Filter(_ context.Context, _ fwk.CycleState, _ *v1.Pod, node fwk.NodeInfo) *fwk.Status {
	if node.Node().Name == "large" {
		return nil
	}
	return fwk.NewStatus(fwk.Unschedulable, "node(s) not large")
}

func newPicky(_ context.Context, args runtime.Object, _ fwk.Handle) (fwk.Plugin, error) {
	if args != nil {
		return nil, errors.New("takes no arguments")
	}
	return picky{}, nil
}

const pickyScheduler = `
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: picky
  plugins: {multiPoint: {enabled: [{name: Picky}]}}
`

func TestFailuresAreReportedPerNode(t *testing.T) {
	s := start(t, Options{})
	apply(t, s, nodes)

	type failure struct {
		pod    string
		status *fwk.Status
	}
	failures := make(chan failure, 100)
	var profiles int
	sc := startScheduler(t, s, SchedulerOptions{
		Config:     []byte(pickyScheduler),
		Plugins:    []app.Option{app.WithPlugin(pickyName, newPicky)},
		OnFailure:  func(pod *v1.Pod, status *fwk.Status) { failures <- failure{pod.Name, status} },
		AfterSetup: func(sched *scheduler.Scheduler) { profiles = len(sched.Profiles) },
	})
	if profiles != 1 {
		t.Errorf("scheduler has %d profiles, want 1", profiles)
	}
	apply(t, s, podManifest("fits", "picky", ""))
	assertRunning(t, s, "fits")
	apply(t, s, podManifest("huge", "picky", "resources: {requests: {cpu: 100}}"))

	var got failure
	select {
	case got = <-failures:
	case <-time.After(patience):
		t.Fatal("no failure reported")
	}
	var fit *framework.FitError
	if got.pod != "huge" || !errors.As(got.status.AsError(), &fit) {
		t.Fatalf("failure of %s is %v", got.pod, got.status)
	}
	// On small both apply: upstream reports the plugin that comes first in the profile's order.
	for node, want := range map[string]string{"small": "Insufficient cpu", "large": "Insufficient cpu"} {
		if reasons := fit.Diagnosis.NodeToStatus.Get(node).Message(); !strings.Contains(reasons, want) {
			t.Errorf("%s: %q, want %q", node, reasons, want)
		}
	}
	// Called through: the pod carries the condition upstream's handler sets.
	eventually(t, "condition of the pod", func(ctx context.Context) error {
		pod, err := s.Client().CoreV1().Pods("default").Get(ctx, "huge", metav1.GetOptions{})
		if err == nil && (len(pod.Status.Conditions) == 0 || pod.Status.Conditions[0].Reason != v1.PodReasonUnschedulable) {
			err = errors.New("pod is not marked unschedulable")
		}
		return err
	})
	sc.Stop()
	sc.Stop()
}

func TestRefusedSchedulerLeavesNothing(t *testing.T) {
	s := start(t, Options{NoFakeNodes: true})
	for name, tc := range map[string]struct {
		options SchedulerOptions
		want    string
	}{
		"unknown field": {
			SchedulerOptions{Config: []byte(secondScheduler + "  percentageOfNodes: 3\n")},
			`unknown field "profiles[0].percentageOfNodes"`,
		},
		"unknown field in a section that has no effect": {
			SchedulerOptions{Config: []byte(strings.Replace(secondScheduler, "leaderElect:", "leader:", 1))},
			`unknown field "leaderElection.leader"`,
		},
		"value out of range": {
			SchedulerOptions{Config: []byte(secondScheduler + "parallelism: -1\n")},
			"parallelism",
		},
		"another kind": {
			SchedulerOptions{Config: []byte("apiVersion: v1\nkind: Pod\n")},
			"Pod",
		},
		"plugin nobody registered": {
			SchedulerOptions{Config: []byte(pickyScheduler)},
			"Picky",
		},
		"arguments the plugin refuses": {
			SchedulerOptions{
				Config:  []byte(pickyScheduler + "  pluginConfig: [{name: Picky, args: {mood: bad}}]\n"),
				Plugins: []app.Option{app.WithPlugin(pickyName, newPicky)},
			},
			"takes no arguments",
		},
		"plugin registered twice": {
			SchedulerOptions{Plugins: []app.Option{app.WithPlugin(pickyName, newPicky), app.WithPlugin(pickyName, newPicky)}},
			"Picky",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := s.StartScheduler(t.Context(), tc.options); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error is %v, want one about %q", err, tc.want)
			}
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.StartScheduler(ctx, SchedulerOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v", err)
		}
	})
}
