package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// churn is a stream of claims for slices: each comes at a time, asks for one
// profile and leaves after a while. A claim that finds no place is lost.
type churn struct {
	nodes, gpus int
	arrivals    int
	// demand is the slices asked for at any time, over those there are.
	demand float64
	seed   uint64
}

var a100Profiles = []struct {
	name   string
	slices int
}{{"1g.10gb", 1}, {"1g.20gb", 2}, {"2g.20gb", 2}, {"3g.40gb", 4}, {"4g.40gb", 4}, {"7g.80gb", 8}}

// inTree is the default profile under our profile's name.
const inTree = `
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection: {leaderElect: false}
profiles: [{schedulerName: plimsoll}]
`

// served runs the stream through a scheduler on the real API server and returns
// the share of the slices asked for that it served, in per cent, of the second
// half of the stream: the first fills the GPUs.
func (s churn) served(t testing.TB, config string) float64 {
	t.Helper()
	c := launch(t, "cpu-01 cpu=64 memory=256Gi")
	for _, class := range objects[*resourceapi.DeviceClass](t, "deviceclasses") {
		if _, err := c.client.ResourceV1().DeviceClasses().Create(t.Context(), class, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range s.nodes {
		for _, slice := range nodeOf(t, fmt.Sprintf("gpu-%02d", i+1), s.gpus) {
			c.addNode(*slice.Spec.NodeName)
			if _, err := c.client.ResourceV1().ResourceSlices().Create(t.Context(), slice, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	mean := 0.0
	for _, p := range a100Profiles {
		c.template(profileTemplate(p.name), p.name)
		mean += float64(p.slices) / float64(len(a100Profiles))
	}
	c.schedule(config)

	rng := rand.New(rand.NewPCG(s.seed, 3))
	rate := s.demand * float64(s.nodes*s.gpus*8) / mean // of arrivals, in mean lives
	now := 0.0
	leaves := map[string]float64{}
	var asked, served int
	for i := range s.arrivals {
		now += rng.ExpFloat64() / rate
		p := a100Profiles[rng.IntN(len(a100Profiles))]
		life := rng.ExpFloat64()
		for name, at := range leaves {
			if at <= now {
				c.leave(name)
				delete(leaves, name)
			}
		}
		name := fmt.Sprintf("p%d", i)
		c.submit(claimant(name, profileTemplate(p.name), ""))
		ok := c.settled(name)
		if ok {
			leaves[name] = now + life
		} else {
			c.leave(name)
		}
		if i >= s.arrivals/2 {
			asked += p.slices
			if ok {
				served += p.slices
			}
		}
	}
	return 100 * float64(served) / float64(asked)
}

func profileTemplate(profile string) string {
	return "one-" + strings.ReplaceAll(profile, ".", "-") + "-slice"
}

// nodeOf is the A100 sample with fewer GPUs, as another node.
func nodeOf(t testing.TB, name string, gpus int) []*resourceapi.ResourceSlice {
	t.Helper()
	var out []*resourceapi.ResourceSlice
	for i, s := range objects[*resourceapi.ResourceSlice](t, "resourceslices-a100-80gb-8x-dynamic-mig")[:gpus+1] {
		if len(s.Spec.SharedCounters) > 0 {
			s.Spec.SharedCounters = s.Spec.SharedCounters[:gpus]
		}
		s.OwnerReferences, s.GenerateName = nil, ""
		s.Name = fmt.Sprintf("%05d-%s", i, name)
		s.Spec.NodeName, s.Spec.Pool.Name, s.Spec.Pool.ResourceSliceCount = ptr.To(name), name, int64(gpus+1)
		out = append(out, s)
	}
	return out
}

// settled waits until a pod runs, or is said to fit nowhere.
func (c *cluster) settled(name string) (runs bool) {
	c.Helper()
	c.eventually(func() error {
		pod := c.pod(name)
		if pod.Status.Phase == v1.PodRunning {
			runs = true
			return nil
		}
		// Before its claim exists a pod is also said to be unschedulable.
		if pod.Spec.NodeName == "" && strings.Contains(condition(pod), "nodes are available") {
			return nil
		}
		return fmt.Errorf("pod %s is %s: %s", name, pod.Status.Phase, condition(pod))
	})
	return runs
}

// leave deletes a pod and waits until its devices are given back.
func (c *cluster) leave(name string) {
	c.Helper()
	var claims []string
	for _, status := range c.pod(name).Status.ResourceClaimStatuses {
		claims = append(claims, *status.ResourceClaimName)
	}
	if err := c.client.CoreV1().Pods("default").Delete(c.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))}); err != nil {
		c.Fatal(err)
	}
	for _, claim := range claims {
		c.eventually(func() error {
			found, err := c.client.ResourceV1().ResourceClaims("default").Get(c.Context(), claim, metav1.GetOptions{})
			if apierrors.IsNotFound(err) || err == nil && found.Status.Allocation == nil {
				return nil
			}
			return fmt.Errorf("claim %s is still allocated, %w", claim, err)
		})
	}
}

func shippedProfile(t testing.TB) string {
	t.Helper()
	config, err := os.ReadFile(shippedConfig)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(string(config), "leaderElect: true", "leaderElect: false", 1)
}

// BenchmarkServedSlices compares what the shipped profile serves with what the
// default one does, on the real API server: one stream, in which luck has a part.
// test/compaction compares several, pkg/mig does so at full size.
func BenchmarkServedSlices(b *testing.B) {
	for _, demand := range []float64{0.85, 1} {
		stream := churn{nodes: 4, gpus: 4, arrivals: 240, demand: demand, seed: 1}
		for name, config := range map[string]string{"in-tree": inTree, "plimsoll": shippedProfile(b)} {
			b.Run(fmt.Sprintf("demand=%.2f/%s", demand, name), func(b *testing.B) {
				for b.Loop() {
					b.ReportMetric(stream.served(b, config), "%served")
				}
			})
		}
	}
}
