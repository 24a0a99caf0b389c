package explain

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"pgregory.net/rapid"

	"plimsoll.dev/scheduler/internal/offline"
	"plimsoll.dev/scheduler/internal/testkit"
)

// obey does to a pod and its claim what a reported change says, knowing nothing
// but its words. The pod has one container, and at most the claim gpu.
func obey(t *rapid.T, words string, pod *v1.Pod, claim *resourceapi.ResourceClaim) {
	for _, one := range strings.Split(words, ", and ") {
		done := 0
		for form, do := range orders() {
			if m := regexp.MustCompile("^" + form + "$").FindStringSubmatch(one); m != nil {
				do(m, pod, claim)
				done++
			}
		}
		if done != 1 {
			t.Fatalf("%q can be done in %d ways, want one", one, done)
		}
	}
}

type order func(m []string, pod *v1.Pod, claim *resourceapi.ResourceClaim)

func orders() map[string]order {
	return map[string]order{
		`tolerate every taint`: func(_ []string, p *v1.Pod, _ *resourceapi.ResourceClaim) {
			p.Spec.Tolerations = []v1.Toleration{{Operator: v1.TolerationOpExists}}
		},
		`tolerate (\S+=.*)`: func(m []string, p *v1.Pod, _ *resourceapi.ResourceClaim) {
			for _, taint := range strings.Split(m[1], " and ") {
				key, rest, _ := strings.Cut(taint, "=")
				value, effect, _ := strings.Cut(rest, ":")
				p.Spec.Tolerations = append(p.Spec.Tolerations, v1.Toleration{Key: key, Value: value, Effect: v1.TaintEffect(effect)})
			}
		},
		`drop nodeSelector (\S+)=(\S+)`: func(m []string, p *v1.Pod, _ *resourceapi.ResourceClaim) { delete(p.Spec.NodeSelector, m[1]) },
		`drop the whole nodeSelector`:   func(_ []string, p *v1.Pod, _ *resourceapi.ResourceClaim) { p.Spec.NodeSelector = nil },
		`drop annotation (\S+)=(\S+)`:   func(m []string, p *v1.Pod, _ *resourceapi.ResourceClaim) { delete(p.Annotations, m[1]) },
		`remove the scheduling gates .*`: func(_ []string, p *v1.Pod, _ *resourceapi.ResourceClaim) {
			p.Spec.SchedulingGates = nil
		},
		`ask for no (\S+) instead of (\S+)`: func(m []string, p *v1.Pod, _ *resourceapi.ResourceClaim) {
			delete(p.Spec.Containers[0].Resources.Requests, v1.ResourceName(m[1]))
		},
		`ask for ([a-z]\S\S+) (\S+) instead of (\S+)`: func(m []string, p *v1.Pod, _ *resourceapi.ResourceClaim) {
			p.Spec.Containers[0].Resources.Requests[v1.ResourceName(m[1])] = resource.MustParse(m[2])
		},
		`drop claim gpu`: func(_ []string, p *v1.Pod, _ *resourceapi.ResourceClaim) { p.Spec.ResourceClaims = nil },
		`drop the selectors in request gpu of claim gpu`: func(_ []string, _ *v1.Pod, c *resourceapi.ResourceClaim) {
			c.Spec.Devices.Requests[0].Exactly.Selectors = nil
		},
		`ask for (\d+) devices? instead of \d+ in request gpu of claim gpu`: func(m []string, _ *v1.Pod, c *resourceapi.ResourceClaim) {
			c.Spec.Devices.Requests[0].Exactly.Count, _ = strconv.ParseInt(m[1], 10, 64)
		},
		`ask for memory (\S+) instead of \S+ in request gpu of claim gpu`: func(m []string, _ *v1.Pod, c *resourceapi.ResourceClaim) {
			c.Spec.Devices.Requests[0].Exactly.Capacity.Requests["memory"] = resource.MustParse(m[1])
		},
		`ask for class (\S+) instead of \S+ in request gpu of claim gpu`: func(m []string, _ *v1.Pod, c *resourceapi.ResourceClaim) {
			c.Spec.Devices.Requests[0].Exactly.DeviceClassName = m[1]
		},
	}
}

// drawPod draws a line for a pod that may have several things in its way.
func drawPod(t *rapid.T) string {
	maybe := func(label string, choices ...string) string {
		return rapid.SampledFrom(append([]string{"", ""}, choices...)).Draw(t, label)
	}
	return strings.Join([]string{"p",
		fmt.Sprintf("cpu=%dm", rapid.Int64Range(100, 9000).Draw(t, "cpu")),
		fmt.Sprintf("memory=%dMi", rapid.Int64Range(1, 20000).Draw(t, "memory")),
		maybe("nic", "example.com/nic=1", "example.com/nic=5"),
		maybe("selector", "selector:disk=ssd", "selector:disk=tape", "selector:pool=b"),
		maybe("annotation", "annotation:plimsoll.dev/arch=arm64", "annotation:plimsoll.dev/target-utilization=none", "annotation:plimsoll.dev/gpu-memory=20Gi"),
		maybe("gate", "gate=example.com/quota"),
		maybe("tolerates", "tolerates:dedicated=yes"),
		maybe("claim", "claim=2x1g.6gb", "claim=9x1g.6gb", "claim=4g.24gb", "claim=7g.80gb", "claim=share:20Gi", "claim=share:90Gi"),
	}, " ")
}

// TestWhatIsReportedIsTrue draws pods on one cluster, and does what is reported of
// each on another that was never asked: as many nodes as was said can take it then.
func TestWhatIsReportedIsTrue(t *testing.T) {
	w := &world{
		nodes: `n-1 cpu=4 memory=8Gi label:disk=ssd arch=amd64
n-2 cpu=8 memory=4Gi label:pool=b arch=arm64 taint:dedicated=ml:NoSchedule
n-3 cpu=2 memory=16Gi example.com/nic=2 arch=amd64 taint:dedicated=ml:NoSchedule taint:spot=yes:NoExecute
n-4 cpu=6 memory=6Gi label:disk=ssd label:pool=b arch=arm64
n-5 cpu=6 memory=6Gi arch=amd64`,
		gpus: "n-1 1xA30\nn-4 1xH100-SHARED\nn-5 1xA30",
		pods: "q cpu=3 memory=1Gi node=n-4\nr cpu=1 memory=5Gi node=n-5",
	}
	asked, other := w.open(t, false), w.open(t, false)
	changes, pairs := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		line := drawPod(rt)
		pod, claims := put(t, asked, line)
		e, err := Explain(t.Context(), asked, pod, Options{})
		check(t, err)
		remove(t, asked, pod, claims)
		if (e.Node == "") != (e.Feasible == 0) || e.Feasible > 0 && len(e.Changes) > 0 {
			rt.Fatalf("%s\non %q, %d feasible, %d changes", line, e.Node, e.Feasible, len(e.Changes))
		}
		for _, change := range e.Changes {
			changes++
			if strings.Contains(change.What, ", and ") {
				pairs++
			}
			pod, claims := read(t, line)
			var claim *resourceapi.ResourceClaim
			if len(claims) > 0 {
				claim = claims[0]
			}
			obey(rt, change.What, pod, claim)
			check(t, other.AddClaims(t.Context(), claims...))
			got, err := other.Evaluate(t.Context(), pod)
			check(t, err)
			fits := feasible(got)
			if len(fits) != change.Nodes || !slices.Equal(fits[:min(3, len(fits))], change.Examples) {
				rt.Errorf("%s\nif it would %s: %v can take it, want %d such as %v", line, change.What, fits, change.Nodes, change.Examples)
			}
			if m := regexp.MustCompile(`^ask for cpu (\S+) instead`).FindStringSubmatch(change.What); m != nil && !strings.Contains(change.What, ", and ") {
				more := resource.MustParse(m[1])
				more.Add(resource.MustParse("1m"))
				pod.Spec.Containers[0].Resources.Requests[v1.ResourceCPU] = more
				if got, err := other.Evaluate(t.Context(), pod); err != nil || len(feasible(got)) > 0 {
					rt.Errorf("%s\nif it would %s: so could it with %v (%v)", line, change.What, more.String(), err)
				}
			}
			for _, c := range claims {
				check(t, other.Delete(t.Context(), c))
			}
		}
	})
	if changes == 0 || pairs == 0 {
		t.Errorf("%d changes, %d of two things: want both", changes, pairs)
	}
}

func read(t testing.TB, line string) (*v1.Pod, []*resourceapi.ResourceClaim) {
	t.Helper()
	claims, err := testkit.Claims(line)
	check(t, err)
	return must(t, line), claims
}

func put(t testing.TB, c *offline.Cluster, line string) (*v1.Pod, []*resourceapi.ResourceClaim) {
	t.Helper()
	pod, claims := read(t, line)
	check(t, c.AddClaims(t.Context(), claims...))
	check(t, c.Apply(t.Context(), pod))
	return pod, claims
}

func remove(t testing.TB, c *offline.Cluster, pod *v1.Pod, claims []*resourceapi.ResourceClaim) {
	t.Helper()
	check(t, c.Delete(t.Context(), pod))
	for _, claim := range claims {
		check(t, c.Delete(t.Context(), claim))
	}
}
