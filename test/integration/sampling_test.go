package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"

	"plimsoll.dev/scheduler/internal/stack"
	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/manifests"
	"plimsoll.dev/scheduler/pkg/plugins"
	"plimsoll.dev/scheduler/pkg/plugins/archaware"
)

// BenchmarkSampling reports what looking at every node is worth in packing: the
// nodes that 3,000 pods end up on in a cluster of 5,000, with the shipped
// percentageOfNodesToScore and with upstream's default. Run with -benchtime 1x.
func BenchmarkSampling(b *testing.B) {
	for _, percentage := range []int{100, 0} {
		b.Run(fmt.Sprintf("percentage=%d", percentage), func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(float64(nodesUsed(b, percentage)), "nodes")
			}
		})
	}
}

func nodesUsed(b *testing.B, percentage int) int {
	const nodes, pods = 5000, 3000
	s, err := stack.Start(b.Context(), stack.Options{Dir: b.TempDir(), NoFakeNodes: true})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := s.Stop(); err != nil {
			b.Error(err)
		}
	}()
	nodeList, err := testkit.Nodes(fmt.Sprintf("n-[0001-%04d] zone=eu-a cpu=8 memory=32Gi", nodes))
	if err != nil {
		b.Fatal(err)
	}
	workqueue.ParallelizeUntil(b.Context(), 16, nodes, func(i int) {
		if _, err := s.Client().CoreV1().Nodes().Create(b.Context(), nodeList[i], metav1.CreateOptions{}); err != nil {
			b.Error(err)
		}
	})
	config := strings.Replace(string(manifests.SchedulerConfig), "percentageOfNodesToScore: 100", fmt.Sprintf("percentageOfNodesToScore: %d", percentage), 1)
	if _, err := s.StartScheduler(b.Context(), stack.SchedulerOptions{Config: []byte(config), Plugins: plugins.Options(plugins.Shared{Images: &archaware.Shared{Registries: &testkit.Depot{}}})}); err != nil {
		b.Fatal(err)
	}
	shapes := []string{"cpu=250m memory=1Gi", "cpu=500m memory=2Gi", "cpu=1 memory=4Gi", "cpu=1 memory=2Gi", "cpu=2 memory=8Gi"}
	for i := range pods {
		list, err := testkit.Pods(fmt.Sprintf("p-%d %s", i, shapes[i*7%len(shapes)]))
		if err != nil {
			b.Fatal(err)
		}
		list[0].UID = ""
		if _, err := s.Client().CoreV1().Pods("default").Create(b.Context(), list[0], metav1.CreateOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	return countWhenBound(b.Context(), b, s, pods)
}

// countWhenBound waits until all pods are bound and counts their nodes.
func countWhenBound(ctx context.Context, b *testing.B, s *stack.Stack, pods int) int {
	var used map[string]bool
	testkit.Eventually(b, 3*time.Minute, func() error {
		list, err := s.Client().CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		used = map[string]bool{}
		bound := 0
		for i := range list.Items {
			if node := list.Items[i].Spec.NodeName; node != "" {
				used[node] = true
				bound++
			}
		}
		if bound < pods {
			return fmt.Errorf("%d of %d pods are bound", bound, pods)
		}
		return nil
	})
	return len(used)
}
